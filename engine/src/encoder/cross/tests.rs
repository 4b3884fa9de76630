//! Small random models of every layout: `tests/fixtures/make_rerankers.py` made them, and transformers their logits.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::EmbedderPrecision;
use crate::encoder::files::WEIGHTS;
use crate::encoder::sentence::tests::{fixtures, paths};

mod refusals;

const MODELS: [&str; 3] = ["bert", "roberta", "xlmr"];

#[derive(Deserialize)]
struct Expected {
    question: String,
    passage: String,
    ids: Vec<u32>,
    types: Vec<u32>,
    logit: f32,
}

fn folder(name: &str) -> PathBuf {
    fixtures().join("rerankers").join(name)
}

fn expected(name: &str) -> Vec<Expected> {
    serde_json::from_slice(&std::fs::read(folder(name).join("expected.json")).expect("fixture")).expect("pairs")
}

fn load(name: &str, options: &EmbedderOptions) -> CrossEncoder {
    CrossEncoder::load_unverified(&folder(name), name, options).expect("loads")
}

/// What a model needs, without the files that it may do without.
fn copied(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        std::fs::copy(folder(name).join(file), dir.path().join(file)).expect("fixture");
    }
    dir
}

fn one_thread() -> EmbedderOptions {
    EmbedderOptions { threads: 1, ..EmbedderOptions::default() }
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

/// The root of the mean square of what is wrong, in standard deviations of what is right.
fn error(found: &[f32], expected: &[f32]) -> f64 {
    let mean = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / f64::from(u32::try_from(expected.len()).expect("few"));
    let of_expected = mean(&mut expected.iter().copied().map(f64::from));
    let spread = mean(&mut expected.iter().map(|right| (f64::from(*right) - of_expected).powi(2)));
    let wrong = mean(&mut found.iter().zip(expected).map(|(found, right)| (f64::from(*found) - f64::from(*right)).powi(2)));
    (wrong / spread).sqrt()
}

#[test]
fn equal_transformers_on_every_path() {
    for name in MODELS {
        let pairs = expected(name);
        let expected: Vec<f32> = pairs.iter().map(|pair| pair.logit).collect();
        for options in paths() {
            // Random weights err more than trained ones: what is rounded away of one number, no other makes good.
            let most = match options.precision {
                EmbedderPrecision::F32 => 1e-5,
                EmbedderPrecision::Bf16 => 0.1,
                EmbedderPrecision::Int8 => 0.25,
            };
            let model = load(name, &options);
            let scored = pairs.iter().map(|pair| model.score(&pair.question, &[&pair.passage]).expect("scores"));
            let found = scored.collect::<Vec<_>>().concat();
            let error = error(&found, &expected);
            assert!(found.len() == pairs.len() && error <= most, "{name} {options:?}: off by {error}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn pairs_are_the_reference_tokenizers() {
    for name in MODELS {
        let model = load(name, &one_thread());
        let pairs = expected(name);
        assert!(pairs.iter().any(|pair| pair.ids.len() == model.info().window_tokens), "{name}: no pair fills the window");
        for Expected { question, passage, ids, types, .. } in pairs {
            let found = model.pairs(&question, &[&passage]).expect("pairs");
            let types = Some(types).filter(|types| types.contains(&1));
            assert_eq!(found, [Pair { ids, types }], "{name}: {question:?} and {passage:?}");
        }
    }
}

/// Alone, in a batch, in another order, in small micro-batches: the same bits, on every path.
#[test]
fn a_score_is_bitwise_the_same_in_any_batch() {
    for name in MODELS {
        let pairs = expected(name);
        let passages: Vec<&str> = pairs.iter().map(|pair| pair.passage.as_str()).collect();
        let question = &pairs[0].question;
        for options in paths() {
            let load = |threads, micro_batch_tokens| load(name, &EmbedderOptions { threads, micro_batch_tokens, ..options.clone() });
            let model = load(2, 512);
            let all = bits(&model.score(question, &passages).expect("scores"));
            for (passage, together) in passages.iter().zip(&all) {
                assert_eq!(bits(&model.score(question, &[passage]).expect("scores")), [*together], "{name} {options:?}: {passage:?}");
            }
            let backwards: Vec<&str> = passages.iter().rev().copied().collect();
            let mut backwards = bits(&model.score(question, &backwards).expect("scores"));
            backwards.reverse();
            assert!(backwards == all, "{name} {options:?}: the order changes bits");
            for (threads, micro_batch_tokens) in [(1, 1), (1, 70), (3, 5000)] {
                let found = bits(&load(threads, micro_batch_tokens).score(question, &passages).expect("scores"));
                assert!(found == all, "{name} {options:?}: batching changes bits");
            }
        }
    }
}

#[test]
fn conform() {
    for name in MODELS {
        crate::conformance::check_reranker(&load(name, &EmbedderOptions::default())).expect(name);
    }
}

#[test]
fn are_known_by_their_files_and_precision() {
    let of = |precision| load("bert", &EmbedderOptions { precision, ..one_thread() }).info().clone();
    let plain = of(EmbedderPrecision::F32);
    assert_eq!(plain.name, "bert");
    // a blank at the end of a file changes no score, and is another file: who it is told of can compare files
    for file in ["config.json", "tokenizer.json"] {
        let dir = copied("bert");
        let path = dir.path().join(file);
        std::fs::write(&path, [std::fs::read(&path).expect("fixture"), b" ".to_vec()].concat()).expect("write");
        let other = CrossEncoder::load_unverified(dir.path(), "bert", &one_thread()).expect("loads");
        assert_ne!(other.info().sha256, plain.sha256, "{file}");
    }
    assert_eq!((plain.window_tokens, load("xlmr", &one_thread()).info().window_tokens), (48, 51));
    let bytes = of(EmbedderPrecision::Int8);
    // It is in receipts: a change of it is a change of a format.
    assert_eq!(bytes.name, "bert:int8");
    assert_ne!(bytes.sha256, of(EmbedderPrecision::Bf16).sha256);
}

/// The types are what differs between the segments: a model that is not told them gives other scores.
#[test]
fn types_are_told_where_the_files_say_so() {
    let dir = copied("bert");
    let score = |tokenizer_config: Option<&str>| {
        if let Some(json) = tokenizer_config {
            std::fs::write(dir.path().join("tokenizer_config.json"), json).expect("write");
        }
        let model = CrossEncoder::load_unverified(dir.path(), "bert", &one_thread()).expect("loads");
        model.score("Who is paid?", &["Contributors."]).expect("scores")
    };
    let told = score(None);
    assert_eq!(told, load("bert", &one_thread()).score("Who is paid?", &["Contributors."]).expect("scores"));
    assert_eq!(score(Some(r#"{"model_input_names": ["input_ids", "token_type_ids"]}"#)), told);
    assert_ne!(score(Some(r#"{"model_input_names": ["input_ids", "attention_mask"]}"#)), told);
}

/// Older files name a post-processor of BERT's own instead of a template: the pairs are the same.
#[test]
fn both_post_processors_of_bert_give_the_same_pairs() {
    let json = std::fs::read(folder("bert").join("tokenizer.json")).expect("fixture");
    let mut json: serde_json::Value = serde_json::from_slice(&json).expect("json");
    json["post_processor"] = serde_json::json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]});
    let json = serde_json::to_vec(&json).expect("json");
    let tokens = PairTokens::from_bytes(&json, &TokenizerFile::default(), 48, 160, Some(2)).expect("loads");
    for Expected { question, passage, ids, types, .. } in expected("bert") {
        let pair = tokens.pair(&tokens.side(&question).expect("side"), tokens.side(&passage).expect("side")).expect("pair");
        assert_eq!((pair.ids, pair.types), (ids, Some(types)), "{question:?} and {passage:?}");
    }
}

/// Both sides many windows long: what is cut off must not be kept, let alone paired.
#[test]
fn two_long_texts_are_cut_before_they_are_paired() {
    let model = load("bert", &one_thread());
    let (question, passage) = ("cold ".repeat(60_000), "chain ".repeat(70_000));
    let found = model.score(&question, &[&passage]).expect("scores");
    assert_eq!(bits(&found), bits(&model.score(&question[..5000], &[&passage[..7000]]).expect("scores")));
}

#[test]
fn many_threads_may_ask_at_once() {
    let model = load("bert", &EmbedderOptions { threads: 2, ..EmbedderOptions::default() });
    let expected = model.score("one", &["two", "three"]).expect("scores");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(model.score("one", &["two", "three"]).expect("scores"), expected)));
        }
    });
}
