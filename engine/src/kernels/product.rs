//! Matrix products: a tile of sums in registers, one step of the inner dimension after the other.
//!
//! Every sum starts at its bias and takes its terms in order, whatever tile its row falls into.

use super::simd::{LINE_BYTES, PREFETCH_BYTES};
use super::{Kernel, Panels, Simd, Sink, Weight};

/// What of the left-hand side stays in the cache while the panels of the right-hand side pass by.
const CHUNK_BYTES: usize = 512 * 1024;

/// `input · weightsᵀ + bias`, for `rows` rows of `input: [rows][weights.inner()]`.
pub(crate) struct Product<'a, W: Weight, O> {
    pub(crate) input: &'a [W::Input],
    pub(crate) rows: usize,
    pub(crate) weights: Panels<'a, W>,
    pub(crate) sink: O,
}

impl<W: Weight, O: Sink> Kernel for Product<'_, W, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let inner = self.weights.inner();
        assert_eq!(self.weights.panel_columns(), 2 * S::LANES, "weights are packed for this path");
        let chunk_rows = (CHUNK_BYTES / (inner * size_of::<W::Input>()).max(1)).next_multiple_of(S::TILE_ROWS);
        for first_row in (0..self.rows).step_by(chunk_rows) {
            for (column, words, bias) in self.weights.each() {
                let block = Block::<S, W> {
                    left: &self.input[first_row * inner..],
                    left_stride: inner,
                    rows: chunk_rows.min(self.rows - first_row),
                    right: words,
                    right_stride: 2 * S::LANES,
                    steps: inner / W::PER_WORD,
                    start: [simd.load(bias), simd.load(&bias[S::LANES..])],
                };
                block.run(simd, first_row, column, &mut self.sink);
            }
        }
    }
}

/// Rows of the left-hand side times two vectors of columns.
pub(super) struct Block<'a, S: Simd, W: Weight> {
    pub(super) left: &'a [W::Input],
    pub(super) left_stride: usize,
    pub(super) rows: usize,
    pub(super) right: &'a [W::Word],
    /// In words.
    pub(super) right_stride: usize,
    /// Words of the inner dimension.
    pub(super) steps: usize,
    /// What the sums start at.
    pub(super) start: [S::Vector; 2],
}

impl<S: Simd, W: Weight> Block<'_, S, W> {
    /// Gives the sums to `sink`, counting rows from `first_row` and columns from `column`.
    #[inline(always)]
    pub(super) fn run<O: Sink>(&self, simd: S, first_row: usize, column: usize, sink: &mut O) {
        if self.rows == 0 {
            return;
        }
        let left_end = (self.rows - 1) * self.left_stride + self.steps * W::PER_WORD;
        let right_end = self.steps.saturating_sub(1) * self.right_stride + 2 * S::LANES;
        assert!(self.left.len() >= left_end && (self.steps == 0 || self.right.len() >= right_end), "operands cover the product");
        let mut row = 0;
        while row < self.rows {
            // SAFETY: the assertion above; each tile's rows end at `self.rows`.
            unsafe {
                row += match S::TILE_ROWS.min(self.rows - row) {
                    12.. => self.tile::<12, O>(simd, row, first_row, column, sink),
                    8.. => self.tile::<8, O>(simd, row, first_row, column, sink),
                    6.. => self.tile::<6, O>(simd, row, first_row, column, sink),
                    4.. => self.tile::<4, O>(simd, row, first_row, column, sink),
                    2.. => self.tile::<2, O>(simd, row, first_row, column, sink),
                    _ => self.tile::<1, O>(simd, row, first_row, column, sink),
                }
            }
        }
    }

    /// # Safety
    /// The operands cover rows `row..row + ROWS`, `steps` words of each, and two vectors of every step.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, O: Sink>(&self, simd: S, row: usize, first_row: usize, column: usize, sink: &mut O) -> usize {
        let mut sums = [self.start; ROWS];
        let left = self.left.as_ptr().wrapping_add(row * self.left_stride);
        let right = self.right.as_ptr();
        for step in 0..self.steps {
            // SAFETY: the caller's promise.
            unsafe {
                let words = right.add(step * self.right_stride);
                if ROWS > 1 {
                    simd.prefetch(words.wrapping_byte_add(PREFETCH_BYTES));
                    simd.prefetch(words.wrapping_byte_add(PREFETCH_BYTES + LINE_BYTES));
                }
                let [first, second] = W::load_at(simd, words);
                for (at, sums) in sums.iter_mut().enumerate() {
                    let word = W::splat_at(simd, left.add(at * self.left_stride + step * W::PER_WORD));
                    sums[0] = W::multiply(simd, sums[0], word, first);
                    sums[1] = W::multiply(simd, sums[1], word, second);
                }
            }
        }
        for (at, [low, high]) in sums.into_iter().enumerate() {
            sink.put(simd, first_row + row + at, column, low);
            sink.put(simd, first_row + row + at, column + S::LANES, high);
        }
        ROWS
    }
}
