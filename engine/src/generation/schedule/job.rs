//! One request's spans while they are computed.

use super::{JobId, LoadedAdapter};
use crate::decoder::{PAGE_TOKENS, PageId, Segment};
use crate::generation::chain::Key;
use crate::generation::pool::Pool;
use crate::generation::span::{Plan, Span};

pub(super) struct Job {
    pub(super) id: JobId,
    pub(super) adapter: Option<LoadedAdapter>,
    pub(super) spans: Vec<SpanState>,
    pub(super) grows: bool,
    stretches_after: Option<usize>,
    /// It has started, and counts among those that run.
    pub(super) admitted: bool,
    pub(super) cached_tokens: usize,
}

pub(super) struct SpanState {
    pub(super) span: Span,
    /// Before the first of `tokens`.
    root: Key,
    /// Of each page of `tokens`; of a partly filled last one only where others see or continue the span.
    keys: Vec<Key>,
    /// Of the whole segment; empty until it starts.
    pub(super) pages: Vec<PageId>,
    /// How many of `tokens` are in the pages.
    pub(super) computed: usize,
    /// A leaf whose numbers have been computed.
    pub(super) finished: bool,
    /// Its first start has been counted.
    pub(super) counted: bool,
    /// Somebody waits for it, or for a span that needs it: see [`Job::refresh`].
    pub(super) required: bool,
}

impl Job {
    /// `model` names the weights by their content.
    pub(super) fn new(id: JobId, adapter: Option<LoadedAdapter>, plan: Plan, model: &str) -> Self {
        let adapter_sha256 = adapter.as_ref().map(|adapter| adapter.sha256.as_str());
        let mut needed = vec![false; plan.spans.len()];
        for index in plan.spans.iter().flat_map(Span::needs) {
            if let Some(needed) = needed.get_mut(index) {
                *needed = true;
            }
        }
        let mut spans: Vec<SpanState> = Vec::with_capacity(plan.spans.len());
        let Plan { spans: planned, grows, stretches_after } = plan;
        for (span, is_needed) in planned.into_iter().zip(needed) {
            let before = span.continues.and_then(|index| spans.get(index)).map(|parent| parent.key_at(span.base));
            let seen: Vec<Key> = span.sees.iter().filter_map(|index| spans.get(*index)).map(SpanState::end).collect();
            let before = before.unwrap_or_else(|| Key::root(model, adapter_sha256, span.stretched, span.first_position, &seen));
            spans.push(SpanState::new(span, before, is_needed));
        }
        let mut job = Self { id, adapter, spans, grows, stretches_after, admitted: false, cached_tokens: 0 };
        job.refresh(|_| ());
        job
    }

    /// Whether its last span has come to need another rotation.
    pub(super) fn outgrows(&self) -> bool {
        let last = self.spans.last().map(|state| &state.span).filter(|span| !span.stretched);
        self.stretches_after.zip(last).is_some_and(|(after, span)| span.first_position + span.segment_tokens() > after)
    }

    /// Begins anew as a stretched sequence. Its pages have been let go.
    pub(super) fn stretch(&mut self, model: &str) {
        let spans = std::mem::take(&mut self.spans).into_iter().map(|state| Span { stretched: true, ..state.span });
        let plan = Plan { spans: spans.collect(), grows: self.grows, stretches_after: self.stretches_after };
        self.spans = Self::new(self.id, self.adapter.clone(), plan, model).spans;
        self.spans.iter_mut().for_each(|state| state.counted = true);
    }

    /// Finds what is still required and hands the pages of the rest to `release`.
    pub(super) fn refresh(&mut self, mut release: impl FnMut(&[PageId])) {
        for span in &mut self.spans {
            span.required = false;
        }
        for index in (0..self.spans.len()).rev() {
            let last = index + 1 == self.spans.len();
            let Some(span) = self.spans.get_mut(index) else { continue };
            span.required |= span.span.is_leaf() && !span.finished || self.grows && last;
            if span.required && !span.is_complete() {
                let needs: Vec<usize> = span.span.needs().collect();
                for needed in needs {
                    if let Some(needed) = self.spans.get_mut(needed) {
                        needed.required = true;
                    }
                }
            } else if !span.required && !span.pages.is_empty() {
                release(&span.pages);
                span.let_go();
            }
        }
    }

    /// The first span that somebody waits for and that is not complete.
    pub(super) fn next_span(&self) -> Option<usize> {
        self.spans.iter().position(|span| span.required && !span.is_complete())
    }

    pub(super) fn is_ready(&self, span: &SpanState) -> bool {
        span.span.needs().all(|needed| self.spans.get(needed).is_some_and(SpanState::is_complete))
    }
}

impl SpanState {
    fn new(span: Span, root: Key, is_needed: bool) -> Self {
        let mut keys: Vec<Key> = Vec::with_capacity(span.tokens.len().div_ceil(PAGE_TOKENS));
        for page in span.tokens.chunks(PAGE_TOKENS).filter(|page| is_needed || page.len() == PAGE_TOKENS) {
            keys.push(keys.last().unwrap_or(&root).then(page));
        }
        Self { span, root, keys, pages: Vec::new(), computed: 0, finished: false, counted: false, required: false }
    }

    pub(super) fn is_started(&self) -> bool {
        !self.pages.is_empty()
    }

    /// All its tokens are in its pages.
    pub(super) fn is_complete(&self) -> bool {
        self.is_started() && self.computed == self.span.tokens.len()
    }

    pub(super) fn let_go(&mut self) {
        self.pages.clear();
        self.computed = 0;
    }

    pub(super) fn push(&mut self, token: u32) {
        self.span.tokens.push(token);
        self.span.wanted_from = self.span.tokens.len() - 1;
        let page = self.keys.len() * PAGE_TOKENS;
        if let Some(page) = self.span.tokens.get(page..page + PAGE_TOKENS) {
            self.keys.push(self.keys.last().unwrap_or(&self.root).then(page));
        }
    }

    /// Pages of `tokens` that can be found, with their keys.
    pub(super) fn findable(&self) -> impl Iterator<Item = (&Key, &[u32])> {
        self.keys.iter().zip(self.span.tokens.chunks(PAGE_TOKENS))
    }

    /// Moves on, and lets the pages that are now complete be found.
    pub(super) fn advance(&mut self, count: usize, pool: &mut Pool) {
        let done = self.computed / PAGE_TOKENS;
        self.computed += count;
        let own_pages = self.pages.iter().skip(self.span.base / PAGE_TOKENS);
        for ((page, (key, tokens)), index) in own_pages.zip(self.findable()).zip(0..).skip(done) {
            if index * PAGE_TOKENS + tokens.len() <= self.computed {
                pool.register(*page, *key, tokens);
            }
        }
        self.finished |= self.span.is_leaf() && self.is_complete();
    }

    pub(super) fn segment(&self) -> Segment<'_> {
        Segment { pages: &self.pages, tokens: self.span.base + self.computed, first_position: self.span.first_position }
    }

    /// The key of the page that ends before the segment's token `at`, a whole number of pages.
    fn key_at(&self, at: usize) -> Key {
        let pages = at.saturating_sub(self.span.base) / PAGE_TOKENS;
        pages.checked_sub(1).and_then(|last| self.keys.get(last)).copied().unwrap_or(self.root)
    }

    /// The key of its last page.
    fn end(&self) -> Key {
        self.keys.last().copied().unwrap_or(self.root)
    }
}
