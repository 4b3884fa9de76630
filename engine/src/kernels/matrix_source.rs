//! One weight matrix as a file holds it.

use std::borrow::Cow;

use super::TensorKind;
use super::dequantise;

/// Row-major `[columns][inner]` in `kind`'s encoding: row *c* holds what output number *c* is made with.
#[derive(Debug, Clone)]
pub(crate) struct MatrixSource<'a> {
    pub(crate) kind: TensorKind,
    pub(crate) columns: usize,
    pub(crate) inner: usize,
    /// Exactly as many as `columns` rows of `inner` numbers take up. All numbers are finite.
    pub(crate) bytes: Cow<'a, [u8]>,
    /// `[columns]`
    pub(crate) bias: Option<Vec<f32>>,
}

impl MatrixSource<'_> {
    /// `[columns][inner]`, number by number: the reference for the kernels.
    pub(crate) fn to_f32(&self) -> Vec<f32> {
        dequantise::to_f32(self.kind, &self.bytes)
    }
}
