//! The step that everything turns on: plan, compute, hand out. One thread owns it; it has no threads and no waiting itself.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::answer::{Answering, Next};
use super::counters::{Counters, QueuePlace};
use super::forward::Forward;
use super::schedule::{JobId, LoadedAdapter, Schedule, Step, StepPart};
use super::scoring::Scoring;
use super::span::Plan;
use crate::EngineError;
use crate::decoder::{Batch, Segment, View};

#[cfg(test)]
pub(crate) mod tests;

pub(crate) struct Core<F> {
    pub(crate) forward: F,
    schedule: Schedule,
    running: BTreeMap<JobId, Running>,
    counters: Arc<Counters>,
}

/// A request that has been checked, and its work.
pub(crate) struct Submission {
    pub(crate) plan: Plan,
    pub(crate) adapter: Option<LoadedAdapter>,
    pub(crate) request: Request,
    pub(crate) place: QueuePlace,
}

pub(crate) enum Request {
    Answer(Box<Answering>),
    Score(Scoring),
}

struct Running {
    request: Request,
    /// Until it starts.
    place: Option<QueuePlace>,
}

/// What a pass gave, by part of the step: logits of one row, or log-probabilities.
type Computed = Vec<Vec<f32>>;

impl<F: Forward> Core<F> {
    pub(crate) fn new(forward: F, schedule: Schedule, counters: Arc<Counters>) -> Self {
        counters.pages.store(schedule.pool().pages(), Ordering::Relaxed);
        Self { forward, schedule, running: BTreeMap::new(), counters }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.schedule.is_empty()
    }

    pub(crate) fn submit(&mut self, submission: Submission) {
        let id = self.schedule.submit(submission.plan, submission.adapter.as_ref());
        self.running.insert(id, Running { request: submission.request, place: Some(submission.place) });
    }

    /// Forgets who does not listen any more, computes one pass and hands out what it gave.
    pub(crate) fn step(&mut self) {
        let cancelled: Vec<JobId> = self.running.iter().filter(|(_, running)| running.request.is_cancelled()).map(|(id, _)| *id).collect();
        for id in cancelled {
            self.remove(id);
        }
        if let Some(step) = self.schedule.next_step() {
            self.admit();
            match catch_unwind(AssertUnwindSafe(|| self.compute(&step))) {
                Ok(computed) => self.deliver(&step, computed),
                Err(panic) => self.fail_step(&step, panic.as_ref()),
            }
        } else if let Some(oldest) = self.schedule.oldest() {
            // What was submitted fits in the cache, so that the oldest request always goes on.
            self.fail(oldest, "planning a step", "the oldest request cannot go on");
        }
        self.count();
    }

    /// Ends every request.
    pub(crate) fn close(&mut self) {
        let all: Vec<JobId> = self.running.keys().copied().collect();
        for id in all {
            self.fail(id, "generating", "the generator was closed");
        }
        self.count();
    }

    fn admit(&mut self) {
        for (id, running) in &mut self.running {
            if running.place.is_some() && !self.schedule.is_waiting(*id) {
                running.place = None;
            }
        }
    }

    fn compute(&mut self, step: &Step) -> Computed {
        for copy in &step.copies {
            self.forward.copy(*copy);
        }
        let segments: Vec<Vec<Segment<'_>>> = step.parts.iter().map(|part| self.schedule.segments(part)).collect();
        let views: Vec<View<'_>> = segments
            .iter()
            .zip(&step.parts)
            .map(|(segments, part)| View { segments, stretched: self.schedule.is_stretched(part) })
            .collect();
        let rows = self.schedule.rows(step);
        self.counters.steps.fetch_add(1, Ordering::Relaxed);
        self.counters.computed_tokens.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let hidden = self.forward.forward(&Batch { rows: &rows, views: &views });
        self.read_hidden(step, &hidden)
    }

    /// From hidden states to numbers of tokens: one product for all answers, one for all scores.
    fn read_hidden(&self, step: &Step, hidden: &[f32]) -> Computed {
        let wanted: usize = step.parts.iter().map(StepPart::wanted).sum();
        let width = hidden.len().checked_div(wanted).unwrap_or_default();
        let (mut answers, mut scored, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = hidden;
        for part in &step.parts {
            let (own, after) = rest.split_at_checked(part.wanted() * width).unwrap_or_default();
            rest = after;
            match self.running.get(&part.job).map(|running| &running.request) {
                Some(Request::Score(scoring)) => {
                    scored.extend_from_slice(own);
                    targets.extend(scoring.answer.iter().skip(part.first_wanted()).take(part.wanted()));
                }
                _ => answers.extend_from_slice(own),
            }
        }
        let rows = answers.len().checked_div(width).unwrap_or_default();
        let logits = if rows > 0 { self.forward.logits(&answers, rows) } else { Vec::new() };
        let scores = if targets.is_empty() { Vec::new() } else { self.forward.log_probabilities(&scored, &targets) };
        let vocabulary = logits.len().checked_div(rows).unwrap_or_default();
        let (mut logits, mut scores) = (logits.as_slice(), scores.as_slice());
        let numbers = step.parts.iter().map(|part| {
            let is_score = matches!(self.running.get(&part.job), Some(Running { request: Request::Score(_), .. }));
            let (from, count) = if is_score { (&mut scores, part.wanted()) } else { (&mut logits, part.wanted() * vocabulary) };
            let (own, after) = from.split_at_checked(count).unwrap_or_default();
            *from = after;
            own.to_vec()
        });
        numbers.collect()
    }

    fn deliver(&mut self, step: &Step, computed: Computed) {
        self.schedule.finish(step);
        for (part, mut numbers) in step.parts.iter().zip(computed) {
            let Some(running) = self.running.get_mut(&part.job).filter(|_| part.wanted() > 0) else { continue };
            let ended = match &mut running.request {
                Request::Answer(answering) => {
                    if answering.tokens.is_empty() {
                        answering.cached_tokens = self.schedule.cached_tokens(part.job);
                    }
                    self.counters.generated_tokens.fetch_add(1, Ordering::Relaxed);
                    match answering.take(&mut numbers) {
                        Next::Compute(token) => {
                            self.schedule.grow(part.job, token);
                            false
                        }
                        Next::Ended => true,
                    }
                }
                Request::Score(scoring) => scoring.take(part.span, part.first_wanted(), &numbers),
            };
            if ended {
                self.counters.cached_tokens.fetch_add(self.schedule.cached_tokens(part.job) as u64, Ordering::Relaxed);
                self.remove(part.job);
            }
        }
    }

    fn fail_step(&mut self, step: &Step, panic: &(dyn Any + Send)) {
        let reason = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let reason = format!("the forward pass panicked: {}", reason.unwrap_or("without a reason"));
        for part in &step.parts {
            self.fail(part.job, "running the model", &reason);
        }
    }

    fn fail(&mut self, id: JobId, operation: &'static str, reason: &str) {
        self.schedule.remove(id);
        if let Some(running) = self.running.remove(&id) {
            running.request.fail(EngineError::Library { operation, reason: reason.to_owned() });
        }
    }

    fn remove(&mut self, id: JobId) {
        self.schedule.remove(id);
        self.running.remove(&id);
    }

    fn count(&self) {
        let pool = self.schedule.pool();
        let counters = &self.counters;
        counters.running.store(self.running.values().filter(|running| running.place.is_none()).count(), Ordering::Relaxed);
        counters.pages_held.store(pool.pages() - pool.available(), Ordering::Relaxed);
        counters.pages_cached.store(pool.cached(), Ordering::Relaxed);
        counters.preemptions.store(self.schedule.preemptions(), Ordering::Relaxed);
    }
}

impl Request {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Answer(answering) => answering.is_cancelled(),
            Self::Score(scoring) => scoring.is_cancelled(),
        }
    }

    fn fail(self, error: EngineError) {
        match self {
            Self::Answer(mut answering) => answering.fail(error),
            Self::Score(scoring) => scoring.fail(error),
        }
    }
}
