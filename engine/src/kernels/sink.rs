//! What becomes of a product's sums while they are still in registers.

use super::functions::{Activation, activate, tanh};
use super::{Element, Simd};

/// Takes `LANES` finished sums of one row, from `column` on.
pub(crate) trait Sink {
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector);
}

/// Writes them to `[rows][stride]`.
pub(crate) struct Overwrite<'a, E> {
    pub(crate) out: &'a mut [E],
    pub(crate) stride: usize,
}

impl<E: Element> Sink for Overwrite<'_, E> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        simd.store(&mut self.out[row * self.stride + column..], sums);
    }
}

/// Applies an activation and writes.
pub(crate) struct Activate<'a, E> {
    pub(crate) out: &'a mut [E],
    pub(crate) stride: usize,
    pub(crate) activation: Activation,
}

impl<E: Element> Sink for Activate<'_, E> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        let activated = activate(simd, self.activation, sums);
        simd.store(&mut self.out[row * self.stride + column..], activated);
    }
}

/// Writes their hyperbolic tangents to `[rows][stride]`.
pub(crate) struct Squash<'a> {
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Sink for Squash<'_> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        simd.store(&mut self.out[row * self.stride + column..], tanh(simd, sums));
    }
}

/// Adds to the residual stream `[rows][stride]`.
pub(crate) struct Add<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Sink for Add<'_> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        let at = &mut self.to[row * self.stride + column..];
        let before = simd.load(at);
        simd.store(at, simd.add(before, sums));
    }
}

/// Multiplies each row by its own factor and writes from `column` of the output on.
pub(crate) struct Scaled<'a, E> {
    pub(crate) out: &'a mut [E],
    pub(crate) stride: usize,
    pub(crate) column: usize,
    pub(crate) factors: &'a [f32],
}

impl<E: Element> Sink for Scaled<'_, E> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        let scaled = simd.mul(sums, simd.splat(self.factors[row]));
        simd.store(&mut self.out[row * self.stride + self.column + column..], scaled);
    }
}
