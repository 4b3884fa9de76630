//! Matrices that stay quantised in memory, in ggml's encodings, and their products with rows of bytes.
//!
//! A number is `factor · (quant - zero)`, or `factor · quant - minimum`, where the factor belongs to 16 or 32 numbers
//! of a row. Rows of the input are quantised too, 32 numbers at a time, so that products are of bytes and exact; what
//! is added up in f32 are the products of whole groups, in order.

use std::marker::PhantomData;
use std::ops::Range;

use super::{Buffer, Cpu, MatrixSource, Sink, TensorKind};
use format::Format;
use parts::Parts;
use product::BlockProduct;

mod format;
mod input;
mod parts;
mod product;

#[cfg(test)]
mod tests;

pub(super) use input::ByteRows;

/// Numbers that share a scale of the input.
const SUB_BLOCK: usize = 32;

/// Quantised weights `[columns][inner]`, cut into panels like those of a [`super::Matrix`]. A panel is its blocks in
/// order; a block is what [`Format`] makes of a panel's columns.
pub(super) struct Blocks {
    kind: TensorKind,
    words: Buffer<u32>,
    bias: Buffer<f32>,
    /// Words of a panel.
    panel_words: usize,
    inner: usize,
    panel_columns: usize,
}

/// Calls a generic function with the format of a kind.
macro_rules! with_format {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            TensorKind::Q4_0 => Some($function::<format::Q4_0>($($argument),*)),
            TensorKind::Q4_1 => Some($function::<format::Q4_1>($($argument),*)),
            TensorKind::Q5_0 => Some($function::<format::Q5_0>($($argument),*)),
            TensorKind::Q5_1 => Some($function::<format::Q5_1>($($argument),*)),
            TensorKind::Q8_0 => Some($function::<format::Q8_0>($($argument),*)),
            TensorKind::Q4K => Some($function::<format::Q4K>($($argument),*)),
            TensorKind::Q5K => Some($function::<format::Q5K>($($argument),*)),
            // Its three bits and signed factors are six bits' too.
            TensorKind::Q3K | TensorKind::Q6K => Some($function::<format::Q6K>($($argument),*)),
            TensorKind::F32 | TensorKind::F16 | TensorKind::Bf16 | TensorKind::Q2K => None,
        }
    };
}

impl Blocks {
    /// None where the kind has no packed form. The source's parts agree.
    pub(super) fn pack(source: &MatrixSource<'_>, bias: &[f32], panel_columns: usize) -> Option<Self> {
        fn packed<F: Format>(source: &MatrixSource<'_>, bias: &[f32], panel_columns: usize) -> Blocks {
            let mut own_bias = Buffer::new(bias.len());
            own_bias.copy_from_slice(bias);
            let panel_words = source.inner / F::NUMBERS * F::words(panel_columns);
            let words = pack_panels::<F>(source, bias.len() / panel_columns, panel_columns);
            Blocks { kind: source.kind, words, bias: own_bias, panel_words, inner: source.inner, panel_columns }
        }
        with_format!(source.kind, packed(source, bias, panel_columns))
    }

    pub(super) fn panel_bytes(&self) -> usize {
        self.panel_words * size_of::<u32>()
    }

    /// As [`super::Linear::product`].
    pub(super) fn product<O: Sink>(&self, cpu: Cpu, input: &ByteRows, rows: Range<usize>, panels: Range<usize>, sink: O) {
        fn run<F: Format, O: Sink>(cpu: Cpu, weights: BlockPanels<'_>, input: &ByteRows, rows: Range<usize>, sink: O) {
            cpu.run(BlockProduct { weights, input, rows, sink, format: PhantomData::<F> });
        }
        let weights = self.panels(panels);
        match self.kind {
            TensorKind::Q4_0 => run::<format::Q4_0, O>(cpu, weights, input, rows, sink),
            TensorKind::Q4_1 => run::<format::Q4_1, O>(cpu, weights, input, rows, sink),
            TensorKind::Q5_0 => run::<format::Q5_0, O>(cpu, weights, input, rows, sink),
            TensorKind::Q5_1 => run::<format::Q5_1, O>(cpu, weights, input, rows, sink),
            TensorKind::Q8_0 => run::<format::Q8_0, O>(cpu, weights, input, rows, sink),
            TensorKind::Q4K => run::<format::Q4K, O>(cpu, weights, input, rows, sink),
            TensorKind::Q5K => run::<format::Q5K, O>(cpu, weights, input, rows, sink),
            _ => run::<format::Q6K, O>(cpu, weights, input, rows, sink),
        }
    }

    /// One column's numbers, as many as there is room for.
    pub(super) fn unpack(&self, column: usize, out: &mut [f32]) {
        fn unpacked<F: Format>(panel: &[u32], column: usize, panel_columns: usize, out: &mut [f32]) {
            for (block, numbers) in panel.chunks_exact(F::words(panel_columns)).zip(out.chunks_mut(F::NUMBERS)) {
                F::unpack(block, panel_columns, column, numbers);
            }
        }
        let panel = &self.words[column / self.panel_columns * self.panel_words..][..self.panel_words];
        with_format!(self.kind, unpacked(panel, column % self.panel_columns, self.panel_columns, out));
    }

    fn panels(&self, range: Range<usize>) -> BlockPanels<'_> {
        BlockPanels {
            words: &self.words[range.start * self.panel_words..range.end * self.panel_words],
            bias: &self.bias[range.start * self.panel_columns..range.end * self.panel_columns],
            first_column: range.start * self.panel_columns,
            inner: self.inner,
            panel_columns: self.panel_columns,
        }
    }
}

/// Some of the panels.
#[derive(Clone, Copy)]
struct BlockPanels<'a> {
    words: &'a [u32],
    bias: &'a [f32],
    first_column: usize,
    inner: usize,
    panel_columns: usize,
}

fn pack_panels<F: Format>(source: &MatrixSource<'_>, panels: usize, panel_columns: usize) -> Buffer<u32> {
    let blocks = source.inner / F::NUMBERS;
    let (block_words, block_bytes) = (F::words(panel_columns), source.kind.block_bytes());
    let mut words = Buffer::of_model(panels * blocks * block_words);
    for (at, to) in words.chunks_exact_mut(block_words).enumerate() {
        let (panel, block) = (at / blocks, at % blocks);
        let columns = panel * panel_columns..source.columns.min((panel + 1) * panel_columns);
        for (within, column) in columns.enumerate() {
            let bytes = &source.bytes[(column * blocks + block) * block_bytes..][..block_bytes];
            F::pack(&Parts::read(source.kind, bytes), to, panel_columns, within);
        }
    }
    words
}
