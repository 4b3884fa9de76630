//! What sets of players are worth, told one set at a time.

use std::collections::BTreeMap;
use std::fmt;

use crate::{RagError, Result};

/// Players of a game: the exact value needs the worth of every set of them.
pub const MAX_PLAYERS: usize = 16;

/// A game whose sets are valued when somebody asks, each once. A set is bits, the first player's the lowest.
pub struct Game<'a> {
    players: usize,
    worth: Box<dyn FnMut(usize) -> f64 + 'a>,
    known: BTreeMap<usize, f64>,
}

impl fmt::Debug for Game<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Game").field("players", &self.players).field("known", &self.known).finish_non_exhaustive()
    }
}

impl<'a> Game<'a> {
    /// `worth` is asked for sets below 2 to the power of `players`.
    ///
    /// # Errors
    /// [`RagError::Parameter`] for no player, or more than [`MAX_PLAYERS`].
    pub fn new(players: usize, worth: impl FnMut(usize) -> f64 + 'a) -> Result<Self> {
        if !(1..=MAX_PLAYERS).contains(&players) {
            return Err(RagError::Parameter { parameter: "players", problem: format!("{players}: a game has 1 to {MAX_PLAYERS}") });
        }
        Ok(Self { players, worth: Box::new(worth), known: BTreeMap::new() })
    }

    pub fn players(&self) -> usize {
        self.players
    }

    /// The set of all players.
    pub fn everybody(&self) -> usize {
        (1 << self.players) - 1
    }

    /// How many sets' worth was computed.
    pub fn evaluations(&self) -> usize {
        self.known.len()
    }

    /// # Errors
    /// [`RagError::Worker`] where the worth is no finite number.
    pub fn value(&mut self, set: usize) -> Result<f64> {
        if let Some(known) = self.known.get(&set) {
            return Ok(*known);
        }
        let worth = (self.worth)(set);
        if !worth.is_finite() {
            return Err(RagError::Worker(format!("the set {set:#b} of players was valued at {worth}, which is no finite number")));
        }
        self.known.insert(set, worth);
        Ok(worth)
    }

    /// Each player's Shapley value: φᵢ = Σ over the sets S without i of (v(S + i) − v(S)) / (n · C(n − 1, |S|)).
    pub(super) fn shapley(&mut self) -> Result<Vec<f64>> {
        let (players, everybody) = (self.players, self.everybody());
        let orders = |set: usize| players as f64 * choose(players - 1, set.count_ones() as usize);
        let of_player = |player: usize| {
            let without = (0..=everybody).filter(|set| set >> player & 1 == 0);
            without.map(|set| Ok((self.value(set | 1 << player)? - self.value(set)?) / orders(set))).sum()
        };
        (0..players).map(of_player).collect()
    }
}

/// In how many ways `some` of `all` are chosen; exact for what a game has.
pub(super) fn choose(all: usize, some: usize) -> f64 {
    (0..some).fold(1.0, |ways, chosen| ways * (all - chosen) as f64 / (chosen + 1) as f64)
}
