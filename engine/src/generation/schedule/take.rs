//! Who gets pages, and who gets rows of the next pass.

use super::{PageCopy, Schedule, Step, StepPart};
use crate::decoder::{PAGE_TOKENS, PageId};

/// Pages of a span that were found in the cache.
struct Found {
    /// Held for the span.
    pages: Vec<PageId>,
    /// Tokens on them that it may use.
    tokens: usize,
}

struct Start {
    /// Of the whole segment, held for the span.
    pages: Vec<PageId>,
    /// Tokens that need not be computed.
    computed: usize,
    copy: Option<PageCopy>,
    /// Of the computed tokens, those that the cache had.
    found: usize,
}

impl Schedule {
    /// The next pass; none where nothing can be computed. Every part advances by at least a token once the step is finished.
    pub(crate) fn next_step(&mut self) -> Option<Step> {
        for job in &mut self.jobs {
            job.refresh(|pages| self.pool.release(pages));
        }
        let mut step = Step::default();
        for job in 0..self.jobs.len() {
            self.make_room_to_grow(job);
        }
        self.start_oldest(&mut step);
        let mut budget = self.limits.batch_tokens_max;
        self.take_answers(&mut step, &mut budget);
        self.take_prompts(&mut step, &mut budget);
        (!step.parts.is_empty()).then_some(step)
    }

    /// A page for the next token of a running answer. Where even younger work holds none, it is let go itself.
    fn make_room_to_grow(&mut self, job: usize) {
        let Some(state) = self.jobs.get(job).filter(|state| state.grows) else { return };
        let Some((last, span)) = state.spans.iter().enumerate().next_back().filter(|(_, span)| span.is_started()) else { return };
        if span.pages.len() * PAGE_TOKENS >= span.span.segment_tokens() {
            return;
        }
        while self.pool.available() == 0 && self.let_go_after(job, last) {}
        match self.pool.allocate() {
            Some(page) => {
                if let Some(span) = self.jobs.get_mut(job).and_then(|job| job.spans.last_mut()) {
                    span.pages.push(page);
                }
            }
            None => self.let_go(job, last),
        }
    }

    /// The oldest request does not wait for memory that younger ones hold.
    fn start_oldest(&mut self, step: &mut Step) {
        let Some(oldest) = self.jobs.first() else { return };
        let Some(next) = oldest.next_span() else { return };
        let waits = oldest.spans.get(next).is_some_and(|span| !span.is_started() && oldest.is_ready(span));
        while waits && !self.start(0, next, step) {
            if !self.let_go_after(0, next) {
                return;
            }
        }
    }

    /// One row of every answer that is being generated.
    fn take_answers(&self, step: &mut Step, budget: &mut usize) {
        for job in self.jobs.iter().filter(|job| job.grows) {
            let Some((index, span)) = job.spans.iter().enumerate().next_back() else { continue };
            if *budget > 0 && span.is_started() && span.computed + 1 == span.span.tokens.len() {
                *budget -= 1;
                step.parts.push(StepPart { job: job.id, span: index, start: span.computed, count: 1, wanted_from: span.span.wanted_from });
            }
        }
    }

    /// Chunks of prompts and scores, oldest first. When one cannot start, none after it does.
    fn take_prompts(&mut self, step: &mut Step, budget: &mut usize) {
        let mut running = self.jobs.iter().filter(|job| job.admitted).count();
        let mut blocked = false;
        for job in 0..self.jobs.len() {
            let Some(state) = self.jobs.get(job) else { return };
            if !state.admitted {
                blocked |= running >= self.limits.sequences_max;
                running += 1;
            }
            for span in 0..state.spans.len() {
                if *budget == 0 {
                    return;
                }
                self.take_span(job, span, &mut blocked, step, budget);
            }
        }
    }

    fn take_span(&mut self, job: usize, index: usize, blocked: &mut bool, step: &mut Step, budget: &mut usize) {
        let Some((state, span)) = self.jobs.get(job).and_then(|job| Some((job, job.spans.get(index)?))) else { return };
        if !span.required || span.is_complete() {
            return;
        }
        if !span.is_started() {
            if *blocked || !state.is_ready(span) {
                return;
            }
            if !self.start(job, index, step) {
                *blocked = true;
                return;
            }
        }
        let Some((state, span)) = self.jobs.get(job).and_then(|job| Some((job, job.spans.get(index)?))) else { return };
        let left = span.span.tokens.len() - span.computed;
        let last = index + 1 == state.spans.len();
        let taken = state.grows && last && step.parts.iter().any(|part| part.job == state.id && part.span == index);
        if left == 0 || taken {
            return;
        }
        let count = left.min(*budget);
        *budget -= count;
        step.parts.push(StepPart { job: state.id, span: index, start: span.computed, count, wanted_from: span.span.wanted_from });
    }

    /// Gives a span its pages. False, and nothing changed, where the pool has not enough.
    fn start(&mut self, job: usize, index: usize, step: &mut Step) -> bool {
        let Some(start) = self.prepare(job, index) else { return false };
        let Some(job) = self.jobs.get_mut(job) else { return false };
        let Some(span) = job.spans.get_mut(index) else { return false };
        step.copies.extend(start.copy);
        job.admitted = true;
        job.cached_tokens += if span.counted { 0 } else { start.found };
        span.counted = true;
        span.pages = start.pages;
        span.computed = start.computed;
        true
    }

    /// Pages for all of a span's tokens, those that hold its beginning already among them.
    fn prepare(&mut self, job: usize, index: usize) -> Option<Start> {
        let state = self.jobs.get(job)?;
        let span = &state.spans.get(index)?.span;
        let (shared, tokens, copied) = (span.base / PAGE_TOKENS, span.tokens.len(), span.copied);
        let parent = span.continues.and_then(|parent| state.spans.get(parent));
        let mut pages: Vec<PageId> = parent.map(|parent| parent.pages.clone()).unwrap_or_default();
        let parents_last = pages.get(shared).copied();
        pages.truncate(shared);
        let total = shared + tokens.div_ceil(PAGE_TOKENS);
        let found = self.find(job, index, total - shared)?;
        for page in &pages {
            self.pool.share(*page);
        }
        // The page of which only the beginning may be used is copied: somebody else may read it to its end.
        let whole = if found.tokens == tokens { found.pages.len() } else { found.tokens / PAGE_TOKENS };
        let (used, partly_used) = found.pages.split_at_checked(whole)?;
        pages.extend_from_slice(used);
        pages.extend((pages.len()..total).map_while(|_| self.pool.allocate()));
        let computed = found.tokens.max(copied);
        let from = partly_used.first().copied().or(parents_last.filter(|_| found.tokens == 0));
        let (to, beginning) = (pages.get(shared + whole).copied(), computed.saturating_sub(whole * PAGE_TOKENS));
        let copy = from.zip(to).filter(|_| beginning > 0).map(|(from, to)| PageCopy { from, to, tokens: beginning });
        self.pool.release(partly_used);
        Some(Start { pages, computed, copy, found: found.tokens })
    }

    /// What the cache holds of a span's own pages, held for it, so long as the pool has the rest of the `own` pages.
    fn find(&mut self, job: usize, index: usize, own: usize) -> Option<Found> {
        let span = self.jobs.get(job)?.spans.get(index)?;
        let mut found = Found { pages: Vec::new(), tokens: 0 };
        for (key, tokens) in span.findable() {
            let Some(page) = self.pool.find(key, tokens) else { break };
            found.pages.push(page);
            found.tokens += tokens.len();
        }
        // A token whose hidden state is wanted is computed.
        let covered = span.span.wanted_from;
        if found.tokens > covered {
            found.tokens = covered;
            let unused = found.pages.split_off(covered.div_ceil(PAGE_TOKENS));
            self.pool.release(&unused);
        }
        let is_whole = found.tokens == span.span.tokens.len() || found.tokens.is_multiple_of(PAGE_TOKENS);
        if !is_whole && self.pool.available() < own - found.tokens / PAGE_TOKENS {
            // The page that would only be copied from may be one too many: its tokens are computed again.
            self.pool.release(found.pages.split_off(found.tokens / PAGE_TOKENS).as_slice());
            found.tokens -= found.tokens % PAGE_TOKENS;
        }
        let held = if is_whole { found.pages.len() } else { found.tokens / PAGE_TOKENS };
        if self.pool.available() < own - held {
            self.pool.release(&found.pages);
            return None;
        }
        Some(found)
    }

    /// Lets go of the last work after this span, if any holds pages.
    fn let_go_after(&mut self, job: usize, span: usize) -> bool {
        let younger = self.jobs.iter().enumerate().skip(job).rev().find_map(|(index, state)| {
            let first = if index == job { span + 1 } else { 0 };
            let last = state.spans.iter().enumerate().skip(first).rfind(|(_, span)| span.is_started());
            last.map(|(last, _)| (index, last))
        });
        younger.map(|(job, span)| self.let_go(job, span)).is_some()
    }

    fn let_go(&mut self, job: usize, span: usize) {
        let Some(job) = self.jobs.get_mut(job) else { return };
        if let Some(span) = job.spans.get_mut(span) {
            self.pool.release(&span.pages);
            span.let_go();
            self.preemptions += 1;
        }
        job.refresh(|pages| self.pool.release(pages));
    }
}
