//! What the next forward pass computes, and which pages it may use: decisions only, no arithmetic, no threads.
//!
//! First come, first served. Every step takes one row of each answer that is being generated and fills what is left of
//! its token budget with prompts and scores, oldest first, in chunks. A request starts when its prompt's pages are free;
//! its answer's pages are taken as it grows. Where none is left, the youngest work is let go and computed again later
//! (most of it is then found in the cache), so that the oldest request always goes on and nobody starves.

use super::pool::Pool;
use super::span::Plan;
use crate::decoder::{PageId, Row, Segment};
use job::{Job, SpanState};

mod job;
mod take;
#[cfg(test)]
mod tests;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct JobId(u64);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most rows of a forward pass.
    pub(crate) batch_tokens_max: usize,
    /// Most requests that run at a time.
    pub(crate) sequences_max: usize,
}

/// An adapter that the decoder has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedAdapter {
    pub(crate) index: u32,
    pub(crate) sha256: String,
}

/// The first tokens of a page, to be copied before the pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageCopy {
    pub(crate) from: PageId,
    pub(crate) to: PageId,
    pub(crate) tokens: usize,
}

/// Tokens `start..start + count` of one span, the hidden states from `wanted_from` on wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepPart {
    pub(crate) job: JobId,
    pub(crate) span: usize,
    pub(crate) start: usize,
    pub(crate) count: usize,
    pub(crate) wanted_from: usize,
}

impl StepPart {
    /// Rows of it that give a hidden state.
    pub(crate) fn wanted(&self) -> usize {
        (self.start + self.count).saturating_sub(self.wanted_from.max(self.start))
    }

    /// Which of the span's wanted rows comes first.
    pub(crate) fn first_wanted(&self) -> usize {
        self.start.saturating_sub(self.wanted_from)
    }
}

/// One forward pass.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// In this order: a page may be copied from before it is copied to.
    pub(crate) copies: Vec<PageCopy>,
    /// Each is a view of the batch.
    pub(crate) parts: Vec<StepPart>,
}

/// All requests that have been accepted, and the cache's pages.
pub(crate) struct Schedule {
    model: String,
    limits: Limits,
    pool: Pool,
    /// In the order in which they came.
    jobs: Vec<Job>,
    next_id: u64,
    preemptions: u64,
}

impl Schedule {
    /// `model` names the weights by their content.
    pub(crate) fn new(model: String, pages: usize, limits: Limits) -> Self {
        // Every answer gets a row of every step.
        let sequences_max = limits.sequences_max.max(1);
        let limits = Limits { batch_tokens_max: limits.batch_tokens_max.max(sequences_max), sequences_max };
        Self { model, limits, pool: Pool::new(pages), jobs: Vec::new(), next_id: 0, preemptions: 0 }
    }

    /// Accepts a plan whose [`Plan::pages_needed`] the cache has, its growth included.
    pub(crate) fn submit(&mut self, plan: Plan, adapter: Option<&LoadedAdapter>) -> JobId {
        let id = JobId(self.next_id);
        self.next_id += 1;
        self.jobs.push(Job::new(id, adapter.cloned(), plan, &self.model));
        id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn oldest(&self) -> Option<JobId> {
        self.jobs.first().map(|job| job.id)
    }

    pub(crate) fn is_waiting(&self, id: JobId) -> bool {
        self.job(id).is_some_and(|job| !job.admitted)
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How often work was let go to be computed again.
    pub(crate) fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Prompt tokens that were found in the cache when the request started.
    pub(crate) fn cached_tokens(&self, id: JobId) -> usize {
        self.job(id).map_or(0, |job| job.cached_tokens)
    }

    /// Appends a chosen token to a growing request: it is computed in the next step. Where that makes it a stretched
    /// sequence, all of it is computed again, since every key is rotated otherwise.
    pub(crate) fn grow(&mut self, id: JobId, token: u32) {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else { return };
        let Some(span) = job.spans.last_mut() else { return };
        span.push(token);
        if job.outgrows() {
            for span in job.spans.iter().rev() {
                self.pool.release(&span.pages);
            }
            job.stretch(&self.model);
            self.preemptions += 1;
        }
    }

    /// Ends a request, done or not, and lets go of its pages.
    pub(crate) fn remove(&mut self, id: JobId) {
        let Some(index) = self.jobs.iter().position(|job| job.id == id) else { return };
        let job = self.jobs.remove(index);
        for span in job.spans.iter().rev() {
            self.pool.release(&span.pages);
        }
    }

    /// What the pass has computed is kept, and may be found by others.
    pub(crate) fn finish(&mut self, step: &Step) {
        for part in &step.parts {
            let Some(job) = self.jobs.iter_mut().find(|job| job.id == part.job) else { continue };
            if let Some(span) = job.spans.get_mut(part.span) {
                span.advance(part.count, &mut self.pool);
            }
        }
    }

    /// Rows of the pass, in the order of its parts.
    pub(crate) fn rows(&self, step: &Step) -> Vec<Row> {
        let mut rows = Vec::new();
        for (part, view) in step.parts.iter().zip(0..) {
            let Some((job, span)) = self.job(part.job).and_then(|job| Some((job, job.spans.get(part.span)?))) else { continue };
            let tokens = span.span.tokens.iter().enumerate().skip(part.start).take(part.count);
            let adapter = job.adapter.as_ref().map(|adapter| adapter.index);
            rows.extend(tokens.map(|(place, token)| Row { token: *token, view, adapter, wanted: place >= part.wanted_from }));
        }
        rows
    }

    /// What the rows of a part see; their own segment last.
    pub(crate) fn segments(&self, part: &StepPart) -> Vec<Segment<'_>> {
        let Some(job) = self.job(part.job) else { return Vec::new() };
        let Some(own) = job.spans.get(part.span) else { return Vec::new() };
        let seen = own.span.sees.iter().filter_map(|index| job.spans.get(*index));
        seen.chain([own]).map(SpanState::segment).collect()
    }

    /// Whether the rows of a part belong to a stretched sequence.
    pub(crate) fn is_stretched(&self, part: &StepPart) -> bool {
        self.job(part.job).and_then(|job| job.spans.get(part.span)).is_some_and(|own| own.span.stretched)
    }

    fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }
}
