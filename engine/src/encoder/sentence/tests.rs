//! Needs the real model. Nothing is downloaded and nothing is skipped: without it these tests fail and say so.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::*;
use crate::MiniLm;
use crate::kernels::EmbedderPrecision;
use crate::models::{ALL_MINILM_L6_V2, model_dir};

mod family;
mod token_ids;

/// `$HEADWATER_MODELS`, else where `headwater models pull` puts them.
pub(crate) fn models_root() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/headwater/models");
    std::env::var_os("HEADWATER_MODELS").map_or_else(home, PathBuf::from)
}

static MODEL: LazyLock<SentenceEmbedder> = LazyLock::new(|| {
    let dir = installed();
    MiniLm::load(&dir).unwrap_or_else(|error| panic!("these tests need the model in {}: {error}", dir.display()))
});

fn installed() -> PathBuf {
    model_dir(&models_root(), ALL_MINILM_L6_V2.name)
}

pub(crate) fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn sentences() -> Vec<String> {
    serde_json::from_slice(&std::fs::read(fixtures().join("embeddings.json")).expect("fixture")).expect("a list of sentences")
}

fn vectors(file: &Path, dimensions: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(file).expect("fixture");
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    assert_eq!((bytes.len() % 4, numbers.len() % dimensions), (0, 0));
    numbers.chunks_exact(dimensions).map(<[f32]>::to_vec).collect()
}

/// Of unit vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// Every path of this processor, at every precision.
pub(crate) fn paths() -> impl Iterator<Item = EmbedderOptions> {
    let options = |isa| EmbedderPrecision::ALL.map(|precision| EmbedderOptions { precision, isa: Some(isa), ..EmbedderOptions::default() });
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).flat_map(options)
}

/// The oracle is sentence-transformers: see `tests/fixtures/make_embeddings.py`.
#[test]
fn equals_sentence_transformers_on_every_path() {
    let sentences = sentences();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let expected = vectors(&fixtures().join("embeddings.f32"), 384);
    assert_eq!((texts.len(), expected.len()), (50, 50));
    assert!(texts.iter().any(|text| MODEL.count_tokens(text).is_ok_and(|tokens| tokens > 256)));
    for options in paths() {
        let floor = match options.precision {
            EmbedderPrecision::F32 => 0.9999,
            EmbedderPrecision::Bf16 => 0.9995,
            EmbedderPrecision::Int8 => 0.997,
        };
        let model = SentenceEmbedder::load(&installed(), &ALL_MINILM_L6_V2, &options).expect("loads");
        let found = model.embed(&texts).expect("embeds");
        for ((text, found), expected) in texts.iter().zip(&found).zip(&expected) {
            let cosine = cosine(found, expected);
            assert!(cosine >= floor, "{options:?}: cosine {cosine} for {text:?}");
        }
    }
}

#[test]
fn conforms() {
    crate::conformance::check_embedder(&*MODEL).expect("conforms");
}

/// Alone, in a batch, in another order, in small micro-batches: the same bits, on every path.
#[test]
fn a_vector_is_bitwise_the_same_in_any_batch() {
    let sentences = sentences();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    let bits =
        |vectors: Vec<Vec<f32>>| -> Vec<Vec<u32>> { vectors.iter().map(|vector| vector.iter().map(|x| x.to_bits()).collect()).collect() };
    let dir = fixtures().join("bert/cls");
    for options in paths() {
        let load = |threads, micro_batch_tokens| {
            let options = EmbedderOptions { threads, micro_batch_tokens, ..options.clone() };
            SentenceEmbedder::load_unverified(&dir, "cls", &options).expect("loads")
        };
        let model = load(2, 512);
        let all = bits(model.embed(&texts).expect("embeds"));
        for (text, together) in texts.iter().zip(&all) {
            assert_eq!(bits(model.embed(&[text]).expect("embeds")), [together.clone()], "{options:?}: {text:?}");
        }
        let mut backwards = bits(model.embed(&texts.iter().rev().copied().collect::<Vec<_>>()).expect("embeds"));
        backwards.reverse();
        assert!(backwards == all, "{options:?}: the order changes bits");
        for (threads, micro_batch_tokens) in [(1, 1), (1, 70), (3, 5000)] {
            assert!(bits(load(threads, micro_batch_tokens).embed(&texts).expect("embeds")) == all, "{options:?}: batching changes bits");
        }
    }
}

#[test]
fn many_threads_may_ask_at_once() {
    let expected = MODEL.embed(&["one", "two"]).expect("embeds");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(MODEL.embed(&["one", "two"]).expect("embeds"), expected)));
        }
    });
}

#[test]
fn tokens_are_counted_without_specials_and_beyond_the_window() {
    let counts = ["", "hello", "hello world", "[SEP]"].map(|text| MODEL.count_tokens(text).expect("counts"));
    assert_eq!(counts, [0, 1, 2, 1]);
    assert_eq!(MODEL.count_tokens(&"cold ".repeat(1000)).expect("counts"), 1000);
    let text = "Vaccines: 2–8 °C";
    let pieces: Vec<&str> = MODEL.token_offsets(text).expect("offsets").into_iter().map(|(start, end)| &text[start..end]).collect();
    assert_eq!(pieces, ["Vaccines", ":", "2", "–", "8", "°C"]);
}

#[test]
fn the_window_is_filled_to_256_tokens() {
    let ids = MODEL.tokens.window_ids(&"cold ".repeat(1000)).expect("ids");
    assert_eq!((ids.len(), ids.first(), ids.last()), (256, Some(&101), Some(&102)));
    assert_eq!(MODEL.tokens.window_ids("").expect("ids"), [101, 102]);
}

#[test]
fn a_missing_or_changed_file_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let load = || MiniLm::load(dir.path()).expect_err("not loadable");
    assert!(load().to_string().contains("headwater models pull"), "{}", load());
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(installed().join(name), dir.path().join(name)).expect("installed");
    }
    assert!(matches!(load(), EngineError::MissingModel { ref file, .. } if file.ends_with(WEIGHTS)));
    let mut weights = std::fs::read(installed().join(WEIGHTS)).expect("installed");
    weights[50_000_000] ^= 1;
    std::fs::write(dir.path().join(WEIGHTS), &weights).expect("write");
    assert!(matches!(load(), EngineError::CorruptModel { ref file, .. } if file.ends_with(WEIGHTS)));
    weights.truncate(50_000_000);
    std::fs::write(dir.path().join(WEIGHTS), &weights).expect("write");
    assert!(matches!(load(), EngineError::CorruptModel { .. }));
}

/// The hash check stands before the parsers; they must hold without it too.
#[test]
fn broken_bytes_are_a_typed_error_even_unhashed() {
    let read = |name: &str| std::fs::read(installed().join(name)).expect("installed");
    let (config, tokenizer, weights) = (read("config.json"), read("tokenizer.json"), read(WEIGHTS));
    let unsupported = |config: &[u8], tokenizer: &[u8], weights: &[u8]| {
        let files = Files { config: config.to_vec(), tokenizer: tokenizer.to_vec(), weights: weights.to_vec() };
        let loaded = SentenceEmbedder::from_files("broken", String::new(), &files, &Recipe::MINILM, &EmbedderOptions::default());
        let error = loaded.expect_err("broken");
        assert!(matches!(error, EngineError::UnsupportedModel { .. }), "{error:?}");
    };
    for length in [0, 7, 8, 100, 10_000, weights.len() - 1] {
        unsupported(&config, &tokenizer, &weights[..length]);
    }
    unsupported(&config[..100], &tokenizer, &weights);
    unsupported(&config, &tokenizer[..1000], &weights);
    unsupported(&config, b"{}", &weights);
    let wider = String::from_utf8(config.clone()).expect("utf-8").replace("\"hidden_size\": 384", "\"hidden_size\": 768");
    unsupported(wider.as_bytes(), &tokenizer, &weights);
}

#[test]
fn an_instruction_set_that_is_not_there_is_named() {
    let Some(lacking) = Isa::ALL.into_iter().find(|isa| !isa.is_available()) else {
        return;
    };
    let options = EmbedderOptions { isa: Some(lacking), ..EmbedderOptions::default() };
    let error = SentenceEmbedder::load(&installed(), &ALL_MINILM_L6_V2, &options).expect_err("lacking");
    assert!(matches!(error, EngineError::UnsupportedCpu { wanted, .. } if wanted == lacking), "{error}");
}
