//! How the embedder is run.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum EmbedderPrecision {
    F32,
    Bf16,
    Int8,
}

impl From<EmbedderPrecision> for engine::EmbedderPrecision {
    fn from(precision: EmbedderPrecision) -> Self {
        match precision {
            EmbedderPrecision::F32 => Self::F32,
            EmbedderPrecision::Bf16 => Self::Bf16,
            EmbedderPrecision::Int8 => Self::Int8,
        }
    }
}
