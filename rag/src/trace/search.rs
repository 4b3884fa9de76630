//! Finding the spans of a text in the parts of a version.

use std::collections::HashMap;
use std::ops::Range;

use super::part::{Holder, Part, SEPARATOR};
use super::query::{Query, Span};

/// Members of which the documents of a span are; later ones are counted only.
pub(super) const HOLDERS_MAX: usize = 64;

/// What was found of a text.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) coverage_ppm: u64,
    /// Spans that stand in the version, shown or not.
    pub(super) spans_in_all: usize,
    pub(super) shown: Vec<FoundSpan>,
}

#[derive(Debug, PartialEq)]
pub(super) struct FoundSpan {
    pub(super) span: Span,
    /// Bits that its tokens say: −log₂ of the product of their parts of all tokens of the version.
    pub(super) rarity_bits: f64,
    pub(super) occurrences: u64,
    /// The first members that hold it, by their place in the order of registration.
    pub(super) holders: Vec<Holder>,
    /// Whether there may be others.
    pub(super) has_more: bool,
}

/// The words of a query as each part numbers them.
struct Numbered<'a> {
    part: &'a Part,
    ids: Vec<u32>,
    /// Of each token: the first from it on that stands nowhere in the part.
    known_until: Vec<usize>,
}

impl<'a> Numbered<'a> {
    fn new(part: &'a Part, query: &Query) -> Self {
        let mut known: HashMap<&str, u32> = HashMap::new();
        let ids: Vec<u32> = (0..query.tokens.len())
            .map(|at| {
                let text = query.token_text(at);
                *known.entry(text).or_insert_with(|| part.id(text))
            })
            .collect();
        let mut until = ids.len();
        let mut known_until: Vec<usize> = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate().rev() {
            until = if *id == SEPARATOR { at } else { until };
            known_until.push(until);
        }
        known_until.reverse();
        Self { part, ids, known_until }
    }

    fn ids(&self, tokens: Range<usize>) -> &[u32] {
        let end = tokens.end.min(self.known_until.get(tokens.start).copied().unwrap_or_default());
        self.ids.get(tokens.start..end).unwrap_or_default()
    }

    fn occurrences(&self, tokens: &Range<usize>) -> Range<usize> {
        let ids = self.ids(tokens.clone());
        if ids.len() == tokens.len() { self.part.occurrences(ids) } else { 0..0 }
    }
}

/// The spans of a text in these parts, of which `spans_max` are shown at most. For each token the longest text from it on is looked
/// for, in time that grows with the length of what is found and with the number of bits of how much there is. Blocks.
pub(super) fn search(parts: &[Part], query: &Query, spans_max: usize) -> Found {
    let numbered: Vec<Numbered<'_>> = parts.iter().map(|part| Numbered::new(part, query)).collect();
    let reach = |at: usize| {
        let longest = numbered.iter().map(|numbered| numbered.part.longest(numbered.ids(at..query.sentence_end(at))));
        at + longest.max().unwrap_or_default()
    };
    let spans = query.maximal(reach);
    let in_all: u64 = parts.iter().map(|part| part.suffix_count() as u64).sum();
    let bits: Vec<f64> = (0..query.tokens.len()).map(|at| bits(&numbered, at, in_all)).collect();
    let rarity = |span: &Span| bits.get(span.tokens.clone()).unwrap_or_default().iter().sum::<f64>();
    let shown = query.chosen(&spans, rarity, spans_max).into_iter().map(|(span, rarity_bits)| {
        let (occurrences, holders) = held(&numbered, &span.tokens);
        let has_more = holders.len() == HOLDERS_MAX;
        FoundSpan { span: span.clone(), rarity_bits, occurrences, holders, has_more }
    });
    Found { coverage_ppm: query.coverage_ppm(&spans), spans_in_all: spans.len(), shown: shown.collect() }
}

/// Bits that a token says; 0 for one that stands nowhere.
#[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^53")]
fn bits(numbered: &[Numbered<'_>], at: usize, in_all: u64) -> f64 {
    let count: u64 = numbered.iter().map(|one| one.part.bucket(one.ids.get(at).copied().unwrap_or(SEPARATOR)).len() as u64).sum();
    if count == 0 { 0.0 } else { (in_all as f64 / count as f64).log2() }
}

/// How often a span stands in the parts, and in which members first.
fn held(numbered: &[Numbered<'_>], tokens: &Range<usize>) -> (u64, Vec<Holder>) {
    let (mut count, mut holders, mut members) = (0, Vec::new(), 0);
    for one in numbered {
        let occurrences = one.occurrences(tokens);
        count += occurrences.len() as u64;
        let first = one.part.first_holders(&occurrences, HOLDERS_MAX - holders.len());
        holders.extend(first.into_iter().map(|holder| Holder { member: holder.member + members, ..holder }));
        members += one.part.members();
    }
    (count, holders)
}
