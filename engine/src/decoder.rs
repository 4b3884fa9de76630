//! One decoder for every family, driven by its [`Architecture`].
//!
//! It owns the order of operations and the memory of keys and values; arithmetic is the kernels', files are
//! [`crate::files`]', and which rows are computed together is the runtime's. A forward pass takes rows of many sequences.
//! Every operation but attention treats rows alone, and attention takes a row's keys in an order that the row's own
//! view fixes, so a row's result is bitwise the same in any batch, in any chunks, and whoever wrote the pages it reads.
//!
//! Keys are cached as they are rotated. Latent attention caches the expanded keys and values of every head: simple and
//! exact, at the price of the memory that latent attention could save.

use std::sync::{Mutex, PoisonError};

use crate::architecture::Architecture;
use crate::kernels::{Cpu, HeadFinish, Linear, Team};
use crate::{Isa, Precision};

mod adapters;
mod attention;
mod batch;
mod experts;
mod feed_forward;
mod forward;
mod latent;
mod load;
mod pages;
mod pass;
mod projection;
mod rotary;
mod rows;
mod weights;

pub(crate) use crate::kernels::{PAGE_TOKENS, PageId, Segment};
pub(crate) use batch::{Batch, Row, View};
pub(crate) use pages::Pages;

use adapters::Adapter;
use forward::Buffers;
use pages::PageShape;
use pass::Pass;
use weights::{LayerWeights, NormWeights};

/// How a decoder is run.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecoderOptions {
    /// Of weights that are not quantised, and of cached keys and values.
    pub(crate) precision: Precision,
    /// Forces an instruction set, to measure or test it.
    pub(crate) isa: Option<Isa>,
    /// One for each processor where it is not said.
    pub(crate) threads: Option<usize>,
}

pub(crate) struct Decoder {
    architecture: Architecture,
    cpu: Cpu,
    team: Team,
    threads: usize,
    pages: PageShape,
    embedding: Linear,
    embedding_norm: Option<NormWeights>,
    layers: Vec<LayerWeights>,
    /// The different rotations of the layers.
    rotaries: Vec<crate::architecture::Rotary>,
    final_norm: NormWeights,
    /// None where the embedding is the head.
    head: Option<Linear>,
    adapters: Vec<Adapter>,
    /// Working memory; held during a pass, which the team's threads share anyway.
    buffers: Mutex<Buffers>,
}

/// Final-normed hidden states of the wanted rows, in their order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hidden {
    pub(crate) rows: usize,
    /// `[rows][width]`
    pub(crate) numbers: Vec<f32>,
}

impl Decoder {
    pub(crate) fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Bytes of one page over all layers.
    pub(crate) fn page_bytes(&self) -> usize {
        self.pages.page_bytes()
    }

    /// Memory for so many pages. Pages that are never written take up addresses only.
    pub(crate) fn pages(&self, count: usize) -> Pages {
        Pages::new(&self.pages, count)
    }

    /// Computes the rows, writes their keys and values to the pages, and returns what is wanted of them.
    ///
    /// Tokens are below the vocabulary's size, pages were made by this decoder, and a page that rows are appended to is
    /// written by one view only.
    pub(crate) fn forward(&self, pages: &mut Pages, batch: &Batch<'_>) -> Hidden {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        Pass::new(self, batch).run(pages, &mut buffers)
    }

    /// `[rows][vocabulary]`, scaled and capped, of `hidden: [rows][width]` as [`Decoder::forward`] returns it.
    pub(crate) fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        crate::kernels::logits(self.head(), &self.team, hidden, rows, self.finish())
    }

    /// The natural logarithm of the probability of each row's target.
    pub(crate) fn log_probabilities(&self, hidden: &[f32], targets: &[u32]) -> Vec<f32> {
        crate::kernels::log_probabilities(self.head(), &self.team, hidden, targets, self.finish())
    }

    fn finish(&self) -> HeadFinish {
        HeadFinish { scale: self.architecture.head.scale, soft_cap: self.architecture.head.soft_cap }
    }

    fn head(&self) -> &Linear {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

#[cfg(test)]
mod tests;
