//! The reranking seam: what says how well each of some passages answers a question, whatever model is behind it.

use crate::EngineError;

/// What identifies a reranker. Two rerankers with the same `sha256` give interchangeable scores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RerankerInfo {
    /// The name that it was loaded under, with the precision where it is not f32: `name:int8`.
    pub name: String,
    /// Lower-case hex sha256 of a description of its files, and of the precision where that is not f32.
    pub sha256: String,
    /// Most tokens of a question and a passage together that count, special tokens included. Where there are more, the longer
    /// of the two loses them from its end, until both are equally long.
    pub window_tokens: usize,
}

/// A question and passages to scores. Every implementation passes [`crate::conformance::check_reranker`].
///
/// Calls are CPU work and block: seconds for many passages. They may run from several threads at once.
pub trait Reranker: Send + Sync + std::fmt::Debug {
    fn info(&self) -> &RerankerInfo;

    /// One score per passage, `[passages.len()]`, in their order: the greater, the better it answers.
    ///
    /// A score is the model's logit, finite, of no fixed range, and comparable only with this model's: whoever wants a number
    /// between 0 and 1 applies a sigmoid, which keeps the order (sentence-transformers' `CrossEncoder` applies it, or nothing,
    /// as a model's configuration says). A passage's score is bitwise the same alone and in any batch. Empty texts have
    /// scores too. Time is linear in the texts' length, also beyond the window: callers bound what they pass.
    ///
    /// # Errors
    /// [`EngineError::Library`] when the model library fails, or the model gives no finite number.
    fn score(&self, question: &str, passages: &[&str]) -> Result<Vec<f32>, EngineError>;
}
