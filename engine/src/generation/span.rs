//! What a request has to have computed: spans of tokens, and what each of them sees.
//!
//! Generation and scoring are the same work to the scheduler: spans that see whole other spans (sources see the head, a
//! tail sees head and sources) or that continue another span where it ends (branches of a tree of prompts).

use crate::decoder::PAGE_TOKENS;

/// Tokens at consecutive positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Spans before it whose every token it sees, in the order in which attention takes them.
    pub(crate) sees: Vec<usize>,
    /// The span whose segment it goes on with. It holds that span's full pages too, and a copy of its last one.
    pub(crate) continues: Option<usize>,
    /// Tokens on the pages that it shares with the span it continues: whole pages.
    pub(crate) base: usize,
    /// How many of `tokens` lie on the last, partly filled page of the span it continues.
    pub(crate) copied: usize,
    /// What follows the shared pages. Never empty.
    pub(crate) tokens: Vec<u32>,
    /// Position of the segment's first token, which is that of the span it continues.
    pub(crate) first_position: usize,
    /// The first of `tokens` whose hidden state is asked for; `tokens.len()` where none is.
    pub(crate) wanted_from: usize,
    /// It belongs to a sequence that is longer than what its model turns as it was first trained. So do those it needs.
    pub(crate) stretched: bool,
}

impl Span {
    /// Whether someone waits for its numbers rather than for its keys and values.
    pub(crate) fn is_leaf(&self) -> bool {
        self.wanted_from < self.tokens.len()
    }

    /// Spans that must be complete before it starts.
    pub(crate) fn needs(&self) -> impl Iterator<Item = usize> + '_ {
        self.sees.iter().copied().chain(self.continues)
    }

    /// Tokens of the whole segment.
    pub(crate) fn segment_tokens(&self) -> usize {
        self.base + self.tokens.len()
    }

    /// Pages that it does not share with the span it continues.
    fn own_pages(&self) -> usize {
        self.tokens.len().div_ceil(PAGE_TOKENS)
    }
}

/// Spans in an order in which each comes after those it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) spans: Vec<Span>,
    /// The last span gets further tokens as they are chosen.
    pub(crate) grows: bool,
    /// Positions after which a sequence is a stretched one, where there are such.
    pub(crate) stretches_after: Option<usize>,
}

impl Plan {
    /// Adds a segment of its own. None where there is nothing to compute: nobody needs to see it.
    pub(crate) fn segment(&mut self, sees: Vec<usize>, first_position: usize, tokens: Vec<u32>) -> Option<usize> {
        if tokens.is_empty() {
            return None;
        }
        let wanted_from = tokens.len();
        self.spans.push(Span { sees, first_position, tokens, wanted_from, ..Span::default() });
        Some(self.spans.len() - 1)
    }

    /// Makes its sequences stretched ones where the longest is. Those of a plan end at one position.
    pub(crate) fn stretch(&mut self) {
        let stretched = self.stretches_after.is_some_and(|after| self.end() > after);
        self.spans.iter_mut().for_each(|span| span.stretched = stretched);
    }

    /// Adds a span that goes on where `parent` ends.
    pub(crate) fn branch(&mut self, parent: Option<usize>, tokens: &[u32]) -> usize {
        let mut span = Span::default();
        if let Some((before, index)) = parent.and_then(|index| Some((self.spans.get(index)?, index))) {
            span.base = before.segment_tokens() / PAGE_TOKENS * PAGE_TOKENS;
            let carried = before.tokens.get(span.base - before.base..).unwrap_or_default();
            span = Span { continues: Some(index), copied: carried.len(), tokens: carried.to_vec(), sees: before.sees.clone(), ..span };
            span.first_position = before.first_position;
            span.stretched = before.stretched;
        }
        span.tokens.extend_from_slice(tokens);
        span.wanted_from = span.tokens.len();
        self.spans.push(span);
        self.spans.len() - 1
    }

    /// Asks for the hidden states of the last `count` tokens of the last span.
    pub(crate) fn want_last(&mut self, count: usize) {
        if let Some(span) = self.spans.last_mut() {
            span.wanted_from = span.tokens.len().saturating_sub(count);
        }
    }

    /// How many tokens may be generated, were there so many pages; none where not even the prompt fits. The last token
    /// of an answer needs no place.
    pub(crate) fn room(&self, pages: usize) -> Option<usize> {
        let (last, others) = self.spans.split_last()?;
        let free = pages.checked_sub(others.iter().map(Span::own_pages).sum())?;
        (free * PAGE_TOKENS + 1).checked_sub(last.tokens.len())
    }

    /// The first position that no span reaches.
    pub(crate) fn end(&self) -> usize {
        self.spans.iter().map(|span| span.first_position + span.segment_tokens()).max().unwrap_or_default()
    }

    /// Pages that must fit in the cache for the plan to be run alone, one span after the other. Of a plan that grows,
    /// before it does.
    pub(crate) fn pages_needed(&self) -> usize {
        let mut last_needed: Vec<usize> = (0..self.spans.len()).collect();
        for (index, span) in self.spans.iter().enumerate().rev() {
            // A span that continues another holds that one's pages for as long as it holds its own.
            let held_until = last_needed.get(index).copied().unwrap_or(index);
            for (needed, until) in span.sees.iter().map(|seen| (*seen, index)).chain(span.continues.map(|parent| (parent, held_until))) {
                if let Some(last) = last_needed.get_mut(needed) {
                    *last = until.max(*last);
                }
            }
        }
        let mut let_go = vec![0; self.spans.len()];
        let (mut held, mut most) = (0, 0);
        for (index, span) in self.spans.iter().enumerate() {
            held += span.own_pages();
            most = most.max(held);
            if let Some(pages) = last_needed.get(index).and_then(|last| let_go.get_mut(*last)) {
                *pages += span.own_pages();
            }
            held -= let_go.get(index).copied().unwrap_or_default();
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_shares_whole_pages_and_copies_the_rest() {
        let mut plan = Plan::default();
        let root = plan.branch(None, &(0..40).collect::<Vec<_>>());
        let child = plan.branch(Some(root), &[90, 91]);
        let grandchild = plan.branch(Some(child), &(100..130).collect::<Vec<_>>());
        let child = &plan.spans[child];
        assert_eq!((child.base, child.copied, child.segment_tokens()), (32, 8, 42));
        assert_eq!(child.tokens, [32, 33, 34, 35, 36, 37, 38, 39, 90, 91]);
        let grandchild = &plan.spans[grandchild];
        assert_eq!((grandchild.base, grandchild.copied, grandchild.segment_tokens()), (32, 10, 72));
    }

    #[test]
    fn pages_are_counted_while_someone_needs_them() {
        let mut plan = Plan::default();
        let head = plan.segment(vec![], 0, vec![1; 33]);
        let sources: Vec<usize> = (0..3).filter_map(|_| plan.segment(head.into_iter().collect(), 33, vec![2; 32])).collect();
        assert_eq!(plan.pages_needed(), 3, "sources that nobody sees are let go");
        plan.segment([head.into_iter().collect(), sources.clone()].concat(), 65, vec![3; 64]);
        plan.segment([head.into_iter().collect(), sources].concat(), 65, vec![3; 96]);
        assert_eq!(plan.pages_needed(), 2 + 3 + 3);
        assert_eq!(plan.segment(vec![], 0, vec![]), None);
    }

    #[test]
    fn a_branch_keeps_the_pages_that_it_shares() {
        let mut plan = Plan::default();
        let root = plan.branch(None, &[1; 64]);
        let child = plan.branch(Some(root), &[2; 32]);
        plan.branch(Some(child), &[3; 32]);
        plan.branch(Some(child), &[4; 64]);
        assert_eq!(plan.pages_needed(), 2 + 1 + 2);
    }
}
