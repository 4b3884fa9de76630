//! The embedding seam: what turns text into vectors, whatever model is behind it.

use crate::EngineError;

/// What identifies an embedder. Two embedders with the same `sha256` give interchangeable vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedderInfo {
    /// The name of the model, in the catalogue or as its folder is called, with the precision where it is not f32: `name:int8`.
    pub name: String,
    /// Lower-case hex sha256: of the weights file where the catalogue pins what stands beside it; of a description of everything
    /// that decides a vector where a folder is loaded, tokenizer, pooling and prompts included; of the algorithm where there are no
    /// weights. At another precision than f32, of a description of that and the precision.
    pub sha256: String,
    /// Length of every vector.
    pub dimensions: usize,
    /// Most tokens of a text that count, two special tokens included, beside the prompt of passages; what lies beyond does not change
    /// the vector.
    pub window_tokens: usize,
    /// The languages that it was made for (ISO 639-3); empty where nobody said.
    pub languages: Vec<String>,
}

/// Text to vectors. Every implementation passes [`crate::conformance::check_embedder`].
///
/// Calls are CPU work and block: seconds for long batches. They may run from several threads at once.
pub trait Embedder: Send + Sync + std::fmt::Debug {
    fn info(&self) -> &EmbedderInfo;

    /// One vector per text, `[texts.len()][dimensions]`, of Euclidean length 1.
    ///
    /// A text's vector is bitwise the same alone and in any batch. An empty text has a vector too.
    /// Time is linear in the text's length, also beyond the window: callers bound what they pass.
    ///
    /// # Errors
    /// [`EngineError::Library`] when the model library fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError>;

    /// As [`Embedder::embed`], of questions to passages that `embed` took: some models put another prompt before them.
    ///
    /// # Errors
    /// As [`Embedder::embed`].
    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.embed(texts)
    }

    /// Tokens of the whole `text`, without special tokens: may exceed the window.
    ///
    /// # Errors
    /// [`EngineError::Library`] when the tokenizer fails.
    fn count_tokens(&self, text: &str) -> Result<usize, EngineError>;

    /// Byte ranges `(start, end)` in `text`, one per token, without special tokens, untruncated.
    ///
    /// Ranges lie on character boundaries, their starts never decrease and none is empty. Two tokens cut from
    /// one character (a Hangul syllable, say) carry the same range.
    ///
    /// # Errors
    /// [`EngineError::Library`] when the tokenizer fails.
    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError>;
}
