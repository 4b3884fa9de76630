//! Which chunks an answer may rest on: vector and BM25 candidates, fused by rank.
//!
//! Only the earliest-registered chunk of each near-duplicate cluster takes part, in either
//! retriever. So a copy changes no rank, takes nobody's place, and search over a version with
//! copies answers as over one without.

mod fusion;

use engine::Embedder;
use schemas::ids::ChunkId;
use schemas::receipt::Retrieval;
use schemas::tables::ChunkRow;
use store::Store;

use crate::snapshot::Snapshot;
use crate::{RagConfig, RagError, Result, blocking, index};

pub(crate) use fusion::MAX_K as MAX_RRF_K;
use fusion::Ranked;

/// A chunk for the prompt, with its rank in each retriever.
#[derive(Debug)]
pub(crate) struct Retrieved<'a> {
    pub(crate) chunk: &'a ChunkRow,
    pub(crate) vector_rank: Option<u64>,
    pub(crate) lexical_rank: Option<u64>,
}

/// What retrieval needs of a question.
#[derive(Clone)]
pub(crate) struct Question {
    /// `[dimensions]`, length 1.
    pub(crate) vector: Vec<f32>,
    pub(crate) terms: Vec<String>,
}

impl Question {
    /// Embeds and analyses. Blocks.
    pub(crate) fn read(text: &str, embedder: &dyn Embedder) -> Result<Self> {
        let vector = embedder.embed(&[text])?.pop().ok_or_else(|| RagError::Worker("the embedder gave no vector".into()))?;
        let mut terms = index::terms(text);
        terms.truncate(index::MAX_TERMS);
        Ok(Self { vector, terms })
    }
}

/// How [`retrieve`] works under `config`, as receipts state it. `rrf/1` weighs both retrievers alike.
pub(crate) fn method(config: &RagConfig) -> Retrieval {
    Retrieval { method: "rrf/1".into(), rrf_k: config.rrf_k, candidates: config.candidates as u64, top_k: config.top_k as u64 }
}

/// The best `top_k` chunks, best first.
pub(crate) async fn retrieve<'a>(
    store: &Store,
    snapshot: &'a Snapshot,
    question: &Question,
    config: &RagConfig,
) -> Result<Vec<Retrieved<'a>>> {
    let by_vector = nearest(store, snapshot, &question.vector, config.candidates).await?;
    let (text, terms, limit) = (snapshot.text.clone(), question.terms.clone(), config.candidates);
    let by_words = blocking(move || text.search(&terms, limit)).await?;
    let ranked = fusion::fuse(&by_vector, &by_words, config.rrf_k, config.top_k);
    ranked
        .into_iter()
        .map(|Ranked { chunk_id, vector_rank, lexical_rank }| {
            let chunk = snapshot.chunk(chunk_id).ok_or_else(|| RagError::not_found("chunk", chunk_id))?;
            Ok(Retrieved { chunk, vector_rank, lexical_rank })
        })
        .collect()
}

/// The nearest `wanted` representatives, nearest first. Copies are passed over, so the search is
/// widened until enough are left or the version is exhausted.
async fn nearest(store: &Store, snapshot: &Snapshot, vector: &[f32], wanted: usize) -> Result<Vec<ChunkId>> {
    let wanted = wanted.min(snapshot.cluster_count());
    let mut breadth = wanted;
    loop {
        let neighbours = store.nearest(snapshot.row.datanet_id, snapshot.row.lance_version, vector, breadth).await?;
        let mut found: Vec<ChunkId> = (neighbours.iter())
            .filter(|neighbour| snapshot.represents(neighbour.chunk_id, neighbour.submission_id))
            .map(|neighbour| neighbour.chunk_id)
            .collect();
        if found.len() >= wanted || breadth >= snapshot.len() || neighbours.len() < breadth {
            found.truncate(wanted);
            return Ok(found);
        }
        breadth = breadth.saturating_mul(2).min(snapshot.len());
    }
}
