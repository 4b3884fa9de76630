//! Models: finding, pulling and verifying weights; tokenising; embedding.
//!
//! This crate owns candle and the tokenizers library; the others see [`Embedder`] and plain vectors.
//! It never knows a table, a chain or a Datanet, never reads configuration or the environment, and never
//! logs a text it was given. Embedding and hashing are CPU work that blocks: call them off the async runtime.

pub mod conformance;
mod embedder;
mod error;
mod hashing;
mod minilm;
pub mod models;

pub use embedder::{Embedder, EmbedderInfo};
pub use error::EngineError;
pub use hashing::HashingEmbedder;
pub use minilm::MiniLm;
