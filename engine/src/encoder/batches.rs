//! Work on many texts, shared out among the workers: results come in the order of the texts, whatever is done together.

use std::sync::Arc;

use super::plan::{micro_batches, token_budget};
use super::workers::Workers;
use crate::EngineError;

/// Texts that a worker tokenizes at a time.
const TOKENIZED_TEXTS: usize = 16;

/// What `tokenize` makes of each text.
pub(super) fn tokenized<T: Send + 'static>(
    workers: &Workers,
    texts: Vec<String>,
    tokenize: impl Fn(&str) -> Result<T, EngineError> + Send + Sync + 'static,
) -> Result<Vec<T>, EngineError> {
    let pieces = workers.map(texts.len().div_ceil(TOKENIZED_TEXTS), move |piece| {
        let texts = texts.iter().skip(piece * TOKENIZED_TEXTS).take(TOKENIZED_TEXTS);
        texts.map(|text| tokenize(text)).collect::<Result<Vec<_>, _>>()
    });
    let pieces = pieces.ok_or("a worker panicked").map_err(EngineError::library("tokenizing"))?;
    Ok(pieces.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// What `encode` makes of each text, of `lengths` tokens: it is given the indices of a micro-batch, and gives a result for each.
pub(super) fn in_micro_batches<T: Send + Default + Clone + 'static>(
    workers: &Workers,
    lengths: &[usize],
    micro_batch_tokens: usize,
    operation: &'static str,
    encode: impl Fn(&[usize]) -> Result<Vec<T>, String> + Send + Sync + 'static,
) -> Result<Vec<T>, EngineError> {
    let budget = token_budget(lengths.iter().sum(), workers.count(), micro_batch_tokens.max(1));
    let batches = Arc::new(micro_batches(lengths, budget));
    let own_batches = batches.clone();
    let encoded = workers.map(batches.len(), move |piece| encode(own_batches.get(piece).map(Vec::as_slice).unwrap_or_default()));
    let mut results = vec![T::default(); lengths.len()];
    for (batch, encoded) in batches.iter().zip(encoded.ok_or("a worker panicked").map_err(EngineError::library(operation))?) {
        for (text, result) in batch.iter().zip(encoded.map_err(EngineError::library(operation))?) {
            if let Some(slot) = results.get_mut(*text) {
                *slot = result;
            }
        }
    }
    Ok(results)
}
