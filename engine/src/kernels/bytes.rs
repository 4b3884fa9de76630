//! Products of bytes: weights of eight bits, and rows that are quantised as they come. Groups of each share a scale.
//!
//! Within a group sums are whole numbers and exact; groups are added in f32, in order, so that a result depends on its
//! row alone. Products are as quick as [`super::blocks`]' of Q8_0; rows are quantised in a tenth of the time, because what
//! byte products need beside the bytes is known of the weights, not summed over each row, and factors stay f32.

use std::ops::Range;

use super::{Buffer, Cpu, Kernel, Simd, Sink};
pub(crate) use input::ByteInput;

mod input;

/// Numbers of a row, or of a column, that share a scale. MiniLM's vectors lose half as much again with 64, and seven times as
/// much with whole rows and columns.
pub(crate) const GROUP: usize = 32;
/// The largest byte either way: the smallest, -128, would leave no room in 16 bits for two products.
const LARGEST: f32 = 127.0;
/// Bytes of a row that one step multiplies.
const STEP: usize = 4;
/// What of the rows stays in the cache while the panels pass by.
const CHUNK_BYTES: usize = 256 * 1024;

/// A weight matrix `[columns][inner]` and its bias, cut into panels as [`super::Matrix`] is. A word holds four bytes of a
/// column; a weight is its byte times its group's factor.
pub(crate) struct ByteMatrix {
    /// A panel is `[inner / STEP][columns of a panel]`.
    words: Buffer<u32>,
    /// `[panels][groups][columns of a panel]`
    factors: Buffer<f32>,
    /// What a group's sum starts at where input bytes are stored with 128 added, in the same places.
    starts: Buffer<u32>,
    bias: Buffer<f32>,
    inner: usize,
    panel_columns: usize,
}

impl ByteMatrix {
    /// As [`super::Matrix::pack`]; `inner` is whole groups.
    pub(crate) fn pack(weights: &[f32], bias: &[f32], panel_columns: usize) -> Self {
        let columns = bias.len();
        let inner = weights.len() / columns.max(1);
        assert!(weights.len() == columns * inner && inner.is_multiple_of(GROUP), "weights and bias agree, and are whole groups");
        assert!(columns.is_multiple_of(panel_columns), "the shape is cut into whole panels");
        let (steps, groups) = (inner / STEP, inner / GROUP);
        let mut packed = Self {
            words: Buffer::new(columns * steps),
            factors: Buffer::new(columns * groups),
            starts: Buffer::new(columns * groups),
            bias: Buffer::new(columns),
            inner,
            panel_columns,
        };
        packed.bias.copy_from_slice(bias);
        for (column, numbers) in weights.chunks_exact(inner.max(1)).enumerate() {
            let (panel, within) = (column / panel_columns, column % panel_columns);
            for (group, numbers) in numbers.as_chunks().0.iter().enumerate() {
                let (factor, bytes) = quantised(numbers);
                let at = (panel * groups + group) * panel_columns + within;
                packed.factors[at] = factor;
                packed.starts[at] = (-128 * bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>()).cast_unsigned();
                let first = (panel * steps + group * (GROUP / STEP)) * panel_columns + within;
                for (step, bytes) in bytes.as_chunks::<STEP>().0.iter().enumerate() {
                    packed.words[first + step * panel_columns] = u32::from_le_bytes(bytes.map(i8::cast_unsigned));
                }
            }
        }
        packed
    }
}

/// A group's factor and bytes.
fn quantised(numbers: &[f32; GROUP]) -> (f32, [i8; GROUP]) {
    let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let inverse = if largest > input::LEAST { LARGEST / largest } else { 0.0 };
    (largest / LARGEST, numbers.map(|number| (number * inverse).round_ties_even() as i8))
}

impl ByteInput {
    /// As [`Cpu::multiply`], of some of the rows, counted from the first of them.
    pub(crate) fn multiply<O: Sink>(&self, cpu: Cpu, rows: Range<usize>, weights: &ByteMatrix, sink: O) {
        cpu.run(ByteProduct { input: self, rows, weights, sink });
    }
}

struct ByteProduct<'a, O> {
    input: &'a ByteInput,
    rows: Range<usize>,
    weights: &'a ByteMatrix,
    sink: O,
}

impl<O: Sink> Kernel for ByteProduct<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let ByteMatrix { words, starts, factors, bias, inner, panel_columns } = self.weights;
        let (inner, panel_columns) = (*inner, *panel_columns);
        assert!(panel_columns == 2 * S::LANES && inner == self.input.width(), "weights are packed for this path and input");
        let (steps, groups) = (inner / STEP, inner / GROUP);
        let chunk_rows = (CHUNK_BYTES / inner.max(1)).next_multiple_of(S::BYTE_TILE_ROWS);
        for first_row in self.rows.clone().step_by(chunk_rows) {
            let rows = first_row..self.rows.end.min(first_row + chunk_rows);
            let (bytes, scales) = self.input.rows(rows.clone());
            for panel in 0..bias.len() / panel_columns {
                let columns = panel * panel_columns..(panel + 1) * panel_columns;
                let block = Panel {
                    bytes,
                    scales,
                    rows: rows.len(),
                    words: &words[panel * steps * panel_columns..][..steps * panel_columns],
                    factors: &factors[panel * groups * panel_columns..][..groups * panel_columns],
                    starts: &starts[panel * groups * panel_columns..][..groups * panel_columns],
                    bias: &bias[columns.clone()],
                    inner,
                };
                block.run(simd, (first_row - self.rows.start, columns.start), &mut self.sink);
            }
        }
    }
}

/// Some rows times a panel.
struct Panel<'a> {
    /// `[rows][inner]`
    bytes: &'a [u8],
    /// `[rows][groups]`
    scales: &'a [f32],
    rows: usize,
    words: &'a [u32],
    factors: &'a [f32],
    starts: &'a [u32],
    bias: &'a [f32],
    inner: usize,
}

impl Panel<'_> {
    /// Gives the sums to `sink`, counting rows and columns from `first`.
    #[inline(always)]
    fn run<S: Simd, O: Sink>(&self, simd: S, first: (usize, usize), sink: &mut O) {
        let groups = self.inner / GROUP;
        assert!(self.bytes.len() == self.rows * self.inner && self.scales.len() == self.rows * groups, "the rows are there");
        assert_eq!(self.words.len(), self.inner / STEP * 2 * S::LANES, "the panel is whole");
        assert!(self.factors.len() == groups * 2 * S::LANES && self.starts.len() == self.factors.len(), "its groups are too");
        let mut row = 0;
        while row < self.rows {
            // SAFETY: the assertions above; each tile's rows end at `self.rows`.
            unsafe {
                row += match S::BYTE_TILE_ROWS.min(self.rows - row) {
                    8.. => self.tile::<8, S, O>(simd, row, first, sink),
                    4.. => self.tile::<4, S, O>(simd, row, first, sink),
                    2.. => self.tile::<2, S, O>(simd, row, first, sink),
                    _ => self.tile::<1, S, O>(simd, row, first, sink),
                }
            }
        }
    }

    /// # Safety
    /// Rows `row..row + ROWS` and the whole panel are there.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, S: Simd, O: Sink>(&self, simd: S, row: usize, first: (usize, usize), sink: &mut O) -> usize {
        let groups = self.inner / GROUP;
        let mut sums = [[simd.load(self.bias), simd.load(&self.bias[S::LANES..])]; ROWS];
        let scales = self.scales.as_ptr().wrapping_add(row * groups);
        for group in 0..groups {
            // SAFETY: the caller's promise.
            unsafe {
                let products = self.products::<ROWS, S>(simd, row, group);
                let factors = self.factors.as_ptr().add(group * 2 * S::LANES);
                let (low, high) = (simd.load_at(factors), simd.load_at(factors.add(S::LANES)));
                for (at, (sums, products)) in sums.iter_mut().zip(products).enumerate() {
                    let scale = simd.splat(*scales.add(at * groups + group));
                    *sums = [
                        simd.mul_add(simd.to_vector(products[0]), simd.mul(low, scale), sums[0]),
                        simd.mul_add(simd.to_vector(products[1]), simd.mul(high, scale), sums[1]),
                    ];
                }
            }
        }
        for (at, [low, high]) in sums.into_iter().enumerate() {
            sink.put(simd, first.0 + row + at, first.1, low);
            sink.put(simd, first.0 + row + at, first.1 + S::LANES, high);
        }
        ROWS
    }

    /// One group's sums of products, whole numbers.
    ///
    /// # Safety
    /// As for [`Panel::tile`], and there is such a group.
    #[inline(always)]
    unsafe fn products<const ROWS: usize, S: Simd>(&self, simd: S, row: usize, group: usize) -> [[S::Integers; 2]; ROWS] {
        // SAFETY: the caller's promise; four bytes of a row need not be aligned.
        unsafe {
            let mut products = [self.start(simd, group); ROWS];
            let bytes = self.bytes.as_ptr().add(row * self.inner + group * GROUP);
            let words = self.words.as_ptr().add(group * (GROUP / STEP) * 2 * S::LANES);
            for step in 0..GROUP / STEP {
                let words = words.add(step * 2 * S::LANES);
                let (low, high) = (simd.load_integers_at(words), simd.load_integers_at(words.add(S::LANES)));
                for (at, products) in products.iter_mut().enumerate() {
                    let four = simd.splat_integer(bytes.add(at * self.inner + step * STEP).cast::<u32>().read_unaligned());
                    *products = [simd.add_input_dot(products[0], four, low), simd.add_input_dot(products[1], four, high)];
                }
            }
            products
        }
    }

    /// # Safety
    /// The panel is whole and has the group.
    #[inline(always)]
    unsafe fn start<S: Simd>(&self, simd: S, group: usize) -> [S::Integers; 2] {
        if S::INPUT_ZERO == 0 {
            return [simd.splat_integer(0); 2];
        }
        // SAFETY: the caller's promise.
        unsafe {
            let starts = self.starts.as_ptr().add(group * 2 * S::LANES);
            [simd.load_integers_at(starts), simd.load_integers_at(starts.add(S::LANES))]
        }
    }
}

#[cfg(test)]
mod tests;
