//! The game `likelihood/1`: what a model wrote is worth what its sources made likely.
//!
//! The worth of a set *S* of contributors is v(S) = Σ over the answer's tokens of ln p(token), where the model reads the prompt
//! with the sources of *S* alone; nothing is generated again. v is a table with a number for each set, so each contributor's
//! Shapley value is exact. Who has several sources is one player, however they are cut.
//!
//! A source that says again, of what the answer says, what an earlier one of somebody else says is in the prompt only where that one's
//! contributor is in *S* ([`needs`]; games with a permission structure, Gilles, Owen and van den Brink 1992): whoever copies adds
//! to what is there, and takes neither the place of the first nor what a third one's words need of them.
//!
//! Of what the answer gained by all sources, 1 − exp(−(v(all) − v(none)) / tokens) is divided, in proportion to values above zero:
//! what the model would have said anyway, and what a source made less likely, pays nobody. Citations stand in the answer and do not
//! count: asking to be cited gains nothing. Everything after the table is integer arithmetic.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use engine::Score;
use schemas::Address;
use schemas::allocation::{PPM, largest_remainder};
use schemas::ids::ChunkId;
use schemas::receipt::{ContributorShare, LEAST_TOKEN, Likelihood, Source, players_of};
use schemas::said::Said;

use super::shares::{Shares, narrow};
use crate::question;
use crate::statements::{Known, SHORT_TOKENS, Sentence, adds, read, says_again};
use crate::{RagError, Result};

/// The name of this value function, stated in the receipts that it divides.
pub(crate) const METHOD: &str = "likelihood/1";

/// Whose a source is, and what it says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) contributor: Address,
    pub(crate) registered: u64,
    pub(crate) chunk_id: ChunkId,
    pub(crate) text: &'a str,
}

impl<'a> Told<'a> {
    pub(crate) fn of(source: &Source, text: &'a str) -> Self {
        let Source { contributor, registered, chunk_id, .. } = *source;
        Self { contributor, registered, chunk_id, text }
    }
}

/// Who plays for an answer, and what is to be scored.
#[derive(Debug)]
pub(crate) struct Players {
    players: Vec<Vec<Address>>,
    needs: Vec<Vec<u64>>,
    /// Each `[sources]`.
    subsets: Vec<Vec<bool>>,
    /// The subset of every set of players, of each source alone, and of all but each.
    places: Vec<usize>,
}

impl Players {
    /// `said` are the answer's sentences. None without sources.
    pub(crate) fn new(question: &str, said: &[String], sources: &[Told<'_>]) -> Option<Self> {
        let players = players_of(sources.iter().map(|source| source.contributor));
        let needs = needs(question, said, sources);
        let bits = |at: usize| {
            let own = sources.get(at).map_or(0, |source| 1usize << player(&players, source.contributor));
            needs.get(at).into_iter().flatten().fold(own, |bits, player| bits | 1 << player)
        };
        let masks: Vec<usize> = (0..sources.len()).map(bits).collect();
        let of_players = (0..1usize << players.len()).map(|set| masks.iter().map(|mask| set & mask == *mask).collect::<Vec<bool>>());
        let alone = |at: usize| (0..sources.len()).map(|other| other == at).collect::<Vec<bool>>();
        let without = |at: usize| (0..sources.len()).map(|other| other != at).collect::<Vec<bool>>();
        let (mut subsets, mut places, mut known) = (Vec::new(), Vec::new(), BTreeMap::new());
        for subset in of_players.chain((0..sources.len()).map(alone)).chain((0..sources.len()).map(without)) {
            let place = *known.entry(subset.clone()).or_insert(subsets.len());
            if place == subsets.len() {
                subsets.push(subset);
            }
            places.push(place);
        }
        (!sources.is_empty()).then_some(Self { players, needs, subsets, places })
    }

    /// What is to be scored.
    pub(crate) fn subsets(&self) -> &[Vec<bool>] {
        &self.subsets
    }

    /// Of the scores of [`Self::subsets`]; what is `cited` are bytes of the answer that do not count.
    ///
    /// # Errors
    /// [`RagError::Worker`] where they are not scores of the answer, or nothing of it counts.
    pub(crate) fn likelihood(self, scores: &[Score], answer: &str, cited: &[Range<usize>], instruction_set: String) -> Result<Likelihood> {
        let bad = |problem: &str| Err(RagError::Worker(format!("an answer was scored {problem}")));
        let ends = scores.first().map_or(&[][..], |score| &score.ends);
        let is_of_answer = |score: &Score| {
            score.ends == ends
                && score.log_probabilities.len() == ends.len()
                && score.log_probabilities.iter().all(|number| !number.is_nan())
        };
        if scores.len() != self.subsets.len() || ends.last() != Some(&answer.len()) || !scores.iter().all(is_of_answer) {
            return bad("in other tokens than its own");
        }
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let counts: Vec<bool> =
            starts.zip(ends).map(|(start, end)| !cited.iter().any(|cited| start < cited.end && cited.start < *end)).collect();
        let tokens = counts.iter().filter(|counts| **counts).count();
        if tokens == 0 {
            return bad("and is nothing but citations");
        }
        let values: Vec<i64> = scores.iter().map(|score| micronats(score, &counts)).collect();
        let mut values = self.places.iter().map(|place| values.get(*place).copied().unwrap_or_default());
        let (sets, sources) = (1 << self.players.len(), self.needs.len());
        Ok(Likelihood {
            instruction_set,
            tokens: tokens as u64,
            table: values.by_ref().take(sets).collect(),
            alone: values.by_ref().take(sources).collect(),
            without: values.collect(),
            players: self.players,
            needs: self.needs,
        })
    }
}

fn micronats(score: &Score, counts: &[bool]) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let of_token = |log_probability: &f32| ((f64::from(*log_probability) * 1e6).round() as i64).clamp(LEAST_TOKEN, 0);
    score.log_probabilities.iter().zip(counts).filter(|(_, counts)| **counts).map(|(number, _)| of_token(number)).sum()
}

/// The number of a contributor's player.
fn player(players: &[Vec<Address>], contributor: Address) -> usize {
    players.iter().position(|who| who.contains(&contributor)).unwrap_or_default()
}

/// Of each source the players, ascending, without whom it is not in the prompt: those who were the first to state what one of its
/// sentences says again, of those that say anything of the answer beyond the question's words, with what these need. Where no source
/// says anything of it, every sentence counts. Follows from texts and order alone.
pub(crate) fn needs(question: &str, said: &[String], sources: &[Told<'_>]) -> Vec<Vec<u64>> {
    let players = players_of(sources.iter().map(|source| source.contributor));
    let asked = Said::of(question::last(question));
    let said: Vec<Said> = said.iter().map(|sentence| Said::of(sentence)).collect();
    let sentences: Vec<Vec<Sentence>> = sources.iter().map(|source| read(source.text)).collect();
    let mut known = Known::default();
    sentences.iter().flatten().for_each(|sentence| known.learn(sentence));
    let mut answered: BTreeSet<&str> = said.iter().flat_map(|sentence| adds(sentence, &asked)).collect();
    answered.retain(|token| sentences.iter().flatten().any(|sentence| sentence.said.tokens.contains(*token)));
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|at| sources.get(*at).map(|source| (source.registered, source.chunk_id)));
    let mut needs: Vec<Vec<u64>> = vec![Vec::new(); sources.len()];
    for (place, later) in order.iter().enumerate() {
        let own = sources.get(*later).map(|source| player(&players, source.contributor) as u64);
        let states = |at: &&usize, one: &Sentence| {
            let stated = sentences.get(**at).into_iter().flatten().filter(|other| other.is_statement(&known));
            stated.into_iter().any(|other| is_again(&one.said, &other.said, &answered))
        };
        let mut others = BTreeSet::new();
        for sentence in sentences.get(*later).into_iter().flatten() {
            let first = order.iter().take(place).find(|at| states(at, sentence));
            let first = first.and_then(|first| Some((player(&players, sources.get(*first)?.contributor) as u64, needs.get(*first)?)));
            if let Some((first, needed)) = first.filter(|(first, _)| Some(*first) != own) {
                others.insert(first);
                others.extend(needed.iter().filter(|player| Some(**player) != own));
            }
        }
        if let Some(needs) = needs.get_mut(*later) {
            *needs = others.into_iter().collect();
        }
    }
    needs
}

/// Whether a sentence says again what an earlier statement says: everything of the answer that it has, with the same numbers, or with
/// others beside all that the earlier one has; a heading's few words are none of the answer's. Where nothing was `answered` from the
/// sources, any sentence is of the answer.
fn is_again(later: &Said, earlier: &Said, answered: &BTreeSet<&str>) -> bool {
    let of_answer: Vec<&String> = later.tokens.iter().filter(|token| answered.contains(token.as_str())).collect();
    let least = if later.tokens.len() <= SHORT_TOKENS { 2 } else { 1 };
    if !answered.is_empty() && (of_answer.len() < least || !of_answer.iter().all(|token| earlier.tokens.contains(*token))) {
        return false;
    }
    let has_all = earlier.tokens.is_subset(&later.tokens) && later.figures.negations == earlier.figures.negations;
    says_again(later, earlier) && (has_all || !later.figures.differ(&earlier.figures))
}

/// The shares that a receipt's likelihoods lead to; they are those of its sources.
pub(crate) fn compute_shares(sources: &[Source], likelihood: &Likelihood) -> Shares {
    let pool = u128::from(reliance_ppm(likelihood));
    let values: Vec<u128> = values(likelihood).into_iter().map(|value| u128::try_from(value).unwrap_or(0)).collect();
    let mut per_source_ppm = vec![0; sources.len()];
    let mut per_contributor: BTreeMap<Address, u64> = BTreeMap::new();
    for (who, part) in likelihood.players.iter().zip(largest_remainder(pool, &values)).filter(|(_, part)| *part > 0) {
        // in an order that does not depend on the order of the sources
        let mut own: Vec<(ChunkId, u64, usize)> = (sources.iter().enumerate())
            .filter(|(_, source)| who.contains(&source.contributor))
            .map(|(index, source)| (source.chunk_id, source.registered, index))
            .collect();
        own.sort_unstable();
        let mut weights: Vec<u128> = own.iter().map(|(.., at)| u128::try_from(twice_worth(likelihood, *at)).unwrap_or(0)).collect();
        if weights.iter().all(|weight| *weight == 0) {
            weights.fill(1);
        }
        for ((.., index), part) in own.iter().zip(largest_remainder(part, &weights)) {
            if let Some((share, source)) = per_source_ppm.get_mut(*index).zip(sources.get(*index)) {
                *share = narrow(part);
                *per_contributor.entry(source.contributor).or_default() += narrow(part);
            }
        }
    }
    let shares = per_contributor.into_iter().filter(|(_, share_ppm)| *share_ppm > 0);
    let per_contributor: Vec<ContributorShare> =
        shares.map(|(contributor, share_ppm)| ContributorShare { contributor, share_ppm }).collect();
    let shared: u64 = per_contributor.iter().map(|share| share.share_ppm).sum();
    Shares { per_contributor, per_source_ppm, unattributed_ppm: PPM - shared }
}

/// Each player's Shapley value times the factorial of their number, in µnat; together v(all) − v(none), so many times.
fn values(likelihood: &Likelihood) -> Vec<i128> {
    let count = likelihood.players.len();
    let worth = |set: usize| i128::from(likelihood.table.get(set).copied().unwrap_or_default());
    let value = |player: usize| {
        let sets = (0..1usize << count).filter(|set| set >> player & 1 == 0);
        sets.map(|set| {
            let before = set.count_ones() as usize;
            // orders in which just these stand before the player
            factorial(before) * factorial(count - before - 1) * (worth(set | 1 << player) - worth(set))
        })
        .sum()
    };
    (0..count).map(value).collect()
}

fn factorial(number: usize) -> i128 {
    (1..=number as i128).product()
}

/// Each player's value in µnat, rounded towards zero: what it made the answer likelier by, or less likely.
pub fn player_values(likelihood: &Likelihood) -> Vec<(Vec<Address>, i64)> {
    let orders = factorial(likelihood.players.len());
    let value = |value: i128| i64::try_from(value / orders).unwrap_or_default();
    likelihood.players.iter().cloned().zip(values(likelihood).into_iter().map(value)).collect()
}

/// What a source adds to none and what is lost without it, in µnat: twice their mean.
fn twice_worth(likelihood: &Likelihood, source: usize) -> i128 {
    let of = |values: &[i64]| i128::from(values.get(source).copied().unwrap_or_default());
    let (none, all) = (i128::from(likelihood.of_none()), i128::from(likelihood.of_all()));
    of(&likelihood.alone) - none + all - of(&likelihood.without)
}

/// The part of the answer that rests on the sources: 1 − e to the power of minus what they add to a token's log-likelihood.
fn reliance_ppm(likelihood: &Likelihood) -> u64 {
    let gained = likelihood.of_all().saturating_sub(likelihood.of_none());
    let tokens = i64::try_from(likelihood.tokens).unwrap_or(i64::MAX).max(1);
    PPM - decay_ppm(u64::try_from(gained / tokens).unwrap_or(0))
}

/// 10⁶ · e^(−µ/10⁶), rounded down, by integers of 18 digits.
fn decay_ppm(micro: u64) -> u64 {
    const ONE: i128 = 10i128.pow(18);
    const PER_E: i128 = 367_879_441_171_442_321;
    const MICRO: u64 = 1_000_000;
    let (whole, part) = (micro / MICRO, i128::from(micro % MICRO));
    if whole > 20 {
        return 0;
    }
    let (mut term, mut sum) = (ONE, ONE);
    for n in 1..=20 {
        term = -term * part / (n * i128::from(MICRO));
        sum += term;
    }
    let decayed = (0..whole).fold(sum, |decayed, _| decayed * PER_E / ONE);
    u64::try_from(decayed * i128::from(PPM) / ONE).unwrap_or(0).min(PPM)
}

#[cfg(test)]
mod tests;
