//! Which embedders are loaded, and which may follow one another. Models are small and random.

use std::path::PathBuf;

use schemas::hashing::{chunk_id, sha256};
use schemas::{Address, B256};
use serde_json::json;

use super::*;
use crate::config::{DEFAULTS, Language};

fn chunk() -> ChunkRow {
    let (hash, id) = (sha256(b"text"), B256::repeat_byte(1));
    let chunk_id = chunk_id(hash, 0, 4, "text");
    ChunkRow {
        chunk_id,
        submission_id: id.into(),
        document_id: id.into(),
        datanet_id: id.into(),
        contributor: Address::repeat_byte(1),
        ordinal: 0,
        document_sha256: hash,
        byte_start: 0,
        byte_end: 4,
        text: "text".into(),
        text_sha256: hash,
        token_count: 1,
        cluster_id: chunk_id,
        duplicate_of: None,
        similarity_ppm: None,
        flags: Vec::new(),
        registered: 1,
        embedding: Embedding(vec![0.0; Embedding::DIMENSIONS]),
    }
}

#[tokio::test]
async fn another_embedder_is_refused_once_there_are_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::in_memory().await.unwrap();
    let identity = |name: &str| Identity { name: name.into(), sha256: format!("hash of {name}") };
    for name in ["a", "b", "b"] {
        stay(&identity(name), &store, folder.path()).await.unwrap();
    }
    store.insert_new(&[chunk()]).await.unwrap();
    stay(&identity("b"), &store, folder.path()).await.unwrap();
    let error = stay(&identity("a"), &store, folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("vectors of b") && error.contains("models.embedder_precision"), "{error}");
    std::fs::write(folder.path().join(FILE), "{").unwrap();
    assert!(stay(&identity("b"), &store, folder.path()).await.unwrap_err().to_string().contains(FILE));
}

/// Of 64 dimensions; `tests/fixtures/make_bert.py` made them.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/bert").join(name)
}

fn config(embedder: &str, models_dir: &Path) -> Config {
    let mut config: Config = toml::from_str(DEFAULTS).unwrap();
    config.models.embedder = embedder.to_owned();
    config.models.dir = models_dir.to_owned();
    config
}

/// Tensors of a BERT of one layer, 384 wide, as a safetensors file: a length, a header, and numbers that follow from their places.
fn weights() -> Vec<u8> {
    let linear = |name: &str, columns: usize, inner: usize| {
        let name = format!("encoder.layer.0.{name}");
        [(format!("{name}.weight"), vec![columns, inner]), (format!("{name}.bias"), vec![columns])]
    };
    let norm = |name: &str| [(format!("{name}.weight"), vec![384]), (format!("{name}.bias"), vec![384])];
    let tables = [("word", 160), ("position", 80), ("token_type", 2)];
    let tensors: Vec<(String, Vec<usize>)> = tables
        .into_iter()
        .map(|(name, rows)| (format!("embeddings.{name}_embeddings.weight"), vec![rows, 384]))
        .chain(norm("embeddings.LayerNorm"))
        .chain(["query", "key", "value"].into_iter().flat_map(|part| linear(&format!("attention.self.{part}"), 384, 384)))
        .chain(linear("attention.output.dense", 384, 384))
        .chain(norm("encoder.layer.0.attention.output.LayerNorm"))
        .chain(linear("intermediate.dense", 32, 384))
        .chain(linear("output.dense", 384, 32))
        .chain(norm("encoder.layer.0.output.LayerNorm"))
        .collect();
    let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = numbers.len();
        for at in 0..shape.iter().product::<usize>() {
            // within ±0.1, in no order
            let number = (at * 7919 % 1999) as f32 / 9995.0 - 0.1;
            numbers.extend(number.to_le_bytes());
        }
        header.insert(name, json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, numbers.len()] }));
    }
    let header = serde_json::to_vec(&header).unwrap();
    [(header.len() as u64).to_le_bytes().as_slice(), &header, &numbers].concat()
}

/// Of 384 dimensions, with a tokenizer of the fixtures and prompts as those of E5.
fn write_model(dir: &Path) {
    let config = json!({
        "model_type": "bert", "hidden_size": 384, "intermediate_size": 32, "num_attention_heads": 12, "num_hidden_layers": 1,
        "vocab_size": 160, "max_position_embeddings": 80, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    });
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::copy(fixture("cls").join("tokenizer.json"), dir.join("tokenizer.json")).unwrap();
    std::fs::copy(fixture("prompts").join("config_sentence_transformers.json"), dir.join("config_sentence_transformers.json")).unwrap();
    std::fs::write(dir.join("model.safetensors"), weights()).unwrap();
}

#[tokio::test]
async fn a_folder_and_a_pulled_model_are_embedders() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("models/owner/tiny");
    write_model(&dir);
    let by_path = load(&config(dir.to_str().unwrap(), folder.path())).await.unwrap();
    let mut pulled = config("owner/tiny", &folder.path().join("models"));
    pulled.models.embedder_languages = vec![Language::try_from("deu".to_owned()).unwrap()];
    let by_name = load(&pulled).await.unwrap();
    let names = [by_path.info().name.as_str(), by_name.info().name.as_str()];
    assert_eq!((names, by_path.info().dimensions), (["tiny", "owner/tiny"], 384));
    assert_eq!(by_path.info().sha256, by_name.info().sha256);
    assert!(by_path.info().languages.is_empty() && by_name.info().languages == ["deu"]);
    assert_ne!(by_path.embed(&["cold"]).unwrap(), by_path.embed_queries(&["cold"]).unwrap());

    // The folder may be called otherwise, once there are vectors; its prompts may not change.
    let store = Store::in_memory().await.unwrap();
    open(&pulled, &store, folder.path()).await.unwrap();
    store.insert_new(&[chunk()]).await.unwrap();
    open(&config(dir.to_str().unwrap(), folder.path()), &store, folder.path()).await.unwrap();
    std::fs::remove_file(dir.join("config_sentence_transformers.json")).unwrap();
    let error = open(&pulled, &store, folder.path()).await.unwrap_err().to_string();
    assert!(error.contains("they cannot be compared"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_the_embedder_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let other = fixture("prompts");
    for (embedder, words) in [
        (other.to_str().unwrap(), "models.embedder: prompts gives vectors of 64 dimensions, and the tables hold 384"),
        (other.to_str().unwrap(), "such as multilingual-e5-small, bge-small-en-v1.5 or paraphrase-multilingual-MiniLM-L12-v2"),
        (folder.path().to_str().unwrap(), "config.json is missing"),
        ("owner/tiny", "models.embedder: \"owner/tiny\" is none of the models that are known by name (all-MiniLM-L6-v2)"),
        ("owner/tiny", "headwater models pull"),
    ] {
        let error = format!("{:#}", load(&config(embedder, folder.path())).await.unwrap_err());
        assert!(error.contains(words), "{error}");
    }
}
