//! How far the reading of an upload is: told to whoever waits for it, and how it is ended early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::measures::Totals;

/// Shared by an upload's worker and whoever asks. None of the numbers waits for another.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    files_read: AtomicU64,
    chunks: AtomicU64,
    chunks_embedded: AtomicU64,
    is_embedding: AtomicBool,
    is_stopped: AtomicBool,
    /// Of all uploads.
    totals: Arc<Totals>,
}

/// The work was told to end before it was done: the process is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// The numbers at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub files_read: u64,
    pub chunks: u64,
    pub chunks_embedded: u64,
    /// All files are read.
    pub is_embedding: bool,
}

impl Progress {
    /// What is done counts in all, too.
    pub(crate) fn counted(totals: Arc<Totals>) -> Self {
        Self { totals, ..Self::default() }
    }

    /// To be asked where the next stretch of work takes a second at most.
    pub(crate) fn go_on(&self) -> Result<(), Stopped> {
        if self.is_stopped.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Another attempt begins from nothing.
    pub(crate) fn begin(&self) {
        for count in [&self.files_read, &self.chunks, &self.chunks_embedded] {
            count.store(0, Ordering::Relaxed);
        }
        self.is_embedding.store(false, Ordering::Relaxed);
    }

    pub(crate) fn read_file(&self, chunks: usize) {
        self.files_read.fetch_add(1, Ordering::Relaxed);
        self.chunks.fetch_add(chunks as u64, Ordering::Relaxed);
        self.totals.count_read(chunks);
    }

    pub(crate) fn embed(&self) {
        self.is_embedding.store(true, Ordering::Relaxed);
    }

    pub(crate) fn embedded(&self, chunks: usize) {
        self.chunks_embedded.fetch_add(chunks as u64, Ordering::Relaxed);
        self.totals.count_embedded(chunks);
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            files_read: self.files_read.load(Ordering::Relaxed),
            chunks: self.chunks.load(Ordering::Relaxed),
            chunks_embedded: self.chunks_embedded.load(Ordering::Relaxed),
            is_embedding: self.is_embedding.load(Ordering::Relaxed),
        }
    }
}
