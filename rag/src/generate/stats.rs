//! Counts of what the generator was asked and gave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// A opened of the counts since start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GenerationStats {
    /// Being made now, waiting ones included.
    pub under_way: u64,
    /// Whole answers with a receipt.
    pub answered: u64,
    /// Of these, those in which the model said that the sources do not answer.
    pub declined: u64,
    /// Given up by the generator or for a reason of our own.
    pub failed: u64,
    /// Given up because the caller went away.
    pub abandoned: u64,
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    /// Summed over the answers that said something; from the request to the first words.
    pub first_piece_ms: u64,
    /// How many that is summed over.
    pub first_pieces: u64,
    /// Summed over whole answers; from the request to the last words.
    pub generating_ms: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    under_way: AtomicU64,
    answered: AtomicU64,
    declined: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    prompt_tokens: AtomicU64,
    answer_tokens: AtomicU64,
    first_piece_ms: AtomicU64,
    first_pieces: AtomicU64,
    generating_ms: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> GenerationStats {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        GenerationStats {
            under_way: read(&self.under_way),
            answered: read(&self.answered),
            declined: read(&self.declined),
            failed: read(&self.failed),
            abandoned: read(&self.abandoned),
            prompt_tokens: read(&self.prompt_tokens),
            answer_tokens: read(&self.answer_tokens),
            first_piece_ms: read(&self.first_piece_ms),
            first_pieces: read(&self.first_pieces),
            generating_ms: read(&self.generating_ms),
        }
    }
}

/// One answer being generated. Dropped before [`Running::answered`] or [`Running::failed`], it was abandoned.
#[derive(Debug)]
pub(crate) struct Running {
    counters: Arc<Counters>,
    since: Instant,
    said: bool,
    ended: bool,
}

impl Running {
    pub(crate) fn start(counters: &Arc<Counters>) -> Self {
        counters.under_way.fetch_add(1, Relaxed);
        Self { counters: counters.clone(), since: Instant::now(), said: false, ended: false }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The generator said something.
    pub(crate) fn piece(&mut self) {
        if !self.said {
            self.said = true;
            self.counters.first_pieces.fetch_add(1, Relaxed);
            self.counters.first_piece_ms.fetch_add(self.elapsed_ms(), Relaxed);
        }
    }

    pub(crate) fn answered(mut self, declined: bool, prompt_tokens: u64, answer_tokens: u64) {
        self.ended = true;
        let counters = &self.counters;
        counters.answered.fetch_add(1, Relaxed);
        counters.declined.fetch_add(u64::from(declined), Relaxed);
        counters.prompt_tokens.fetch_add(prompt_tokens, Relaxed);
        counters.answer_tokens.fetch_add(answer_tokens, Relaxed);
        counters.generating_ms.fetch_add(self.elapsed_ms(), Relaxed);
    }

    pub(crate) fn failed(mut self) {
        self.ended = true;
        self.counters.failed.fetch_add(1, Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.counters.under_way.fetch_sub(1, Relaxed);
        if !self.ended {
            self.counters.abandoned.fetch_add(1, Relaxed);
        }
    }
}
