//! Rows as bytes, quantised a group at a time.

use std::ops::Range;

use super::{GROUP, LARGEST};
use crate::kernels::{Buffer, Cpu, Kernel, Simd};

/// What is smaller everywhere in a group is nothing: its inverse would not be a number.
pub(super) const LEAST: f32 = 1e-30;

/// Rows that products of bytes read. A number is its byte, less what the path adds to bytes, times its group's scale.
pub(crate) struct ByteInput {
    width: usize,
    /// `[rows][width]`
    bytes: Buffer<u8>,
    /// `[rows][groups]`. One of a row's is not a number where one of the row's numbers is not, or infinite.
    scales: Buffer<f32>,
}

impl ByteInput {
    /// Room for rows of `width` numbers, which are whole groups.
    pub(crate) fn new(rows: usize, width: usize) -> Self {
        assert!(width.is_multiple_of(GROUP), "rows are whole groups");
        Self { width, bytes: Buffer::new(rows * width), scales: Buffer::new(rows * (width / GROUP)) }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Replaces rows from `first_row` on by `numbers: [rows][width]`.
    pub(crate) fn quantise(&mut self, cpu: Cpu, first_row: usize, numbers: &[f32]) {
        let groups = first_row * (self.width / GROUP);
        let (bytes, scales) = (&mut self.bytes[groups * GROUP..][..numbers.len()], &mut self.scales[groups..][..numbers.len() / GROUP]);
        cpu.run(Quantise { width: self.width, numbers, bytes, scales });
    }

    /// Their bytes and scales.
    pub(super) fn rows(&self, rows: Range<usize>) -> (&[u8], &[f32]) {
        let groups = self.width / GROUP;
        (&self.bytes[rows.start * self.width..rows.end * self.width], &self.scales[rows.start * groups..rows.end * groups])
    }
}

struct Quantise<'a> {
    width: usize,
    numbers: &'a [f32],
    bytes: &'a mut [u8],
    scales: &'a mut [f32],
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.numbers.chunks_exact(self.width).zip(self.bytes.chunks_exact_mut(self.width));
        for ((numbers, bytes), scales) in rows.zip(self.scales.chunks_exact_mut(self.width / GROUP)) {
            quantise_row(simd, numbers, bytes, scales);
        }
    }
}

#[inline(always)]
fn quantise_row<S: Simd>(simd: S, numbers: &[f32], bytes: &mut [u8], scales: &mut [f32]) {
    let zero = simd.splat(0.0);
    // Not a number where one of the row's is not, or infinite: largest ones do not show it.
    let mut check = zero;
    let groups = numbers.as_chunks::<GROUP>().0.iter().zip(bytes.as_chunks_mut::<GROUP>().0);
    for ((numbers, bytes), scale) in groups.zip(scales.iter_mut()) {
        let mut largest = zero;
        for numbers in numbers.chunks_exact(S::LANES) {
            let numbers = simd.load(numbers);
            largest = simd.max(simd.max(numbers, simd.sub(zero, numbers)), largest);
            check = simd.mul_add(numbers, zero, check);
        }
        let largest = simd.largest(largest);
        let inverse;
        (*scale, inverse) = if largest > LEAST { (largest / LARGEST, LARGEST / largest) } else { (0.0, 0.0) };
        for (numbers, bytes) in numbers.chunks_exact(S::LANES).zip(bytes.chunks_exact_mut(S::LANES)) {
            simd.store_bytes(bytes, simd.mul(simd.load(numbers), simd.splat(inverse)));
        }
    }
    if let Some(last) = scales.last_mut() {
        *last += simd.sum(check);
    }
}
