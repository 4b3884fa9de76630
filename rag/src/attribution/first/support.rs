//! Lexical support: how much of a segment one sentence of a source says.

use std::collections::BTreeSet;

use schemas::allocation::{PPM, largest_remainder};
use schemas::receipt::first::ValueRow;

use crate::sentences::{self, Edition};

/// Weaker support counts as none: sharing some words is not saying the same.
const MIN_SUPPORT_PPM: u64 = 500_000;

/// Words that carry no content. Part of `support/1`, so it never changes.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "for", "from", "had", "has", "have", "he", "her",
    "his", "if", "in", "into", "is", "it", "its", "of", "on", "or", "she", "so", "such", "than", "that", "the", "their", "then", "there",
    "these", "they", "this", "those", "to", "was", "were", "which", "who", "will", "with",
];

/// One row per segment, `[segments][sources]`: its weight by length in bytes, and its support by
/// each source in ppm.
///
/// Support is the greatest |tokens(segment) ∩ tokens(sentence)| / |tokens(segment)| over the
/// sentences of the source, over distinct content tokens (lower-cased runs of letters and digits
/// outside a fixed stop list), rounded down; below [`MIN_SUPPORT_PPM`] it is 0. A segment without
/// a content token is supported by an identical sentence alone.
pub(crate) fn compute_value_table(segments: &[&str], sources: &[&str]) -> Vec<ValueRow> {
    let sources: Vec<Vec<Sentence<'_>>> = sources.iter().map(|text| Sentence::all(text)).collect();
    let lengths: Vec<u128> = segments.iter().map(|segment| segment.len() as u128).collect();
    let weights = largest_remainder(u128::from(PPM), &lengths);
    (segments.iter().zip(weights))
        .map(|(segment, weight)| {
            let tokens = tokens(segment);
            let support_ppm = sources.iter().map(|sentences| best(segment, &tokens, sentences)).collect();
            // at most PPM
            ValueRow { weight_ppm: u64::try_from(weight).unwrap_or(PPM), support_ppm }
        })
        .collect()
}

struct Sentence<'a> {
    text: &'a str,
    tokens: BTreeSet<String>,
}

impl<'a> Sentence<'a> {
    fn all(text: &'a str) -> Vec<Self> {
        sentences::split_by(text, Edition::First)
            .iter()
            .map(|sentence| sentence.of(text))
            .map(|text| Self { text, tokens: tokens(text) })
            .collect()
    }
}

fn best(segment: &str, wanted: &BTreeSet<String>, sentences: &[Sentence<'_>]) -> u64 {
    if wanted.is_empty() {
        let said = !segment.trim().is_empty() && sentences.iter().any(|sentence| sentence.text == segment.trim());
        return if said { PPM } else { 0 };
    }
    let shared = sentences.iter().map(|sentence| wanted.intersection(&sentence.tokens).count()).max().unwrap_or(0);
    let support = shared as u64 * PPM / wanted.len() as u64;
    if support < MIN_SUPPORT_PPM { 0 } else { support }
}

/// The distinct content tokens of `text`.
fn tokens(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .collect()
}
