//! The configured embedder, loaded.

use anyhow::Context as _;
use engine::models::{self, ModelSpec};
use engine::{EmbedderOptions, SentenceEmbedder};

use crate::config::{Config, EmbedderPrecision};

/// Blocks a thread of its own: reading and packing the weights takes most of a second.
pub(crate) async fn load(config: &Config, spec: &'static ModelSpec, precision: EmbedderPrecision) -> anyhow::Result<SentenceEmbedder> {
    let dir = models::model_dir(&config.models_dir(), spec.name);
    let options = EmbedderOptions { precision: precision.into(), ..EmbedderOptions::default() };
    let loading = tokio::task::spawn_blocking(move || SentenceEmbedder::load(&dir, spec, &options));
    Ok(loading.await.context("loading the model")??)
}
