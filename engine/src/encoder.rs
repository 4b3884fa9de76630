//! Embedding and reranking: from texts to vectors of length 1, by an encoder of the BERT family or without a model at all;
//! from a question and a passage to a score, by such an encoder with a head.
//!
//! Owns the seams, [`Embedder`] and [`Reranker`], the tokenizers that feed an encoder, which texts are computed together,
//! and the threads that do it. What is made of a text never depends on its neighbours. Files are [`crate::files`]', arithmetic is the kernels'.

mod batches;
mod bert;
mod cross;
mod embedder;
mod files;
mod hashing_embedder;
mod minilm;
mod options;
mod plan;
mod reranker;
pub(crate) mod sentence;
mod tokens;
mod workers;

pub use cross::CrossEncoder;
pub use embedder::{Embedder, EmbedderInfo};
pub use hashing_embedder::HashingEmbedder;
pub use minilm::MiniLm;
pub use options::EmbedderOptions;
pub use reranker::{Reranker, RerankerInfo};
pub use sentence::SentenceEmbedder;

/// Scales to Euclidean length 1; false, and nothing changed, where the vector is zero.
fn normalise(vector: &mut [f32]) -> bool {
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return false;
    }
    for x in vector {
        #[expect(clippy::cast_possible_truncation, reason = "the quotient lies in [-1, 1]; rounding to f32 is meant")]
        let scaled = (f64::from(*x) / norm) as f32;
        *x = scaled;
    }
    true
}
