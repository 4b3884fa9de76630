//! Weights in the order in which products read them.

use super::{Buffer, Element};

/// A weight matrix `[columns][inner]` and its bias, cut into panels of [`super::Cpu::panel_columns`] columns.
///
/// A panel is `[inner / PER_WORD][columns of a panel]` words, so that one step of a product reads two whole vectors;
/// for bf16 this is also the layout that AMX wants of its right-hand tiles.
pub(crate) struct Matrix<E: Element> {
    words: Buffer<E::Word>,
    bias: Buffer<f32>,
    inner: usize,
    panel_columns: usize,
}

impl<E: Element> Matrix<E> {
    /// From row-major `[columns][inner]`, as torch's `Linear` keeps it. `columns` must be a multiple of
    /// `panel_columns` and `inner` of two; the caller has checked both.
    pub(crate) fn pack(weights: &[f32], bias: &[f32], panel_columns: usize) -> Self {
        let columns = bias.len();
        let inner = weights.len() / columns.max(1);
        assert!(columns.is_multiple_of(panel_columns) && inner.is_multiple_of(E::PER_WORD), "the shape is cut into whole panels");
        assert_eq!(weights.len(), columns * inner, "weights and bias agree");
        let steps = inner / E::PER_WORD;
        let mut words = Buffer::new(columns * steps);
        for (column, row) in weights.chunks_exact(inner.max(1)).enumerate() {
            let start = (column / panel_columns) * steps * panel_columns + column % panel_columns;
            for (step, numbers) in row.chunks_exact(E::PER_WORD).enumerate() {
                words[start + step * panel_columns] = E::pack(|at| E::from_f32(numbers[at]));
            }
        }
        let mut own_bias = Buffer::new(columns);
        own_bias.copy_from_slice(bias);
        Self { words, bias: own_bias, inner, panel_columns }
    }

    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    #[cfg(test)]
    pub(crate) fn columns(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn panel_columns(&self) -> usize {
        self.panel_columns
    }

    /// Each panel's first column, words and bias.
    #[inline(always)]
    pub(super) fn panels(&self) -> impl Iterator<Item = (usize, &[E::Word], &[f32])> {
        let words = self.words.chunks_exact((self.inner / E::PER_WORD) * self.panel_columns);
        let bias = self.bias.chunks_exact(self.panel_columns);
        words.zip(bias).enumerate().map(|(panel, (words, bias))| (panel * self.panel_columns, words, bias))
    }
}
