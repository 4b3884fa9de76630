//! Models: finding, pulling and verifying weights; tokenising; embedding; reranking; generating.
//!
//! This crate owns the arithmetic of models and the tokenizers library; the others see [`Embedder`], [`Reranker`]
//! and plain vectors.
//! It never knows a table, a chain or a Datanet, never reads configuration or the environment, and never
//! logs a text it was given. Embedding and hashing are CPU work that blocks: call them off the async runtime.

mod architecture;
#[doc(hidden)]
pub mod bench;
pub mod conformance;
mod decoder;
mod encoder;
mod error;
mod files;
mod generation;
mod kernels;
pub mod models;
mod remote;

pub use encoder::{
    CrossEncoder, Embedder, EmbedderInfo, EmbedderOptions, HashingEmbedder, MiniLm, Reranker, RerankerInfo, SentenceEmbedder,
};
pub use error::EngineError;
pub use files::{Message, Part, Role};
pub use generation::{
    AdapterInfo, Answer, ChosenToken, Constraint, ContextMode, Finish, GenerationEnd, GenerationEvent, GenerationRequest, GenerationStream,
    Generator, GeneratorCounters, GeneratorInfo, GeneratorOptions, LocalGenerator, Sampling, Score, ScoreRequest, TokenProbability,
};
pub use kernels::{EmbedderPrecision, Isa, Precision, VectorCodes, keccak256_many, nearly_holding};
pub use models::report::{ConfigurationReport, ModelReport, describe_configuration, describe_model};
pub use remote::{RemoteGenerator, RemoteOptions};
