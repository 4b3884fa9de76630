//! The arithmetic of models and indexes on the CPU, and the one place that decides which instructions do it.
//!
//! Each kernel of a model is written once, over [`Simd`], and compiled for every instruction set; [`Cpu::run`] picks. All sums are
//! taken in an order that depends on the shapes of one text alone, never on its neighbours in a batch, so that a
//! result is bitwise the same in any batch. Between instruction sets the low bits differ.
//!
//! The only `unsafe` of the workspace is here. Slices are checked once per kernel, outside the hot loops.
#![expect(unsafe_code, reason = "vector instructions and unchecked reads in the inner loops; see each block")]
#![deny(unsafe_op_in_unsafe_fn)]
#![expect(clippy::inline_always, reason = "code takes on the instruction set of the function it is inlined into")]

use portable::Portable;

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bit_sets;
mod blocks;
mod buffer;
mod bytes;
mod codes;
#[cfg(test)]
pub(crate) mod counting;
pub(crate) mod dequantise;
mod element;
mod functions;
mod isa;
mod keccak;
mod kind;
mod lanes;
mod linear;
mod low_rank;
mod mapping;
mod matrix;
mod matrix_source;
mod normalise;
mod page;
mod paged_attention;
mod pinning;
mod portable;
mod precision;
mod product;
mod rotate;
mod rows;
mod simd;
mod sink;
mod team;
mod vocabulary;

#[cfg(test)]
mod tests;

pub(crate) use attention::{Attention, AttentionShape, Scratch};
pub use bit_sets::nearly_holding;
pub(crate) use buffer::{Buffer, Plain};
pub(crate) use bytes::{ByteInput, ByteMatrix};
pub use codes::VectorCodes;
pub(crate) use dequantise::half_to_f32;
pub(crate) use element::{Bf16, Element, Weight, Widened};
pub(crate) use functions::Activation;
pub use isa::Isa;
pub use keccak::keccak256_many;
pub(crate) use kind::TensorKind;
pub(crate) use linear::{Linear, Target, Write, multiply_many};
pub(crate) use low_rank::{Expand, LowRank};
pub(crate) use mapping::Mapping;
pub(crate) use matrix::{Matrix, Panels};
pub(crate) use matrix_source::MatrixSource;
pub(crate) use normalise::{Embed, Gate, Normalise};
pub(crate) use page::{PAGE_TOKENS, PageId, Segment};
pub(crate) use paged_attention::{
    HeadLayout, PageWords, PagedAttention, Query, ScoreRule, Scratch as TileScratch, TILE_LIMIT, block_count, merge_blocks,
};
pub(crate) use pinning::pin_to_cpu;
pub use precision::{EmbedderPrecision, Precision};
pub(crate) use product::Product;
pub(crate) use rotate::{Pairing, Rotate, RotateRows};
pub(crate) use rows::{ActivateRow, AddScaled, NormaliseBy, NormaliseRows};
pub(crate) use simd::{Kernel, Simd};
pub(crate) use sink::{Activate, Add, Overwrite, Scaled, Sink, Squash};
pub(crate) use team::Team;
pub(crate) use vocabulary::{HeadFinish, log_probabilities, logits};

/// Proof that the processor can run a path, found once; copied to every worker.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    isa: Isa,
    path: Path,
}

#[derive(Clone, Copy)]
enum Path {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni(avx2::Avx2Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(avx512::Avx512Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16(avx512::Avx512Bf16),
}

impl Cpu {
    /// The path for `isa`; none where this processor lacks it.
    pub(crate) fn new(isa: Isa) -> Option<Self> {
        isa.is_available().then(|| Self { isa, path: Self::path(isa) })
    }

    #[cfg(target_arch = "x86_64")]
    fn path(isa: Isa) -> Path {
        // SAFETY: `new` asks `is_available` first, which detects exactly what each token stands for.
        unsafe {
            match isa {
                Isa::Portable => Path::Portable(Portable),
                Isa::Avx2 => Path::Avx2(avx2::Avx2::assume()),
                Isa::Avx2Vnni => Path::Avx2Vnni(avx2::Avx2Vnni::assume()),
                Isa::Avx512 => Path::Avx512(avx512::Avx512::assume()),
                Isa::Avx512Vnni => Path::Avx512Vnni(avx512::Avx512Vnni::assume()),
                Isa::Avx512Bf16 | Isa::AmxBf16 => Path::Avx512Bf16(avx512::Avx512Bf16::assume()),
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn path(_: Isa) -> Path {
        Path::Portable(Portable)
    }

    pub(crate) fn isa(self) -> Isa {
        self.isa
    }

    /// Whether there are instructions that multiply bf16; without them [`Widened`] weights are the quicker ones.
    pub(crate) fn multiplies_bf16(self) -> bool {
        self.isa >= Isa::Avx512Bf16
    }

    /// Runs the kernel, compiled for this processor.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.path {
            Path::Portable(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2Vnni(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Vnni(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512Bf16(simd) => simd.enter(kernel),
        }
    }

    /// A product, on tiles where there are any for its elements.
    pub(crate) fn multiply<W: Weight, O: Sink>(self, product: Product<'_, W, O>) {
        #[cfg(target_arch = "x86_64")]
        if self.isa == Isa::AmxBf16 && amx::takes(product.weights) {
            let Product { input, rows, weights, sink } = product;
            return self.run(amx::TileProduct { input, rows, weights, sink });
        }
        self.run(product);
    }

    /// Columns of a panel of packed weights: two vectors.
    pub(crate) fn panel_columns(self) -> usize {
        match self.path {
            Path::Portable(_) => 2 * Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(_) | Path::Avx2Vnni(_) => 2 * avx2::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(_) | Path::Avx512Vnni(_) | Path::Avx512Bf16(_) => 2 * avx512::Avx512::LANES,
        }
    }
}
