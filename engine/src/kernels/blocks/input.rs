//! Rows of an input as bytes, for products with quantised weights.

use std::sync::{Mutex, PoisonError};

use super::SUB_BLOCK;
use crate::kernels::{Buffer, Kernel, Simd, Team};

/// Rows that one part quantises.
const PART_ROWS: usize = 8;
/// What is smaller everywhere in a sub-block is nothing: its inverse would not be a number.
const LEAST: f32 = 1e-30;

/// Each 32 numbers of a row are bytes from -127 to 127 times a scale.
pub(crate) struct ByteRows {
    inner: usize,
    /// `[rows][inner]`
    bytes: Buffer<i8>,
    /// `[rows][inner / 32]`
    sub_blocks: Buffer<SubBlock>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct SubBlock {
    /// The largest number over 127. Not a number where one of the numbers is not, or infinite.
    pub(super) scale: f32,
    /// What minima are multiplied by: minus the sum of the bytes, times the scale.
    pub(super) total: f32,
    /// Sums of the first and of the last sixteen bytes.
    pub(super) sums: [i32; 2],
}

impl ByteRows {
    /// `numbers: [rows][inner]`; `inner` is whole sub-blocks.
    pub(crate) fn new(team: &Team, numbers: &[f32], inner: usize) -> Self {
        assert!(inner.is_multiple_of(SUB_BLOCK) && numbers.len().is_multiple_of(inner), "rows are whole sub-blocks");
        let mut rows = Self { inner, bytes: Buffer::new(numbers.len()), sub_blocks: Buffer::new(numbers.len() / SUB_BLOCK) };
        let bytes = rows.bytes.chunks_mut(PART_ROWS * inner);
        let sub_blocks = rows.sub_blocks.chunks_mut(PART_ROWS * inner / SUB_BLOCK);
        let parts = numbers.chunks(PART_ROWS * inner).zip(bytes.zip(sub_blocks));
        let parts: Vec<_> = parts.map(|(from, (bytes, sub_blocks))| Mutex::new(Quantise { from, bytes, sub_blocks })).collect();
        team.run(parts.len(), &|part| {
            let mut part = parts[part].lock().unwrap_or_else(PoisonError::into_inner);
            let Quantise { from, bytes, sub_blocks } = &mut *part;
            team.cpu().run(Quantise { from, bytes, sub_blocks });
        });
        drop(parts);
        rows
    }

    pub(super) fn rows(&self) -> usize {
        self.bytes.len() / self.inner.max(1)
    }

    pub(super) fn inner(&self) -> usize {
        self.inner
    }

    pub(super) fn bytes(&self) -> &[i8] {
        &self.bytes
    }

    pub(super) fn sub_blocks(&self) -> &[SubBlock] {
        &self.sub_blocks
    }
}

struct Quantise<'a> {
    from: &'a [f32],
    bytes: &'a mut [i8],
    sub_blocks: &'a mut [SubBlock],
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let blocks = self.from.as_chunks::<SUB_BLOCK>().0.iter().zip(self.bytes.as_chunks_mut::<SUB_BLOCK>().0);
        for ((from, bytes), sub_block) in blocks.zip(self.sub_blocks) {
            *sub_block = quantise(simd, from, bytes);
        }
    }
}

#[inline(always)]
fn quantise<S: Simd>(simd: S, from: &[f32; SUB_BLOCK], bytes: &mut [i8; SUB_BLOCK]) -> SubBlock {
    let zero = simd.splat(0.0);
    let (mut largest, mut check) = (zero, zero);
    for numbers in from.chunks_exact(S::LANES) {
        let numbers = simd.load(numbers);
        largest = simd.max(simd.max(numbers, simd.sub(zero, numbers)), largest);
        check = simd.mul_add(numbers, zero, check);
    }
    let (largest, check) = (simd.largest(largest), simd.sum(check));
    let (scale, inverse) = if largest > LEAST { (largest / 127.0, 127.0 / largest) } else { (0.0, 0.0) };
    let mut rounded = [0.0; SUB_BLOCK];
    for (numbers, rounded) in from.chunks_exact(S::LANES).zip(rounded.chunks_exact_mut(S::LANES)) {
        simd.store(rounded, simd.round(simd.mul(simd.load(numbers), simd.splat(inverse))));
    }
    // Rounding is monotonic: no number is beyond 127, and what is none becomes 0.
    bytes.iter_mut().zip(rounded).for_each(|(byte, number)| *byte = number as i8);
    let sum = |bytes: &[i8]| bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>();
    let sums = [sum(&bytes[..16]), sum(&bytes[16..])];
    let scale = scale + check;
    SubBlock { scale, total: -((sums[0] + sums[1]) as f32 * scale), sums }
}
