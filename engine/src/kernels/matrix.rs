//! Weights in the order in which products read them.

use std::ops::Range;

use super::{Buffer, Weight};

/// A weight matrix `[columns][inner]` and its bias, cut into panels of [`super::Cpu::panel_columns`] columns.
///
/// A panel is `[inner / PER_WORD][columns of a panel]` words, so that one step of a product reads two whole vectors;
/// for bf16 this is also the layout that AMX wants of its right-hand tiles.
pub(crate) struct Matrix<W: Weight> {
    words: Buffer<W::Word>,
    bias: Buffer<f32>,
    inner: usize,
    panel_columns: usize,
}

/// Some of a matrix's panels.
pub(crate) struct Panels<'a, W: Weight> {
    words: &'a [W::Word],
    bias: &'a [f32],
    first_column: usize,
    inner: usize,
    panel_columns: usize,
}

impl<W: Weight> Clone for Panels<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W: Weight> Copy for Panels<'_, W> {}

impl<W: Weight> Matrix<W> {
    /// From row-major `[columns][inner]`, as torch's `Linear` keeps it. `columns` must be a multiple of
    /// `panel_columns` and `inner` of two; the caller has checked both.
    pub(crate) fn pack(weights: &[f32], bias: &[f32], panel_columns: usize) -> Self {
        let columns = bias.len();
        let inner = weights.len() / columns.max(1);
        assert_eq!(weights.len(), columns * inner, "weights and bias agree");
        Self::from_rows(inner, bias, panel_columns, |column, row| row.copy_from_slice(&weights[column * inner..][..inner]))
    }

    /// As [`Matrix::pack`], row by row: `fill(column, row)` writes the `inner` numbers of a column.
    pub(crate) fn from_rows(inner: usize, bias: &[f32], panel_columns: usize, fill: impl Fn(usize, &mut [f32])) -> Self {
        let columns = bias.len();
        assert!(columns.is_multiple_of(panel_columns) && inner.is_multiple_of(W::PER_WORD), "the shape is cut into whole panels");
        let steps = inner / W::PER_WORD;
        let mut words = Buffer::of_model(columns * steps);
        let mut row = vec![0.0; inner];
        for column in 0..columns {
            fill(column, &mut row);
            let start = (column / panel_columns) * steps * panel_columns + W::place(column % panel_columns, panel_columns);
            for (step, numbers) in row.chunks_exact(W::PER_WORD).enumerate() {
                words[start + step * panel_columns] = W::word(numbers);
            }
        }
        let mut own_bias = Buffer::new(columns);
        own_bias.copy_from_slice(bias);
        Self { words, bias: own_bias, inner, panel_columns }
    }

    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    /// With those that only fill a last panel.
    pub(crate) fn columns(&self) -> usize {
        self.bias.len()
    }

    /// One column's numbers, as many as there is room for.
    pub(super) fn unpack(&self, column: usize, out: &mut [f32]) {
        let place = W::place(column % self.panel_columns, self.panel_columns);
        let start = (column / self.panel_columns) * (self.inner / W::PER_WORD) * self.panel_columns + place;
        let words = self.words[start..].iter().step_by(self.panel_columns);
        for (numbers, word) in out.chunks_mut(W::PER_WORD).zip(words) {
            numbers.iter_mut().enumerate().for_each(|(at, number)| *number = W::unpack(*word, at));
        }
    }

    pub(crate) fn all(&self) -> Panels<'_, W> {
        self.panels(0..self.columns() / self.panel_columns)
    }

    pub(crate) fn panels(&self, range: Range<usize>) -> Panels<'_, W> {
        let panel_words = (self.inner / W::PER_WORD) * self.panel_columns;
        Panels {
            words: &self.words[range.start * panel_words..range.end * panel_words],
            bias: &self.bias[range.start * self.panel_columns..range.end * self.panel_columns],
            first_column: range.start * self.panel_columns,
            inner: self.inner,
            panel_columns: self.panel_columns,
        }
    }
}

impl<'a, W: Weight> Panels<'a, W> {
    pub(crate) fn inner(self) -> usize {
        self.inner
    }

    pub(super) fn panel_columns(self) -> usize {
        self.panel_columns
    }

    /// Each panel's first column, words and bias.
    #[inline(always)]
    pub(super) fn each(self) -> impl Iterator<Item = (usize, &'a [W::Word], &'a [f32])> {
        // An inner dimension of nothing has panels without words: a chunk of none does not exist.
        let panel_words = (self.inner / W::PER_WORD) * self.panel_columns;
        let bias = self.bias.chunks_exact(self.panel_columns).enumerate();
        bias.map(move |(panel, bias)| {
            (self.first_column + panel * self.panel_columns, &self.words[panel * panel_words..][..panel_words], bias)
        })
    }
}
