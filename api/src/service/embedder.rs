//! The configured embedder, loaded, and held to what the store was embedded with.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use engine::models::{self, ModelSpec};
use engine::{Embedder, EmbedderOptions, SentenceEmbedder};
use schemas::tables::{ChunkRow, Embedding};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::config::{Config, EmbedderPrecision};
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
    let spec = models::find(&config.models.embedder)?;
    let model = load(config, spec, config.models.embedder_precision).await?;
    let info = model.info();
    if info.dimensions != Embedding::DIMENSIONS {
        bail!("model {} gives {} dimensions; the tables hold {}", spec.name, info.dimensions, Embedding::DIMENSIONS);
    }
    stay(&Identity { name: info.name.clone(), sha256: info.sha256.clone() }, store, data_dir).await?;
    Ok(Arc::new(model))
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
    if let Some(kept) = kept
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

/// Blocks a thread of its own: reading and packing the weights takes most of a second.
pub(crate) async fn load(config: &Config, spec: &'static ModelSpec, precision: EmbedderPrecision) -> anyhow::Result<SentenceEmbedder> {
    let dir = models::model_dir(&config.models_dir(), spec.name);
    let options = EmbedderOptions { precision: precision.into(), ..EmbedderOptions::default() };
    let loading = tokio::task::spawn_blocking(move || SentenceEmbedder::load(&dir, spec, &options));
    Ok(loading.await.context("loading the model")??)
}

#[cfg(test)]
mod tests {
    use schemas::Address;
    use schemas::B256;
    use schemas::hashing::{chunk_id, sha256};

    use super::*;

    fn chunk() -> ChunkRow {
        let (hash, id) = (sha256(b"text"), B256::repeat_byte(1));
        let chunk_id = chunk_id(hash, 0, 4, "text");
        ChunkRow {
            chunk_id,
            submission_id: id.into(),
            document_id: id.into(),
            datanet_id: id.into(),
            contributor: Address::repeat_byte(1),
            ordinal: 0,
            document_sha256: hash,
            byte_start: 0,
            byte_end: 4,
            text: "text".into(),
            text_sha256: hash,
            token_count: 1,
            cluster_id: chunk_id,
            duplicate_of: None,
            similarity_ppm: None,
            flags: Vec::new(),
            registered: 1,
            embedding: Embedding(vec![0.0; Embedding::DIMENSIONS]),
        }
    }

    #[tokio::test]
    async fn another_embedder_is_refused_once_there_are_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::in_memory().await.unwrap();
        let identity = |name: &str| Identity { name: name.into(), sha256: format!("hash of {name}") };
        for name in ["a", "b", "b"] {
            stay(&identity(name), &store, folder.path()).await.unwrap();
        }
        store.insert_new(&[chunk()]).await.unwrap();
        stay(&identity("b"), &store, folder.path()).await.unwrap();
        let error = stay(&identity("a"), &store, folder.path()).await.unwrap_err().to_string();
        assert!(error.contains("vectors of b") && error.contains("models.embedder_precision"), "{error}");
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(stay(&identity("b"), &store, folder.path()).await.unwrap_err().to_string().contains(FILE));
    }
}
