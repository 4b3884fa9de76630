//! Which chunks an answer may rest on: vector and BM25 candidates, [fused](fusion).
//!
//! What states nothing of its own takes no part: a chunk that on the whole repeats earlier ones is not searched by vector,
//! and by words only in what it adds. So a copy changes no rank, takes nobody's place, and search over a version with
//! copies answers as over one without. Beside a chunk stand those that say one of its statements with another number.

mod fusion;

use std::cmp::Reverse;
use std::sync::Arc;

use engine::Reranker;
use schemas::ids::ChunkId;
use schemas::receipt::{Candidate, Candidates, Filter, MAX_BESIDE, Retrieval};

use crate::open_version::{Among, OpenVersion};
use crate::question::{self, Question};
use crate::{Boxed, RagConfig, RagError, Result, blocking};

pub use fusion::Fusion;
pub(crate) use fusion::{Fused, Hit, Place};

/// A member for the prompt, with its place in each retriever's list: none where it stands beside another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retrieved {
    pub(crate) position: usize,
    pub(crate) vector: Option<Place>,
    pub(crate) words: Option<Place>,
}

/// What was found for a question, and in what.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// The best chunks, best first, and after them those that stand beside them.
    pub(crate) retrieved: Vec<Retrieved>,
    /// What they were chosen from.
    pub(crate) candidates: Candidates,
}

/// How `question` is searched for under `config`, as receipts state it.
pub(crate) fn method(config: &RagConfig, question: &Question, filter: Option<&Filter>, reranker: Option<&Arc<dyn Reranker>>) -> Retrieval {
    let reranked = reranker.map(|_| config.rerank_candidates.max(config.top_k) as u64);
    let turns = Some(question.turns as u64).filter(|turns| *turns > 0);
    Retrieval { turns, filter: filter.cloned(), reranked, ..config.fusion.stated(config.candidates as u64, config.top_k as u64) }
}

/// Each way to search the members that `filter` leaves with how near the nearest passage is, less the margin of turns; where there is
/// one way, nobody looks.
pub(crate) async fn nearness(
    opened: &Arc<OpenVersion>,
    ways: Vec<Question>,
    filter: Option<&Filter>,
) -> Result<Vec<(Option<i64>, Question)>> {
    let among = opened.among(filter).await?;
    let is_only = ways.len() == 1;
    let mut nearness = Vec::with_capacity(ways.len());
    for way in ways {
        let way = Question { among: among.clone(), ..way };
        let nearest = if is_only { Vec::new() } else { opened.nearest(&way.vector, 1.min(opened.speaking()), &way.among).await? };
        let margin = if way.turns > 0 { question::MARGIN_PPM } else { 0 };
        nearness.push((nearest.first().map(|hit| hit.score_ppm - margin), way));
    }
    Ok(nearness)
}

/// The way that finds the nearest passage; of equals the one with the fewest turns.
pub(crate) fn nearest_way(nearness: Vec<(Option<i64>, Question)>) -> Result<Question> {
    let nearer = |best: (Option<i64>, Question), other: (Option<i64>, Question)| if other.0 > best.0 { other } else { best };
    let best = nearness.into_iter().reduce(nearer);
    best.map(|(_, way)| way).ok_or_else(|| RagError::Worker("a question was not read".into()))
}

/// What `method` finds. [`RagError::Unproven`] for one that is not known here, or needs a reranker that is not.
pub(crate) fn retrieve<'a>(
    opened: &'a Arc<OpenVersion>,
    question: &'a Question,
    method: &'a Retrieval,
    reranker: Option<&'a Arc<dyn Reranker>>,
) -> Boxed<'a, Result<Search>> {
    Box::pin(search(opened, question, method, reranker))
}

async fn search(
    opened: &Arc<OpenVersion>,
    question: &Question,
    method: &Retrieval,
    reranker: Option<&Arc<dyn Reranker>>,
) -> Result<Search> {
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    // a receipt may state any number
    let candidates = limit(method.candidates.min(opened.row.chunk_count));
    let (own, terms, among) = (opened.clone(), question.terms.clone(), question.among.clone());
    let by_words = blocking(move || own.by_words(&terms, candidates, &among));
    let by_vector = opened.nearest(&question.vector, candidates.min(opened.speaking()), &question.among);
    // side by side: the one reads tables while the other computes
    let (by_vector, by_words) = tokio::try_join!(by_vector, by_words)?;
    let stated = |hits: &[Hit]| hits.iter().map(|hit| Candidate(hit.chunk_id, hit.score_ppm)).collect();
    let mut candidates = Candidates { by_vector: stated(&by_vector), by_words: stated(&by_words), reranked: None };
    if method.reranked.is_some() {
        let reranker = reranker.ok_or_else(|| RagError::Unproven("a reranker put the sources in order, and there is none here".into()))?;
        candidates.reranked = Some(reranked(opened, question, &fused(method, &candidates)?, reranker).await?);
    }
    let best = best(method, &candidates)?;
    let mut retrieved = Vec::with_capacity(best.len());
    for Fused { chunk_id, vector, words } in best {
        let position = opened.position(chunk_id).ok_or_else(|| RagError::not_found("chunk", chunk_id))?;
        retrieved.push(Retrieved { position, vector, words });
    }
    let beside = beside(opened, &retrieved, &question.among);
    retrieved.extend(beside.into_iter().map(|position| Retrieved { position, vector: None, words: None }));
    read_ahead(opened, &retrieved).await?;
    Ok(Search { retrieved, candidates })
}

/// Reads at once what is quoted or cited of these, and in their place.
pub(crate) async fn read_ahead(opened: &OpenVersion, retrieved: &[Retrieved]) -> Result<()> {
    let related = retrieved.iter().flat_map(|retrieved| opened.statements.related(retrieved.position));
    opened.read_passages(retrieved.iter().map(|retrieved| retrieved.position).chain(related)).await?;
    Ok(())
}

/// How well each answers the question, in millionths of a logit.
async fn reranked(opened: &OpenVersion, question: &Question, fused: &[Fused], reranker: &Arc<dyn Reranker>) -> Result<Vec<i64>> {
    let chunks: Vec<ChunkId> = fused.iter().map(|one| one.chunk_id).collect();
    let texts = opened.texts_of(&chunks).await?;
    let (reranker, asked) = (reranker.clone(), question.searched.clone());
    blocking(move || {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = reranker.score(&asked, &texts)?;
        if scores.len() != texts.len() {
            return Err(RagError::Worker("the reranker left a passage out".into()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "logits are small; what is not is cut off")]
        let millionths = scores.iter().map(|score| (f64::from(*score) * 1e6).round_ties_even() as i64);
        Ok(millionths.collect())
    })
    .await
}

/// The best of the candidates, best first: by a reranker's scores, of equals in the order in which they were fused, where it read
/// them. [`RagError::Unproven`] for a method that is not known here.
pub(crate) fn best(method: &Retrieval, candidates: &Candidates) -> Result<Vec<Fused>> {
    let fused = fused(method, candidates)?;
    let Some(scores) = &candidates.reranked else { return Ok(fused) };
    if scores.len() != fused.len() {
        return Err(RagError::Unproven(format!("{} scores of a reranker for {} chunks", scores.len(), fused.len())));
    }
    let mut ranked: Vec<(i64, Fused)> = scores.iter().copied().zip(fused).collect();
    ranked.sort_by_key(|(score, _)| Reverse(*score));
    let top = usize::try_from(method.top_k).unwrap_or(usize::MAX);
    Ok(ranked.into_iter().map(|(_, one)| one).take(top).collect())
}

/// What was found by vector and by words as one list: all that a reranker reads, or the best.
fn fused(method: &Retrieval, candidates: &Candidates) -> Result<Vec<Fused>> {
    let hits = |list: &[Candidate]| {
        list.iter().map(|Candidate(chunk_id, score_ppm)| Hit { chunk_id: *chunk_id, score_ppm: *score_ppm }).collect::<Vec<_>>()
    };
    let limit = usize::try_from(method.reranked.unwrap_or(method.top_k)).unwrap_or(usize::MAX);
    Ok(Fusion::of(method)?.fuse(&hits(&candidates.by_vector), &hits(&candidates.by_words), limit))
}

/// The chunks in which statements of those that were found are corrected or contradicted.
fn beside(opened: &OpenVersion, found: &[Retrieved], among: &Among) -> Vec<usize> {
    let statements = &opened.statements;
    let mut beside: Vec<usize> = Vec::new();
    for statement in found.iter().flat_map(|retrieved| statements.of_chunk(retrieved.position)) {
        let others = [statements.corrected(statement.statement), statements.contradicted(statement.statement)];
        for other in others.into_iter().flatten().filter_map(|other| statements.text(other)) {
            let is_there = beside.contains(&other.chunk) || found.iter().any(|retrieved| retrieved.position == other.chunk);
            if !is_there && among.has(other.chunk) && beside.len() < MAX_BESIDE {
                beside.push(other.chunk);
            }
        }
    }
    beside
}
