//! Likelihoods of a model that reads: the small one of `tests/fixtures/reader`, on questions about names that it never saw.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use engine::{ContextMode, Generator, GeneratorOptions, Isa, LocalGenerator, Precision, ScoreRequest};
use schemas::Address;
use schemas::receipt::ReceiptBody;
use serde::Deserialize;

use super::world::{File, World, account, file};
use crate::prompt::{self, Form, Window};
use crate::{AttributionConfig, AttributionMethod, RagConfig, verify_evidence};

#[derive(Debug, Deserialize)]
pub(super) struct Example {
    pub(super) sources: Vec<String>,
    pub(super) question: String,
    answer: String,
    /// Sources that the answer needs.
    needed: Vec<usize>,
    pub(super) kind: String,
}

pub(super) static READER: LazyLock<Arc<dyn Generator>> = LazyLock::new(|| {
    let options = GeneratorOptions { precision: Precision::F32, ..GeneratorOptions::default() };
    Arc::new(LocalGenerator::open(&folder(), &options).unwrap())
});

pub(super) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/reader"))
}

pub(super) fn examples() -> Vec<Example> {
    let text = std::fs::read_to_string(folder().join("questions.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Each source is a contributor's, by number from 1 on.
fn files(example: &Example) -> Vec<File> {
    (1..).zip(&example.sources).map(|(n, text)| file(&n.to_string(), n, text)).collect()
}

async fn asked(files: &[File], question: &str) -> ReceiptBody {
    let world = World::new(files).await;
    let attribution = AttributionConfig { method: AttributionMethod::Likelihood, ..AttributionConfig::default() };
    let rag = world.open_with(RagConfig { attribution, ..world.config() }).await.unwrap().with_generator(READER.clone());
    let id = rag.ask(world.request("r", question)).await.unwrap().receipt.body.answer_id;
    let evidence = rag.evidence(id).await.unwrap();
    verify_evidence(&evidence).unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());
    evidence.receipt.body
}

fn paid(body: &ReceiptBody) -> BTreeMap<Address, u64> {
    body.shares.iter().map(|share| (share.contributor, share.share_ppm)).collect()
}

/// Whose facts the answer rests on are paid, by what they are worth: for one fact its contributor, for two both.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_read_is_paid() {
    let (mut played, mut to_needed, mut both, mut of_two) = (0, 0.0, 0, 0);
    for example in examples().iter().filter(|example| ["one", "hop", "joined"].contains(&example.kind.as_str())) {
        let body = asked(&files(example), &example.question).await;
        let paid = paid(&body);
        let all: u64 = paid.values().sum();
        if body.likelihood.is_none() || all == 0 {
            continue;
        }
        let needed = |at: &usize| paid.get(&account(u8::try_from(at + 1).unwrap())).copied().unwrap_or_default();
        played += 1;
        to_needed += example.needed.iter().map(needed).sum::<u64>() as f64 / all as f64;
        if example.needed.len() > 1 {
            of_two += 1;
            both += usize::from(example.needed.iter().all(|at| needed(at) * 5 >= all));
        }
    }
    let mean = to_needed / f64::from(played);
    println!(
        "{played} answers; {:.1} % of what was divided went to whom they rest on; of {of_two} that rest on two, {both} pay both",
        mean * 100.0
    );
    assert!(played >= 16 && mean > 0.85, "{played} {mean}");
    assert!(both * 4 >= of_two * 3, "{both} of {of_two}");
}

/// The same texts from others, once or twice, before or behind: nobody's pay is another.
#[tokio::test(flavor = "multi_thread")]
async fn copies_of_what_was_read_move_nothing() {
    for example in examples().iter().filter(|example| example.kind == "one").take(3) {
        let before = paid(&asked(&files(example), &example.question).await);
        let copies = example.sources.iter().chain(&example.sources).zip(20..).map(|(text, n)| file(&n.to_string(), n, text));
        let copied: Vec<File> = files(example).into_iter().chain(copies).collect();
        assert_eq!(paid(&asked(&copied, &example.question).await), before);
    }
}

/// How far apart the instruction sets of this machine are, for each token: `TOLERANCE_PER_TOKEN` stands on it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures the machine"]
async fn what_instruction_sets_compute() {
    for precision in [Precision::F32, Precision::Bf16] {
        let mut scored: Vec<(Isa, Vec<Vec<f64>>)> = Vec::new();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let options = GeneratorOptions { precision, isa: Some(isa), ..GeneratorOptions::default() };
            let model = LocalGenerator::open(&folder(), &options).unwrap();
            let mut of_isa = Vec::new();
            for example in examples() {
                let texts: Vec<&str> = example.sources.iter().map(String::as_str).collect();
                let window = Window { tokens: 512, answer: 64 };
                let messages = prompt::fit(&model, &example.question, &texts, Form::Prose, window).unwrap().unwrap().messages;
                let subsets = (0..4).map(|set| vec![set & 1 == 1, set & 2 == 2]).collect();
                let (mode, answer) = (ContextMode::Full, engine::Answer::Text(example.answer));
                let scores = model.score(ScoreRequest { messages, mode, answer, subsets, adapter: None }).await.unwrap();
                of_isa.extend(
                    scores.iter().map(|score| score.log_probabilities.iter().map(|number| f64::from(*number).max(-9.21)).collect()),
                );
            }
            scored.push((isa, of_isa));
        }
        let (first, others) = scored.split_first().unwrap();
        for (isa, other) in others {
            let mut apart: Vec<f64> = (first.1.iter().zip(other))
                .map(|(one, other)| (one.iter().sum::<f64>() - other.iter().sum::<f64>()).abs() / one.len() as f64)
                .collect();
            apart.sort_by(f64::total_cmp);
            let (median, most) = (apart[apart.len() / 2], apart[apart.len() - 1]);
            println!(
                "{}: {} and {isa}: {median:.6} nat a token in the median of {}, {most:.6} at most",
                precision.name(),
                first.0,
                apart.len()
            );
        }
    }
}
