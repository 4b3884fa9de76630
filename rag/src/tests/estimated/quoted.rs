//! Quoted answers over evaluation sets that are no part of the repository: each passage a chunk, every 250th of one contributor.
//!
//! A set of contributors is worth the part of the answer's tokens that its sources say, as `support/2` weighs them, where nobody else ever
//! said anything. What pays gives each token to the first who said it; that table gives it to whoever is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use engine::{Embedder, MiniLm};
use schemas::receipt::{Source, players_of};
use serde_json::Value;

use super::{Case, Measured, OfSource, Scale, measure, methods};
use crate::Evidence;
use crate::attribution::{SourceText, compute_value_table};
use crate::tests::calibration::{lines, text, var};
use crate::tests::world::{World, account, file};

const SETS: [&str; 3] = ["hotpotqa-100", "xquad-en", "clapnq-dev-a"];
const CONTRIBUTORS: usize = 250;
const QUESTIONS: usize = 300;

pub(super) async fn tables(data: &Path) -> String {
    let embedder: Arc<dyn Embedder> = Arc::new(MiniLm::load(&var("HEADWATER_MINILM")).unwrap());
    let mut page = String::new();
    for set in SETS {
        let (cases, asked) = cases(&data.join(set), &embedder).await;
        let players = cases.iter().map(Case::players).sum::<usize>() as f64 / cases.len() as f64;
        writeln!(page, "**{set}**: {} of {asked} questions were answered, from {players:.1} contributors in the mean\n", cases.len())
            .unwrap();
        page += "| | LDS | Shapley error, most, ppm | mean, ppm | precision@1 | precision@k | to supporting, % | sets computed |\n\
                 |---|--:|--:|--:|--:|--:|--:|--:|\n";
        for method in methods("`support/2`, which pays", Scale::Plain) {
            let measured: Measured = measure(&cases, method);
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} | {:.1} |",
                method.name(),
                measured.shown(3, |of| of.rank_correlation),
                measured.shown(0, |of| of.error_most),
                measured.shown(0, |of| of.error_mean),
                measured.shown(2, |of| of.precision_at_one),
                measured.shown(2, |of| of.precision),
                measured.shown(1, |of| of.to_gold.map(|part| part * 100.0)),
                measured.mean(|of| of.evaluations),
            )
            .unwrap();
        }
        page.push('\n');
        println!("{page}");
    }
    page
}

/// And how many questions were asked.
async fn cases(set: &Path, embedder: &Arc<dyn Embedder>) -> (Vec<Case>, usize) {
    let passages = lines(&set.join("passages.jsonl"));
    let contributor = |at: usize| u8::try_from(at % CONTRIBUTORS + 1).unwrap();
    let said = |passage: &Value| text(&passage["text"]).replace("\n\n", "\n");
    let files: Vec<_> =
        passages.iter().enumerate().map(|(at, passage)| file(&text(&passage["id"]), contributor(at), &said(passage))).collect();
    let owners: BTreeMap<String, u8> = passages.iter().enumerate().map(|(at, passage)| (text(&passage["id"]), contributor(at))).collect();
    let world = World::with(embedder.clone(), &files).await;
    let rag = world.rag().await;
    let (mut cases, mut asked) = (Vec::new(), 0);
    for query in lines(&set.join("queries.jsonl")) {
        let gold: BTreeSet<u8> = query["gold"].as_array().into_iter().flatten().map(|id| owners[&text(id)]).collect();
        if gold.is_empty() || asked == QUESTIONS {
            continue;
        }
        let answer = rag.ask(world.request(&asked.to_string(), &text(&query["question"]))).await.unwrap();
        let evidence = rag.evidence(answer.receipt.body.answer_id).await.unwrap();
        if !evidence.receipt.body.segments.is_empty() {
            cases.push(case(asked, &evidence, &gold));
        }
        asked += 1;
    }
    (cases, asked)
}

fn case(group: usize, evidence: &Evidence, gold: &BTreeSet<u8>) -> Case {
    let body = &evidence.receipt.body;
    let players = players_of(body.sources.iter().map(|source| source.contributor));
    let player = |source: &Source| players.iter().position(|who| who.contains(&source.contributor)).unwrap();
    let quoted = |segment: &schemas::receipt::Segment| &evidence.answer[segment.start as usize..segment.end as usize];
    let segments: Vec<&str> = body.segments.iter().map(quoted).collect();
    let sources: Vec<SourceText<'_>> =
        body.sources.iter().zip(&evidence.source_texts).map(|(source, text)| SourceText { source, text }).collect();
    let computed = |set: usize| {
        let of_set: Vec<SourceText<'_>> = sources.iter().copied().filter(|of| set >> player(of.source) & 1 == 1).collect();
        let rows = compute_value_table(&evidence.question, &segments, &of_set);
        let said = |row: &schemas::receipt::ValueRow| row.weight_ppm as f64 * row.adds_ppm.iter().sum::<u64>() as f64;
        rows.iter().map(said).sum::<f64>() / 1e12
    };
    // who says nothing of the answer alone changes no set's worth
    let speakers: usize = (0..players.len()).filter(|player| computed(1 << player) > 0.0).map(|player| 1 << player).sum();
    let mut known: BTreeMap<usize, f64> = BTreeMap::new();
    let table = (0..1usize << players.len()).map(|set| *known.entry(set & speakers).or_insert_with(|| computed(set & speakers))).collect();
    let paid = |who: &Vec<schemas::Address>| {
        body.shares.iter().filter(|share| who.contains(&share.contributor)).map(|share| share.share_ppm).sum::<u64>() as f64
    };
    let of_source = |(at, source): (usize, &SourceText<'_>)| OfSource {
        player: player(source.source),
        text: source.text.to_owned(),
        retrieval_score: (source.source.vector_ppm.unwrap_or(0) + source.source.lexical_ppm.unwrap_or(0)) as f64 / 2e6,
        citations: body.segments.iter().filter(|segment| segment.source == at as u64).count(),
    };
    let gold = |(_, who): &(usize, &Vec<schemas::Address>)| gold.iter().any(|number| who.contains(&account(*number)));
    Case {
        group,
        table,
        answer: evidence.answer.clone(),
        answer_tokens: 1,
        sources: sources.iter().enumerate().map(of_source).collect(),
        paid: players.iter().map(paid).collect(),
        paid_evaluations: 0,
        gold: players.iter().enumerate().filter(gold).map(|(player, _)| player).collect(),
    }
}
