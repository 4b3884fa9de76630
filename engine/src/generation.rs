//! Generation: what turns a decoder's forward pass into a service.
//!
//! Owns the cache's pages and who shares them, the order in which requests get the decoder, the choice of tokens, the
//! text that comes of them, and the scoring of answers; and the seam, [`Generator`]. It knows no architecture and no file format: a model is a
//! [`forward::Forward`], a vocabulary a table of bytes. What a request gets never depends on what else is running.

mod answer;
mod chain;
mod constraint;
mod core;
mod counters;
mod forward;
mod generator;
mod local;
mod model;
mod pool;
mod prompt;
mod request;
mod sampling;
mod schedule;
mod score;
mod scoring;
mod service;
mod span;
mod text;
#[cfg(test)]
mod toy;

pub use counters::GeneratorCounters;
pub use generator::{
    AdapterInfo, Answer, ChosenToken, Constraint, ContextMode, Finish, GenerationEnd, GenerationEvent, GenerationRequest, GenerationStream,
    Generator, GeneratorInfo, Sampling, Score, ScoreRequest, TokenProbability,
};
pub use local::{GeneratorOptions, LocalGenerator};
