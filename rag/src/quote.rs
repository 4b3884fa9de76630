//! The extractive answerer `quote/2`: it says nothing but statements of the version, verbatim, and
//! declines where none is close enough to the question.
//!
//! A statement's score is the mean of two numbers in 0..=1: the cosine of its embedding to the
//! question's, and its coverage, the part of the question's content words that it holds, weighted
//! by their rarity in the Datanet. A word that the Datanet has never seen is the rarest of all, so
//! a question about something that is not there finds no coverage. What adds nothing to the question's
//! words is no answer, and of several who say the same the first is quoted.

mod candidates;
mod choose;
mod names;

use engine::Embedder;

use crate::index::{self, TextIndex};
use crate::open_version::OpenVersion;
use crate::question::Question;
use crate::{QuoteConfig, Result};
use candidates::Candidate;

/// The name of this answerer, stated in receipts.
pub const GENERATOR: &str = "quote/2";

/// What is said when nothing can be quoted.
pub(crate) const DECLINED: &str = "The Datanet does not hold an answer to this question.";

/// A statement to quote: a byte range of the text of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quote {
    /// Position of the member in the version.
    pub(crate) chunk: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The statements to answer with, best first; none where the members at `positions`, best first, do not answer. Blocks.
pub(crate) fn select(
    question: &Question,
    opened: &OpenVersion,
    positions: &[usize],
    embedder: &dyn Embedder,
    config: &QuoteConfig,
) -> Result<Vec<Quote>> {
    let scored = score(question, opened, positions, embedder, config)?;
    Ok(choose::choose(&scored, config))
}

/// A candidate with both of its measures.
#[derive(Debug, Clone)]
pub(crate) struct Scored {
    pub(crate) candidate: Candidate,
    /// Cosine to the question.
    pub(crate) cosine: f64,
    /// 0 to 1.
    pub(crate) coverage: f64,
}

impl Scored {
    /// The mean of both measures.
    pub(crate) fn score(&self) -> f64 {
        f64::midpoint(self.cosine, self.coverage)
    }
}

/// Every statement that may be quoted under `config` whatever its cosine, with its measures, best score first.
pub(crate) fn score(
    question: &Question,
    opened: &OpenVersion,
    positions: &[usize],
    embedder: &dyn Embedder,
    config: &QuoteConfig,
) -> Result<Vec<Scored>> {
    let words = content_words(&question.own_terms, &opened.text)?;
    let with_turns = content_words(&question.terms, &opened.text)?;
    let measured = |terms: &[String]| question.measure(coverage(&words, terms), || coverage(&with_turns, terms));
    let cosine = |vector: &[f32]| question.measure(dot(&question.own_vector, vector), || dot(&question.vector, vector));
    let mut covered: Vec<(f64, Candidate)> = (candidates::all(opened, positions, question)?.into_iter())
        .map(|candidate| (measured(&candidate.terms), candidate))
        .filter(|(coverage, _)| *coverage > 0.0)
        .collect();
    // stable: equal coverage stays in the order of the sources
    covered.sort_by(|a, b| b.0.total_cmp(&a.0));
    covered.truncate(config.embedded_sentences);
    // embedding takes most of an answer's time
    covered.retain(|(coverage, _)| choose::may_be_strong(*coverage, config));
    let texts: Vec<(usize, &str)> = covered.iter().map(|(_, candidate)| (candidate.statement, candidate.text.as_str())).collect();
    let vectors = opened.statement_vectors(&texts, embedder)?;
    let mut scored: Vec<Scored> = (covered.into_iter().zip(&vectors))
        .map(|((coverage, candidate), vector)| Scored { candidate, cosine: cosine(vector), coverage })
        .collect();
    scored.sort_by(|a, b| b.score().total_cmp(&a.score()));
    Ok(scored)
}

/// Words that ask, and say nothing of what is asked about; in the stemmed form of the index.
const ASKING: &[&str] = &[
    "what", "which", "who", "whom", "whose", "when", "where", "whi", "why", "how", "do", "doe", "did", "can", "could", "should", "would",
    "may", "might", "must", "shall", "has", "have", "had", "were", "been", "ani", "some", "most", "mani", "much", "you", "your", "i", "me",
    "my", "we", "our", "us", "from", "about", "than", "so", "also", "tell", "explain", "describ", "mean", "call", "name", "happen",
    "usual",
];

/// The question's content words, each with its rarity. Where it has none, all its words.
pub(crate) fn content_words(terms: &[String], text_index: &TextIndex) -> Result<Vec<(String, f64)>> {
    let content: Vec<&String> = terms.iter().filter(|term| !ASKING.contains(&term.as_str())).collect();
    let chosen = if content.is_empty() { terms.iter().collect() } else { content };
    chosen.into_iter().map(|term| Ok((term.clone(), text_index.rarity(term)?))).collect()
}

/// The part of `words` that is in `terms` (sorted), by rarity.
pub(crate) fn coverage(words: &[(String, f64)], terms: &[String]) -> f64 {
    let all: f64 = words.iter().map(|(_, rarity)| rarity).sum();
    let held: f64 = words.iter().filter(|(word, _)| terms.binary_search(word).is_ok()).map(|(_, rarity)| rarity).sum();
    if all > 0.0 { held / all } else { 0.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// The terms of a sentence, sorted for look-up.
pub(crate) fn sorted_terms(text: &str) -> Vec<String> {
    let mut terms = index::terms(text);
    terms.sort_unstable();
    terms
}

#[cfg(test)]
mod tests;
