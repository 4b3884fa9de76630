//! Room for one tile of queries.

use super::{BLOCK_TOKENS, HeadLayout, NOTHING, Query, TILE_LIMIT};
use crate::kernels::functions::exp;
use crate::kernels::lanes::{load_part, store_part};
use crate::kernels::{Buffer, Element, Kernel, Simd};

pub(crate) struct Scratch<E: Element> {
    /// `[queries][query_stride]`, zeros after a query's numbers.
    pub(super) queries: Buffer<E>,
    pub(super) query_stride: usize,
    /// `[queries][BLOCK_TOKENS]`
    pub(super) scores: Buffer<f32>,
    /// Their exponentials, in the same places.
    pub(super) weights: Buffer<E>,
    /// Of one block: values, `[queries][value_width]`, and each query's largest score and sum of exponentials.
    pub(super) mixed: Buffer<f32>,
    pub(super) parts: [(f32, f32); TILE_LIMIT],
    /// The same of all blocks so far.
    sums: Buffer<f32>,
    found: [(f32, f32); TILE_LIMIT],
}

impl<E: Element> Scratch<E> {
    pub(crate) fn new() -> Self {
        Self {
            queries: Buffer::new(0),
            query_stride: 0,
            scores: Buffer::new(TILE_LIMIT * BLOCK_TOKENS),
            weights: Buffer::new(TILE_LIMIT * BLOCK_TOKENS),
            mixed: Buffer::new(0),
            sums: Buffer::new(0),
            parts: [NOTHING; TILE_LIMIT],
            found: [NOTHING; TILE_LIMIT],
        }
    }

    /// Before the first block.
    pub(super) fn clear(&mut self, queries: usize, head: HeadLayout) {
        if self.sums.len() < TILE_LIMIT * head.value_width {
            self.sums = Buffer::new(TILE_LIMIT * head.value_width);
        }
        self.sums[..queries * head.value_width].fill(0.0);
        self.found = [NOTHING; TILE_LIMIT];
    }

    /// The block as numbers: `[queries][head.part_numbers()]`.
    pub(super) fn give(&self, part: &mut [f32], head: HeadLayout) {
        let rows = self.parts.iter().zip(self.mixed.chunks_exact(head.value_width));
        for (to, ((largest, total), mixed)) in part.chunks_exact_mut(head.part_numbers()).zip(rows) {
            (to[0], to[1]) = (*largest, *total);
            to[2..].copy_from_slice(mixed);
        }
    }

    /// What [`Scratch::give`] gave.
    pub(super) fn take(&mut self, part: &[f32], head: HeadLayout) {
        if self.mixed.len() < TILE_LIMIT * head.value_width {
            self.mixed = Buffer::new(TILE_LIMIT * head.value_width);
        }
        let rows = self.parts.iter_mut().zip(self.mixed.chunks_exact_mut(head.value_width));
        for (from, (part, mixed)) in part.chunks_exact(head.part_numbers()).zip(rows) {
            *part = (from[0], from[1]);
            mixed.copy_from_slice(&from[2..]);
        }
    }
}

/// Makes queries ready for products.
pub(super) struct TakeQueries<'a, E: Element> {
    pub(super) queries: &'a [Query<'a>],
    pub(super) head: HeadLayout,
    pub(super) scratch: &'a mut Scratch<E>,
}

impl<E: Element> Kernel for TakeQueries<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const STEP: usize = 16;
        let Self { queries, head, scratch } = self;
        scratch.query_stride = (head.key_words * E::PER_WORD).next_multiple_of(STEP);
        if scratch.queries.len() < TILE_LIMIT * scratch.query_stride {
            scratch.queries = Buffer::new(TILE_LIMIT * scratch.query_stride);
        }
        if scratch.mixed.len() < TILE_LIMIT * head.value_width {
            scratch.mixed = Buffer::new(TILE_LIMIT * head.value_width);
        }
        for (query, row) in queries.iter().zip(scratch.queries.chunks_exact_mut(scratch.query_stride)) {
            let whole = row.chunks_exact_mut(S::LANES).zip(query.numbers.chunks(S::LANES));
            whole.for_each(|(row, numbers)| simd.store(row, load_part(simd, numbers)));
        }
    }
}

/// Takes a block into what was found before it. A query that saw nothing of the block is left as it was.
pub(super) struct Merge<'a, E: Element> {
    pub(super) queries: usize,
    pub(super) head: HeadLayout,
    pub(super) scratch: &'a mut Scratch<E>,
}

impl<E: Element> Kernel for Merge<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (scratch, width) = (self.scratch, self.head.value_width);
        let rows = scratch.sums.chunks_exact_mut(width).zip(scratch.mixed.chunks_exact(width));
        let rows = rows.zip(scratch.found.iter_mut()).zip(scratch.parts).take(self.queries);
        for (((sums, mixed), (largest, total)), (block_largest, block_total)) in rows {
            if block_largest == f32::NEG_INFINITY {
                continue;
            }
            let new = largest.max(block_largest);
            let before = exp(simd, simd.splat(*largest - new));
            let now = exp(simd, simd.splat(block_largest - new));
            for (sums, mixed) in sums.chunks_exact_mut(S::LANES).zip(mixed.chunks_exact(S::LANES)) {
                simd.store(sums, simd.mul_add(simd.load(mixed), now, simd.mul(simd.load(sums), before)));
            }
            *total = *total * simd.largest(before) + block_total * simd.largest(now);
            *largest = new;
        }
    }
}

/// Each query's mean of values.
pub(super) struct Finish<'a, 'o, E: Element> {
    pub(super) outs: &'a mut [&'o mut [f32]],
    pub(super) head: HeadLayout,
    pub(super) scratch: &'a Scratch<E>,
}

impl<E: Element> Kernel for Finish<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.scratch.sums.chunks_exact(self.head.value_width).zip(&self.scratch.found);
        for (out, (sums, (_, total))) in self.outs.iter_mut().zip(rows) {
            let factor = simd.splat(1.0 / total);
            for (out, sums) in out.chunks_mut(S::LANES).zip(sums.chunks_exact(S::LANES)) {
                store_part(simd, out, simd.mul(simd.load(sums), factor));
            }
        }
    }
}
