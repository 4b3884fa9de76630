//! Answers of the small reader, from two to six sources of as many contributors: those of a question about names that it never saw, and
//! others that say nothing of it.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Arc;

use engine::{Answer, ContextMode, Embedder, GenerationRequest, Generator, HashingEmbedder, Message, Sampling, Score, ScoreRequest};
use schemas::B256;
use schemas::ids::ChunkId;

use super::{Case, Measured, OfSource, Scale, measure, methods, of};
use crate::attribution::likelihood::{Players, Told};
use crate::attribution::player_values;
use crate::citations::{self, CitationFilter, Plain};
use crate::generate;
use crate::prompt::{self, Form, Window};
use crate::quote::DECLINED;
use crate::tests::reader::{Example, READER, examples};
use crate::tests::world::account;

/// ln 10⁻⁴: no token weighs more.
const LEAST_TOKEN: f64 = -9.210_34;
const TOKENS_MAX: usize = 64;

/// What was measured on.
pub(super) struct Read {
    pub(super) cases: Vec<Case>,
    /// Of each, for other programs: what was asked of what, and what was answered, with its citations.
    prompts: Vec<(String, Vec<String>, String)>,
    /// Of each, whether a source repeats another. Where none does, a receipt would have the very table that was computed here.
    pub(super) repeats: Vec<bool>,
    declined: usize,
}

pub(super) async fn cases(contributors: RangeInclusive<usize>) -> Read {
    let examples = examples();
    let mut read = Read { cases: Vec::new(), prompts: Vec::new(), repeats: Vec::new(), declined: 0 };
    for (group, example) in examples.iter().enumerate().filter(|(_, example)| example.kind != "declined") {
        for count in contributors.clone() {
            let sources = mixed(&examples, group, count);
            match case(group, example, &sources).await {
                Some((case, answer, repeats)) => {
                    read.repeats.push(repeats);
                    read.cases.push(case);
                    read.prompts.push((example.question.clone(), sources, answer));
                }
                None => read.declined += 1,
            }
        }
    }
    read
}

/// The sources of an example among others', `count` in all: which and in which order follows from both numbers.
pub(super) fn mixed(examples: &[Example], group: usize, count: usize) -> Vec<String> {
    let own = &examples[group].sources;
    // 7 and the number of examples share no factor, so that every other example comes once
    let others = (1..examples.len()).map(|step| &examples[(group + 7 * step) % examples.len()].sources[step % 2]);
    let mut sources: Vec<String> = own.iter().chain(others).take(count).cloned().collect();
    sources.rotate_left((group + count) % count);
    sources
}

pub(super) fn asked(reader: &Arc<dyn Generator>, question: &str, sources: &[String]) -> Vec<Message> {
    let texts: Vec<&str> = sources.iter().map(String::as_str).collect();
    let window = Window { tokens: 512, answer: TOKENS_MAX };
    let fitted = prompt::fit(reader.as_ref(), question, &texts, Form::Prose, window).unwrap().unwrap();
    assert_eq!(fitted.sources, sources.len(), "the window is too small");
    fitted.messages
}

/// Greedy; of what cites no source the citation is taken out.
pub(super) async fn answer(reader: &Arc<dyn Generator>, messages: &[Message], sources: usize) -> String {
    let request = GenerationRequest {
        messages: messages.to_vec(),
        mode: ContextMode::Full,
        sampling: Sampling::default(),
        tokens_max: TOKENS_MAX,
        stop: Vec::new(),
        log_probabilities: None,
        constraint: None,
        adapter: None,
    };
    let (said, _) = reader.generate(request).await.unwrap().collect().await.unwrap();
    let mut filter = CitationFilter::new(sources);
    filter.push(&said) + &filter.finish()
}

pub(super) async fn scored(reader: &Arc<dyn Generator>, messages: &[Message], answer: &str, subsets: Vec<Vec<bool>>) -> Vec<Score> {
    let (messages, answer) = (messages.to_vec(), Answer::Text(answer.to_owned()));
    reader.score(ScoreRequest { messages, mode: ContextMode::Full, answer, subsets, adapter: None }).await.unwrap()
}

pub(super) fn members(set: usize, count: usize) -> Vec<bool> {
    (0..count).map(|player| set >> player & 1 == 1).collect()
}

/// With the answer as it was written, and whether a source repeats another. None where the reader declined.
async fn case(group: usize, example: &Example, sources: &[String]) -> Option<(Case, String, bool)> {
    let (reader, count) = (&*READER, sources.len());
    let messages = asked(reader, &example.question, sources);
    let answer = answer(reader, &messages, count).await;
    let plain = Plain::without_citations(&answer).text;
    if plain.trim() == DECLINED || plain.trim().is_empty() {
        return None;
    }
    let scores = scored(reader, &messages, &answer, (0..1 << count).map(|set| members(set, count)).collect()).await;
    let cited = citations::ranges(&answer);
    let counts = |score: &Score| -> Vec<bool> {
        let starts = std::iter::once(0).chain(score.ends.iter().copied());
        starts.zip(&score.ends).map(|(start, end)| !cited.iter().any(|cited| start < cited.end && cited.start < *end)).collect()
    };
    let worth = |score: &Score| -> f64 {
        let counted = score.log_probabilities.iter().zip(counts(score)).filter(|(_, counts)| *counts);
        counted.map(|(number, _)| f64::from(*number).clamp(LEAST_TOKEN, 0.0)).sum()
    };
    let table: Vec<f64> = scores.iter().map(worth).collect();
    let answer_tokens = counts(&scores[0]).into_iter().filter(|counts| *counts).count();

    let read: Vec<_> = generate::read(&answer, Form::Prose);
    let said: Vec<String> = read.iter().map(|(_, said)| said.clone()).collect();
    let told: Vec<Told<'_>> = (1u8..)
        .zip(sources)
        .map(|(at, text)| Told { contributor: account(at), registered: at.into(), chunk_id: ChunkId(B256::repeat_byte(at)), text })
        .collect();
    let players = Players::new(&example.question, &said, &told).unwrap();
    let set_of = |subset: &Vec<bool>| subset.iter().enumerate().filter(|(_, is_in)| **is_in).map(|(at, _)| 1usize << at).sum::<usize>();
    let of_players: Vec<Score> = players.subsets().iter().map(|subset| scores[set_of(subset)].clone()).collect();
    let likelihood = players.likelihood(&of_players, &answer, &cited, "portable".into()).unwrap();
    let repeats = !likelihood.needs.iter().all(Vec::is_empty);
    if !repeats {
        let apart = likelihood.table.iter().zip(&table).map(|(paid, here)| (*paid as f64 / 1e6 - here).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-6 * answer_tokens as f64, "{apart}");
    }
    let embedder = HashingEmbedder::new();
    let vectors = |text: &str| embedder.embed(&[text]).unwrap().remove(0);
    let question = vectors(&example.question);
    let near = |text: &str| f64::from(vectors(text).iter().zip(&question).map(|(one, other)| one * other).sum::<f32>());
    let times = |player: usize| read.iter().flat_map(|(sentence, _)| &sentence.cited).filter(|cited| **cited == player as u64).count();
    let of_source =
        |(player, text): (usize, &String)| OfSource { player, text: text.clone(), retrieval_score: near(text), citations: times(player) };
    let case = Case {
        group,
        answer: plain,
        answer_tokens,
        sources: sources.iter().enumerate().map(of_source).collect(),
        paid: player_values(&likelihood).into_iter().map(|(_, value)| value as f64 / 1e6).collect(),
        paid_evaluations: table.len(),
        table,
        gold: Vec::new(),
    };
    Some((case, answer, repeats))
}

/// For `tests/bench/attribution/package.py`: a line of JSON each.
pub(super) fn lines(read: &Read) -> String {
    let context_cite = methods("", Scale::LogProbability).into_iter().find(|method| method.name().starts_with("ContextCite")).unwrap();
    let line = |(case, (question, sources, answer)): (&Case, &(String, Vec<String>, String))| {
        let rank_correlation = of(case, context_cite).rank_correlation;
        let table = &case.table;
        let line = serde_json::json!({ "question": question, "sources": sources, "answer": answer, "table": table, "rank_correlation": rank_correlation });
        format!("{line}\n")
    };
    read.cases.iter().zip(&read.prompts).map(line).collect()
}

pub(super) fn table(read: &Read) -> String {
    let Read { cases, repeats, declined, .. } = read;
    let groups: std::collections::BTreeSet<usize> = cases.iter().map(|case| case.group).collect();
    let first = methods("", Scale::LogProbability)[0];
    let errors =
        cases.iter().zip(&read.repeats).filter(|(_, repeats)| !**repeats).map(|(case, _)| of(case, first).error_most.unwrap_or(0.0));
    let apart = errors.fold(0.0, f64::max);
    let mut table = format!(
        "{} answers to {} questions, from 2 to 6 contributors each; {declined} more were declined. In {} a source repeats another;\n\
         where none does, `likelihood/1` is {apart:.0} ppm from the exact value at most.\n\n\
         | | LDS | top-1 drop, nat | top-2 drop, nat | Shapley error, most, ppm | mean, ppm | sets computed |\n|---|--:|--:|--:|--:|--:|--:|\n",
        cases.len(),
        groups.len(),
        repeats.iter().filter(|repeats| **repeats).count(),
    );
    for method in methods("`likelihood/1`, which pays", Scale::LogProbability) {
        let measured: Measured = measure(cases, method);
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            method.name(),
            measured.shown(3, |of| of.rank_correlation),
            measured.shown(1, |of| of.drops[0]),
            measured.shown(1, |of| of.drops[1]),
            measured.shown(0, |of| of.error_most),
            measured.shown(0, |of| of.error_mean),
            measured.mean(|of| of.evaluations),
        )
        .unwrap();
    }
    table
}
