//! The dense feed-forward layer, alone or as an expert.

use super::forward::FeedForwardBuffers;
use super::pass::{Pass, RowSet};
use super::projection::room;
use super::weights::DenseWeights;
use crate::kernels::{ActivateRow, Write};

/// What activating a number costs, in numbers that are merely moved.
const ACTIVATION_COST: usize = 4;

impl Pass<'_> {
    /// `output: [rows][width]` of `input: [rows][width]`.
    pub(super) fn dense(
        &self,
        weights: &DenseWeights,
        rows: &RowSet,
        input: &[f32],
        buffers: &mut FeedForwardBuffers,
        output: &mut [f32],
        write: Write,
    ) {
        let (cpu, width, activation) = (self.decoder.cpu, weights.shape.inner_width, weights.activation());
        buffers.inner.multiply(self, &weights.inner, rows, input);
        let up = buffers.inner.of(&weights.inner, weights.roles.up);
        let gate = weights.shape.gated.then(|| buffers.inner.of(&weights.inner, weights.roles.gate));
        let activated = room(&mut buffers.activated, rows.len() * width);
        let whole = activated.chunks_exact_mut(width).enumerate();
        self.decoder.by_rows(whole, ACTIVATION_COST * width, |(row, to)| match gate {
            Some(gate) => cpu.run(ActivateRow { from: gate.row(row), by: Some(up.row(row)), to, activation }),
            None => cpu.run(ActivateRow { from: up.row(row), by: None, to, activation }),
        });
        weights.down.multiply(self, rows, activated, output, write);
    }
}
