//! Attention of one text to itself, head by head, with softmax in f32.

use super::functions::exp;
use super::product::Block;
use super::{Buffer, Element, Kernel, Scaled, Simd, Store};

/// Room that attention needs beside its input, for texts of up to a number of tokens.
pub(crate) struct Scratch {
    /// Keys of one head, `[tokens / panel][head width][panel]`.
    keys: Buffer<f32>,
    /// Values of one head, `[tokens][head width]`.
    values: Buffer<f32>,
    /// `[tile rows][tokens, in whole panels]`
    scores: Buffer<f32>,
    /// What every row of scores starts at: 0 for a token, -∞ in the rest of the last panel.
    mask: Buffer<f32>,
}

/// The largest panel and the most tile rows of any path.
const PANEL_LIMIT: usize = 32;
const ROWS_LIMIT: usize = 12;

impl Scratch {
    pub(crate) fn new(tokens: usize, head_width: usize) -> Self {
        let tokens = tokens.next_multiple_of(PANEL_LIMIT);
        Self {
            keys: Buffer::new(tokens * head_width),
            values: Buffer::new(tokens * head_width),
            scores: Buffer::new(ROWS_LIMIT * tokens),
            mask: Buffer::new(tokens),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    pub(crate) heads: usize,
    /// A multiple of 32.
    pub(crate) head_width: usize,
}

impl AttentionShape {
    pub(crate) fn width(self) -> usize {
        self.heads * self.head_width
    }
}

/// One text's rows: `softmax(Q Kᵀ) V` for each head. The queries come scaled by `1 / √head width`.
pub(crate) struct Attention<'a, E> {
    /// `[tokens][3 · width]`: queries, keys, values.
    pub(crate) projected: &'a [f32],
    /// `[tokens][width]`
    pub(crate) out: &'a mut [E],
    pub(crate) tokens: usize,
    pub(crate) shape: AttentionShape,
    pub(crate) scratch: &'a mut Scratch,
}

impl<E: Element> Kernel for Attention<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let panel = 2 * S::LANES;
        let padded = self.tokens.next_multiple_of(panel);
        self.scratch.mask[..self.tokens].fill(0.0);
        self.scratch.mask[self.tokens..padded].fill(f32::NEG_INFINITY);
        for head in 0..self.shape.heads {
            self.gather(head, panel, padded);
            for row in (0..self.tokens).step_by(S::TILE_ROWS) {
                let rows = S::TILE_ROWS.min(self.tokens - row);
                self.score(simd, head, row, rows, padded);
                let mut factors = [0.0; ROWS_LIMIT];
                for (scores, factor) in self.scratch.scores.chunks_exact_mut(padded).zip(&mut factors).take(rows) {
                    *factor = 1.0 / exponentials(simd, scores);
                }
                self.mix(simd, head, row, rows, (padded, &factors));
            }
        }
    }
}

impl<E: Element> Attention<'_, E> {
    /// Copies one head's keys, transposed, and values out of the projected rows.
    #[inline(always)]
    fn gather(&mut self, head: usize, panel: usize, padded: usize) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let start = head * head_width;
        let rows = self.projected.chunks_exact(3 * width);
        for (token, row) in rows.enumerate().take(self.tokens) {
            let keys = &mut self.scratch.keys[(token / panel) * panel * head_width + token % panel..];
            for (key, number) in keys.iter_mut().step_by(panel).zip(&row[width + start..][..head_width]) {
                *key = *number;
            }
            self.scratch.values[token * head_width..][..head_width].copy_from_slice(&row[2 * width + start..][..head_width]);
        }
        for token in self.tokens..padded {
            let keys = &mut self.scratch.keys[(token / panel) * panel * head_width + token % panel..];
            keys.iter_mut().step_by(panel).take(head_width).for_each(|key| *key = 0.0);
        }
    }

    /// Scores of a few queries against every key.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, head: usize, row: usize, rows: usize, padded: usize) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let panel = 2 * S::LANES;
        let mut sink = Store { out: &mut self.scratch.scores, stride: padded };
        for (at, keys) in self.scratch.keys[..padded * head_width].chunks_exact(panel * head_width).enumerate() {
            let mask = &self.scratch.mask[at * panel..][..panel];
            let block = Block::<S, f32> {
                left: &self.projected[row * 3 * width + head * head_width..],
                left_stride: 3 * width,
                rows,
                right: keys,
                right_stride: panel,
                steps: head_width,
                start: [simd.load(mask), simd.load(&mask[S::LANES..])],
            };
            block.run(simd, 0, at * panel, &mut sink);
        }
    }

    /// The values' mean, weighted by the rows of scores.
    #[inline(always)]
    fn mix<S: Simd>(&mut self, simd: S, head: usize, row: usize, rows: usize, (padded, factors): (usize, &[f32])) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let mut sink = Scaled { out: &mut self.out[row * width..], stride: width, column: head * head_width, factors };
        for column in (0..head_width).step_by(2 * S::LANES) {
            let block = Block::<S, f32> {
                left: &self.scratch.scores,
                left_stride: padded,
                rows,
                right: &self.scratch.values[column..],
                right_stride: head_width,
                steps: self.tokens,
                start: [simd.splat(0.0); 2],
            };
            block.run(simd, 0, column, &mut sink);
        }
    }
}

/// `e^(x - largest)` of every score, in place; returns their sum. Masked scores become nothing.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        largest = simd.max(largest, simd.load(scores));
    }
    let largest = simd.splat(simd.largest(largest));
    let mut sum = simd.splat(0.0);
    for scores in scores.chunks_exact_mut(S::LANES) {
        let exponential = exp(simd, simd.sub(simd.load(scores), largest));
        sum = simd.add(sum, exponential);
        simd.store(scores, exponential);
    }
    simd.sum(sum)
}
