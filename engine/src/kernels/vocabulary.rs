//! A head's scores over the vocabulary, and how likely a token is by them.
//!
//! Log-probabilities are taken chunk by chunk, so that the scores of many rows are never all in memory. A chunk's
//! columns depend on nothing, and chunks are added up in order: a row's result is the same in any batch.

use std::sync::OnceLock;

use super::functions::{exp, tanh};
use super::linear::{Input, Linear};
use super::{Kernel, Simd, Sink, Team, Write};

/// Columns of a chunk: whole panels of any path, and few enough that their weights stay in the cache for all rows.
const CHUNK_COLUMNS: usize = 256;
/// Rows whose scores of a chunk are in memory at once.
const TILE_ROWS: usize = 96;

/// What becomes of a score before it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HeadFinish {
    pub(crate) scale: f32,
    /// `cap · tanh(score / cap)`
    pub(crate) soft_cap: Option<f32>,
}

/// `[rows][vocabulary]`
pub(crate) fn logits(head: &Linear, team: &Team, hidden: &[f32], rows: usize, finish: HeadFinish) -> Vec<f32> {
    let mut scores = vec![0.0; rows * head.columns()];
    head.multiply(team, hidden, rows, &mut scores, Write::Store);
    team.cpu().run(Finish { scores: &mut scores, finish });
    scores
}

/// The natural logarithm of each row's probability of its target; -∞ for a target that the vocabulary lacks.
/// `hidden: [targets][inner]`
pub(crate) fn log_probabilities(head: &Linear, team: &Team, hidden: &[f32], targets: &[u32], finish: HeadFinish) -> Vec<f32> {
    let input = head.prepare(team, hidden, targets.len());
    let chunks = head.columns().div_ceil(CHUNK_COLUMNS);
    let summaries: Vec<OnceLock<Vec<Summary>>> = (0..chunks).map(|_| OnceLock::new()).collect();
    team.run(chunks, &|chunk| {
        // Each chunk is one part, and a part is run once.
        let _ = summaries[chunk].set(summarise(head, team, &input, targets, chunk, finish));
    });
    let of_row = |row: usize| total(summaries.iter().filter_map(OnceLock::get).filter_map(move |chunk| chunk.get(row)));
    (0..targets.len()).map(of_row).collect()
}

/// One row's scores of one chunk.
#[derive(Clone, Copy)]
struct Summary {
    largest: f32,
    /// Of `e^(score - largest)`.
    sum: f32,
    /// The target's score, where it is in the chunk.
    target: Option<f32>,
}

fn total<'a>(chunks: impl Iterator<Item = &'a Summary> + Clone) -> f32 {
    let largest = chunks.clone().fold(f32::NEG_INFINITY, |largest, chunk| largest.max(chunk.largest));
    let sum: f64 = chunks.clone().map(|chunk| f64::from(chunk.sum) * f64::from(chunk.largest - largest).exp()).sum();
    let target = chunks.filter_map(|chunk| chunk.target).next().unwrap_or(f32::NEG_INFINITY);
    #[expect(clippy::cast_possible_truncation, reason = "rounded once, at the end")]
    let logarithm = (f64::from(target) - f64::from(largest) - sum.ln()) as f32;
    logarithm
}

fn summarise(head: &Linear, team: &Team, input: &Input<'_>, targets: &[u32], chunk: usize, finish: HeadFinish) -> Vec<Summary> {
    let first = chunk * CHUNK_COLUMNS;
    let columns = CHUNK_COLUMNS.min(head.columns() - first);
    let panels = first / head.panel_columns()..(first + columns).div_ceil(head.panel_columns());
    let mut scores = vec![0.0; TILE_ROWS.min(targets.len()) * CHUNK_COLUMNS];
    let mut summaries = Vec::with_capacity(targets.len());
    for (tile, targets) in targets.chunks(TILE_ROWS).enumerate() {
        let rows = tile * TILE_ROWS..tile * TILE_ROWS + targets.len();
        head.product(input, rows, panels.clone(), ChunkSink { scores: &mut scores, first });
        for (scores, target) in scores.chunks_exact_mut(CHUNK_COLUMNS).zip(targets) {
            team.cpu().run(Finish { scores: &mut scores[..columns], finish });
            scores[columns..].fill(f32::NEG_INFINITY);
            let (largest, sum) = team.cpu().run(Summarise(scores));
            let target = (*target as usize).checked_sub(first).and_then(|at| scores[..columns].get(at)).copied();
            summaries.push(Summary { largest, sum, target });
        }
    }
    summaries
}

struct ChunkSink<'a> {
    scores: &'a mut [f32],
    first: usize,
}

impl Sink for ChunkSink<'_> {
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::Vector) {
        simd.store(&mut self.scores[row * CHUNK_COLUMNS + column - self.first..], sums);
    }
}

struct Finish<'a> {
    scores: &'a mut [f32],
    finish: HeadFinish,
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let HeadFinish { scale, soft_cap } = self.finish;
        if scale == 1.0 && soft_cap.is_none() {
            return;
        }
        let mut vectors = self.scores.chunks_exact_mut(S::LANES);
        for scores in &mut vectors {
            let capped = finished(simd, simd.load(scores), self.finish);
            simd.store(scores, capped);
        }
        let rest = vectors.into_remainder();
        let mut last = [0.0; CHUNK_COLUMNS];
        last[..rest.len()].copy_from_slice(rest);
        let capped = finished(simd, simd.load(&last), self.finish);
        simd.store(&mut last, capped);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[inline(always)]
fn finished<S: Simd>(simd: S, scores: S::Vector, HeadFinish { scale, soft_cap }: HeadFinish) -> S::Vector {
    match soft_cap {
        Some(cap) => simd.mul(simd.splat(cap), tanh(simd, simd.mul(scores, simd.splat(scale / cap)))),
        None => simd.mul(scores, simd.splat(scale)),
    }
}

/// The largest number, and the sum of `e^(number - largest)`.
struct Summarise<'a>(&'a [f32]);

impl Kernel for Summarise<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> (f32, f32) {
        let mut largest = simd.splat(f32::NEG_INFINITY);
        for numbers in self.0.chunks_exact(S::LANES) {
            largest = simd.max(largest, simd.load(numbers));
        }
        let largest = simd.largest(largest);
        let mut sum = simd.splat(0.0);
        for numbers in self.0.chunks_exact(S::LANES) {
            sum = simd.add(sum, exp(simd, simd.sub(simd.load(numbers), simd.splat(largest))));
        }
        (largest, simd.sum(sum))
    }
}

#[cfg(test)]
mod tests;
