//! The configured reranker, loaded.

use std::sync::Arc;

use anyhow::Context as _;
use engine::{CrossEncoder, EmbedderOptions, Reranker};

use crate::config::{Config, ModelFolder};

/// None where what was found is not ordered once more.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Option<Arc<dyn Reranker>>> {
    let named = &config.models.reranker;
    if named.is_empty() {
        return Ok(None);
    }
    let folder = ModelFolder::find(named, &config.models_dir()).context("models.reranker")?;
    let model: Arc<dyn Reranker> = Arc::new(load(folder).await.context("models.reranker")?);
    Ok(Some(model))
}

/// Blocks a thread of its own: reading and packing the weights takes seconds for a large model.
pub(crate) async fn load(folder: ModelFolder) -> anyhow::Result<CrossEncoder> {
    let options = EmbedderOptions::default();
    let loading = tokio::task::spawn_blocking(move || CrossEncoder::load_unverified(&folder.dir, &folder.name, &options));
    Ok(loading.await.context("loading the model")??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    async fn problem(config: &Config) -> String {
        match open(config).await {
            Ok(_) => panic!("it is opened"),
            Err(error) => format!("{error:#}"),
        }
    }

    #[tokio::test]
    async fn there_is_none_or_the_one_that_is_named() {
        let mut config: Config = toml::from_str(DEFAULTS).unwrap();
        assert!(open(&config).await.unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        config.models.dir = folder.path().to_owned();
        config.models.reranker = "owner/none".to_owned();
        let error = problem(&config).await;
        assert!(error.starts_with("models.reranker: ") && error.contains("headwater models pull"), "{error}");
        config.models.reranker = folder.path().display().to_string();
        let error = problem(&config).await;
        assert!(error.starts_with("models.reranker: ") && error.contains("config.json"), "{error}");
    }
}
