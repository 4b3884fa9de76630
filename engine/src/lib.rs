//! Models: finding, pulling and verifying weights; tokenising; embedding.
//!
//! This crate owns the arithmetic of models and the tokenizers library; the others see [`Embedder`] and plain vectors.
//! It never knows a table, a chain or a Datanet, never reads configuration or the environment, and never
//! logs a text it was given. Embedding and hashing are CPU work that blocks: call them off the async runtime.

mod bert;
pub mod conformance;
mod embedder;
mod error;
mod hashing;
mod kernels;
mod minilm;
pub mod models;
mod plan;
mod safetensors;
mod sentence;
mod tokens;
mod workers;

pub use embedder::{Embedder, EmbedderInfo};
pub use error::EngineError;
pub use hashing::HashingEmbedder;
pub use kernels::Isa;
pub use minilm::MiniLm;
pub use sentence::{EmbedderOptions, Precision, SentenceEmbedder};
