//! A mixture of experts: each row passes the few that its router chooses.

use std::cmp::Ordering;

use super::forward::FeedForwardBuffers;
use super::pass::{Pass, RowSet};
use super::projection::room;
use super::weights::ExpertsWeights;
use crate::architecture::{Experts, GroupScore, RoutingScores};
use crate::kernels::{AddScaled, Write};

impl Pass<'_> {
    /// `output: [rows][width]` of `input: [rows][width]`. A row's experts are added in the order of their numbers, so
    /// that it does not matter who shares them.
    pub(super) fn experts(
        &self,
        weights: &ExpertsWeights,
        rows: &RowSet,
        input: &[f32],
        buffers: &mut FeedForwardBuffers,
        output: &mut [f32],
        write: Write,
    ) {
        let (cpu, width) = (self.decoder.cpu, self.decoder.architecture.width);
        if write == Write::Store {
            output.fill(0.0);
        }
        let scores = room(&mut buffers.scores, rows.len() * weights.shape.count);
        weights.router.multiply(self, rows, input, scores, Write::Store);
        let chosen = chosen(&weights.shape, &weights.bias, scores);
        // Taken out, because `dense` writes to the other buffers of the same struct.
        let (mut gathered, mut results) = (std::mem::take(&mut buffers.gathered), std::mem::take(&mut buffers.results));
        for (expert, places) in weights.experts.iter().zip(&chosen).filter(|(_, places)| !places.is_empty()) {
            let own = RowSet::new(self.batch, places.iter().map(|(place, _)| rows.rows[*place]).collect());
            let gathered = room(&mut gathered, places.len() * width);
            for (to, (place, _)) in gathered.chunks_exact_mut(width).zip(places) {
                to.copy_from_slice(&input[place * width..][..width]);
            }
            let results = room(&mut results, places.len() * width);
            self.dense(expert, &own, gathered, buffers, results, Write::Store);
            for (from, (place, factor)) in results.chunks_exact(width).zip(places) {
                cpu.run(AddScaled { to: &mut output[place * width..][..width], from, factor: *factor });
            }
        }
        (buffers.gathered, buffers.results) = (gathered, results);
        if let Some(shared) = &weights.shared {
            self.dense(shared, rows, input, buffers, output, Write::Add);
        }
    }
}

/// For each expert, the rows that pass it, with their weights.
fn chosen(experts: &Experts, bias: &[f32], logits: &[f32]) -> Vec<Vec<(usize, f32)>> {
    let mut chosen = vec![Vec::new(); experts.count];
    for (row, logits) in logits.chunks_exact(experts.count).enumerate() {
        for (expert, weight) in route(experts, bias, logits) {
            chosen[expert].push((row, weight));
        }
    }
    chosen
}

/// The experts of one row and their weights.
fn route(experts: &Experts, bias: &[f32], logits: &[f32]) -> Vec<(usize, f32)> {
    let routing = &experts.routing;
    let scores = scores(routing.scores, logits);
    let mut ranked: Vec<f32> = scores.clone();
    // The bias decides who is chosen, and never how much each counts.
    ranked.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
    if let Some((groups, taken, by)) = routing.groups {
        keep_groups(&mut ranked, (groups, taken), by);
    }
    let best = largest(&ranked, experts.per_token);
    let sum: f32 = best.iter().map(|expert| scores[*expert]).sum();
    // Every chosen sigmoid can round to 0: the weights are 0 then, not NaN.
    let divisor = if routing.normalised { sum + f32::MIN_POSITIVE } else { 1.0 };
    best.into_iter().map(|expert| (expert, scores[expert] / divisor * routing.scale)).collect()
}

fn scores(kind: RoutingScores, logits: &[f32]) -> Vec<f32> {
    // In f64, rounded once: the error of a quicker one could choose another expert.
    let exponential = |number: f32| f64::from(number).exp() as f32;
    match kind {
        RoutingScores::Sigmoid => logits.iter().map(|logit| 1.0 / (1.0 + exponential(-logit))).collect(),
        RoutingScores::Softmax => {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let raised: Vec<f32> = logits.iter().map(|logit| exponential(logit - largest)).collect();
            let sum: f32 = raised.iter().sum();
            raised.into_iter().map(|number| number / sum).collect()
        }
    }
}

/// Makes the experts of all but the best groups the last to be chosen.
fn keep_groups(ranked: &mut [f32], (groups, taken): (usize, usize), by: GroupScore) {
    let size = ranked.len() / groups;
    let judged = ranked.chunks_exact(size).map(|group| match by {
        GroupScore::Best => group.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        GroupScore::SumOfBestTwo => largest(group, 2).into_iter().map(|expert| group[expert]).sum(),
    });
    let kept = largest(&judged.collect::<Vec<_>>(), taken);
    for (group, ranked) in ranked.chunks_exact_mut(size).enumerate() {
        if !kept.contains(&group) {
            ranked.fill(f32::NEG_INFINITY);
        }
    }
}

/// Places of the `count` largest, ascending; the first of equal ones.
fn largest(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..numbers.len()).collect();
    places.sort_by(|a, b| numbers[*b].partial_cmp(&numbers[*a]).unwrap_or(Ordering::Equal));
    places.truncate(count);
    places.sort_unstable();
    places
}
