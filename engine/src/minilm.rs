//! all-MiniLM-L6-v2 on the CPU: the reference encoder, run by candle.
//!
//! Each text runs alone and unpadded, so a vector cannot depend on what else is in the batch: candle's matrix
//! products may round differently for another number of rows. Fast batching is a later encoder's work, and this
//! one is what that one is measured against.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use crate::hashing::normalise;
use crate::models::{ALL_MINILM_L6_V2, ModelSpec, read_verified};
use crate::{Embedder, EmbedderInfo, EngineError};
use tokens::Tokens;

mod tokens;

#[cfg(test)]
pub(crate) mod tests;

const SPEC: &ModelSpec = &ALL_MINILM_L6_V2;
const WEIGHTS: &str = "model.safetensors";
/// `max_seq_length` of the published sentence-transformers configuration, `[CLS]` and `[SEP]` included.
const WINDOW_TOKENS: usize = 256;

/// The loaded model: about 90 MB of f32 weights.
pub struct MiniLm {
    info: EmbedderInfo,
    tokens: Tokens,
    model: BertModel,
}

impl MiniLm {
    /// Loads from a directory that `headwater models pull` filled, verifying every file against the catalogue first.
    /// Blocks for about the time that hashing and copying 90 MB take.
    ///
    /// # Errors
    /// [`EngineError::MissingModel`], [`EngineError::CorruptModel`] or [`EngineError::Io`] for the files;
    /// [`EngineError::UnsupportedModel`] where candle cannot take what is in them.
    pub fn load(dir: &Path) -> Result<Self, EngineError> {
        let config = read_verified(dir, SPEC, "config.json")?;
        let tokenizer = read_verified(dir, SPEC, "tokenizer.json")?;
        let weights = read_verified(dir, SPEC, WEIGHTS)?;
        let loaded = Self::from_bytes(&config, &tokenizer, weights)?;
        tracing::info!(model = SPEC.name, sha256 = loaded.info.sha256, "model loaded");
        Ok(loaded)
    }

    fn from_bytes(config: &[u8], tokenizer: &[u8], weights: Vec<u8>) -> Result<Self, EngineError> {
        let config: Config = serde_json::from_slice(config).map_err(unsupported)?;
        if config.max_position_embeddings < WINDOW_TOKENS {
            return Err(unsupported(format!("{} positions, {WINDOW_TOKENS} needed", config.max_position_embeddings)));
        }
        let tokens = Tokens::from_bytes(tokenizer, WINDOW_TOKENS).map_err(unsupported)?;
        // The weight names carry no "bert." prefix, which is what BertModel tries first.
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).map_err(unsupported)?;
        let model = BertModel::load(weights, &config).map_err(unsupported)?;
        let sha256 = SPEC.file(WEIGHTS).map(|file| file.sha256.to_owned()).unwrap_or_default();
        let info = EmbedderInfo { name: SPEC.name.to_owned(), sha256, dimensions: config.hidden_size, window_tokens: WINDOW_TOKENS };
        Ok(Self { info, tokens, model })
    }

    /// `[tokens]` ids, specials included, to `[hidden]`: the mean over all tokens, scaled to length 1.
    fn encode(&self, ids: &[u32]) -> Result<Vec<f32>, candle_core::Error> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let hidden = self.model.forward(&ids, &ids.zeros_like()?, None)?;
        let mut vector = hidden.mean(1)?.squeeze(0)?.to_vec1::<f32>()?;
        normalise(&mut vector);
        Ok(vector)
    }
}

impl Embedder for MiniLm {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        texts
            .iter()
            .map(|text| {
                let ids = self.tokens.window_ids(text)?;
                self.encode(&ids).map_err(EngineError::library("embedding"))
            })
            .collect()
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.tokens.count(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.tokens.offsets(text)
    }
}

impl std::fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MiniLm").field("info", &self.info).finish_non_exhaustive()
    }
}

fn unsupported(reason: impl std::fmt::Display) -> EngineError {
    EngineError::UnsupportedModel { name: SPEC.name.to_owned(), reason: reason.to_string() }
}
