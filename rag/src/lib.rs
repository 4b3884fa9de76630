//! Answers over published Datanets, and what they are worth to whom: retrieval (vectors and
//! BM25), extractive answers and answers of a model, attribution, receipts, epochs.
//!
//! An answer pins one published version and reads nothing else. Whatever pays somebody is integer
//! arithmetic that anyone can repeat from the receipt ([`verify_receipt`], [`verify_evidence`],
//! [`recompute_epoch`]). This crate never calls the chain, never reads configuration or the
//! environment, and never logs a question or a text.

mod answer;
pub mod attribution;
mod bytes;
mod citations;
mod config;
mod epochs;
mod error;
mod generate;
mod inclusion;
mod index;
mod kept;
mod open_version;
mod prompt;
mod question;
mod quote;
mod receipts;
mod retrieve;
mod sentences;
mod service;
mod stages;
mod statements;
mod trace;
mod verify;

pub use answer::{Answer, Answerer, AskRequest, Citation, CopyOf, Evidence, ShareLine};
pub use config::{AttributionConfig, AttributionMethod, GenerationConfig, MAX_RERANKED, QuoteConfig, RagConfig};
pub use epochs::first as rewards_1;
pub use epochs::{
    Asked, ClosingTerms, Collected, Collection, Dues, EpochComputation, EpochInputs, EpochReceipts, MOST_FUNDERS, Policy, RewardProof,
    asked_for_epoch, recompute_epoch, recompute_epoch_of,
};
pub use error::{RagError, Result};
pub use generate::{GenerationSettings, GenerationStats, Listener, Progress};
pub use inclusion::{Inclusion, verify_inclusion};
pub use quote::GENERATOR as QUOTE_GENERATOR;
pub use receipts::Receivable;
pub use retrieve::Fusion;
pub use service::Rag;
pub use stages::Stage;
pub use trace::{Trace, TraceRequest, TracedDocument, TracedSpan};
pub use verify::{FirstEvidence, verify_evidence, verify_first_evidence, verify_first_receipt, verify_receipt, verify_run};

/// Work whose type is short: the compiler need not look through all that Lance does for it wherever it is spawned.
type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs CPU or file work off the async runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RagError::Worker(error.to_string()))?
}

#[cfg(test)]
mod tests;
