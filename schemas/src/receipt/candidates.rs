//! What each retriever found for an answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Retrieval;
use crate::allocation::PPM;
use crate::ids::ChunkId;

/// Chunks that may stand beside those that the candidates lead to: the ones in which these are corrected or contradicted.
pub const MAX_BESIDE: usize = 4;

/// What was found, best first: the sources follow from it, so that none that is here can be left out of them, and who knows the
/// question sees of any chunk whether it belonged here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidates {
    /// By vector: cosines.
    pub by_vector: Vec<Candidate>,
    /// By words: BM25, as part of the greatest that any text could have for the question's words.
    pub by_words: Vec<Candidate>,
    /// Scores of a reranker for what was fused, in that order, in millionths of its logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Vec<i64>>,
}

/// A chunk and its score in parts per million. Written as a list of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate(pub ChunkId, pub i64);

impl Candidates {
    /// What contradicts itself, or how it was searched.
    pub(super) fn problem(&self, retrieval: &Retrieval) -> Option<&'static str> {
        let problem_of = |list: &[Candidate]| {
            let chunks: BTreeSet<ChunkId> = list.iter().map(|candidate| candidate.0).collect();
            if list.len() as u64 > retrieval.candidates || chunks.len() < list.len() {
                return Some("a list of candidates is longer than what was asked for, or has a chunk twice");
            }
            let in_range = list.iter().all(|candidate| candidate.1.unsigned_abs() <= PPM);
            let in_order = list.is_sorted_by(|better, next| better.1 >= next.1);
            (!in_range || !in_order).then_some("candidates stand by their scores, which are within 1, the greatest first")
        };
        problem_of(&self.by_vector).or_else(|| problem_of(&self.by_words))
    }
}
