//! Repositories of the hub: what is chosen of them, checked, resumed, and told of them.

use serde_json::{Value, json};

use super::*;
use crate::models::{Installed, RepositoryName, installed, pull_repository};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKENIZER: &[u8] = b"{\"model\": {}}";

fn large(name: &str, bytes: &[u8]) -> Value {
    json!({ "rfilename": name, "size": 9, "blobId": "x", "lfs": { "sha256": hex::encode(Sha256::digest(bytes)), "size": bytes.len(), "pointerSize": 9 } })
}

fn small(name: &str, bytes: &[u8]) -> Value {
    json!({ "rfilename": name, "size": bytes.len(), "blobId": "x" })
}

fn listing(files: &[Value]) -> Vec<u8> {
    json!({ "id": "owner/tiny", "sha": COMMIT, "siblings": files }).to_string().into_bytes()
}

/// A repository as they are: weights, what belongs to them, and what is of no use here.
fn usual(weights: &[u8]) -> Vec<u8> {
    listing(&[
        small(".gitattributes", b"x"),
        small("README.md", b"read me"),
        small("config.json", CONFIG),
        large("model.safetensors", weights),
        large("pytorch_model.bin", b"pickle"),
        small("modeling_tiny.py", b"import os"),
        large("onnx/model.onnx", b"x"),
        large("tokenizer.json", TOKENIZER),
        large("consolidated.safetensors", b"the same again"),
        json!({ "rfilename": "unknown.json" }),
    ])
}

struct Hub {
    bench: Bench,
    server: Server,
    name: RepositoryName,
}

impl Hub {
    fn start(replies: Vec<Reply>, bodies: &[&[u8]]) -> Self {
        let server = Server::start(replies);
        server.serve(bodies);
        Self { bench: Bench::with_hub(&server), server, name: RepositoryName::parse("owner/tiny").expect("a name") }
    }

    async fn pull(&self, file: Option<&str>) -> Result<Pulled, EngineError> {
        pull_repository(self.bench.root.path(), &self.name, file, &self.bench.options, None, &|_| {}).await
    }

    fn installed(&self) -> Vec<Installed> {
        installed(self.bench.root.path()).expect("readable")
    }

    fn files(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.name.dir(self.bench.root.path())) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_name_is_an_owner_a_name_and_maybe_a_revision() {
    let shown = |text: &str| RepositoryName::parse(text).map(|name| (name.to_string(), name.dir("/m".as_ref()).display().to_string()));
    assert_eq!(shown("Qwen/Qwen2.5-0.5B"), Some(("Qwen/Qwen2.5-0.5B".into(), "/m/Qwen/Qwen2.5-0.5B".into())));
    assert_eq!(shown("a/b@v1.0"), Some(("a/b@v1.0".into(), "/m/a/b@v1.0".into())));
    for wrong in
        ["", "a", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a/b@", "a/b@../c", "a/b c", "a/b?x", "a/b@r@s", "ä/b", &"a/".repeat(99)]
    {
        assert_eq!(shown(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_repository_is_pulled_checked_and_listed() {
    let weights: Vec<u8> = (0..WEIGHTS_BYTES).map(|i| (i % 253) as u8).collect();
    let list = usual(&weights);
    let hub = Hub::start(vec![Reply::Whole; 5], &[&list, CONFIG, &weights, TOKENIZER, &list]);
    assert!(hub.installed().is_empty());
    let pulled = hub.pull(None).await.expect("pulled");
    let bytes = (CONFIG.len() + weights.len() + TOKENIZER.len()) as u64;
    assert_eq!((pulled.source_used, pulled.bytes), (PulledFrom::Hub, bytes));
    assert_eq!(hub.files(), [".headwater.json", "config.json", "model.safetensors", "tokenizer.json"]);
    let asked = format!("/owner/tiny/resolve/{COMMIT}/");
    let paths = ["config.json", "model.safetensors", "tokenizer.json"].map(|file| format!("{asked}{file}"));
    assert_eq!(hub.server.paths()[0], "/api/models/owner/tiny/revision/main?blobs=true");
    assert_eq!(hub.server.paths()[1..], paths);
    let expected = Installed { name: "owner/tiny".into(), path: pulled.dir, commit: COMMIT.into(), bytes };
    assert_eq!(hub.installed(), [expected]);
    // all is there: only the list is asked for
    assert_eq!(hub.pull(None).await.expect("ready").source_used, PulledFrom::Disk);
    assert_eq!(hub.server.paths().len(), 5);
}

#[tokio::test]
async fn what_stands_around_an_encoder_is_pulled_with_it() {
    let (weights, pooling, prompts) = (b"weights", b"{\"pooling_mode\": \"cls\"}", b"{\"prompts\": {}}");
    let list = listing(&[
        small("1_Pooling/config.json", pooling),
        small("config.json", CONFIG),
        small("config_sentence_transformers.json", prompts),
        large("model.safetensors", weights),
        small("modules.json", b"[]"),
        small("onnx/config.json", CONFIG),
        small("sentence_bert_config.json", b"{}"),
    ]);
    let hub = Hub::start(vec![Reply::Whole; 8], &[&list, pooling, CONFIG, prompts, weights, b"[]", b"{}", &list]);
    let pulled = hub.pull(None).await.expect("pulled");
    let names = [
        ".headwater.json",
        "1_Pooling",
        "config.json",
        "config_sentence_transformers.json",
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
    ];
    assert_eq!(hub.files(), names);
    assert_eq!(std::fs::read(pulled.dir.join("1_Pooling/config.json")).expect("read"), pooling);
    assert_eq!(hub.server.paths()[1], format!("/owner/tiny/resolve/{COMMIT}/1_Pooling/config.json"));
    assert_eq!(hub.pull(None).await.expect("ready").source_used, PulledFrom::Disk);
}

#[tokio::test]
async fn what_broke_off_is_resumed_and_until_then_nothing_is_installed() {
    let weights: Vec<u8> = (0..WEIGHTS_BYTES).map(|i| (i % 251) as u8).collect();
    let list = listing(&[large("model.safetensors", &weights), small("config.json", CONFIG)]);
    let replies =
        vec![Reply::Whole, Reply::CutAfter(100_000), Reply::Status("500 Oops"), Reply::Status("500 Oops"), Reply::Status("500 Oops")];
    let hub = Hub::start(replies, &[&list, &weights, &weights, &weights, &weights]);
    assert!(matches!(hub.pull(None).await, Err(EngineError::Download { .. })));
    assert_eq!((hub.files(), hub.installed().len()), (vec!["model.safetensors.part".to_owned()], 0));
    // another process, later
    let server = Server::start(vec![Reply::Whole; 3]);
    server.serve(&[&list, &weights, CONFIG]);
    let bench = Bench { options: PullOptions { hub_url: server.url(), ..hub.bench.options.clone() }, ..hub.bench };
    let hub = Hub { bench, server, name: hub.name };
    hub.pull(None).await.expect("pulled");
    assert_eq!(hub.server.ranges(), [None, Some(100_000), None]);
    assert_eq!((hub.files().len(), hub.installed().len()), (3, 1));
}

#[tokio::test]
async fn other_bytes_than_announced_are_refused() {
    let weights = b"weights".to_vec();
    let list = listing(&[large("model.safetensors", &weights)]);
    let hub = Hub::start(vec![Reply::Whole; 2], &[&list, b"WEIGHTS"]);
    assert!(matches!(hub.pull(None).await, Err(EngineError::CorruptModel { .. })));
    assert!(hub.files().is_empty());
    // what rotted on disk is fetched again
    let hub = Hub::start(vec![Reply::Whole; 4], &[&list, &weights, &list, &weights]);
    let dir = hub.pull(None).await.expect("pulled").dir;
    std::fs::write(dir.join("model.safetensors"), b"rotten!").expect("write");
    assert_eq!(hub.pull(None).await.expect("pulled").bytes, 7);
    assert_eq!(std::fs::read(dir.join("model.safetensors")).expect("read"), weights);
}

#[tokio::test]
async fn of_several_gguf_files_one_is_named() {
    let list = listing(&[large("a-q4.gguf", b"q4"), large("a-q8.gguf", b"q8"), small("README.md", b"x")]);
    let hub = Hub::start(vec![Reply::Whole; 4], &[&list, &list, &list, b"q8"]);
    for (file, words) in [(None, "a-q4.gguf, a-q8.gguf"), (Some("a-q5.gguf"), "a-q5.gguf")] {
        let error = hub.pull(file).await.expect_err("ambiguous");
        assert!(matches!(error, EngineError::UnsupportedModel { .. }) && error.to_string().contains(words), "{error}");
    }
    let pulled = hub.pull(Some("a-q8.gguf")).await.expect("pulled");
    assert_eq!(hub.installed()[0].path, pulled.dir.join("a-q8.gguf"));
}

#[tokio::test]
async fn all_parts_of_a_split_file_are_fetched() {
    let (one, two) = ("q4-00001-of-00002.gguf", "q4-00002-of-00002.gguf");
    let split = listing(&[large(two, b"second"), large(one, b"first")]);
    let among = listing(&[large(one, b"first"), large(two, b"second"), large("q8.gguf", b"q8")]);
    let half = listing(&[large(one, b"first"), large("q8.gguf", b"q8")]);
    let hub = Hub::start(vec![Reply::Whole; 3], &[&split, b"second", b"first"]);
    let pulled = hub.pull(None).await.expect("pulled");
    assert_eq!(pulled.bytes, 11);
    assert!(hub.installed()[0].path.extension().is_some_and(|ending| ending == "gguf"));
    let hub = Hub::start(vec![Reply::Whole; 4], &[&among, &among, b"first", b"second"]);
    assert!(hub.pull(None).await.expect_err("which?").to_string().contains("several GGUF files"));
    let pulled = hub.pull(Some(two)).await.expect("pulled");
    assert_eq!(hub.installed()[0].path, pulled.dir.join(one));
    let hub = Hub::start(vec![Reply::Whole], &[&half]);
    assert!(hub.pull(Some(one)).await.expect_err("half").to_string().contains(two));
}

#[tokio::test]
async fn a_hub_that_says_nonsense_is_a_typed_error() {
    let pickled = listing(&[large("pytorch_model.bin", b"x")]);
    let no_commit = json!({ "sha": "../../x", "siblings": [] }).to_string();
    for (reply, body, words) in [
        (Reply::Status("404 Not Found"), &b""[..], "no such model"),
        (Reply::Status("401 Unauthorized"), b"", "token"),
        (Reply::Status("500 Oops"), b"", "500"),
        (Reply::Whole, b"<html>", "not one"),
        (Reply::Whole, no_commit.as_bytes(), "no commit"),
        (Reply::Whole, &pickled, "neither safetensors nor GGUF"),
    ] {
        let hub = Hub::start(vec![reply], &[body]);
        let error = hub.pull(None).await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}
