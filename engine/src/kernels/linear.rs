//! A weight matrix times rows of numbers, whatever the weights are kept in.
//!
//! A product is cut by columns, and every sum is taken in an order that depends on the inner dimension alone: its bits
//! are the same for any number of rows and of threads.

use std::borrow::Cow;
use std::ops::Range;

use super::blocks::Blocks;
use super::{Bf16, Cpu, Matrix, MatrixSource, Precision, Product, Sink, Team, Weight, Widened};
use crate::EngineError;
pub(super) use input::Input;
use output::Output;

mod input;
mod output;

#[cfg(test)]
mod tests;

/// What becomes of what the output held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Store,
    Add,
}

/// Weights `[columns][inner]` and a bias, ready for products.
pub(crate) struct Linear {
    cpu: Cpu,
    columns: usize,
    inner: usize,
    form: Form,
}

enum Form {
    F32(Matrix<f32>),
    /// Where the processor multiplies bf16: rows are rounded too.
    Bf16(Matrix<Bf16>),
    Widened(Matrix<Widened>),
    Blocks(Blocks),
}

/// One of several products of the same rows.
pub(crate) struct Target<'a> {
    pub(crate) linear: &'a Linear,
    /// `[rows][columns]`
    pub(crate) output: &'a mut [f32],
    pub(crate) write: Write,
}

/// Steps of AMX: where the inner dimension is whole steps, bf16 products can run on tiles.
const BF16_INNER: usize = 32;

impl Linear {
    /// # Errors
    /// [`EngineError::Library`] where the source's parts do not agree, which its file's reader has ruled out.
    pub(crate) fn new(source: &MatrixSource<'_>, cpu: Cpu, precision: Precision) -> Result<Self, EngineError> {
        let (columns, inner) = (source.columns, source.inner);
        let biases = source.bias.as_ref().map_or(columns, Vec::len);
        if source.kind.bytes(inner).and_then(|bytes| bytes.checked_mul(columns)) != Some(source.bytes.len())
            || biases != columns
            || inner == 0
        {
            let reason =
                format!("{columns} columns of {inner} numbers in {} bytes of {}, {biases} biases", source.bytes.len(), source.kind.name());
            return Err(EngineError::Library { operation: "packing a matrix", reason });
        }
        let mut bias = source.bias.clone().unwrap_or_default();
        bias.resize(columns.next_multiple_of(cpu.panel_columns()), 0.0);
        let form = match (Blocks::pack(source, &bias, cpu.panel_columns()), precision) {
            (Some(blocks), _) => Form::Blocks(blocks),
            (None, Precision::F32) => Form::F32(pack(source, &bias, cpu, inner)),
            (None, Precision::Bf16) if !cpu.multiplies_bf16() => Form::Widened(pack(source, &bias, cpu, inner)),
            (None, Precision::Bf16) => Form::Bf16(pack(source, &bias, cpu, inner.next_multiple_of(BF16_INNER))),
        };
        Ok(Self { cpu, columns, inner, form })
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn inner(&self) -> usize {
        self.inner
    }

    /// `input: [rows][inner]` times the weights, to `output: [rows][columns]`.
    pub(crate) fn multiply(&self, team: &Team, input: &[f32], rows: usize, output: &mut [f32], write: Write) {
        multiply_many(team, input, rows, &mut [Target { linear: self, output, write }]);
    }

    /// The weights of one column, as an embedding: as many as `out` has room for, `inner` of them.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.columns, "the matrix has the row");
        let room = self.inner.min(out.len());
        match &self.form {
            Form::F32(matrix) => matrix.unpack(row, &mut out[..room]),
            Form::Bf16(matrix) => matrix.unpack(row, &mut out[..room]),
            Form::Widened(matrix) => matrix.unpack(row, &mut out[..room]),
            Form::Blocks(blocks) => blocks.unpack(row, &mut out[..room]),
        }
    }

    /// In whole panels.
    pub(super) fn panels(&self) -> usize {
        self.columns.div_ceil(self.cpu.panel_columns())
    }

    pub(super) fn panel_columns(&self) -> usize {
        self.cpu.panel_columns()
    }

    /// What a panel takes of memory, about.
    fn panel_bytes(&self) -> usize {
        let number = match &self.form {
            Form::F32(_) => size_of::<f32>(),
            Form::Bf16(_) | Form::Widened(_) => size_of::<Bf16>(),
            Form::Blocks(blocks) => return blocks.panel_bytes(),
        };
        self.inner * self.cpu.panel_columns() * number
    }

    /// Some panels' products with some rows; the sink counts rows from the first of them, columns from the matrix's.
    pub(super) fn product<O: Sink>(&self, input: &Input<'_>, rows: Range<usize>, panels: Range<usize>, sink: O) {
        match &self.form {
            Form::F32(matrix) => {
                let input = &input.numbers()[rows.start * self.inner..rows.end * self.inner];
                self.cpu.multiply(Product { input, rows: rows.len(), weights: matrix.panels(panels), sink });
            }
            Form::Widened(matrix) => {
                let input = &input.numbers()[rows.start * self.inner..rows.end * self.inner];
                self.cpu.multiply(Product { input, rows: rows.len(), weights: matrix.panels(panels), sink });
            }
            Form::Bf16(matrix) => {
                let input = &input.halves()[rows.start * matrix.inner()..rows.end * matrix.inner()];
                self.cpu.multiply(Product { input, rows: rows.len(), weights: matrix.panels(panels), sink });
            }
            Form::Blocks(blocks) => {
                let input = input.bytes().expect("made ready for these weights");
                blocks.product(self.cpu, input, rows, panels, sink);
            }
        }
    }

    /// The rows as products read them.
    pub(super) fn prepare<'a>(&self, team: &Team, input: &'a [f32], rows: usize) -> Input<'a> {
        let mut prepared = Input::new(input, rows, self.inner);
        prepared.make_ready(self, team);
        prepared
    }
}

/// Row by row: all numbers of a vocabulary's matrix in f32 would be hundreds of megabytes.
fn pack<W: Weight>(source: &MatrixSource<'_>, bias: &[f32], cpu: Cpu, padded_inner: usize) -> Matrix<W> {
    let row_bytes = source.bytes.len() / source.columns.max(1);
    Matrix::from_rows(padded_inner, bias, cpu.panel_columns(), |column, row| {
        row.fill(0.0);
        if column < source.columns {
            let bytes = Cow::from(&source.bytes[column * row_bytes..][..row_bytes]);
            let numbers = MatrixSource { kind: source.kind, columns: 1, inner: source.inner, bytes, bias: None }.to_f32();
            row[..source.inner].copy_from_slice(&numbers);
        }
    })
}

/// Weights, times rows, that are worth a part of their own: what one processor reads in a few microseconds.
const PART_BYTES: usize = 64 * 1024;
/// More parts than threads, so that one which is held up does not hold up all.
const PARTS_PER_THREAD: usize = 8;

/// Several products of the same rows at once: rows are made ready once, and the threads come together once.
pub(crate) fn multiply_many(team: &Team, input: &[f32], rows: usize, targets: &mut [Target<'_>]) {
    let Some(first) = targets.first() else {
        return;
    };
    let inner = first.linear.inner;
    assert!(input.len() >= rows * inner, "the rows are there");
    if rows == 0 {
        return;
    }
    let mut prepared = Input::new(input, rows, inner);
    let mut work = 0;
    for target in &*targets {
        assert!(target.linear.inner == inner && target.output.len() >= rows * target.linear.columns, "the products agree");
        prepared.make_ready(target.linear, team);
        work += target.linear.panels() * target.linear.panel_bytes() * rows;
    }
    let parts = (work / PART_BYTES).clamp(1, team.threads() * PARTS_PER_THREAD);
    let mut pieces = Vec::with_capacity(parts + targets.len());
    for target in &mut *targets {
        let linear = target.linear;
        let output = Output::new(target.output, rows, linear.columns, target.write);
        let step = (work / parts).div_ceil((linear.panel_bytes() * rows).max(1)).max(1);
        for start in (0..linear.panels()).step_by(step) {
            pieces.push((linear, start..linear.panels().min(start + step), output));
        }
    }
    team.run(pieces.len(), &|part| {
        let (linear, panels, output) = &pieces[part];
        // SAFETY: every panel of every output is in one piece, and a piece is worked on once.
        let sink = unsafe { output.sink() };
        linear.product(&prepared, 0..rows, panels.clone(), sink);
    });
}
