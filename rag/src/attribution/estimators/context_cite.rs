//! `ContextCite`: a sparse linear model of what sets are worth, fitted to some that are drawn.
//!
//! Written from the paper (arXiv 2409.00729) and from what its package's solver does; no line is taken from it. Without the penalty the fit
//! to all sets would be the Banzhaf value, so its scores do not sum to v(all) − v(none).

use super::draws::Draws;
use super::game::Game;
use crate::Result;

/// As published.
const PENALTY: f64 = 0.01;
/// An answer that is as good as certain has no finite logit: v is taken for this at most. The published code gives infinity there.
const GREATEST_LOG_PROBABILITY: f64 = -1e-6;
/// Rounds of coordinate descent end where no coefficient moves by more …
const LEAST_MOVE: f64 = 1e-12;
/// … or after so many.
const MAX_ROUNDS: usize = 10_000;

/// What the worth of a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The natural logarithm of a probability: its logit, ln p − ln(1 − p), is fitted, per token of the answer, as published.
    LogProbability,
    /// Any other number, which is fitted as it is.
    Plain,
}

/// The n-th set follows from the seed plus n.
pub(super) fn estimate(game: &mut Game<'_>, ablations: usize, seed: u64, scale: Scale, answer_tokens: usize) -> Result<Vec<f64>> {
    let everybody = game.everybody();
    let set = |number: u64| Draws::new(seed.wrapping_add(number)).bits() as usize & everybody;
    let sets: Vec<usize> = (0..ablations as u64).map(set).collect();
    let tokens = match scale {
        Scale::LogProbability => answer_tokens as f64,
        Scale::Plain => 1.0,
    };
    let outputs = sets.iter().map(|set| game.value(*set)).map(|worth| {
        worth.map(|worth| match scale {
            Scale::LogProbability => logit(worth) / tokens,
            Scale::Plain => worth,
        })
    });
    let outputs = outputs.collect::<Result<Vec<f64>>>()?;
    Ok(lasso(&sets, &outputs, game.players()).into_iter().map(|weight| weight * tokens).collect())
}

fn logit(log_probability: f64) -> f64 {
    let log_probability = log_probability.min(GREATEST_LOG_PROBABILITY);
    log_probability - (-log_probability.exp_m1()).ln()
}

/// A player's membership in each set, with mean 0 and variance 1, and what it was divided by.
struct Column {
    entries: Vec<f64>,
    scale: f64,
}

impl Column {
    fn of(player: usize, sets: &[usize]) -> Self {
        let is_in = |set: &usize| (set >> player & 1) as f64;
        let mean = sets.iter().map(is_in).sum::<f64>() / sets.len() as f64;
        let deviation = (mean * (1.0 - mean)).sqrt();
        // in every set, or in none: nothing can be said of it, and it stays at zero
        let scale = if deviation > 0.0 { deviation } else { 1.0 };
        Self { entries: sets.iter().map(|set| (is_in(set) - mean) / scale).collect(), scale }
    }
}

/// The weights w that make Σ (outputs − b − Σ w · membership)² / (2 · sets) + penalty · Σ |w · deviation| least, by coordinate descent
/// (Friedman, Hastie and Tibshirani, 2010). The intercept b has no penalty.
pub(super) fn lasso(sets: &[usize], outputs: &[f64], players: usize) -> Vec<f64> {
    let count = sets.len() as f64;
    let columns: Vec<Column> = (0..players).map(|player| Column::of(player, sets)).collect();
    let mean = outputs.iter().sum::<f64>() / count;
    let mut residuals: Vec<f64> = outputs.iter().map(|output| output - mean).collect();
    let mut weights = vec![0.0; players];
    for _ in 0..MAX_ROUNDS {
        let mut moved: f64 = 0.0;
        for (weight, column) in weights.iter_mut().zip(&columns) {
            let along: f64 = column.entries.iter().zip(&residuals).map(|(entry, residual)| entry * residual).sum();
            let free: f64 = along / count + *weight;
            let new = free.signum() * (free.abs() - PENALTY).max(0.0);
            let by: f64 = new - *weight;
            residuals.iter_mut().zip(&column.entries).for_each(|(residual, entry)| *residual -= by * entry);
            *weight = new;
            moved = moved.max(by.abs());
        }
        if moved < LEAST_MOVE {
            break;
        }
    }
    weights.iter().zip(&columns).map(|(weight, column)| weight / column.scale).collect()
}
