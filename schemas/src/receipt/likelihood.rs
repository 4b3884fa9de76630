//! What a receipt states of an answer that was divided by how likely its sources made it (`likelihood/1`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use super::Source;
use crate::ids::ChunkId;

/// Players of a game: the table has a number for each set of them.
const MAX_PLAYERS: usize = 10;
/// Least log-likelihood of a token, in µnat: ln 10⁻⁴. One that a source makes impossible weighs no more than this.
pub const LEAST_TOKEN: i64 = -9_210_340;
/// What computes likelihoods, as the engine calls it.
const INSTRUCTION_SETS: [&str; 7] = ["portable", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "avx512-bf16", "amx-bf16"];
/// Tokens of an answer at most: sums of their likelihoods stay far within 64 bits.
const MAX_TOKENS: u64 = 1 << 32;
/// Sources that a game is checked for.
const MAX_SOURCES: usize = 48;

/// How likely the model found the answer under sets of its sources: sums over its tokens of the natural logarithms of their
/// probabilities, in µnat, each at least [`LEAST_TOKEN`]. Tokens of citations are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// The instruction set that it was computed by, or `remote`: by the same one it comes out again to the last digit.
    pub instruction_set: String,
    /// Tokens that count.
    pub tokens: u64,
    /// [`players_of`] the sources. Sets of them are numbers: player *i* is in those whose bit *i* is set.
    pub players: Vec<Vec<Address>>,
    /// `[sources]`: the players, ascending, without whom the source is not in the prompt: it says again what they said before.
    pub needs: Vec<Vec<u64>>,
    /// `[2^players]`: with the sources of each set of players alone, from none to all.
    pub table: Vec<i64>,
    /// `[sources]`: with that source alone.
    pub alone: Vec<i64>,
    /// `[sources]`: with all but that source.
    pub without: Vec<i64>,
}

/// The contributors in the order in which they first appear, each a player; those beyond the tenth are one with it.
pub fn players_of(contributors: impl IntoIterator<Item = Address>) -> Vec<Vec<Address>> {
    let (mut seen, mut players) = (BTreeSet::new(), Vec::<Vec<Address>>::new());
    for contributor in contributors {
        if !seen.insert(contributor) {
            continue;
        }
        match players.last_mut().filter(|_| seen.len() > MAX_PLAYERS) {
            Some(last) => last.push(contributor),
            None => players.push(vec![contributor]),
        }
    }
    players
}

impl Likelihood {
    /// With nobody's sources.
    #[must_use]
    pub fn of_none(&self) -> i64 {
        self.table.first().copied().unwrap_or_default()
    }

    /// With everybody's sources.
    #[must_use]
    pub fn of_all(&self) -> i64 {
        self.table.last().copied().unwrap_or_default()
    }

    /// Whether what puts the same sources into the prompt has the same likelihood. Sources are bits.
    fn is_one_number_for_each_prompt(&self, sources: &[Source]) -> bool {
        let bit = |who: &Address| self.players.iter().position(|player| player.contains(who)).map_or(0, |player| 1u64 << player);
        let mask = |(source, needs): (&Source, &Vec<u64>)| needs.iter().fold(bit(&source.contributor), |mask, player| mask | 1 << player);
        let masks: Vec<u64> = sources.iter().zip(&self.needs).map(mask).collect();
        let prompt =
            |set: u64| (masks.iter().enumerate()).filter(|(_, mask)| set & **mask == **mask).fold(0u64, |all, (at, _)| all | 1 << at);
        let all = (0..sources.len()).fold(0u64, |all, at| all | 1 << at);
        let sets = (0u64..).zip(&self.table).map(|(set, value)| (prompt(set), value));
        let alone = self.alone.iter().enumerate().map(|(at, value)| (1 << at, value));
        let without = self.without.iter().enumerate().map(|(at, value)| (all ^ 1 << at, value));
        let mut known = BTreeMap::new();
        sets.chain(alone).chain(without).all(|(prompt, value)| known.insert(prompt, value).is_none_or(|known| known == value))
    }

    /// What contradicts itself, or the sources.
    /// `is_remote`: nobody can tell which model it was.
    pub(super) fn problem(&self, sources: &[Source], is_remote: bool) -> Option<&'static str> {
        let instruction_set = self.instruction_set.as_str();
        if if is_remote { instruction_set != "remote" } else { !INSTRUCTION_SETS.contains(&instruction_set) } {
            return Some("likelihoods of a model here state an instruction set, and those of another \"remote\"");
        }
        if self.tokens == 0 || self.tokens > MAX_TOKENS {
            return Some("an answer has tokens, and not without end");
        }
        let chunks: BTreeSet<ChunkId> = sources.iter().map(|source| source.chunk_id).collect();
        if sources.len() > MAX_SOURCES || chunks.len() < sources.len() {
            return Some("an answer has at most 48 sources, each once");
        }
        if self.players != players_of(sources.iter().map(|source| source.contributor)) {
            return Some("the players are not the contributors of the sources in their order");
        }
        let lengths = [self.table.len(), self.needs.len(), self.alone.len(), self.without.len()];
        if lengths != [1 << self.players.len(), sources.len(), sources.len(), sources.len()] {
            return Some("there is one likelihood for each set of players, and two for each source");
        }
        let is_other = |player: &u64, source: &Source| {
            usize::try_from(*player).ok().and_then(|player| self.players.get(player)).is_some_and(|who| !who.contains(&source.contributor))
        };
        let are_others =
            |(needs, source): (&Vec<u64>, &Source)| needs.is_sorted_by(|a, b| a < b) && needs.iter().all(|one| is_other(one, source));
        if !self.needs.iter().zip(sources).all(are_others) {
            return Some("what a source needs are other players, ascending");
        }
        let least = i64::try_from(self.tokens).ok().and_then(|tokens| tokens.checked_mul(LEAST_TOKEN));
        let is_possible = |value: &i64| least.is_some_and(|least| (least..=0).contains(value));
        if !self.is_one_number_for_each_prompt(sources) {
            return Some("the same sources in the prompt have two likelihoods");
        }
        if !self.table.iter().chain(&self.alone).chain(&self.without).all(is_possible) {
            return Some("a likelihood is at most 1, and of each token at least one in ten thousand");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_are_the_contributors_in_order_and_the_last_are_one() {
        let account = |n: u8| Address::repeat_byte(n);
        assert_eq!(players_of([3, 1, 3, 2].map(account)), [[account(3)], [account(1)], [account(2)]]);
        let many = players_of((0..12).chain([11, 0]).map(account));
        assert_eq!((many.len(), many[8].clone(), many[9].clone()), (10, vec![account(8)], [9, 10, 11].map(account).to_vec()));
        assert!(players_of([]).is_empty());
    }
}
