//! What an encoder's products read: rows of f32 or bf16 as they are, or rows that are quantised to bytes.

use std::ops::Range;

use crate::kernels::{Buffer, ByteInput, ByteMatrix, Cpu, Element, Matrix, Product, Sink, Weight};

/// Rows that a product reads, and the weights that it reads them with.
pub(crate) trait Operand: Send + Sized + 'static {
    /// What is written into the rows.
    type Raw: Element;
    /// What queries, keys and values are kept in.
    type Projected: Element;
    type Weights: Send + Sync;

    /// Room for rows of `width` numbers.
    fn new(rows: usize, width: usize) -> Self;

    /// From a matrix `[columns][inner]`, row-major, and its bias.
    fn pack(weights: &[f32], bias: &[f32], cpu: Cpu) -> Self::Weights;

    /// `[rows][width]`; what is written counts after [`Operand::finish`].
    fn raw(&mut self, rows: Range<usize>) -> &mut [Self::Raw];

    /// Makes rows that have been written ready to be read.
    fn finish(&mut self, cpu: Cpu, rows: Range<usize>);

    /// Gives `rows · weightsᵀ + bias` to the sink, which counts rows from the first of them.
    fn multiply<O: Sink>(&self, cpu: Cpu, rows: Range<usize>, weights: &Self::Weights, sink: O);
}

/// Read as they are written.
pub(crate) struct PlainRows<W: Weight> {
    width: usize,
    numbers: Buffer<W::Input>,
}

impl<W: Weight<Input: Element>> Operand for PlainRows<W> {
    type Raw = W::Input;
    type Projected = W::Input;
    type Weights = Matrix<W>;

    fn new(rows: usize, width: usize) -> Self {
        Self { width, numbers: Buffer::new(rows * width) }
    }

    fn pack(weights: &[f32], bias: &[f32], cpu: Cpu) -> Matrix<W> {
        Matrix::pack(weights, bias, cpu.panel_columns())
    }

    fn raw(&mut self, rows: Range<usize>) -> &mut [W::Input] {
        &mut self.numbers[rows.start * self.width..rows.end * self.width]
    }

    fn finish(&mut self, _cpu: Cpu, _rows: Range<usize>) {}

    fn multiply<O: Sink>(&self, cpu: Cpu, rows: Range<usize>, weights: &Matrix<W>, sink: O) {
        let input = &self.numbers[rows.start * self.width..rows.end * self.width];
        cpu.multiply(Product { input, rows: rows.len(), weights: weights.all(), sink });
    }
}

/// Quantised to bytes; attention reads `E`.
pub(crate) struct ByteRows<E> {
    width: usize,
    raw: Buffer<f32>,
    bytes: ByteInput,
    projected: std::marker::PhantomData<E>,
}

impl<E: Element> Operand for ByteRows<E> {
    type Raw = f32;
    type Projected = E;
    type Weights = ByteMatrix;

    fn new(rows: usize, width: usize) -> Self {
        Self { width, raw: Buffer::new(rows * width), bytes: ByteInput::new(rows, width), projected: std::marker::PhantomData }
    }

    fn pack(weights: &[f32], bias: &[f32], cpu: Cpu) -> ByteMatrix {
        ByteMatrix::pack(weights, bias, cpu.panel_columns())
    }

    fn raw(&mut self, rows: Range<usize>) -> &mut [f32] {
        &mut self.raw[rows.start * self.width..rows.end * self.width]
    }

    fn finish(&mut self, cpu: Cpu, rows: Range<usize>) {
        self.bytes.quantise(cpu, rows.start, &self.raw[rows.start * self.width..rows.end * self.width]);
    }

    fn multiply<O: Sink>(&self, cpu: Cpu, rows: Range<usize>, weights: &ByteMatrix, sink: O) {
        self.bytes.multiply(cpu, rows, weights, sink);
    }
}
