//! Picking from the scored statements: whether to answer, and what to add.

use super::candidates::Candidate;
use super::{Quote, Scored};
use crate::QuoteConfig;

/// Above every cosine of two vectors of length 1 as they are rounded.
const MAX_COSINE: f64 = 1.001;
/// Sentences that share more of their words than this say the same.
const SAME_WORDS: f64 = 0.7;

/// The statements to quote, best first, each followed by the one that contradicts it. `scored` is ordered by score.
pub(super) fn choose(scored: &[Scored], config: &QuoteConfig) -> Vec<Quote> {
    let mut chosen: Vec<&Scored> = Vec::new();
    let standing = standing(scored, config);
    let Some(best) = standing.first() else { return Vec::new() };
    let further = best.score() * ratio(config.further_score_ppm);
    for sentence in standing {
        if chosen.len() >= config.max_sentences {
            break;
        }
        let repeats = chosen.iter().any(|other| similarity(&other.candidate.terms, &sentence.candidate.terms) > SAME_WORDS);
        if sentence.score() >= further && !repeats {
            chosen.push(sentence);
        }
    }
    let beside =
        |one: &Scored| scored.iter().find(|other| other.candidate.beside == Some(one.candidate.statement) && strong(other, config));
    let all = chosen.into_iter().flat_map(|one| std::iter::once(one).chain(beside(one)));
    all.map(|one| Quote { chunk: one.candidate.chunk, start: one.candidate.start, end: one.candidate.end }).collect()
}

/// The sentences that may be quoted by themselves and do not yield to one before them that may, best first. What gives the
/// question back has all of its words, whatever it says of it: where anything else answers, that does.
fn standing<'a>(scored: &'a [Scored], config: &QuoteConfig) -> Vec<&'a Scored> {
    let quotable = || scored.iter().filter(|sentence| sentence.candidate.beside.is_none() && strong(sentence, config));
    let all_restate = quotable().all(|sentence| sentence.candidate.restates);
    let mut by_registration: Vec<(usize, &Scored)> =
        quotable().filter(|sentence| all_restate || !sentence.candidate.restates).enumerate().collect();
    by_registration.sort_by_key(|(_, sentence)| sentence.candidate.statement);
    let mut standing: Vec<(usize, &Scored)> = Vec::new();
    for (rank, sentence) in by_registration {
        if !standing.iter().any(|(_, earlier)| yields(&sentence.candidate, &earlier.candidate)) {
            standing.push((rank, sentence));
        }
    }
    standing.sort_by_key(|(rank, _)| *rank);
    standing.into_iter().map(|(_, sentence)| sentence).collect()
}

/// Whether a later statement leaves the answer to an earlier one. To have more of the words that name what the question leaves
/// open is no reason not to: `at what speed` is answered by `1500 g`, not by `at speed`. So who says the same with those words
/// yields, and who measures nothing to one who does.
fn yields(later: &Candidate, earlier: &Candidate) -> bool {
    let says_the_same = || similarity(&later.terms, &earlier.terms) > SAME_WORDS && !later.figures.differ(&earlier.figures);
    later.asked.iter().all(|term| earlier.terms.binary_search(term).is_ok()) && (says_the_same() || (earlier.measures && !later.measures))
}

/// Whether a sentence may be quoted at all.
fn strong(sentence: &Scored, config: &QuoteConfig) -> bool {
    sentence.cosine >= ratio(config.min_cosine_ppm)
        && sentence.coverage >= ratio(config.min_coverage_ppm)
        && sentence.score() >= ratio(config.min_score_ppm)
}

/// Whether a sentence with this coverage may be [`strong`], had it the greatest cosine.
pub(super) fn may_be_strong(coverage: f64, config: &QuoteConfig) -> bool {
    coverage >= ratio(config.min_coverage_ppm) && f64::midpoint(MAX_COSINE, coverage) >= ratio(config.min_score_ppm)
}

fn ratio(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

/// Shared words over those of the shorter sentence; `a` and `b` are sorted.
fn similarity(a: &[String], b: &[String]) -> f64 {
    let shared = a.iter().filter(|term| b.binary_search(term).is_ok()).count();
    let least = a.len().min(b.len());
    #[expect(clippy::cast_precision_loss, reason = "words of a sentence")]
    let similarity = if least == 0 { 0.0 } else { shared as f64 / least as f64 };
    similarity
}
