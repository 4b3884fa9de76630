//! Embedding: from texts to vectors of length 1, by an encoder of the BERT family or without a model at all.
//!
//! Owns the seam, [`Embedder`], the tokenizer that feeds an encoder, which texts are computed together, and the threads
//! that do it. A text's vector never depends on its neighbours. Files are [`crate::files`]', arithmetic is the kernels'.

mod bert;
mod embedder;
mod hashing_embedder;
mod minilm;
mod plan;
pub(crate) mod sentence;
mod tokens;
mod workers;

pub use embedder::{Embedder, EmbedderInfo};
pub use hashing_embedder::HashingEmbedder;
pub use minilm::MiniLm;
pub use sentence::{EmbedderOptions, SentenceEmbedder};

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
