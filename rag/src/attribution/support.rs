//! Which source was the first to say which part of an answer.

use std::collections::BTreeSet;

use schemas::allocation::{PPM, largest_remainder};
use schemas::receipt::{Source, ValueRow};
use schemas::said::Said;

use super::shares::narrow;
use crate::question;
use crate::statements::{Known, Sentence, adds, confirms, read};

/// A statement says a sentence of which it holds at least one part in so many …
const LEAST_PART: usize = 2;
/// … unless it is a sentence so long that this is less than one part in so many of it: such a one holds every word there is.
const GREATEST_LENGTH: usize = 5;
/// A sentence repeats an earlier one of the answer that holds so many tenths of it.
const REPEATED_TENTHS: usize = 7;

/// A source with its text.
#[derive(Debug, Clone, Copy)]
pub struct SourceText<'a> {
    pub source: &'a Source,
    pub text: &'a str,
}

/// One row per segment, `[segments][sources]`: its weight, by length in bytes, and which part of its tokens each source was
/// the first to say, in ppm. `question` is what was asked: a segment that neither confirms it nor adds to its words
/// belongs to nobody.
pub fn compute_value_table(question: &str, segments: &[&str], sources: &[SourceText<'_>]) -> Vec<ValueRow> {
    let question = question::last(question);
    let asked = Said::of(question);
    let said: Vec<Said> = segments.iter().map(|segment| Said::of(segment)).collect();
    let statements = statements(segments, sources);
    let mut order: Vec<usize> = (0..sources.len()).collect();
    order.sort_by_key(|index| sources.get(*index).map(|source| (source.source.registered, source.source.chunk_id)));
    let new: Vec<BTreeSet<&str>> = (0..said.len()).map(|index| new_tokens(&said, index)).collect();
    let weights = weights(segments, &said, &new);
    (segments.iter().zip(&said).zip(&new).zip(weights))
        .map(|(((text, segment), new), weight)| {
            let parts = if adds(segment, &asked).next().is_some() || confirms(text, question) {
                first_to_say(segment, new, &order, &statements)
            } else {
                vec![0; sources.len()]
            };
            ValueRow { weight_ppm: narrow(weight), adds_ppm: adds_ppm(&parts, new.len(), &order) }
        })
        .collect()
}

/// What each source states.
fn statements(segments: &[&str], sources: &[SourceText<'_>]) -> Vec<Vec<Said>> {
    let sentences: Vec<Vec<Sentence>> = sources.iter().map(|source| read(source.text)).collect();
    let mut known = Known::default();
    segments.iter().for_each(|segment| known.learn_text(segment));
    sentences.iter().flatten().for_each(|sentence| known.learn(sentence));
    let stated = |sentences: Vec<Sentence>| sentences.into_iter().filter(|one| one.is_statement(&known)).map(|one| one.said).collect();
    sentences.into_iter().map(stated).collect()
}

/// The tokens of a segment that no earlier segment says which holds most of it.
fn new_tokens(said: &[Said], index: usize) -> BTreeSet<&str> {
    let Some(segment) = said.get(index) else { return BTreeSet::new() };
    let earlier = said.get(..index).unwrap_or_default();
    let repeated: Vec<&Said> =
        earlier.iter().filter(|other| segment.shared(other) * 10 >= segment.tokens.len() * REPEATED_TENTHS).collect();
    let is_new = |token: &&str| !repeated.iter().any(|other| other.tokens.contains(*token));
    segment.tokens.iter().map(String::as_str).filter(is_new).collect()
}

/// By length in bytes, of a repetition its new part.
fn weights(segments: &[&str], said: &[Said], new: &[BTreeSet<&str>]) -> Vec<u128> {
    let lengths: Vec<u128> = (segments.iter().zip(said).zip(new))
        .map(|((segment, said), new)| match said.tokens.len() as u128 {
            0 => segment.len() as u128 * u128::from(PPM),
            all => segment.len() as u128 * u128::from(PPM) * new.len() as u128 / all,
        })
        .collect();
    largest_remainder(u128::from(PPM), &lengths)
}

/// How many of the `new` tokens of a segment each source was the first to say. `order` is that of registration.
fn first_to_say(segment: &Said, new: &BTreeSet<&str>, order: &[usize], statements: &[Vec<Said>]) -> Vec<u128> {
    let mut left: BTreeSet<&str> = new.clone();
    let mut parts = vec![0; statements.len()];
    for index in order {
        let own = statements.get(*index).map(Vec::as_slice).unwrap_or_default();
        let before = left.len();
        for statement in own.iter().filter(|statement| says(statement, segment)) {
            left.retain(|token| !statement.tokens.contains(*token));
        }
        if let Some(part) = parts.get_mut(*index) {
            *part = (before - left.len()) as u128;
        }
    }
    parts
}

/// Whether a statement says a sentence of the answer, in whole or in part.
fn says(statement: &Said, segment: &Said) -> bool {
    let shared = statement.shared(segment);
    shared > 0 && shared * LEAST_PART >= segment.tokens.len() && shared * GREATEST_LENGTH >= statement.tokens.len()
}

/// Parts of `all` in ppm, exact in sum: by largest remainder in the order of registration, what nobody says last.
fn adds_ppm(parts: &[u128], all: usize, order: &[usize]) -> Vec<u64> {
    let mut weights: Vec<u128> = order.iter().map(|index| parts.get(*index).copied().unwrap_or(0)).collect();
    weights.push((all as u128).saturating_sub(parts.iter().sum()));
    let mut adds = vec![0; parts.len()];
    for (index, part) in order.iter().zip(largest_remainder(u128::from(PPM), &weights)) {
        if let Some(adds) = adds.get_mut(*index) {
            *adds = narrow(part);
        }
    }
    adds
}
