//! That the sources are what the candidates lead to.

use schemas::receipt::{Candidates, MAX_BESIDE, ReceiptBody, Source};

use crate::retrieve::{self, Fused};
use crate::{RagError, Result};

/// How far a reranker's score, in millionths of a logit, may be from one of another instruction set.
const RERANKER_TOLERANCE: u64 = 1_000;

/// Checks that what was retrieved is the best of the candidates, in their order: all of it, unless a model had no room. Old
/// receipts state no candidates, and search in none of the ways that came with them.
pub(super) fn verify(body: &ReceiptBody) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    let Some(candidates) = &body.candidates else {
        let is_old = body.retrieval.filter.is_none() && body.retrieval.turns.is_none();
        return if is_old { Ok(()) } else { bad("it states a filter or earlier turns, and no candidates".into()) };
    };
    let best = retrieve::best(&body.retrieval, candidates)?;
    let retrieved = usize::try_from(body.retrieved).unwrap_or(usize::MAX).min(body.sources.len());
    let dropped = body.generation.as_ref().map_or(0, |generation| generation.dropped_sources);
    let found = (retrieved as u64).saturating_add(dropped);
    let most = if best.is_empty() { 0 } else { best.len() + MAX_BESIDE };
    if found < best.len() as u64 || retrieved > most {
        return bad(format!("{retrieved} sources were retrieved, where the candidates lead to {}", best.len()));
    }
    let is_left = |source: &Source| body.retrieval.filter.as_ref().is_none_or(|filter| filter.admits(source));
    if let Some(source) = body.sources.iter().take(retrieved).find(|source| !is_left(source)) {
        return bad(format!("the filter leaves {} out, which was retrieved", source.chunk_id));
    }
    // whom others repeat may be paid whatever the filter says, and is not quoted then
    let quoted = body.segments.iter().filter_map(|segment| body.sources.get(usize::try_from(segment.source).ok()?));
    if let Some(source) = quoted.into_iter().find(|source| !is_left(source)) {
        return bad(format!("the filter leaves {} out, which is quoted", source.chunk_id));
    }
    for (at, source) in body.sources.iter().enumerate() {
        let is_due = match best.get(at).filter(|_| at < retrieved) {
            Some(due) => is(source, due),
            None => source.vector_rank.is_none() && source.lexical_rank.is_none(),
        };
        if !is_due {
            return bad(format!(
                "source {at} ({}) is not the one that the candidates lead to, or states another rank or score",
                source.chunk_id
            ));
        }
    }
    Ok(())
}

fn is(source: &Source, due: &Fused) -> bool {
    let ranks = (due.vector.map(|place| place.rank), due.words.map(|place| place.rank));
    let scores = (due.vector.map(|place| place.score_ppm), due.words.map(|place| place.score_ppm));
    source.chunk_id == due.chunk_id
        && (source.vector_rank, source.lexical_rank) == ranks
        && (source.vector_ppm, source.lexical_ppm) == scores
}

/// In words how the candidates differ, where scores may be so far apart; a chunk that only one of the lists has may be no better than
/// that from the last of the other.
pub(crate) fn differences(stated: &Candidates, again: &Candidates, tolerance: u64) -> Vec<String> {
    let lists = [("vector", &stated.by_vector, &again.by_vector), ("words", &stated.by_words, &again.by_words)];
    let mut differences = Vec::new();
    for (by, stated, again) in lists {
        for (one, other, problem) in [(stated, again, "is stated, and not found"), (again, stated, "is found, and left out")] {
            let last = other.last().filter(|_| other.len() >= one.len()).map(|candidate| candidate.1);
            let agrees = |candidate: &&schemas::receipt::Candidate| {
                let known = other.iter().find(|other| other.0 == candidate.0).map(|other| other.1).or(last);
                known.is_some_and(|score| score.abs_diff(candidate.1) <= tolerance)
            };
            let differing = one.iter().filter(|candidate| !agrees(candidate));
            differences.extend(differing.map(|candidate| format!("the candidate {} by {by} {problem} with that score", candidate.0)));
        }
    }
    let scores = stated.reranked.iter().flatten().zip(again.reranked.iter().flatten());
    let is_near = |(stated, again): (&i64, &i64)| stated.abs_diff(*again) <= RERANKER_TOLERANCE;
    if stated.reranked.as_ref().map(Vec::len) != again.reranked.as_ref().map(Vec::len) || !scores.into_iter().all(is_near) {
        differences.push("the scores of the reranker are not what comes out".into());
    }
    differences
}
