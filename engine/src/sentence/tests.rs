//! Needs the real model. Nothing is downloaded and nothing is skipped: without it these tests fail and say so.

use std::path::PathBuf;
use std::sync::LazyLock;

use super::*;
use crate::MiniLm;
use crate::models::{ALL_MINILM_L6_V2, model_dir};

/// `$HEADWATER_MODELS`, else where `headwater models pull` puts them.
pub(crate) fn models_root() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/headwater/models");
    std::env::var_os("HEADWATER_MODELS").map_or_else(home, PathBuf::from)
}

static MODEL: LazyLock<SentenceEmbedder> = LazyLock::new(|| {
    let dir = model_dir(&models_root(), ALL_MINILM_L6_V2.name);
    MiniLm::load(&dir).unwrap_or_else(|error| panic!("these tests need the model in {}: {error}", dir.display()))
});

const COSINE_FLOOR: f64 = 0.9999;

/// The oracle is sentence-transformers: see `tests/fixtures/make_embeddings.py`.
#[test]
fn equals_sentence_transformers() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let sentences = std::fs::read(fixtures.join("embeddings.json")).expect("fixture");
    let sentences: Vec<String> = serde_json::from_slice(&sentences).expect("a list of sentences");
    let expected = std::fs::read(fixtures.join("embeddings.f32")).expect("fixture");
    let dimensions = MODEL.info().dimensions;
    assert_eq!((sentences.len(), expected.len()), (50, 50 * dimensions * 4));

    let found = MODEL.embed(&sentences.iter().map(String::as_str).collect::<Vec<_>>()).expect("embeds");
    for ((sentence, found), expected) in sentences.iter().zip(&found).zip(expected.chunks_exact(dimensions * 4)) {
        let expected = expected.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")));
        let cosine: f64 = found.iter().zip(expected).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
        let start: String = sentence.chars().take(40).collect();
        assert!(cosine >= COSINE_FLOOR, "cosine {cosine} for {start:?}");
    }
    assert!(sentences.iter().any(|sentence| { MODEL.count_tokens(sentence).is_ok_and(|n| n > 256) }));
}

#[test]
fn conforms() {
    crate::conformance::check_embedder(&*MODEL).expect("conforms");
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
    let installed = model_dir(&models_root(), ALL_MINILM_L6_V2.name);
    let dir = tempfile::tempdir().expect("temp dir");
    let load = || MiniLm::load(dir.path()).expect_err("not loadable");
    assert!(load().to_string().contains("headwater models pull"), "{}", load());
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(installed.join(name), dir.path().join(name)).expect("installed");
    }
    assert!(matches!(load(), EngineError::MissingModel { ref file, .. } if file.ends_with(WEIGHTS)));
    let mut weights = std::fs::read(installed.join(WEIGHTS)).expect("installed");
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
    let installed = model_dir(&models_root(), ALL_MINILM_L6_V2.name);
    let read = |name: &str| std::fs::read(installed.join(name)).expect("installed");
    let (config, tokenizer, weights) = (read("config.json"), read("tokenizer.json"), read(WEIGHTS));
    let unsupported = |config: &[u8], tokenizer: &[u8], weights: &[u8]| {
        let error = {
            let files = Files { config: config.to_vec(), tokenizer: tokenizer.to_vec(), weights: weights.to_vec() };
            SentenceEmbedder::from_files("broken", String::new(), &files, &Recipe::MINILM, &EmbedderOptions::default()).expect_err("broken")
        };
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
