//! From products of queries and keys to the weights of values.

use super::{BLOCK_TOKENS, KeyBlock};
use crate::kernels::functions::exp;
use crate::kernels::lanes::{LANES_LIMIT, keep_lanes};
use crate::kernels::rows::soft_cap;
use crate::kernels::{Element, PAGE_TOKENS, Simd};

/// What becomes of a score, and which keys have one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScoreRule {
    pub(crate) scale: f32,
    pub(crate) soft_cap: Option<f32>,
    /// A query sees itself and so many positions less one before it.
    pub(crate) window: Option<usize>,
}

impl ScoreRule {
    /// Places of the block, from its start, that a query at `position` and `place` sees.
    #[inline(always)]
    pub(super) fn visible(&self, block: &KeyBlock<'_>, position: usize, place: usize) -> (usize, usize) {
        let tokens = if block.is_last { place + 1 } else { block.segment.tokens };
        let oldest = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let first = oldest.saturating_sub(block.segment.first_position);
        let from_start = |place: usize| place.saturating_sub(block.start).min(BLOCK_TOKENS);
        (from_start(first), from_start(tokens))
    }
}

/// One query's scores of a block.
pub(super) struct ScoreRow<'a, E> {
    pub(super) scores: &'a mut [f32],
    pub(super) weights: &'a mut [E],
    pub(super) visible: (usize, usize),
    /// First and end of the pages that hold scores: weights outside `visible` become zero there.
    pub(super) pages: (usize, usize),
    pub(super) slope: f32,
    /// From the query to the block's first token.
    pub(super) distance: f32,
}

impl<E: Element> ScoreRow<'_, E> {
    /// Leaves `e^(score - largest)` as weights; returns the largest score and the exponentials' sum.
    #[inline(always)]
    pub(super) fn exponentials<S: Simd>(self, simd: S, rule: &ScoreRule) -> (f32, f32) {
        let (first, end) = self.visible;
        self.weights[self.pages.0 * PAGE_TOKENS..self.pages.1 * PAGE_TOKENS].fill(E::default());
        if first >= end {
            return (f32::NEG_INFINITY, 0.0);
        }
        let vectors = (first / S::LANES * S::LANES..end).step_by(S::LANES);
        let mut largest = simd.splat(f32::NEG_INFINITY);
        for at in vectors.clone() {
            let score = self.rule(simd, rule, at);
            let score = within(simd, score, at, self.visible, f32::NEG_INFINITY);
            simd.store(&mut self.scores[at..], score);
            largest = simd.max(largest, score);
        }
        let (largest, mut sum) = (simd.largest(largest), simd.splat(0.0));
        for at in vectors {
            let exponential = exp(simd, simd.sub(simd.load(&self.scores[at..]), simd.splat(largest)));
            let exponential = within(simd, exponential, at, self.visible, 0.0);
            sum = simd.add(sum, exponential);
            simd.store(&mut self.weights[at..], exponential);
        }
        (largest, simd.sum(sum))
    }

    #[inline(always)]
    fn rule<S: Simd>(&self, simd: S, rule: &ScoreRule, at: usize) -> S::Vector {
        const STEPS: [f32; LANES_LIMIT] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
        let mut score = simd.mul(simd.load(&self.scores[at..]), simd.splat(rule.scale));
        if let Some(cap) = rule.soft_cap {
            score = soft_cap(simd, score, cap);
        }
        if self.slope != 0.0 {
            let distance = simd.add(simd.load(&STEPS), simd.splat(self.distance + at as f32));
            score = simd.mul_add(distance, simd.splat(self.slope), score);
        }
        score
    }
}

#[inline(always)]
fn within<S: Simd>(simd: S, a: S::Vector, at: usize, (first, end): (usize, usize), outside: f32) -> S::Vector {
    if at >= first && at + S::LANES <= end {
        return a;
    }
    keep_lanes(simd, a, (first.saturating_sub(at), end.saturating_sub(at)), outside)
}
