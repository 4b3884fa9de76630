//! Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): what its narrow vectors are expanded to.
//!
//! The expanded keys and values of every head are what is cached.

use super::forward::AttentionBuffers;
use super::pass::{Pass, RowSet};
use super::projection::{Strided, room};
use super::weights::{AttentionWeights, LatentWeights, NormWeights};
use crate::architecture::WeightRole;
use crate::kernels::Write;

impl Pass<'_> {
    pub(super) fn project_latent(
        &self,
        weights: &AttentionWeights,
        latent: &LatentWeights,
        rows: &RowSet,
        input: &[f32],
        buffers: &mut AttentionBuffers,
    ) {
        buffers.projected.multiply(self, &latent.down, rows, input);
        self.widen_queries(weights, latent, rows, buffers);
        let (width, rank) = (weights.shape.head_width, latent.norm.scale.len());
        let narrow = buffers.projected.of(&latent.down, WeightRole::LatentDown);
        let narrow = self.narrow(&latent.norm, narrow.columns(0, rank), rows, &mut buffers.narrow);
        let expanded = room(&mut buffers.expanded, rows.len() * latent.up.linear.columns());
        latent.up.multiply(self, rows, narrow, expanded, Write::Store);
        let whole = room(&mut buffers.keys, rows.len() * weights.shape.heads * width).chunks_exact_mut(weights.shape.heads * width);
        let values = weights.shape.heads * weights.shape.value_width;
        let whole = whole.zip(room(&mut buffers.values, rows.len() * values).chunks_exact_mut(values));
        let whole = whole.zip(expanded.chunks_exact(latent.up.linear.columns())).enumerate();
        let shared = buffers.projected.of(&latent.down, WeightRole::LatentDown);
        let shared = shared.columns(rank, shared.columns - rank);
        self.decoder.by_rows(whole, weights.shape.heads * width, |(row, ((keys, values), expanded))| {
            self.expand(weights, (row, shared.row(row)), expanded, keys, values);
        });
    }

    fn widen_queries(&self, weights: &AttentionWeights, latent: &LatentWeights, rows: &RowSet, buffers: &mut AttentionBuffers) {
        let shape = &weights.shape;
        let columns = shape.heads * shape.head_width;
        let queries = room(&mut buffers.queries, rows.len() * columns);
        if let Some((norm, up)) = &latent.query {
            let narrow = buffers.projected.of(&latent.down, WeightRole::LatentQueryDown);
            let narrow = self.narrow(norm, narrow, rows, &mut buffers.narrow);
            up.multiply(self, rows, narrow, queries, Write::Store);
        } else {
            let projected = buffers.projected.of(&latent.down, WeightRole::Query);
            let rows = queries.chunks_exact_mut(columns).enumerate();
            rows.for_each(|(row, queries)| queries.copy_from_slice(projected.row(row)));
        }
        let first = shape.head_width - latent.rotary_width;
        self.turn(weights, None, queries.chunks_exact_mut(columns), first);
    }

    /// Narrow vectors of their own, normalised.
    fn narrow<'b>(&self, norm: &NormWeights, from: Strided<'_>, rows: &RowSet, to: &'b mut Vec<f32>) -> &'b mut [f32] {
        let to = room(to, rows.len() * from.columns);
        // Copied out of the wider rows: a norm takes rows that lie without gaps.
        to.chunks_exact_mut(from.columns).enumerate().for_each(|(row, to)| to.copy_from_slice(from.row(row)));
        self.normalise(Some(norm), to);
        to
    }

    /// One row's keys and values: every head has its own plain part, and all share the rotated one.
    fn expand(&self, weights: &AttentionWeights, (row, shared): (usize, &[f32]), expanded: &[f32], keys: &mut [f32], values: &mut [f32]) {
        let shape = &weights.shape;
        let plain = shape.head_width - shared.len();
        let (first, _) = keys.split_at_mut(shape.head_width);
        // All heads share the rotated part: it is turned in the first head's place and copied from there.
        first[plain..].copy_from_slice(shared);
        if let Some(rotary) = weights.rotary {
            self.tables[rotary].rotate(self.decoder.cpu, row, first, shape.head_width, plain);
        }
        for head in 1..shape.heads {
            keys.copy_within(plain..shape.head_width, head * shape.head_width + plain);
        }
        let heads = keys.chunks_exact_mut(shape.head_width).zip(values.chunks_exact_mut(shape.value_width));
        for ((key, value), expanded) in heads.zip(expanded.chunks_exact(plain + shape.value_width)) {
            let (own, of_value) = expanded.split_at(plain);
            key[..plain].copy_from_slice(own);
            value.copy_from_slice(of_value);
        }
    }
}
