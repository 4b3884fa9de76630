//! Low-rank adapters (LoRA, arXiv 2106.09685), unmerged: each row is computed with the base's weights and gets what its
//! own adapter adds.
//!
//! Ranks are the adapter's own, module by module; nothing is padded, and rows without an adapter cost nothing.

use std::collections::HashMap;

use super::Decoder;
use super::pass::{Pass, RowSet};
use super::projection::Projection;
use super::rows::share;
use super::weights::{AttentionInput, FeedForwardWeights, LayerWeights};
use crate::EngineError;
use crate::architecture::WeightRole;
use crate::files::{AdapterFiles, AdapterModule};
use crate::kernels::{Expand, LowRank};

/// Rows of an adapter that one part of a division takes.
const PART_ROWS: usize = 16;

/// What one adapter adds, in f32.
#[derive(Default)]
pub(super) struct Adapter {
    modules: HashMap<(usize, WeightRole), Module>,
    /// `down` is `[vocabulary][rank]` here.
    embedding: Option<Module>,
}

struct Module {
    rank: usize,
    factor: f32,
    /// `[rank][inner]`
    down: Vec<f32>,
    /// `[rank][columns]`
    up: Vec<f32>,
}

/// Rows that pass one module.
struct Part<'a> {
    module: &'a Module,
    rows: Vec<(&'a [f32], &'a mut [f32])>,
}

impl Decoder {
    /// Makes an adapter ready; rows name it by the number that is returned.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] where it adapts what this decoder does not adapt, or was made for other shapes.
    pub(crate) fn load_adapter(&mut self, files: &AdapterFiles) -> Result<u32, EngineError> {
        let refused = |reason| EngineError::Adapter { name: files.name.clone(), reason };
        let mut adapter = Adapter::default();
        for module in &files.modules {
            let (inner, columns) = self.shape(module.layer, module.role).ok_or_else(|| refused(format!("it adapts {:?}", module.role)))?;
            if (module.inner, module.columns) != (inner, columns) {
                let reason = format!("{:?} is {columns} x {inner}, the adapter's {} x {}", module.role, module.columns, module.inner);
                return Err(refused(reason));
            }
            adapter.insert(module);
        }
        let number = u32::try_from(self.adapters.len()).map_err(EngineError::library("counting adapters"))?;
        self.adapters.push(adapter);
        Ok(number)
    }

    /// Inner dimension and columns of a matrix that can be adapted.
    fn shape(&self, layer: Option<usize>, role: WeightRole) -> Option<(usize, usize)> {
        let Some(layer) = layer else {
            return (role == WeightRole::Embedding).then_some((self.architecture.vocabulary, self.architecture.width));
        };
        let projection = self.layers.get(layer)?.projections().into_iter().find(|projection| projection.role == role)?;
        Some((projection.linear.inner(), projection.linear.columns()))
    }
}

impl LayerWeights {
    /// All that adapters may adapt: not routers and experts.
    fn projections(&self) -> Vec<&Projection> {
        let mut all = vec![&self.attention.output];
        match &self.attention.input {
            AttentionInput::Projected(projections) => all.extend(projections),
            AttentionInput::Latent(latent) => {
                all.extend(&latent.down);
                all.extend(latent.query.iter().map(|(_, up)| up));
                all.push(&latent.up);
            }
        }
        let dense = match &self.feed_forward {
            FeedForwardWeights::Dense(dense) => Some(&**dense),
            FeedForwardWeights::Experts(experts) => experts.shared.as_ref(),
        };
        all.extend(dense.iter().flat_map(|dense| dense.inner.iter().chain([&dense.down])));
        all
    }
}

impl Adapter {
    fn insert(&mut self, module: &AdapterModule) {
        // Files have `[columns][rank]`; this way the columns that a vector holds lie together.
        let up = transposed(&module.up, module.rank);
        let own = |down| Module { rank: module.rank, factor: module.scale, down, up };
        match module.layer {
            Some(layer) => drop(self.modules.insert((layer, module.role), own(module.down.clone()))),
            None => self.embedding = Some(own(transposed(&module.down, module.inner))),
        }
    }
}

/// `[rows][columns]` to `[columns][rows]`
fn transposed(numbers: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| numbers.iter().skip(column).step_by(columns.max(1))).copied().collect()
}

impl Pass<'_> {
    /// Adds what the rows' adapters make of `input: [rows][inner]` to what the base's matrices made of it.
    pub(super) fn adapt(&self, rows: &RowSet, input: &[f32], outputs: Vec<(&Projection, &mut [f32])>) {
        if rows.adapted.is_empty() {
            return;
        }
        let mut parts = Vec::new();
        for (projection, output) in outputs {
            let mut outputs: Vec<_> = output.chunks_exact_mut(projection.linear.columns()).map(Some).collect();
            for (adapter, places) in &rows.adapted {
                let Some(module) = self.decoder.adapters[*adapter as usize].modules.get(&(projection.layer, projection.role)) else {
                    continue;
                };
                for places in places.chunks(PART_ROWS) {
                    let inner = projection.linear.inner();
                    // A row has one adapter, so its output is still there to be taken.
                    let row = |place: &usize| Some((&input[place * inner..][..inner], outputs[*place].take()?));
                    parts.push(Part { module, rows: places.iter().filter_map(row).collect() });
                }
            }
        }
        share(&self.decoder.team, parts, |mut part| {
            let Module { rank, factor, down, up } = part.module;
            self.decoder.cpu.run(LowRank { down, up, rank: *rank, factor: *factor, rows: &mut part.rows });
        });
    }

    /// Adds what a row's adapter adds to the embedding of its token.
    pub(super) fn adapt_embedding(&self, row: usize, hidden: &mut [f32]) {
        let row = &self.batch.rows[row];
        let adapter = row.adapter.and_then(|adapter| self.decoder.adapters.get(adapter as usize));
        if let Some(Module { rank, factor, down, up }) = adapter.and_then(|adapter| adapter.embedding.as_ref()) {
            let narrow = &down[row.token as usize * rank..][..*rank];
            self.decoder.cpu.run(Expand { narrow, up, factor: *factor, to: hidden });
        }
    }
}
