//! Models: finding, pulling and verifying weights; tokenising; embedding; generating.
//!
//! This crate owns the arithmetic of models and the tokenizers library; the others see [`Embedder`] and plain vectors.
//! It never knows a table, a chain or a Datanet, never reads configuration or the environment, and never
//! logs a text it was given. Embedding and hashing are CPU work that blocks: call them off the async runtime.

mod architecture;
#[doc(hidden)]
pub mod bench;
mod bert;
mod codes;
pub mod conformance;
mod decoder;
mod embedder;
mod error;
mod families;
mod files;
mod generation;
mod generator;
mod hashing;
mod kernels;
mod minilm;
pub mod models;
mod plan;
mod precision;
mod remote;
mod report;
mod safetensors;
mod sentence;
mod tokens;
mod workers;

pub use codes::VectorCodes;
pub use embedder::{Embedder, EmbedderInfo};
pub use error::EngineError;
pub use generation::{GeneratorCounters, GeneratorOptions, LocalGenerator};
pub use generator::{
    AdapterInfo, Answer, ChosenToken, Constraint, ContextMode, Finish, GenerationEnd, GenerationEvent, GenerationRequest, GenerationStream,
    Generator, GeneratorInfo, Message, Part, Role, Sampling, Score, ScoreRequest, TokenProbability,
};
pub use hashing::HashingEmbedder;
pub use kernels::Isa;
pub use minilm::MiniLm;
pub use precision::{EmbedderPrecision, Precision};
pub use remote::{RemoteGenerator, RemoteOptions};
pub use report::{ConfigurationReport, ModelReport, describe_configuration, describe_model};
pub use sentence::{EmbedderOptions, SentenceEmbedder};
