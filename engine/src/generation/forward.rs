//! What the runtime asks of a model: one pass over a batch, and numbers for tokens.

use super::schedule::PageCopy;
use crate::decoder::Batch;

/// A decoder with its pages. The other implementation is the tests' toy, whose answers can be told without pages.
pub(crate) trait Forward: Send + 'static {
    fn copy(&mut self, copy: PageCopy);

    /// Final hidden states of the wanted rows, one after the other: `[wanted][width]`.
    fn forward(&mut self, batch: &Batch<'_>) -> Vec<f32>;

    /// `[rows][vocabulary]`
    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32>;

    /// Natural logarithm of each row's target's probability.
    fn log_probabilities(&self, hidden: &[f32], targets: &[u32]) -> Vec<f32>;
}
