//! Files of uploads on their way in: on disk, within limits, and gone when their upload ends, however it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::body::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::form::Part;
use super::{ApiError, Reply};
use crate::places::{Full, Place, Places};

/// Uploads whose files are in memory to be hashed and kept: each can be as large as `ingest.max_submission_bytes`.
const READ_AT_ONCE: usize = 2;

/// Where files wait until all of their upload are there.
#[derive(Debug)]
pub struct Uploads {
    folder: PathBuf,
    places: Arc<Places>,
    readers: Semaphore,
}

impl Uploads {
    /// Makes the folder; what a killed process left in it is removed.
    pub fn open(data_dir: &Path, max_uploads: usize) -> anyhow::Result<Self> {
        let folder = data_dir.join("uploads");
        let fresh = || -> std::io::Result<()> {
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => std::fs::create_dir_all(&folder),
            }
        };
        fresh().with_context(|| format!("cannot make the folder {} anew", folder.display()))?;
        Ok(Self { folder, places: Places::new(max_uploads), readers: Semaphore::new(READ_AT_ONCE) })
    }

    /// Uploads that have a place.
    pub(super) fn under_way(&self) -> usize {
        self.places.taken()
    }

    /// A place for an upload whose signature is good, which counts for its contributor and for its address. The last quarter is for
    /// those of whom curators have accepted something, as `is_known` says, which is asked where nothing else is left, and then the
    /// address counts no more: of accounts anybody has as many as they like, and behind a proxy all have one address.
    ///
    /// # Errors
    /// 503 while all are taken, or as many as one holder may have.
    pub(super) async fn begin(
        &self,
        contributor: String,
        address: Option<String>,
        is_known: impl Future<Output = Reply<bool>>,
    ) -> Reply<Upload> {
        let both = [contributor.clone()].into_iter().chain(address).collect();
        let mut taken = self.places.take(both, self.places.max() / 4);
        if taken.is_err() && is_known.await? {
            taken = self.places.take(vec![contributor], 0);
        }
        let place = taken.map_err(|full| match full {
            Full::ForAll => ApiError::busy("too many uploads are under way: try again shortly"),
            Full::ForOne => ApiError::busy(format!(
                "{} uploads of this contributor or from this address are under way, as many as may be: try again shortly",
                self.places.max_each()
            )),
        })?;
        self.make(Some(place)).await
    }

    /// Room for an upload of which nothing could be checked. It takes no place, or whoever sends slowly would shut the
    /// others out: there is one for each connection at most, and each is small.
    pub(super) async fn begin_unchecked(&self) -> Reply<Upload> {
        self.make(None).await
    }

    async fn make(&self, place: Option<Place>) -> Reply<Upload> {
        let folder = self.folder.join(format!("{:032x}", rand::random::<u128>()));
        tokio::fs::create_dir(&folder).await?;
        Ok(Upload { folder, files: Vec::new(), _place: place })
    }

    /// A turn to have an upload's files in memory.
    pub(super) async fn reader(&self) -> Reply<tokio::sync::SemaphorePermit<'_>> {
        self.readers.acquire().await.map_err(|error| ApiError::internal(&error))
    }
}

/// One upload's files.
#[derive(Debug)]
pub(super) struct Upload {
    folder: PathBuf,
    files: Vec<PathBuf>,
    _place: Option<Place>,
}

impl Upload {
    /// Writes a part to disk; its size in bytes.
    ///
    /// # Errors
    /// 413 when it has more than `max_bytes`, which `limit` explains.
    pub(super) async fn receive(&mut self, part: &mut Part<'_>, max_bytes: u64, limit: &str) -> Reply<u64> {
        let path = self.folder.join(self.files.len().to_string());
        let file = tokio::fs::File::create(&path).await?;
        // However small the pieces come, few are written.
        let mut file = tokio::io::BufWriter::with_capacity(256 << 10, file);
        self.files.push(path);
        let mut size = 0_u64;
        while let Some(bytes) = part.chunk().await? {
            size = size.saturating_add(bytes.len() as u64);
            if size > max_bytes {
                return Err(ApiError::new(axum::http::StatusCode::PAYLOAD_TOO_LARGE, "too_large", limit));
            }
            file.write_all(&bytes).await?;
        }
        file.flush().await?;
        Ok(size)
    }

    /// The bytes of every file, in the order in which they came.
    pub(super) async fn read(&self) -> Reply<Vec<Bytes>> {
        let mut all = Vec::with_capacity(self.files.len());
        for path in &self.files {
            all.push(Bytes::from(tokio::fs::read(path).await?));
        }
        Ok(all)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "the files of an upload stay until the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uploads_have_so_many_places_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("uploads/left");
        std::fs::create_dir_all(&left).unwrap();
        let uploads = Uploads::open(folder.path(), 2).unwrap();
        assert!(!left.exists(), "what a killed process left");
        let begin = |holder: &str| uploads.begin(holder.to_owned(), None, async { Ok(false) });
        let first = begin("ada").await.unwrap();
        assert!(begin("ada").await.is_err(), "half of the places");
        let _second = begin("bruno").await.unwrap();
        std::fs::write(first.folder.join("0"), "x").unwrap();
        let full = begin("carla").await.unwrap_err().body();
        assert_eq!(full["error"]["code"], "busy");
        uploads.begin_unchecked().await.unwrap();
        let held = first.folder.clone();
        drop(first);
        assert!(!held.exists());
        begin("ada").await.unwrap();
    }

    #[tokio::test]
    async fn what_nobody_signed_for_takes_nobodys_place() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path(), 2).unwrap();
        let mut unchecked = Vec::new();
        for _ in 0..10 {
            unchecked.push(uploads.begin_unchecked().await.unwrap());
        }
        uploads.begin("ada".into(), None, async { Ok(false) }).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_places_are_for_those_who_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(folder.path(), 8).unwrap();
        let begin_at =
            async |at: &str, holder: &str, is_known| uploads.begin(holder.to_owned(), Some(at.to_owned()), async { Ok(is_known) }).await;
        let begin = async |holder: &str, is_known| begin_at(holder, holder, is_known).await;
        let mut held = Vec::new();
        for stranger in ["a", "b", "c", "d"] {
            held.push(begin_at("proxy", stranger, false).await.unwrap());
        }
        begin_at("proxy", "e", false).await.unwrap_err();
        begin_at("proxy", "ada", true).await.unwrap();
        for stranger in ["e", "f"] {
            held.push(begin(stranger, false).await.unwrap());
        }
        assert_eq!(begin("g", false).await.unwrap_err().body()["error"]["code"], "busy");
        for known in ["ada", "bruno"] {
            held.push(begin(known, true).await.unwrap());
        }
        assert_eq!(begin("carla", true).await.unwrap_err().body()["error"]["code"], "busy");
    }
}
