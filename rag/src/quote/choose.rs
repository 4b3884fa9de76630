//! Picking from the scored sentences: whether to answer, and what to add.

use super::{Quote, Scored};
use crate::QuoteConfig;

/// Sentences that share more of their words than this say the same.
const SAME_WORDS: f64 = 0.7;

/// The sentences to quote, best first. `scored` is ordered by score.
pub(super) fn choose(scored: &[Scored], config: &QuoteConfig) -> Vec<Quote> {
    let mut chosen: Vec<&Scored> = Vec::new();
    let Some(best) = scored.iter().find(|sentence| strong(sentence, config)) else { return Vec::new() };
    let further = best.score() * ratio(config.further_score_ppm);
    chosen.push(best);
    for sentence in scored {
        if chosen.len() >= config.max_sentences {
            break;
        }
        let repeats = chosen.iter().any(|other| similarity(&other.candidate.terms, &sentence.candidate.terms) > SAME_WORDS);
        if sentence.score() >= further && strong(sentence, config) && !repeats {
            chosen.push(sentence);
        }
    }
    chosen.iter().map(|s| Quote { source: s.candidate.source, start: s.candidate.start, end: s.candidate.end }).collect()
}

/// Whether a sentence may be quoted at all.
fn strong(sentence: &Scored, config: &QuoteConfig) -> bool {
    sentence.cosine >= ratio(config.min_cosine_ppm)
        && sentence.coverage >= ratio(config.min_coverage_ppm)
        && sentence.score() >= ratio(config.min_score_ppm)
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
