//! Other models of the family, small and random: `tests/fixtures/make_bert.py` made them and their vectors.

use proptest::prelude::*;

use super::*;

const MODELS: [&str; 4] = ["cls", "last", "modern", "prompts"];

fn load(name: &str, options: &EmbedderOptions) -> SentenceEmbedder {
    SentenceEmbedder::load_unverified(&folder(name), name, options).expect("loads")
}

fn folder(name: &str) -> PathBuf {
    fixtures().join("bert").join(name)
}

#[test]
fn equal_sentence_transformers_on_every_path() {
    let sentences = sentences();
    let texts: Vec<&str> = sentences.iter().map(String::as_str).collect();
    for name in MODELS {
        for options in paths() {
            let model = load(name, &options);
            let floor = match options.precision {
                EmbedderPrecision::F32 => 0.999_999,
                EmbedderPrecision::Bf16 => 0.9995,
                EmbedderPrecision::Int8 => 0.99,
            };
            for (role, found) in [("passages.f32", model.embed(&texts)), ("queries.f32", model.embed_queries(&texts))] {
                let expected = vectors(&folder(name).join(role), model.info().dimensions);
                let found = found.expect("embeds");
                assert_eq!(found.len(), expected.len());
                for ((text, found), expected) in texts.iter().zip(&found).zip(&expected) {
                    let cosine = cosine(found, expected);
                    assert!(cosine >= floor, "{name} {role} {options:?}: cosine {cosine} for {text:?}");
                }
            }
        }
    }
}

#[test]
fn tokens_are_the_reference_tokenizers() {
    for name in MODELS {
        let model = load(name, &EmbedderOptions { threads: 1, ..EmbedderOptions::default() });
        let expected: Vec<Vec<u32>> = serde_json::from_slice(&std::fs::read(folder(name).join("ids.json")).expect("fixture")).expect("ids");
        for (text, expected) in sentences().iter().zip(expected) {
            let found = model.token_ids(text).expect("ids");
            assert_eq!(found, expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn prompts_differ_by_role() {
    let model = load("prompts", &EmbedderOptions::default());
    assert_eq!((model.recipe.query_prefix.as_str(), model.recipe.passage_prefix.as_str()), ("query: ", "passage: "));
    assert_ne!(model.embed(&["cold"]).expect("embeds"), model.embed_queries(&["cold"]).expect("embeds"));
    assert_eq!(model.info().window_tokens, 64 - model.count_tokens("passage: ").expect("counts"), "the prompt takes room");
}

#[test]
fn texts_that_are_none_are_refused() {
    let model = load("cls", &EmbedderOptions::default());
    let encode = |ids: &[u32], types| {
        let sound = Text { ids: &[2, 3], types: Some(&[0, 0]) };
        model.encoder.encode(&[sound, Text { ids, types }], model.recipe.pooling)
    };
    let refused = |ids: &[u32]| encode(ids, None).expect_err("refused");
    assert!(refused(&[]).contains("0 tokens"));
    assert!(refused(&[7; 65]).contains("65 tokens; 1 to 64"));
    assert!(refused(&[2, 160, 3]).contains("token 160 of a vocabulary of 160"), "{}", refused(&[2, 160, 3]));
    let of_types = |types| encode(&[2, 3], Some(types)).expect_err("refused");
    assert!(of_types(&[0]).contains("1 types of 2 tokens"));
    assert!(of_types(&[0, 1]).contains("a token of type 1; 1 types are known"), "an embedder has rows of the first type only");
    assert_eq!(encode(&[2, 3], Some(&[0, 0])).expect("encodes")[1], encode(&[2, 3], None).expect("encodes")[1]);
}

fn copied(model: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::create_dir(dir.path().join("1_Pooling")).expect("folder");
    for name in
        ["config.json", "tokenizer.json", WEIGHTS, "1_Pooling/config.json", "tokenizer_config.json", "config_sentence_transformers.json"]
    {
        std::fs::copy(folder(model).join(name), dir.path().join(name)).expect("fixture");
    }
    dir
}

fn change(path: &Path, (from, to): (&str, &str)) {
    let whole = String::from_utf8_lossy(&std::fs::read(path).expect("file")).into_owned();
    assert!(whole.contains(from), "{} has no {from}", path.display());
    std::fs::write(path, whole.replacen(from, to, 1)).expect("write");
}

/// Whatever decides vectors is part of who an embedder is; where it lies and what it is called is not.
#[test]
fn another_file_is_another_embedder() {
    let options = EmbedderOptions { threads: 1, ..EmbedderOptions::default() };
    let dir = copied("prompts");
    let sha256 = || SentenceEmbedder::load_unverified(dir.path(), "copy", &options).expect("loads").info().sha256.clone();
    let mut seen = vec![load("prompts", &options).info().sha256.clone()];
    assert_eq!(sha256(), seen[0]);
    for (file, from, to) in [
        ("config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"relu\""),
        ("tokenizer.json", "\"version\": \"1.0\",", "\"version\":  \"1.0\","),
        ("1_Pooling/config.json", "\"mean\"", "\"cls\""),
        ("config_sentence_transformers.json", "\"query: \"", "\"question: \""),
        ("config_sentence_transformers.json", "\"passage: \"", "\"text: \""),
        ("tokenizer_config.json", "\"model_max_length\": 64", "\"model_max_length\": 32"),
    ] {
        change(&dir.path().join(file), (from, to));
        let changed = sha256();
        assert!(!seen.contains(&changed), "{file}: {to}");
        seen.push(changed);
    }
    let mut weights = std::fs::read(dir.path().join(WEIGHTS)).expect("weights");
    // the low bit of the last number
    let at = weights.len() - 4;
    weights[at] ^= 1;
    std::fs::write(dir.path().join(WEIGHTS), weights).expect("write");
    assert!(!seen.contains(&sha256()), "{WEIGHTS}");
    let int8 = EmbedderOptions { precision: EmbedderPrecision::Int8, ..options.clone() };
    let int8 = SentenceEmbedder::load_unverified(dir.path(), "copy", &int8).expect("loads");
    assert!(int8.info().name == "copy:int8" && int8.info().sha256 != sha256());
}

#[test]
fn languages_are_those_that_are_said() {
    assert_eq!(MODEL.info().languages, ["eng"]);
    let said = EmbedderOptions { threads: 1, languages: vec!["deu".to_owned(), "fra".to_owned()], ..EmbedderOptions::default() };
    assert_eq!(SentenceEmbedder::load(&installed(), &ALL_MINILM_L6_V2, &said).expect("loads").info().languages, ["deu", "fra"]);
    assert_eq!(load("prompts", &said).info().languages, ["deu", "fra"]);
    // nobody vouches for a folder of that name
    let named = SentenceEmbedder::load_unverified(&folder("prompts"), ALL_MINILM_L6_V2.name, &EmbedderOptions::default());
    assert!(named.expect("loads").info().languages.is_empty());
}

#[test]
fn what_stands_around_a_model_is_told() {
    let model = load("prompts", &EmbedderOptions { threads: 1, ..EmbedderOptions::default() });
    assert_eq!((model.pooling(), model.query_prompt(), model.passage_prompt()), ("mean", "query: ", "passage: "));
}

#[test]
fn modules_that_are_not_run_are_refused() {
    let dir = copied("cls");
    let load = |classes: &[&str]| {
        let modules: Vec<_> = classes.iter().map(|class| serde_json::json!({ "path": "", "type": class })).collect();
        std::fs::write(dir.path().join("modules.json"), serde_json::to_vec(&modules).expect("json")).expect("write");
        SentenceEmbedder::load_unverified(dir.path(), "modules", &EmbedderOptions::default())
    };
    let usual = ["sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling"];
    load(&usual).expect("loads");
    load(&[usual[0], usual[1], "sentence_transformers.models.Normalize"]).expect("loads");
    let error = load(&[usual[0], usual[1], "sentence_transformers.models.Dense"]).expect_err("Dense").to_string();
    assert!(error.contains("modules.json: \"Dense\" is not run"), "{error}");
}

#[test]
fn a_file_that_a_folder_lacks_is_named() {
    let dir = copied("cls");
    std::fs::remove_file(dir.path().join(WEIGHTS)).expect("removed");
    let error = SentenceEmbedder::load_unverified(dir.path(), "cls", &EmbedderOptions::default()).expect_err("missing");
    assert!(matches!(error, EngineError::MissingFile { ref file, .. } if file.ends_with(WEIGHTS)), "{error}");
}

/// One change to a model's folder, and what is said of it.
fn refused(model: &str, file: &str, (from, to): (&str, &str), complaint: &str) {
    let dir = copied(model);
    change(&dir.path().join(file), (from, to));
    let error = SentenceEmbedder::load_unverified(dir.path(), "changed", &EmbedderOptions::default()).expect_err(complaint);
    assert!(matches!(error, EngineError::UnsupportedModel { .. }) && error.to_string().contains(complaint), "{error} is not {complaint:?}");
}

#[test]
fn modern_folders_that_do_not_fit_are_refused() {
    let check = |from: &str, to: &str, complaint: &str| refused("modern", "config.json", (from, to), complaint);
    check("\"norm_bias\": false", "\"norm_bias\": true", "norm_bias: ModernBERT is run without biases");
    check("\"mlp_bias\": false", "\"mlp_bias\": true", "mlp_bias");
    check("\"sliding_attention\",", "\"linear_attention\",", "layer 1 is Some(\"linear_attention\")");
    check("\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"", "rope_type is \"yarn\"");
    check("\"rope_theta\": 10000.0", "\"rope_theta\": -1.0", "rope_theta is -1");
    check("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layer 3 is None");
    check("\"intermediate_size\": 32", "\"intermediate_size\": 64", "[64, 64], not [128, 64]");
    check("\"norm_eps\": 1e-05", "\"norm_eps\": 2", "norm_eps is 2");
    check("\"max_position_embeddings\": 80", "\"max_position_embeddings\": 1000000", "max_position_embeddings is 1000000");
}

#[test]
fn folders_that_do_not_fit_are_refused() {
    let check = |file: &str, from: &str, to: &str, complaint: &str| refused("cls", file, (from, to), complaint);
    check("config.json", "\"model_type\": \"bert\"", "\"model_type\": \"gpt2\"", "gpt2");
    check("config.json", "\"hidden_size\": 64", "\"hidden_size\": 65", "hidden_size is 65");
    check("config.json", "\"hidden_size\": 64", "\"hidden_size\": 18446744073709551615", "hidden_size is");
    check("config.json", "\"num_attention_heads\": 2", "\"num_attention_heads\": 4", "4 heads in a width of 64");
    check("config.json", "\"num_attention_heads\": 2", "\"num_attention_heads\": 0", "num_attention_heads is 0");
    check("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000", "num_hidden_layers is");
    check("config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "encoder.layer.2");
    check("config.json", "\"intermediate_size\": 128", "\"intermediate_size\": 96", "[128, 64], not [96, 64]");
    check("config.json", "\"max_position_embeddings\": 80", "\"max_position_embeddings\": 4096", "position_embeddings");
    check("config.json", "\"vocab_size\": 160", "\"vocab_size\": 100", "the weights have 100");
    check("config.json", "\"gelu\"", "\"mish\"", "mish");
    check("config.json", "\"layer_norm_eps\": 1e-12", "\"layer_norm_eps\": -1", "layer_norm_eps");
    check("1_Pooling/config.json", "\"cls\"", "\"max\"", "one of cls, mean and lasttoken");
    check("1_Pooling/config.json", "{", "[", "1_Pooling/config.json");
    check("tokenizer.json", "{", "[", "tokenizer.json");
}

/// A weight that is no number is found when it is read, not in the vectors.
#[test]
fn weights_that_are_not_finite_are_refused() {
    let read = |file: &str| std::fs::read(folder("cls").join(file)).expect("fixture");
    let mut files = Files { config: read("config.json"), tokenizer: read("tokenizer.json"), weights: read(WEIGHTS) };
    let end = files.weights.len();
    files.weights[end - 2..].copy_from_slice(&0x7e00_u16.to_le_bytes());
    let error = SentenceEmbedder::from_files("nan", String::new(), &files, &Recipe::MINILM, &EmbedderOptions::default()).expect_err("NaN");
    assert!(error.to_string().contains("holds NaN"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A byte of any file changed, or the file cut off: a model that still answers, or a typed error. Never a panic.
    #[test]
    fn any_damage_is_answered(file in 0..3_usize, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let read = |file: &str| std::fs::read(folder("last").join(file)).expect("fixture");
        let mut files = [read("config.json"), read("tokenizer.json"), read(WEIGHTS)];
        // Half of the weights' changes go into the header.
        let length = if file == 2 && byte < 128 { 1200 } else { files[file].len() };
        let at = at.index(length);
        if cut { files[file].truncate(at) } else { files[file][at] = byte }
        let [config, tokenizer, weights] = files;
        let options = EmbedderOptions { threads: 1, ..EmbedderOptions::default() };
        match SentenceEmbedder::from_files("damaged", String::new(), &Files { config, tokenizer, weights }, &Recipe::MINILM, &options) {
            Ok(model) => drop(model.embed(&["cold chain", ""])),
            Err(error) => prop_assert!(matches!(error, EngineError::UnsupportedModel { .. }), "{error:?}"),
        }
    }
}

/// A normaliser whose table points outside itself.
#[test]
fn a_tokenizer_that_panics_is_refused() {
    // One node: a length of four bytes, then a unit whose offset leads far beyond it.
    let table = "\"BAAAAAD///8=\"";
    let json = String::from_utf8(std::fs::read(folder("prompts").join("tokenizer.json")).expect("fixture")).expect("utf-8");
    let json = json.replacen("\"type\": \"NFKC\"", &format!("\"type\": \"Precompiled\", \"precompiled_charsmap\": {table}"), 1);
    assert!(json.contains("Precompiled"), "the fixture's normaliser is another");
    let read = |file: &str| std::fs::read(folder("prompts").join(file)).expect("fixture");
    let files = Files { config: read("config.json"), tokenizer: json.into_bytes(), weights: read(WEIGHTS) };
    let model = SentenceEmbedder::from_files("panics", String::new(), &files, &Recipe::MINILM, &EmbedderOptions::default());
    let error = model.and_then(|model| model.count_tokens("cold chain")).expect_err("refused");
    assert!(error.to_string().contains("the tokenizer panicked"), "{error}");
}
