//! Products of a layer's weight matrices with rows, and where what they make lies.

use super::pass::{Pass, RowSet};
use crate::architecture::WeightRole;
use crate::kernels::{Linear, Target, Write, multiply_many};

/// One weight matrix of a layer.
pub(super) struct Projection {
    pub(super) layer: usize,
    pub(super) role: WeightRole,
    pub(super) linear: Linear,
}

/// Some columns of wider rows.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) columns: usize,
}

impl<'a> Strided<'a> {
    pub(super) fn new(numbers: &'a [f32], columns: usize) -> Self {
        Self { numbers, stride: columns, first: 0, columns }
    }

    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.numbers[row * self.stride + self.first..][..self.columns]
    }

    pub(super) fn columns(self, first: usize, columns: usize) -> Self {
        Self { first: self.first + first, columns, ..self }
    }
}

impl Projection {
    /// `output: [rows][columns]` of `input: [rows][inner]`, with what the rows' adapters add.
    pub(super) fn multiply(&self, pass: &Pass<'_>, rows: &RowSet, input: &[f32], output: &mut [f32], write: Write) {
        self.linear.multiply(&pass.decoder.team, input, rows.len(), output, write);
        pass.adapt(rows, input, vec![(self, output)]);
    }
}

/// What several matrices make of the same rows: one buffer each, `[rows][columns]`.
#[derive(Default)]
pub(super) struct Projected(Vec<Vec<f32>>);

impl Projected {
    pub(super) fn multiply(&mut self, pass: &Pass<'_>, projections: &[Projection], rows: &RowSet, input: &[f32]) {
        self.0.resize_with(self.0.len().max(projections.len()), Vec::new);
        let outputs = projections.iter().zip(&mut self.0);
        let mut outputs: Vec<_> =
            outputs.map(|(projection, output)| (projection, room(output, rows.len() * projection.linear.columns()))).collect();
        let targets = outputs.iter_mut();
        let mut targets: Vec<_> =
            targets.map(|(projection, output)| Target { linear: &projection.linear, output, write: Write::Store }).collect();
        multiply_many(&pass.decoder.team, input, rows.len(), &mut targets);
        drop(targets);
        pass.adapt(rows, input, outputs);
    }

    /// What the matrix of a role made.
    pub(super) fn of(&self, projections: &[Projection], role: WeightRole) -> Strided<'_> {
        let (buffer, columns) = find(projections, role);
        Strided::new(&self.0[buffer], columns)
    }

    /// Every row of it.
    pub(super) fn rows_mut(&mut self, projections: &[Projection], role: WeightRole, rows: usize) -> impl Iterator<Item = &mut [f32]> {
        let (buffer, columns) = find(projections, role);
        self.0[buffer][..rows * columns].chunks_exact_mut(columns)
    }
}

fn find(projections: &[Projection], role: WeightRole) -> (usize, usize) {
    let found = projections.iter().position(|projection| projection.role == role);
    let buffer = found.expect("a layer is loaded with the roles that its architecture uses");
    (buffer, projections[buffer].linear.columns())
}

/// At least so many numbers, of which nothing is known.
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
