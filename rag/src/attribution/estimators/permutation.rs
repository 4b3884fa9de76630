//! Shapley values by orders that are drawn, each with its reverse (Mitchell et al., JMLR 23, 2022): where a player comes early in one it
//! comes late in the other, and much of the noise goes.

use super::draws::Draws;
use super::game::Game;
use crate::Result;

/// The scores sum to v(all) − v(none), as every order's do.
pub(super) fn estimate(game: &mut Game<'_>, pairs: usize, seed: u64) -> Result<Vec<f64>> {
    let mut draws = Draws::new(seed);
    let mut scores = vec![0.0; game.players()];
    for _ in 0..pairs {
        let order = draws.order(game.players());
        walk(game, order.iter().copied(), &mut scores)?;
        walk(game, order.iter().rev().copied(), &mut scores)?;
    }
    Ok(scores.into_iter().map(|score| score / (2 * pairs) as f64).collect())
}

/// Adds what each player adds to those before it.
fn walk(game: &mut Game<'_>, order: impl Iterator<Item = usize>, scores: &mut [f64]) -> Result<()> {
    let mut set = 0;
    let mut before = game.value(set)?;
    for player in order {
        set |= 1 << player;
        let with = game.value(set)?;
        if let Some(score) = scores.get_mut(player) {
            *score += with - before;
        }
        before = with;
    }
    Ok(())
}

/// How far an estimate of so many pairs is at most from any player's Shapley value, but with probability `risk` (above 0, below 1).
/// `spread` is what the worth of two sets can differ by: for a log-likelihood of tokens that are each clipped at ln 10⁻⁴, 9.21 nat a
/// token. What a player adds in a pair of orders has a mean within ± spread, so by Hoeffding's inequality for each of the players
/// the error is at most 2 · spread · √(ln(2 · players / risk) / (2 · pairs)).
pub fn permutation_error(players: usize, pairs: usize, spread: f64, risk: f64) -> f64 {
    2.0 * spread * ((2.0 * players as f64 / risk).ln() / (2.0 * pairs as f64)).sqrt()
}
