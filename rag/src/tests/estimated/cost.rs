//! What the exact table costs beside the answer that it divides, on the small reader.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use engine::{Generator, GeneratorOptions, LocalGenerator, Message, Part, Precision};

use super::measures::interval;
use super::read::{answer, asked, members, mixed, scored};
use super::{ABLATIONS, SEED};
use crate::attribution::estimators::{Estimator, Facts, Game, Scale};
use crate::tests::reader::{examples, folder};

const QUESTIONS: usize = 8;

/// Of one question, over what its answer took.
struct Cost {
    table_tokens: f64,
    table_seconds: f64,
    drawn_sets: f64,
    drawn_tokens: f64,
    drawn_seconds: f64,
    /// Of the same sets drawn, each computed by itself, repetitions too.
    alone_tokens: f64,
}

pub(super) async fn table() -> String {
    let mut table = String::from(
        "| contributors | sets | table: model tokens | table: seconds | ContextCite's 32: sets that differ | model tokens | seconds | model tokens, each ablation by itself |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for count in 2..=10 {
        let mut costs = Vec::new();
        for group in 0..QUESTIONS {
            costs.push(cost(group, count).await);
        }
        let shown = |number: fn(&Cost) -> f64| {
            let numbers: Vec<(f64, f64)> = costs.iter().map(|cost| (number(cost), 1.0)).collect();
            let (least, most) = interval(&numbers);
            format!("{:.2} [{least:.2}, {most:.2}]", numbers.iter().map(|(number, _)| number).sum::<f64>() / costs.len() as f64)
        };
        writeln!(
            table,
            "| {count} | {} | {} | {} | {:.1} | {} | {} | {} |",
            1 << count,
            shown(|cost| cost.table_tokens),
            shown(|cost| cost.table_seconds),
            costs.iter().map(|cost| cost.drawn_sets).sum::<f64>() / costs.len() as f64,
            shown(|cost| cost.drawn_tokens),
            shown(|cost| cost.drawn_seconds),
            shown(|cost| cost.alone_tokens),
        )
        .unwrap();
    }
    table
}

/// With nothing cached but what answering leaves.
fn opened() -> Arc<LocalGenerator> {
    let options = GeneratorOptions { precision: Precision::F32, ..GeneratorOptions::default() };
    Arc::new(LocalGenerator::open(&folder(), &options).unwrap())
}

/// Seconds, and tokens that the model computed.
async fn taken<T>(reader: &LocalGenerator, work: impl Future<Output = T>) -> (T, f64, f64) {
    let (before, start) = (reader.counters().computed_tokens, Instant::now());
    let done = work.await;
    (done, start.elapsed().as_secs_f64(), (reader.counters().computed_tokens - before) as f64)
}

async fn cost(group: usize, count: usize) -> Cost {
    let examples = examples();
    let (example, sources) = (&examples[group], mixed(&examples, group, count));
    let drawn = drawn(count);
    let mut answered = (0.0, 0.0);
    let mut scoring = Vec::new();
    let mut prompt: (Vec<Message>, String) = Default::default();
    for sets in [(0..1 << count).collect(), drawn.iter().copied().collect::<BTreeSet<usize>>()] {
        let local = opened();
        let reader: Arc<dyn Generator> = local.clone();
        let messages = asked(&reader, &example.question, &sources);
        let (said, seconds, tokens) = taken(&local, answer(&reader, &messages, count)).await;
        let subsets = sets.iter().map(|set| members(*set, count)).collect();
        let (_, scored_seconds, scored_tokens) = taken(&local, scored(&reader, &messages, &said, subsets)).await;
        answered = (seconds, tokens);
        scoring.push((scored_seconds / seconds, scored_tokens / tokens));
        prompt = (messages, said);
    }
    let reader: Arc<dyn Generator> = opened();
    let answer_tokens = scored(&reader, &prompt.0, &prompt.1, vec![members(0, count)]).await[0].ends.len();
    let of_set = |set: &usize| reader.count_tokens(&without(&prompt.0, *set)).unwrap() + answer_tokens;
    Cost {
        table_seconds: scoring[0].0,
        table_tokens: scoring[0].1,
        drawn_sets: drawn.iter().collect::<BTreeSet<_>>().len() as f64,
        drawn_seconds: scoring[1].0,
        drawn_tokens: scoring[1].1,
        alone_tokens: drawn.iter().map(of_set).sum::<usize>() as f64 / answered.1,
    }
}

/// The prompt with the sources of a set alone.
fn without(messages: &[Message], set: usize) -> Vec<Message> {
    let mut messages = messages.to_vec();
    let mut sources = 0;
    for message in &mut messages {
        message.parts.retain(|part| {
            let is_source = matches!(part, Part::Source(_));
            sources += usize::from(is_source);
            !is_source || set >> (sources - 1) & 1 == 1
        });
    }
    messages
}

/// The sets that `ContextCite` draws, in its order: a game is asked once for each, so each is drawn in a game of its own.
fn drawn(count: usize) -> Vec<usize> {
    let facts = Facts { answer: "", answer_tokens: 1, sources: &[] };
    let mut drawn = Vec::new();
    for seed in (SEED..).take(ABLATIONS) {
        let worth = |set: usize| {
            drawn.push(set);
            0.0
        };
        let one = Estimator::ContextCite { ablations: 1, seed, scale: Scale::Plain };
        one.estimate(Game::new(count, worth).unwrap(), &facts).unwrap();
    }
    drawn
}
