//! Folders that are no rerankers, and damaged ones: a typed error with a reason, never a panic and never a score that is none.

use super::*;

fn files(name: &str) -> Files {
    let read = |file: &str| std::fs::read(folder(name).join(file)).expect("fixture");
    Files { config: read("config.json"), tokenizer: read("tokenizer.json"), weights: read(WEIGHTS) }
}

fn load_files(files: &Files) -> Result<CrossEncoder, EngineError> {
    CrossEncoder::from_files("changed", files, &TokenizerFile::default(), &one_thread())
}

/// One change to a model's folder, and what is said of it.
fn refused(model: &str, file: &str, (from, to): (&str, &str), complaint: &str) {
    let (dir, path) = (copied(model), folder(model).join(file));
    let bytes = std::fs::read(path).expect("file");
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{file} has no {from}"));
    std::fs::write(dir.path().join(file), [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()).expect("write");
    let error = CrossEncoder::load_unverified(dir.path(), "changed", &one_thread()).expect_err(complaint);
    assert!(matches!(error, EngineError::UnsupportedModel { .. }) && error.to_string().contains(complaint), "{error} is not {complaint:?}");
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    let check = |from: &str, to: &str, complaint: &str| refused("bert", "config.json", (from, to), complaint);
    check("\"0\": \"LABEL_0\"", "\"0\": \"no\", \"1\": \"yes\"", "a reranker has one label");
    check("\"0\": \"LABEL_0\"", "", "a reranker has one label");
    check("\"id2label\"", "\"of_old\"", "a reranker has one label");
    check("\"use_cache\": true", "\"num_labels\": 3", "a reranker has one label");
    check("\"model_type\": \"bert\"", "\"model_type\": \"modernbert\"", "a reranker of type \"modernbert\"");
    check("\"model_type\": \"bert\"", "\"model_type\": \"roberta\"", "tensor classifier.dense.weight is missing");
    check("\"hidden_size\": 64", "\"hidden_size\": 128", "bert.pooler.dense.weight is [64, 64], not [128, 128]");
    check("\"type_vocab_size\": 2", "\"type_vocab_size\": 1", "a pair has tokens of type 1; 1 types are known");
    check("\"type_vocab_size\": 2", "\"type_vocab_size\": 4", "token_type_embeddings.weight is [2, 64], not [4, 64]");
    check("\"vocab_size\": 160", "\"vocab_size\": 100", "the weights have 100");
    check("{", "[", "config.json");
    refused("xlmr", "config.json", ("xlm-roberta", "bert"), "tensor bert.pooler.dense.weight is missing");
}

#[test]
fn tokenizers_that_make_no_pairs_are_refused() {
    let check = |from: &str, to: &str, complaint: &str| refused("bert", "tokenizer_config.json", (from, to), complaint);
    check("\"model_max_length\": 48", "\"model_max_length\": 3", "a window of 3 tokens has no room for a pair");
    check("\"model_max_length\": 48", "\"model_max_length\": -1e300", "a window of 0 tokens has no room for a pair");
    check("\"pad_token\"", "\"truncation_side\": \"left\", \"pad_token\"", "truncation_side is \"left\"");
    check("{", "[", "tokenizer_config.json");
    let without_pairs = |processor: serde_json::Value, complaint: &str| {
        let mut files = files("bert");
        let mut json: serde_json::Value = serde_json::from_slice(&files.tokenizer).expect("json");
        json["post_processor"] = processor;
        files.tokenizer = serde_json::to_vec(&json).expect("json");
        let error = load_files(&files).expect_err(complaint).to_string();
        assert!(error.contains(complaint), "{error} is not {complaint:?}");
    };
    without_pairs(serde_json::Value::Null, "a pair of one token each becomes 2 tokens, 0 of them special");
    let side = |id: &str| serde_json::json!({"Sequence": {"id": id, "type_id": 0}});
    let start = serde_json::json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}});
    let template = |pair: &[&serde_json::Value], id: u32| {
        serde_json::json!({
            "type": "TemplateProcessing", "single": [side("A")], "pair": pair,
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [id], "tokens": ["[CLS]"]}},
        })
    };
    let (question, passage) = (side("A"), side("B"));
    without_pairs(template(&[&start, &question, &question, &passage], 2), "a pair of one token each becomes 4 tokens, 1 of them special");
    without_pairs(template(&[&start, &question, &passage], 160), "a pair has the special token 160; the weights have 160");
}

#[test]
fn a_default_prompt_is_refused() {
    let dir = copied("bert");
    let write = |json: &str| std::fs::write(dir.path().join("config_sentence_transformers.json"), json).expect("write");
    write(r#"{"prompts": {}, "default_prompt_name": null}"#);
    CrossEncoder::load_unverified(dir.path(), "bert", &one_thread()).expect("loads");
    write(r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#);
    let error = CrossEncoder::load_unverified(dir.path(), "bert", &one_thread()).expect_err("a prompt");
    assert!(error.to_string().contains("default_prompt_name is \"query\""), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().expect("temp dir");
    let error = CrossEncoder::load_unverified(dir.path(), "none", &one_thread()).expect_err("missing");
    assert!(matches!(error, EngineError::MissingFile { ref file, .. } if file.ends_with("config.json")), "{error}");
}

/// Of the tensor of this name: its bytes in the file.
fn tensor<'f>(weights: &'f mut [u8], name: &str) -> &'f mut [u8] {
    let length = u64::from_le_bytes(*weights.first_chunk().expect("a header"));
    let start = 8 + usize::try_from(length).expect("short");
    let header: serde_json::Value = serde_json::from_slice(&weights[8..start]).expect("json");
    let [from, to] = [0, 1].map(|end| usize::try_from(header[name]["data_offsets"][end].as_u64().expect("an offset")).expect("short"));
    &mut weights[start + from..start + to]
}

#[test]
fn weights_of_the_head_that_are_not_finite_are_refused() {
    for (model, name) in [("bert", "bert.pooler.dense.weight"), ("bert", "classifier.bias"), ("xlmr", "classifier.out_proj.weight")] {
        let mut files = files(model);
        tensor(&mut files.weights, name).fill(0xff);
        let error = load_files(&files).expect_err("NaN").to_string();
        assert!(error.contains(&format!("tensor {name} holds NaN")), "{error}");
    }
}

#[test]
fn a_score_that_is_not_finite_never_comes_out() {
    let mut files = files("xlmr");
    for number in tensor(&mut files.weights, "classifier.out_proj.weight").as_chunks_mut().0 {
        *number = f32::MAX.to_le_bytes();
    }
    let model = load_files(&files).expect("every weight is finite");
    let error = model.score("Who is paid?", &["Contributors."]).expect_err("no score");
    assert!(matches!(error, EngineError::Library { .. }) && error.to_string().contains("no finite number"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A byte of any file changed, or the file cut off: a score, or a typed error. Never a panic.
    #[test]
    fn any_damage_is_answered(
        model in 0..MODELS.len(), file in 0..3_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let Files { config, tokenizer, weights } = files(MODELS[model]);
        let mut damaged = [config, tokenizer, weights];
        // Half of the weights' changes go into the header.
        let length = if file == 2 && byte < 128 { 3000 } else { damaged[file].len() };
        let at = at.index(length);
        if cut { damaged[file].truncate(at) } else { damaged[file][at] = byte }
        let [config, tokenizer, weights] = damaged;
        match load_files(&Files { config, tokenizer, weights }) {
            Ok(model) => match model.score("cold chain", &["At 5 degrees.", ""]) {
                Ok(scores) => prop_assert!(scores.len() == 2 && scores.iter().all(|score| score.is_finite()), "{scores:?}"),
                Err(error) => prop_assert!(matches!(error, EngineError::Library { .. }), "{error:?}"),
            },
            Err(error) => prop_assert!(matches!(error, EngineError::UnsupportedModel { .. }), "{error:?}"),
        }
    }
}
