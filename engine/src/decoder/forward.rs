//! The layers, one after the other.

use super::pass::{Pass, RowSet};
use super::projection::{Projected, room};
use super::weights::{FeedForwardWeights, LayerWeights, NormWeights};
use super::{Hidden, Pages};
use crate::architecture::{Layer, Residual};
use crate::kernels::{AddScaled, Write};

/// Working memory of a pass, kept between passes.
#[derive(Default)]
pub(super) struct Buffers {
    /// The residual stream, `[rows][width]`.
    hidden: Vec<f32>,
    /// What attention reads, then what the feed-forward layer reads.
    normed: Vec<f32>,
    /// What the feed-forward layer of a parallel layer reads.
    second: Vec<f32>,
    /// A branch's output where it is not added at once.
    branch: Vec<f32>,
    /// `[rows][heads · value width]`
    attended: Vec<f32>,
    pub(super) attention: AttentionBuffers,
    pub(super) feed_forward: FeedForwardBuffers,
    /// The residual stream before the first layer and after each, where a test asks for it.
    #[cfg(test)]
    pub(super) trace: Option<Vec<Vec<f32>>>,
}

#[derive(Default)]
pub(super) struct AttentionBuffers {
    pub(super) projected: Projected,
    /// Of latent attention: the narrow vectors, normalised, and what they are widened to.
    pub(super) narrow: Vec<f32>,
    pub(super) expanded: Vec<f32>,
    pub(super) queries: Vec<f32>,
    pub(super) values: Vec<f32>,
    pub(super) keys: Vec<f32>,
}

#[derive(Default)]
pub(super) struct FeedForwardBuffers {
    pub(super) inner: Projected,
    pub(super) activated: Vec<f32>,
    /// Of experts: scores, and the rows and results of one expert.
    pub(super) scores: Vec<f32>,
    pub(super) gathered: Vec<f32>,
    pub(super) results: Vec<f32>,
}

#[cfg(test)]
impl Buffers {
    fn trace(&mut self, numbers: usize) {
        self.trace.iter_mut().for_each(|trace| trace.push(self.hidden[..numbers].to_vec()));
    }
}

impl Pass<'_> {
    pub(super) fn run(&self, pages: &mut Pages, buffers: &mut Buffers) -> Hidden {
        let width = self.decoder.architecture.width;
        let mut rows = RowSet::new(self.batch, (0..self.batch.rows.len()).collect());
        self.embed(&rows, room(&mut buffers.hidden, rows.len() * width));
        #[cfg(test)]
        buffers.trace(rows.len() * width);
        let layers = self.decoder.architecture.layers.iter().zip(&self.decoder.layers);
        for (index, (layer, weights)) in layers.enumerate() {
            self.layer((index, layer, weights), pages, &mut rows, buffers);
            #[cfg(test)]
            buffers.trace(rows.len() * width);
        }
        let mut numbers = room(&mut buffers.hidden, rows.len() * width).to_vec();
        self.normalise(Some(&self.decoder.final_norm), &mut numbers);
        Hidden { rows: rows.len(), numbers }
    }

    fn embed(&self, rows: &RowSet, hidden: &mut [f32]) {
        let decoder = self.decoder;
        let embedding = &decoder.architecture.embedding;
        let width = decoder.architecture.width;
        decoder.by_rows(hidden.chunks_exact_mut(width).zip(&rows.rows), width, |(hidden, row)| {
            decoder.embedding.row(self.batch.rows[*row].token as usize, hidden);
            self.adapt_embedding(*row, hidden);
            hidden.iter_mut().for_each(|number| *number *= embedding.scale);
            if let Some(norm) = &decoder.embedding_norm {
                norm.normalise(decoder.cpu, hidden);
            }
        });
    }

    fn layer(&self, (index, layer, weights): (usize, &Layer, &LayerWeights), pages: &mut Pages, rows: &mut RowSet, buffers: &mut Buffers) {
        let width = self.decoder.architecture.width;
        let Buffers { hidden, normed, second, branch, attended, attention, feed_forward, .. } = buffers;
        let normed = copy(hidden, normed, rows.len() * width);
        self.normalise(weights.attention_norm.as_ref(), normed);
        self.project(&weights.attention, rows, normed, attention);
        self.append(index, pages, &weights.attention, attention);
        // The last layer's keys and values are in their pages: of rows whose output nobody wants, nothing else is needed.
        if index + 1 == self.decoder.layers.len() {
            *rows = self.keep_wanted(rows, &mut [&mut *hidden, &mut *normed]);
        }
        let normed = &mut normed[..rows.len() * width];
        let hidden = &mut hidden[..rows.len() * width];
        // Before attention's output is added: both halves of a parallel layer read the same stream.
        let second = self.second_input(layer, weights, hidden, second);
        if layer.residual_after_norm {
            hidden.copy_from_slice(normed);
        }
        let attended = room(attended, rows.len() * layer.attention.heads * layer.attention.value_width);
        self.attend(index, pages, &weights.attention, rows, attention, attended);
        self.add_branch(weights.post_attention_norm.as_ref(), hidden, branch, |output, write| {
            weights.attention.output.multiply(self, rows, attended, output, write);
        });
        let input = match (layer.residual, second) {
            // With one norm for both halves, `normed` still is what attention read.
            (Residual::Parallel, second) => second.unwrap_or(normed),
            (Residual::Sequential, _) => {
                normed.copy_from_slice(hidden);
                self.normalise(weights.feed_forward_norm.as_ref(), normed);
                if layer.residual_after_norm {
                    hidden.copy_from_slice(normed);
                }
                normed
            }
        };
        self.add_branch(weights.post_feed_forward_norm.as_ref(), hidden, branch, |output, write| match &weights.feed_forward {
            FeedForwardWeights::Dense(dense) => self.dense(dense, rows, input, feed_forward, output, write),
            FeedForwardWeights::Experts(experts) => self.experts(experts, rows, input, feed_forward, output, write),
        });
    }

    /// What the feed-forward half of a parallel layer reads, where it is not what attention reads.
    fn second_input<'b>(&self, layer: &Layer, weights: &LayerWeights, hidden: &[f32], to: &'b mut Vec<f32>) -> Option<&'b mut [f32]> {
        let norm = weights.feed_forward_norm.as_ref().filter(|_| layer.residual == Residual::Parallel)?;
        let input = copy(hidden, to, hidden.len());
        self.normalise(Some(norm), input);
        Some(input)
    }

    /// Adds what `compute` makes to the residual stream, normalised first where the layer does so.
    fn add_branch(&self, norm: Option<&NormWeights>, hidden: &mut [f32], branch: &mut Vec<f32>, compute: impl FnOnce(&mut [f32], Write)) {
        let Some(norm) = norm else {
            return compute(hidden, Write::Add);
        };
        let branch = room(branch, hidden.len());
        compute(branch, Write::Store);
        self.normalise(Some(norm), branch);
        let width = self.decoder.architecture.width;
        self.decoder.by_rows(hidden.chunks_exact_mut(width).zip(branch.chunks_exact(width)), width, |(to, from)| {
            self.decoder.cpu.run(AddScaled { to, from, factor: 1.0 });
        });
    }

    /// Keeps the rows of each buffer that are wanted.
    fn keep_wanted(&self, rows: &RowSet, buffers: &mut [&mut [f32]]) -> RowSet {
        let width = self.decoder.architecture.width;
        let wanted: Vec<usize> = rows.rows.iter().copied().filter(|row| self.batch.rows[*row].wanted).collect();
        for (to, from) in wanted.iter().enumerate() {
            for buffer in &mut *buffers {
                buffer.copy_within(from * width..(from + 1) * width, to * width);
            }
        }
        RowSet::new(self.batch, wanted)
    }

    pub(super) fn normalise(&self, norm: Option<&NormWeights>, numbers: &mut [f32]) {
        if let Some(norm) = norm {
            let width = norm.scale.len();
            self.decoder.by_rows(numbers.chunks_exact_mut(width), width, |row| norm.normalise(self.decoder.cpu, row));
        }
    }
}

fn copy<'a>(from: &[f32], to: &'a mut Vec<f32>, length: usize) -> &'a mut [f32] {
    let to = room(to, length);
    to.copy_from_slice(&from[..length]);
    to
}
