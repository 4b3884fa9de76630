//! What a generator is doing, in numbers that anyone may read at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A generator's state and its history since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GeneratorCounters {
    /// Requests that have not started.
    pub waiting: usize,
    /// Requests that have.
    pub running: usize,
    /// Pages of the cache, of 32 tokens each.
    pub pages: usize,
    /// Pages that running requests hold.
    pub pages_held: usize,
    /// Pages that nobody holds, kept for requests that begin alike.
    pub pages_cached: usize,
    /// Forward passes.
    pub steps: u64,
    /// Rows of all passes: tokens of prompts, answers and scores.
    pub computed_tokens: u64,
    /// Tokens that were found in the cache instead.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub generated_tokens: u64,
    /// How often work was let go for want of pages, to be computed again.
    pub preemptions: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    waiting: AtomicUsize,
    pub(crate) running: AtomicUsize,
    pub(crate) pages: AtomicUsize,
    pub(crate) pages_held: AtomicUsize,
    pub(crate) pages_cached: AtomicUsize,
    pub(crate) steps: AtomicU64,
    pub(crate) computed_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) preemptions: AtomicU64,
}

/// A place among the waiting requests, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace(Arc<Counters>);

impl Counters {
    /// A place in a queue of at most `waiting_max`; otherwise how many wait.
    pub(crate) fn queue(self: &Arc<Self>, waiting_max: usize) -> Result<QueuePlace, usize> {
        let next = |waiting: usize| (waiting < waiting_max).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)?;
        Ok(QueuePlace(self.clone()))
    }

    pub(crate) fn read(&self) -> GeneratorCounters {
        let [waiting, running, pages, pages_held, pages_cached] =
            [&self.waiting, &self.running, &self.pages, &self.pages_held, &self.pages_cached].map(|count| count.load(Ordering::Relaxed));
        let [steps, computed_tokens, cached_tokens, generated_tokens, preemptions] =
            [&self.steps, &self.computed_tokens, &self.cached_tokens, &self.generated_tokens, &self.preemptions]
                .map(|count| count.load(Ordering::Relaxed));
        GeneratorCounters {
            waiting,
            running,
            pages,
            pages_held,
            pages_cached,
            steps,
            computed_tokens,
            cached_tokens,
            generated_tokens,
            preemptions,
        }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
