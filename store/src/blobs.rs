//! Blobs: the bytes that were uploaded, by their sha256, written once.

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use schemas::hashing::sha256;
use schemas::ids::Sha256;

use crate::{Store, StoreError};

impl Store {
    /// Stores `bytes` under their hash, if they are not there yet. They stay for a day, and as long as a document or a record
    /// names them.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Sha256, StoreError> {
        let hash = sha256(&bytes);
        let _giving = self.inner.blobs.give(hash).await;
        let put = self.inner.location.objects().put_opts(&self.blob_path(hash), bytes.into(), PutOptions::from(PutMode::Create)).await;
        match put {
            Ok(_) => Ok(hash),
            // What is there may be what a power failure left of an unsynced write: check it.
            Err(object_store::Error::AlreadyExists { .. }) => self.get_blob(hash).await.map(|_| hash),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes with this hash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::CorruptBlob`].
    pub async fn get_blob(&self, hash: Sha256) -> Result<Bytes, StoreError> {
        let bytes = self.inner.location.objects().get(&self.blob_path(hash)).await?.bytes().await?;
        let found = sha256(&bytes);
        if found == hash { Ok(bytes) } else { Err(StoreError::CorruptBlob { sha256: hash.to_string(), found: found.to_string() }) }
    }

    fn blob_path(&self, hash: Sha256) -> object_store::path::Path {
        let name = hash.to_string();
        let shard: String = name.chars().take(2).collect();
        self.inner.location.object_path(&format!("blobs/{shard}/{name}"))
    }
}
