//! What a decoder does to rows between its products: normalising, activating, adding, capping.
//!
//! A row may have any length, and its result depends on it alone.

use super::functions::{Activation, activate, tanh};
use super::lanes::{load_part, store_part};
use super::{Kernel, Simd};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormaliseBy {
    /// The root of the mean square.
    RootMeanSquare,
    /// Mean and variance.
    Variance,
}

/// Normalises every row in place: `[rows][scale.len()]`.
pub(crate) struct NormaliseRows<'a> {
    pub(crate) rows: &'a mut [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: Option<&'a [f32]>,
    pub(crate) by: NormaliseBy,
    pub(crate) epsilon: f32,
}

impl Kernel for NormaliseRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
        let width = self.scale.len() as f32;
        for row in self.rows.chunks_exact_mut(self.scale.len().max(1)) {
            if self.by == NormaliseBy::Variance {
                let mean = sum(simd, row, |a| a) / width;
                map(simd, row, |a| simd.sub(a, simd.splat(mean)));
            }
            let squares = sum(simd, row, |a| simd.mul(a, a));
            let factor = simd.splat(1.0 / (squares / width + self.epsilon).sqrt());
            for (numbers, scale) in row.chunks_mut(S::LANES).zip(self.scale.chunks(S::LANES)) {
                let scaled = simd.mul(simd.mul(load_part(simd, numbers), factor), load_part(simd, scale));
                store_part(simd, numbers, scaled);
            }
            if let Some(shift) = self.shift {
                add(simd, row, shift, 1.0);
            }
        }
    }
}

/// `f` must make nothing of zeros.
#[inline(always)]
fn sum<S: Simd>(simd: S, row: &[f32], f: impl Fn(S::Vector) -> S::Vector) -> f32 {
    let mut sum = simd.splat(0.0);
    for numbers in row.chunks(S::LANES) {
        sum = simd.add(sum, f(load_part(simd, numbers)));
    }
    simd.sum(sum)
}

#[inline(always)]
fn map<S: Simd>(simd: S, row: &mut [f32], f: impl Fn(S::Vector) -> S::Vector) {
    for numbers in row.chunks_mut(S::LANES) {
        let mapped = f(load_part(simd, numbers));
        store_part(simd, numbers, mapped);
    }
}

/// `to += factor · from`
#[inline(always)]
fn add<S: Simd>(simd: S, to: &mut [f32], from: &[f32], factor: f32) {
    for (to, from) in to.chunks_mut(S::LANES).zip(from.chunks(S::LANES)) {
        let sum = simd.mul_add(load_part(simd, from), simd.splat(factor), load_part(simd, to));
        store_part(simd, to, sum);
    }
}

/// `to += factor · from`
pub(crate) struct AddScaled<'a> {
    pub(crate) to: &'a mut [f32],
    pub(crate) from: &'a [f32],
    pub(crate) factor: f32,
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        add(simd, self.to, self.from, self.factor);
    }
}

/// `activation(from)`, times `by` where there is one.
pub(crate) struct ActivateRow<'a> {
    pub(crate) from: &'a [f32],
    pub(crate) by: Option<&'a [f32]>,
    pub(crate) to: &'a mut [f32],
    pub(crate) activation: Activation,
}

impl Kernel for ActivateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.to.chunks_mut(S::LANES).zip(self.from.chunks(S::LANES));
        if let Some(by) = self.by {
            for ((to, from), by) in rows.zip(by.chunks(S::LANES)) {
                let activated = activate(simd, self.activation, load_part(simd, from));
                store_part(simd, to, simd.mul(activated, load_part(simd, by)));
            }
        } else {
            for (to, from) in rows {
                store_part(simd, to, activate(simd, self.activation, load_part(simd, from)));
            }
        }
    }
}

#[inline(always)]
pub(super) fn soft_cap<S: Simd>(simd: S, a: S::Vector, cap: f32) -> S::Vector {
    let cap = simd.splat(cap);
    simd.mul(cap, tanh(simd, simd.div(a, cap)))
}
