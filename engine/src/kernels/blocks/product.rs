//! Products of bytes: a tile of rows by two vectors of columns, one group of numbers after the other.
//!
//! Within a group sums are whole numbers, in any order; groups are added in order, whatever tile a row falls into.

use std::marker::PhantomData;
use std::ops::Range;

use super::format::{Format, Place, Quants, Scales};
use super::input::{ByteRows, SubBlock};
use super::{BlockPanels, SUB_BLOCK};
use crate::kernels::simd::{LINE_BYTES, PREFETCH_BYTES};
use crate::kernels::{Kernel, Simd, Sink};

/// What of the input stays in the cache while the panels pass by.
const CHUNK_BYTES: usize = 512 * 1024;

/// Some rows of the input times some panels; the sink counts rows from the first of them.
pub(super) struct BlockProduct<'a, F, O> {
    pub(super) weights: BlockPanels<'a>,
    pub(super) input: &'a ByteRows,
    pub(super) rows: Range<usize>,
    pub(super) sink: O,
    pub(super) format: PhantomData<F>,
}

impl<F: Format, O: Sink> Kernel for BlockProduct<'_, F, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let BlockPanels { words, bias, first_column, inner, panel_columns } = self.weights;
        assert!(panel_columns == 2 * S::LANES && inner == self.input.inner(), "weights are packed for this path and input");
        assert!(self.rows.end <= self.input.rows() && inner.is_multiple_of(F::NUMBERS), "operands cover the product");
        let panel_words = inner / F::NUMBERS * F::words(panel_columns);
        let chunk_rows = (CHUNK_BYTES / inner.max(1)).next_multiple_of(S::BYTE_TILE_ROWS);
        for first_row in self.rows.clone().step_by(chunk_rows) {
            for (panel, bias) in bias.chunks_exact(panel_columns).enumerate() {
                let block = Panel::<S, F> {
                    bytes: &self.input.bytes()[first_row * inner..],
                    sub_blocks: &self.input.sub_blocks()[first_row * inner / SUB_BLOCK..],
                    words: &words[panel * panel_words..][..panel_words],
                    inner,
                    start: [simd.load(bias), simd.load(&bias[S::LANES..])],
                    format: PhantomData,
                };
                let rows = chunk_rows.min(self.rows.end - first_row);
                block.run(simd, rows, (first_row - self.rows.start, first_column + panel * panel_columns), &mut self.sink);
            }
        }
    }
}

struct Panel<'a, S: Simd, F> {
    bytes: &'a [i8],
    sub_blocks: &'a [SubBlock],
    words: &'a [u32],
    inner: usize,
    start: [S::Vector; 2],
    format: PhantomData<F>,
}

impl<S: Simd, F: Format> Panel<'_, S, F> {
    /// Gives the sums to `sink`, counting rows and columns from `first`.
    #[inline(always)]
    fn run<O: Sink>(&self, simd: S, rows: usize, first: (usize, usize), sink: &mut O) {
        assert!(self.bytes.len() >= rows * self.inner && self.sub_blocks.len() >= rows * self.inner / SUB_BLOCK, "the rows are there");
        assert_eq!(self.words.len(), self.inner / F::NUMBERS * F::words(2 * S::LANES), "the panel is whole");
        let tile_rows = if F::Quants::WHOLE_BYTES { S::SIGNED_TILE_ROWS } else { S::BYTE_TILE_ROWS };
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            // SAFETY: the assertions above; each tile's rows end at `rows`.
            unsafe {
                row += if tile_rows >= 8 && left >= 8 {
                    self.tile::<8, O>(simd, row, first, sink)
                } else if tile_rows >= 4 && left >= 4 {
                    self.tile::<4, O>(simd, row, first, sink)
                } else if left >= 2 {
                    self.tile::<2, O>(simd, row, first, sink)
                } else {
                    self.tile::<1, O>(simd, row, first, sink)
                };
            }
        }
    }

    /// # Safety
    /// Rows `row..row + ROWS` and the whole panel are there.
    #[inline(always)]
    unsafe fn tile<const ROWS: usize, O: Sink>(&self, simd: S, row: usize, first: (usize, usize), sink: &mut O) -> usize {
        let panel_columns = 2 * S::LANES;
        let mut sums = [self.start; ROWS];
        let mut bytes = self.bytes.as_ptr().wrapping_add(row * self.inner);
        let stride = self.inner / SUB_BLOCK;
        let mut sub_blocks = self.sub_blocks.as_ptr().wrapping_add(row * stride);
        for block in self.words.chunks_exact(F::words(panel_columns)) {
            let mut quants = block.as_ptr().wrapping_add(F::scale_words(panel_columns));
            for sub_block in 0..F::Scales::SUB_BLOCKS {
                // SAFETY: the caller's promise; the pointers move with the sub-blocks.
                unsafe {
                    let at = At { bytes, sub_blocks, inner: self.inner, stride, block: block.as_ptr(), quants, sub_block };
                    at.add::<S, F, ROWS>(simd, &mut sums);
                }
                bytes = bytes.wrapping_add(SUB_BLOCK);
                sub_blocks = sub_blocks.wrapping_add(1);
                quants = quants.wrapping_add(F::quant_words(panel_columns));
            }
        }
        for (at, [low, high]) in sums.into_iter().enumerate() {
            sink.put(simd, first.0 + row + at, first.1, low);
            sink.put(simd, first.0 + row + at, first.1 + S::LANES, high);
        }
        ROWS
    }
}

/// One sub-block of a tile's rows and of a panel.
struct At {
    bytes: *const i8,
    sub_blocks: *const SubBlock,
    inner: usize,
    stride: usize,
    block: *const u32,
    quants: *const u32,
    sub_block: usize,
}

impl At {
    /// # Safety
    /// All of it is there, for as many rows.
    #[inline(always)]
    unsafe fn add<S: Simd, F: Format, const ROWS: usize>(&self, simd: S, sums: &mut [[S::Vector; 2]; ROWS]) {
        let panel_columns = 2 * S::LANES;
        // A single row's bytes need no unpacking, and come as fast as memory gives them.
        if ROWS > 1 || !F::Quants::WHOLE_BYTES {
            for line in 0..F::quant_words(panel_columns) * size_of::<u32>() / LINE_BYTES {
                simd.prefetch(self.quants.wrapping_byte_add(PREFETCH_BYTES + line * LINE_BYTES));
            }
        }
        let places = [Place { panel_columns, column: 0 }, Place { panel_columns, column: S::LANES }];
        // SAFETY: the caller's promise.
        unsafe {
            if F::Scales::GROUPS == 2 {
                // Written out: shifts are by constants then.
                let mut products = self.starts::<S, F, ROWS>(simd, [true, false]);
                self.half::<S, F, ROWS>(simd, 0, places, &mut products);
                self.scale::<S, F, ROWS>(simd, 0, places, &products, sums);
                let mut products = self.starts::<S, F, ROWS>(simd, [false, true]);
                self.half::<S, F, ROWS>(simd, 1, places, &mut products);
                self.scale::<S, F, ROWS>(simd, 1, places, &products, sums);
            } else {
                let mut products = self.starts::<S, F, ROWS>(simd, [true, true]);
                self.half::<S, F, ROWS>(simd, 0, places, &mut products);
                self.half::<S, F, ROWS>(simd, 1, places, &mut products);
                self.scale::<S, F, ROWS>(simd, 0, places, &products, sums);
            }
            if F::Scales::MINIMUM {
                let low = F::Scales::minimum(simd, self.block, places[0], self.sub_block);
                let high = F::Scales::minimum(simd, self.block, places[1], self.sub_block);
                for (row, sums) in sums.iter_mut().enumerate() {
                    let total = simd.splat((*self.sub_blocks.add(row * self.stride)).total);
                    *sums = [simd.mul_add(low, total, sums[0]), simd.mul_add(high, total, sums[1])];
                }
            }
        }
    }

    /// Where the products of the halves that are taken start.
    ///
    /// # Safety
    /// The rows are there.
    #[inline(always)]
    unsafe fn starts<S: Simd, F: Format, const ROWS: usize>(&self, simd: S, taken: [bool; 2]) -> [[S::Integers; 2]; ROWS] {
        let mut starts = [[simd.splat_integer(0); 2]; ROWS];
        if F::ZERO != 0 {
            for (row, start) in starts.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let sums = unsafe { (*self.sub_blocks.add(row * self.stride)).sums };
                let sum = if taken[0] { sums[0] } else { 0 } + if taken[1] { sums[1] } else { 0 };
                let whole_bytes = F::Quants::WHOLE_BYTES;
                *start = [if whole_bytes { simd.signed_start(sum) } else { simd.splat_integer((-F::ZERO * sum).cast_unsigned()) }; 2];
            }
        }
        starts
    }

    /// Sixteen numbers of each row, times those of each column.
    ///
    /// # Safety
    /// As for [`At::add`].
    #[inline(always)]
    unsafe fn half<S: Simd, F: Format, const ROWS: usize>(
        &self,
        simd: S,
        half: usize,
        places: [Place; 2],
        products: &mut [[S::Integers; 2]; ROWS],
    ) {
        for step in 0..4 {
            // SAFETY: the caller's promise; four bytes of a row need not be aligned.
            unsafe {
                let low = F::Quants::words(simd, self.quants, places[0], half, step);
                let high = F::Quants::words(simd, self.quants, places[1], half, step);
                for (row, products) in products.iter_mut().enumerate() {
                    let bytes = self.bytes.add(row * self.inner + 16 * half + 4 * step).cast::<u32>().read_unaligned();
                    let bytes = simd.splat_integer(bytes);
                    *products = if F::Quants::WHOLE_BYTES {
                        [simd.add_signed_dot(products[0], low, bytes), simd.add_signed_dot(products[1], high, bytes)]
                    } else {
                        [simd.add_byte_dot(products[0], low, bytes), simd.add_byte_dot(products[1], high, bytes)]
                    };
                }
            }
        }
    }

    /// Adds a group's products, scaled by the columns' factors and the rows' scales.
    ///
    /// # Safety
    /// As for [`At::add`].
    #[inline(always)]
    unsafe fn scale<S: Simd, F: Format, const ROWS: usize>(
        &self,
        simd: S,
        group: usize,
        places: [Place; 2],
        products: &[[S::Integers; 2]; ROWS],
        sums: &mut [[S::Vector; 2]; ROWS],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let low = F::Scales::factor(simd, self.block, places[0], self.sub_block, group);
            let high = F::Scales::factor(simd, self.block, places[1], self.sub_block, group);
            for (row, (sums, products)) in sums.iter_mut().zip(products).enumerate() {
                let scale = simd.splat((*self.sub_blocks.add(row * self.stride)).scale);
                *sums = [
                    simd.mul_add(simd.to_vector(products[0]), simd.mul(low, scale), sums[0]),
                    simd.mul_add(simd.to_vector(products[1]), simd.mul(high, scale), sums[1]),
                ];
            }
        }
    }
}
