//! all-MiniLM-L6-v2, the default embedder.

use std::path::Path;

use super::{EmbedderOptions, SentenceEmbedder};
use crate::EngineError;
use crate::models::ALL_MINILM_L6_V2;

/// Where the default embedder is loaded from.
#[derive(Debug)]
pub struct MiniLm;

impl MiniLm {
    /// Loads from a directory that `headwater models pull` filled, with the default options.
    ///
    /// # Errors
    /// As [`SentenceEmbedder::load`].
    pub fn load(dir: &Path) -> Result<SentenceEmbedder, EngineError> {
        SentenceEmbedder::load(dir, &ALL_MINILM_L6_V2, &EmbedderOptions::default())
    }
}
