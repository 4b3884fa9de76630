//! The configured embedder, loaded, and held to what the store was embedded with.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use engine::{Embedder, EmbedderInfo, EmbedderOptions, SentenceEmbedder, models};
use schemas::tables::{ChunkRow, Embedding};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::config::{Config, EmbedderSource};
use crate::identity;

/// In the data folder: whose vectors are in the store.
const FILE: &str = "embedder.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    name: String,
    sha256: String,
}

/// The service's embedder. Vectors of another one cannot be compared with its own, so it stays what it was for the first of them.
pub(crate) async fn open(config: &Config, store: &Store, data_dir: &Path) -> anyhow::Result<Arc<dyn Embedder>> {
    let model = load(config).await?;
    let info = model.info();
    stay(&Identity { name: info.name.clone(), sha256: info.sha256.clone() }, store, data_dir).await?;
    Ok(Arc::new(model))
}

/// The configured embedder, whose vectors fit the tables.
pub(crate) async fn load(config: &Config) -> anyhow::Result<SentenceEmbedder> {
    let section = &config.models;
    let models_dir = config.models_dir();
    let source = EmbedderSource::find(&section.embedder, &models_dir).context("models.embedder")?;
    let languages = section.embedder_languages.iter().cloned().map(String::from).collect();
    let options = EmbedderOptions { precision: section.embedder_precision.into(), languages, ..EmbedderOptions::default() };
    let model = load_from(source, &models_dir, options).await.context("models.embedder")?;
    check_dimensions(model.info())?;
    Ok(model)
}

/// Blocks a thread of its own: reading and packing the weights takes most of a second.
pub(crate) async fn load_from(source: EmbedderSource, models_dir: &Path, options: EmbedderOptions) -> anyhow::Result<SentenceEmbedder> {
    let models_dir = models_dir.to_owned();
    let loading = tokio::task::spawn_blocking(move || match source {
        EmbedderSource::Catalogue(spec) => SentenceEmbedder::load(&models::model_dir(&models_dir, spec.name), spec, &options),
        EmbedderSource::Folder(folder) => SentenceEmbedder::load_unverified(&folder.dir, &folder.name, &options),
    });
    Ok(loading.await.context("loading the model")??)
}

/// What is not to be seen in its name: sizes, pooling, and the prompts that it puts before texts.
pub(crate) fn describe(model: &SentenceEmbedder) -> String {
    let EmbedderInfo { dimensions, window_tokens, .. } = model.info();
    let prompts = match (model.query_prompt(), model.passage_prompt()) {
        ("", "") => "no prompts".to_owned(),
        (query, passage) => format!("prompts {query:?} and {passage:?}"),
    };
    format!("{dimensions} dimensions, windows of {window_tokens} tokens, {} pooling, {prompts}", model.pooling())
}

fn check_dimensions(info: &EmbedderInfo) -> anyhow::Result<()> {
    let needed = Embedding::DIMENSIONS;
    if info.dimensions != needed {
        bail!(
            "models.embedder: {} gives vectors of {} dimensions, and the tables hold {needed}: an embedder of {needed} is needed, such as \
             multilingual-e5-small, bge-small-en-v1.5 or paraphrase-multilingual-MiniLM-L12-v2",
            info.name,
            info.dimensions
        );
    }
    Ok(())
}

async fn stay(ours: &Identity, store: &Store, data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(FILE);
    let kept: Option<Identity> = match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_json::from_str(&text).with_context(|| format!("{} is not what this service wrote", path.display()))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if kept.as_ref() == Some(ours) {
        return Ok(());
    }
    // Another name of the same model: a folder that was moved.
    let is_another = |kept: &Identity| kept.sha256 != ours.sha256;
    if let Some(kept) = kept.filter(is_another)
        && store.count::<ChunkRow>(None).await? > 0
    {
        bail!(
            "the store holds vectors of {} ({}), and {} ({}) is configured: they cannot be compared; set models.embedder and \
             models.embedder_precision back, or begin with another data folder",
            kept.name,
            kept.sha256,
            ours.name,
            ours.sha256
        );
    }
    identity::write_secret(&path, &format!("{}\n", serde_json::to_string(ours)?))
}

#[cfg(test)]
mod tests;
