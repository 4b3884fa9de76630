//! Which chunks an answer may rest on: vector and BM25 candidates, [fused](fusion).
//!
//! What states nothing of its own takes no part: a chunk that on the whole repeats earlier ones is not searched by vector,
//! and by words only in what it adds. So a copy changes no rank, takes nobody's place, and search over a version with
//! copies answers as over one without. Beside a chunk stand those that say one of its statements with another number.

mod fusion;

use std::sync::Arc;

use engine::Embedder;
use schemas::receipt::Retrieval;

use crate::open_version::OpenVersion;
use crate::{Boxed, RagConfig, RagError, Result, blocking, index};

use fusion::Fused;
pub use fusion::Fusion;
pub(crate) use fusion::{Hit, Place};

/// Chunks that may stand beside those that were found, at most.
const MAX_BESIDE: usize = 4;

/// A member for the prompt, with its place in each retriever's list: none where it stands beside another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retrieved {
    pub(crate) position: usize,
    pub(crate) vector: Option<Place>,
    pub(crate) words: Option<Place>,
}

/// What retrieval needs of a question.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) text: String,
    /// `[dimensions]`, length 1.
    pub(crate) vector: Vec<f32>,
    pub(crate) terms: Vec<String>,
}

impl Question {
    /// Embeds and analyses. Blocks.
    pub(crate) fn read(text: &str, embedder: &dyn Embedder) -> Result<Self> {
        let vector = embedder.embed_queries(&[text])?.pop().ok_or_else(|| RagError::Worker("the embedder gave no vector".into()))?;
        let mut terms = index::terms(text);
        terms.truncate(index::MAX_TERMS);
        Ok(Self { text: text.to_owned(), vector, terms })
    }
}

/// How [`retrieve`] works under `config`, as receipts state it.
pub(crate) fn method(config: &RagConfig) -> Retrieval {
    config.fusion.stated(config.candidates as u64, config.top_k as u64)
}

/// The best `top_k` chunks, best first, and those that stand beside them. [`RagError::Unproven`] for a method that is not known here.
pub(crate) fn retrieve<'a>(
    opened: &'a Arc<OpenVersion>,
    question: &'a Question,
    method: &'a Retrieval,
) -> Boxed<'a, Result<Vec<Retrieved>>> {
    Box::pin(search(opened, question, method))
}

async fn search(opened: &Arc<OpenVersion>, question: &Question, method: &Retrieval) -> Result<Vec<Retrieved>> {
    let fusion = Fusion::of(method)?;
    let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    // a receipt may state any number
    let candidates = limit(method.candidates.min(opened.row.chunk_count));
    let (text, terms) = (opened.text.clone(), question.terms.clone());
    let by_words = blocking(move || text.search(&terms, candidates));
    let by_vector = opened.nearest(&question.vector, candidates.min(opened.speaking()));
    // side by side: the one reads tables while the other computes
    let (by_vector, by_words) = tokio::try_join!(by_vector, by_words)?;
    let fused = fusion.fuse(&by_vector, &by_words, limit(method.top_k));
    let mut found = Vec::with_capacity(fused.len());
    for Fused { chunk_id, vector, words } in fused {
        let position = opened.position(chunk_id).ok_or_else(|| RagError::not_found("chunk", chunk_id))?;
        found.push(Retrieved { position, vector, words });
    }
    let beside = beside(opened, &found);
    found.extend(beside.into_iter().map(|position| Retrieved { position, vector: None, words: None }));
    // what is quoted or cited of them, and in their place, is read at once
    let related = found.iter().flat_map(|retrieved| opened.statements.related(retrieved.position));
    opened.read_passages(found.iter().map(|retrieved| retrieved.position).chain(related)).await?;
    Ok(found)
}

/// The chunks in which statements of those that were found are corrected or contradicted.
fn beside(opened: &OpenVersion, found: &[Retrieved]) -> Vec<usize> {
    let statements = &opened.statements;
    let mut beside: Vec<usize> = Vec::new();
    for statement in found.iter().flat_map(|retrieved| statements.of_chunk(retrieved.position)) {
        let others = [statements.corrected(statement.statement), statements.contradicted(statement.statement)];
        for other in others.into_iter().flatten().filter_map(|other| statements.text(other)) {
            let is_there = beside.contains(&other.chunk) || found.iter().any(|retrieved| retrieved.position == other.chunk);
            if !is_there && beside.len() < MAX_BESIDE {
                beside.push(other.chunk);
            }
        }
    }
    beside
}

#[cfg(test)]
mod tests {
    use engine::{EmbedderInfo, EngineError, HashingEmbedder};

    use super::*;

    /// Puts a prompt before questions, as some models do.
    #[derive(Debug)]
    struct Prompted(HashingEmbedder);

    impl Embedder for Prompted {
        fn info(&self) -> &EmbedderInfo {
            self.0.info()
        }

        fn embed(&self, texts: &[&str]) -> std::result::Result<Vec<Vec<f32>>, EngineError> {
            self.0.embed(texts)
        }

        fn embed_queries(&self, texts: &[&str]) -> std::result::Result<Vec<Vec<f32>>, EngineError> {
            let prompted: Vec<String> = texts.iter().map(|text| format!("query: {text}")).collect();
            self.0.embed(&prompted.iter().map(String::as_str).collect::<Vec<_>>())
        }

        fn count_tokens(&self, text: &str) -> std::result::Result<usize, EngineError> {
            self.0.count_tokens(text)
        }

        fn token_offsets(&self, text: &str) -> std::result::Result<Vec<(usize, usize)>, EngineError> {
            self.0.token_offsets(text)
        }
    }

    #[test]
    fn a_question_is_embedded_as_one() {
        let embedder = Prompted(HashingEmbedder::new());
        let question = Question::read("How cold is dry ice?", &embedder).unwrap();
        assert_eq!(question.vector, embedder.0.embed(&["query: How cold is dry ice?"]).unwrap()[0]);
    }
}
