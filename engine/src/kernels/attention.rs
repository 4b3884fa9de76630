//! Attention of one text to itself, head by head, with softmax in f32.

use std::ops::Range;

use super::functions::exp;
use super::product::Block;
use super::{Buffer, Element, Kernel, Overwrite, Scaled, Simd};

/// Room that attention needs beside its input, for texts of up to a number of tokens.
pub(crate) struct Scratch<E: Element> {
    /// Keys of one head, `[tokens / panel][words of a head][panel]`.
    keys: Buffer<E::Word>,
    /// Values of one head, `[tokens / PER_WORD][head width]`: a word is one column of as many tokens as it holds.
    values: Buffer<E::Word>,
    /// `[tile rows][tokens, in whole panels]`
    scores: Buffer<f32>,
    /// Their exponentials, in the same places.
    weights: Buffer<E>,
    /// What every row of scores starts at: 0 for a token, -∞ in the rest of the last panel.
    mask: Buffer<f32>,
}

/// The largest panel and the most tile rows of any path.
const PANEL_LIMIT: usize = 32;
const ROWS_LIMIT: usize = 12;

impl<E: Element> Scratch<E> {
    pub(crate) fn new(tokens: usize, head_width: usize) -> Self {
        let tokens = tokens.next_multiple_of(PANEL_LIMIT);
        Self {
            keys: Buffer::new(tokens * head_width / E::PER_WORD),
            values: Buffer::new(tokens * head_width / E::PER_WORD),
            scores: Buffer::new(ROWS_LIMIT * tokens),
            weights: Buffer::new(ROWS_LIMIT * tokens),
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
pub(crate) struct Attention<'a, E: Element, O: Element> {
    /// `[tokens][3 · width]`: queries, keys, values.
    pub(crate) projected: &'a [E],
    /// `[tokens][width]`
    pub(crate) out: &'a mut [O],
    pub(crate) tokens: usize,
    pub(crate) shape: AttentionShape,
    /// A query sees so many tokens to either side; all where there is none.
    pub(crate) reach: Option<usize>,
    pub(crate) scratch: &'a mut Scratch<E>,
}

impl<E: Element, O: Element> Kernel for Attention<'_, E, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let panel = 2 * S::LANES;
        let padded = self.tokens.next_multiple_of(panel);
        self.scratch.mask[..self.tokens].fill(0.0);
        self.scratch.mask[self.tokens..padded].fill(f32::NEG_INFINITY);
        for head in 0..self.shape.heads {
            self.gather_keys(head, panel, padded);
            self.gather_values(head);
            for row in (0..self.tokens).step_by(S::TILE_ROWS) {
                let rows = S::TILE_ROWS.min(self.tokens - row);
                let tile = Tile { head, row, rows, keys: self.keys(row..row + rows, panel, padded) };
                self.score(simd, &tile);
                self.forget_far(&tile);
                let (mut factors, stride) = ([0.0; ROWS_LIMIT], tile.keys.len());
                let scores = self.scratch.scores.chunks_exact(stride).zip(self.scratch.weights.chunks_exact_mut(stride));
                for ((scores, weights), factor) in scores.zip(&mut factors).take(rows) {
                    *factor = 1.0 / exponentials(simd, scores, weights);
                }
                self.mix(simd, &tile, &factors);
            }
        }
    }
}

/// A few queries of one head.
struct Tile {
    head: usize,
    row: usize,
    rows: usize,
    /// Those that any of them sees, in whole panels.
    keys: Range<usize>,
}

impl<E: Element, O: Element> Attention<'_, E, O> {
    /// What these queries see, in whole panels.
    fn keys(&self, queries: Range<usize>, panel: usize, padded: usize) -> Range<usize> {
        let Some(reach) = self.reach else {
            return 0..padded;
        };
        let end = queries.end.saturating_add(reach).min(self.tokens).next_multiple_of(panel);
        queries.start.saturating_sub(reach) / panel * panel..end
    }

    /// What is beyond a query's reach counts for nothing.
    fn forget_far(&mut self, tile: &Tile) {
        let Some(reach) = self.reach else {
            return;
        };
        for (query, scores) in (tile.row..tile.row + tile.rows).zip(self.scratch.scores.chunks_exact_mut(tile.keys.len())) {
            for (key, score) in tile.keys.clone().zip(scores) {
                if key.abs_diff(query) > reach {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
    }

    /// Copies one head's keys out of the projected rows, transposed.
    #[inline(always)]
    fn gather_keys(&mut self, head: usize, panel: usize, padded: usize) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let words = head_width / E::PER_WORD;
        let rows = self.projected.chunks_exact(3 * width);
        for (token, row) in rows.enumerate().take(self.tokens) {
            let keys = &mut self.scratch.keys[(token / panel) * panel * words + token % panel..];
            let numbers = row[width + head * head_width..][..head_width].chunks_exact(E::PER_WORD);
            for (key, numbers) in keys.iter_mut().step_by(panel).zip(numbers) {
                *key = E::pack(|at| numbers[at]);
            }
        }
        for token in self.tokens..padded {
            let keys = &mut self.scratch.keys[(token / panel) * panel * words + token % panel..];
            keys.iter_mut().step_by(panel).take(words).for_each(|key| *key = E::Word::default());
        }
    }

    /// Copies one head's values; a last word that has too few tokens is filled with zeros.
    #[inline(always)]
    fn gather_values(&mut self, head: usize) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let start = 2 * width + head * head_width;
        let rows = self.projected[..self.tokens * 3 * width].chunks(E::PER_WORD * 3 * width);
        for (rows, values) in rows.zip(self.scratch.values.chunks_exact_mut(head_width)) {
            let zeros = &[E::default(); 32];
            for column in (0..head_width).step_by(zeros.len()) {
                let first = &rows[start + column..][..zeros.len()];
                let second = rows.get(3 * width + start + column..).map_or(&zeros[..], |row| &row[..zeros.len()]);
                for (value, numbers) in values[column..].iter_mut().zip(first.iter().zip(second)) {
                    *value = E::pack(|at| if at == 0 { *numbers.0 } else { *numbers.1 });
                }
            }
        }
    }

    /// Scores of the queries, `[rows][keys]`.
    #[inline(always)]
    fn score<S: Simd>(&mut self, simd: S, tile: &Tile) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let (panel, words) = (2 * S::LANES, head_width / E::PER_WORD);
        let mut sink = Overwrite { out: &mut self.scratch.scores, stride: tile.keys.len() };
        let panels = self.scratch.keys[tile.keys.start * words..tile.keys.end * words].chunks_exact(panel * words);
        let masks = self.scratch.mask[tile.keys.clone()].chunks_exact(panel);
        for (at, (keys, mask)) in panels.zip(masks).enumerate() {
            let block = Block::<S, E> {
                left: &self.projected[tile.row * 3 * width + tile.head * head_width..],
                left_stride: 3 * width,
                rows: tile.rows,
                right: keys,
                right_stride: panel,
                steps: words,
                start: [simd.load(mask), simd.load(&mask[S::LANES..])],
            };
            block.run(simd, 0, at * panel, &mut sink);
        }
    }

    /// The values' mean, weighted by the exponentials of the scores.
    #[inline(always)]
    fn mix<S: Simd>(&mut self, simd: S, tile: &Tile, factors: &[f32]) {
        let (width, head_width) = (self.shape.width(), self.shape.head_width);
        let mut sink = Scaled { out: &mut self.out[tile.row * width..], stride: width, column: tile.head * head_width, factors };
        let values = &self.scratch.values[tile.keys.start / E::PER_WORD * head_width..];
        for column in (0..head_width).step_by(2 * S::LANES) {
            let block = Block::<S, E> {
                left: &self.scratch.weights,
                left_stride: tile.keys.len(),
                rows: tile.rows,
                right: &values[column..],
                right_stride: head_width,
                steps: (tile.keys.end.min(self.tokens) - tile.keys.start).div_ceil(E::PER_WORD),
                start: [simd.splat(0.0); 2],
            };
            block.run(simd, 0, column, &mut sink);
        }
    }
}

/// `e^(x - largest)` of every score, as weights; returns their sum. Masked scores become nothing.
#[inline(always)]
fn exponentials<S: Simd, E: Element>(simd: S, scores: &[f32], weights: &mut [E]) -> f32 {
    let mut largest = simd.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(S::LANES) {
        largest = simd.max(largest, simd.load(scores));
    }
    let largest = simd.splat(simd.largest(largest));
    let mut sum = simd.splat(0.0);
    for (scores, weights) in scores.chunks_exact(S::LANES).zip(weights.chunks_exact_mut(S::LANES)) {
        let exponential = exp(simd, simd.sub(simd.load(scores), largest));
        sum = simd.add(sum, exponential);
        simd.store(weights, exponential);
    }
    simd.sum(sum)
}
