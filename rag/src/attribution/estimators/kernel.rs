//! Shapley values by weighted least squares: of all additive games that give the same to everybody together, the Shapley value is the
//! one nearest to v, where a set of k among n players weighs (n − 1) / (C(n, k) · k · (n − k)).

use std::collections::BTreeMap;

use super::draws::Draws;
use super::game::{Game, choose};
use crate::Result;

/// Draws for each set that is wanted, before fewer sets have to do: those that are left may hardly ever be drawn.
const DRAWS_PER_SET: usize = 100;
/// Of f64 sums of a few thousand terms, relative.
const ROUNDING: f64 = 1e-13;

/// A set, its weight, and what it is worth beyond none.
type Row = (usize, f64, f64);

/// Scores sum to v(all) − v(none). Where the sets drawn leave something open, they are as equal as can be.
pub(super) fn estimate(game: &mut Game<'_>, sets: usize, seed: u64) -> Result<Vec<f64>> {
    let (players, everybody) = (game.players(), game.everybody());
    let none = game.value(0)?;
    let total = game.value(everybody)? - none;
    let weights = if sets >= everybody - 1 { all(players, everybody) } else { drawn(players, everybody, sets, seed) };
    let row = |(set, weight): (usize, f64)| Ok((set, weight, game.value(set)? - none));
    let rows: Vec<Row> = weights.into_iter().map(row).collect::<Result<_>>()?;
    Ok(fit(&rows, players, total))
}

/// Every set but none and all.
fn all(players: usize, everybody: usize) -> BTreeMap<usize, f64> {
    let weight = |set: usize| {
        let count = set.count_ones() as usize;
        of_size(players, count) / choose(players, count)
    };
    (1..everybody).map(|set| (set, weight(set))).collect()
}

/// What all sets of `count` players weigh together.
fn of_size(players: usize, count: usize) -> f64 {
    (players - 1) as f64 / (count * (players - count)) as f64
}

/// Sets in proportion to their weights, each with its complement; each weighs as often as it was drawn.
fn drawn(players: usize, everybody: usize, sets: usize, seed: u64) -> BTreeMap<usize, f64> {
    let mut draws = Draws::new(seed);
    let mut drawn = BTreeMap::new();
    let whole: f64 = (1..players).map(|count| of_size(players, count)).sum();
    for _ in 0..sets * DRAWS_PER_SET {
        // a pair more would be more than was allowed
        if drawn.len() + 2 > sets {
            break;
        }
        let mut left = draws.part() * whole;
        let is_reached = |count: &usize| {
            left -= of_size(players, *count);
            left < 0.0
        };
        let count = (1..players).find(is_reached).unwrap_or(players - 1);
        let set = draws.order(players).into_iter().take(count).fold(0, |set, player| set | 1 << player);
        for set in [set, everybody & !set] {
            *drawn.entry(set).or_insert(0.0) += 1.0;
        }
    }
    drawn
}

/// The scores x with Σ x = `total` that make Σ weight · (Σ x of the set − worth)² least, and are the nearest to equal shares of those.
/// By conjugate gradients in the plane where scores sum to nothing: exact after as many steps as players, but for rounding.
fn fit(rows: &[Row], players: usize, total: f64) -> Vec<f64> {
    let equal = vec![total / players as f64; players];
    let wanted = rows.iter().map(|(set, weight, worth)| (*set, weight * worth));
    let (wanted, has) = (sums(wanted, players), weigh(rows, &equal));
    let heaviest: f64 = rows.iter().map(|(_, weight, _)| weight).sum();
    let least = (dot(&wanted, &wanted) + dot(&has, &has)) * ROUNDING * ROUNDING;
    let mut residual = level(wanted.iter().zip(has).map(|(wanted, has)| wanted - has).collect());
    let (mut scores, mut direction) = (equal, residual.clone());
    let mut error = dot(&residual, &residual);
    for _ in 0..4 * players {
        let weighed = level(weigh(rows, &direction));
        let curvature = dot(&direction, &weighed);
        // what is left is rounding, or a direction that no set says anything of
        if error <= least || curvature <= dot(&direction, &direction) * heaviest * ROUNDING {
            break;
        }
        let step = error / curvature;
        scores.iter_mut().zip(&direction).for_each(|(score, along)| *score += step * along);
        residual.iter_mut().zip(&weighed).for_each(|(residual, weighed)| *residual -= step * weighed);
        let next = dot(&residual, &residual);
        direction.iter_mut().zip(&residual).for_each(|(along, residual)| *along = residual + next / error * *along);
        error = next;
    }
    scores
}

/// The quadratic form's matrix times `scores`: Σ weight · (Σ scores of the set), for each set that a player is in.
fn weigh(rows: &[Row], scores: &[f64]) -> Vec<f64> {
    let of_set =
        |set: usize| -> f64 { scores.iter().enumerate().filter(|(player, _)| set >> player & 1 == 1).map(|(_, score)| score).sum() };
    sums(rows.iter().map(|(set, weight, _)| (*set, weight * of_set(*set))), scores.len())
}

/// By player the sum of the numbers of its sets.
fn sums(numbers: impl Iterator<Item = (usize, f64)>, players: usize) -> Vec<f64> {
    let mut sums = vec![0.0; players];
    for (set, number) in numbers {
        sums.iter_mut().enumerate().filter(|(player, _)| set >> player & 1 == 1).for_each(|(_, sum)| *sum += number);
    }
    sums
}

/// The same, less their mean.
fn level(numbers: Vec<f64>) -> Vec<f64> {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    numbers.into_iter().map(|number| number - mean).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
