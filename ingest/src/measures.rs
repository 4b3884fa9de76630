//! What is counted and timed of uploads, for whoever keeps account.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A part of the way of an upload from its acceptance to its registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UploadStage {
    /// Waiting for a worker.
    Queue,
    /// Parsing, cutting and screening all files.
    Read,
    /// The chunks' vectors.
    Embed,
    /// Comparing with everything earlier, when that is nobody else's.
    Compare,
    /// Writing the rows, and the fingerprints.
    Commit,
}

impl UploadStage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Read => "read",
            Self::Embed => "embed",
            Self::Compare => "compare",
            Self::Commit => "commit",
        }
    }
}

/// What became of uploads since the start, and how much was read of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UploadTotals {
    pub done: u64,
    pub failed: u64,
    /// As often as they were: also of attempts that did not end.
    pub chunks_read: u64,
    pub chunks_embedded: u64,
}

/// The same as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    done: AtomicU64,
    failed: AtomicU64,
    chunks_read: AtomicU64,
    chunks_embedded: AtomicU64,
}

impl Totals {
    pub(crate) fn count_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_read(&self, chunks: usize) {
        self.chunks_read.fetch_add(chunks as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_embedded(&self, chunks: usize) {
        self.chunks_embedded.fetch_add(chunks as u64, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> UploadTotals {
        UploadTotals {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            chunks_read: self.chunks_read.load(Ordering::Relaxed),
            chunks_embedded: self.chunks_embedded.load(Ordering::Relaxed),
        }
    }
}

type Listener = Arc<dyn Fn(UploadStage, Duration) + Send + Sync>;

/// Times stages; also those that fail.
#[derive(Clone, Default)]
pub(crate) struct Stages(Option<Listener>);

impl Stages {
    pub(crate) fn told_to(listener: Listener) -> Self {
        Self(Some(listener))
    }

    pub(crate) fn tell(&self, stage: UploadStage, took: Duration) {
        if let Some(listener) = &self.0 {
            listener(stage, took);
        }
    }

    pub(crate) async fn wait<T>(&self, stage: UploadStage, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = work.await;
        self.tell(stage, began.elapsed());
        done
    }
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stages").field("told", &self.0.is_some()).finish()
    }
}
