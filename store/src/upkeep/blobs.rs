//! Removing blobs that nothing names: what uploads left that failed, or whose service ended before they were accepted.
//!
//! What stays is listed: blobs that a row of `documents` names, or any record, or that this process was given lately. An upload
//! gives its blobs before its record names them, and one that is given again may have lain there for years.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStoreExt};
use schemas::arrow::array::AsArray;
use schemas::ids::Sha256;
use schemas::tables::DocumentRow;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{Retention, Upkept, clean};
use crate::{Store, StoreError};

/// The hexadecimal digits of a sha256.
const NAME_BYTES: usize = 64;
/// An upload names its blobs within moments.
const GIVEN_FOR: Duration = Duration::from_hours(24);

/// What is known of blobs in this process.
#[derive(Debug, Default)]
pub(crate) struct Blobs {
    given: Mutex<HashMap<String, Instant>>,
    /// Held by whoever gives a blob, and alone by whoever removes one.
    giving: RwLock<()>,
}

impl Blobs {
    /// To be held while a blob is given, which stays from now on.
    pub(crate) async fn give(&self, hash: Sha256) -> RwLockReadGuard<'_, ()> {
        let giving = self.giving.read().await;
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.to_string(), Instant::now());
        giving
    }

    fn was_given(&self, name: &str) -> bool {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn forget(&self) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at| at.elapsed() < GIVEN_FOR);
    }
}

impl Store {
    /// Removes blobs that nothing names.
    pub(super) async fn remove_blobs(&self, retention: &Retention) -> Result<Upkept, StoreError> {
        let mut upkept = Upkept::default();
        let blobs = &self.inner.blobs;
        blobs.forget();
        for blob in self.unnamed_blobs(retention).await? {
            let alone = blobs.giving.write().await;
            if blobs.was_given(name(&blob)) {
                continue;
            }
            self.inner.location.objects().delete(&blob.location).await?;
            drop(alone);
            upkept.orphans_removed += 1;
            upkept.bytes_removed += blob.size;
            clean::pause().await;
        }
        Ok(upkept)
    }

    /// What [`Store::remove_blobs`] would remove.
    pub(super) async fn plan_blobs(&self, retention: &Retention) -> Result<Upkept, StoreError> {
        let unnamed = self.unnamed_blobs(retention).await?;
        let bytes_removed = unnamed.iter().map(|blob| blob.size).sum();
        Ok(Upkept { orphans_removed: unnamed.len() as u64, bytes_removed, ..Upkept::default() })
    }

    /// Blobs that are old enough, and that no document and no record names.
    async fn unnamed_blobs(&self, retention: &Retention) -> Result<Vec<ObjectMeta>, StoreError> {
        let before = retention.orphans_before();
        let folder = self.inner.location.object_path("blobs");
        let mut blobs: Vec<ObjectMeta> = self.inner.location.objects().list(Some(&folder)).try_collect().await?;
        blobs.retain(|blob| SystemTime::from(blob.last_modified) <= before);
        if blobs.is_empty() {
            return Ok(blobs);
        }
        // Records first: when one goes, the rows of what it was about stand.
        let named = self.names_in_records().await?;
        blobs.retain(|blob| !named.contains(name(blob)));
        let named = self.names_in_documents().await?;
        blobs.retain(|blob| !named.contains(name(blob)));
        Ok(blobs)
    }

    /// Every word of every record, of whatever kind and version: among them the names of blobs.
    async fn names_in_records(&self) -> Result<HashSet<String>, StoreError> {
        let mut names = HashSet::new();
        for record in self.all_records().await? {
            let text = String::from_utf8_lossy(&record);
            names.extend(text.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(as_name));
        }
        Ok(names)
    }

    async fn names_in_documents(&self) -> Result<HashSet<String>, StoreError> {
        self.reload::<DocumentRow>().await?;
        let mut names = HashSet::new();
        let dataset = self.table::<DocumentRow>()?.dataset();
        let mut scan = dataset.scan();
        scan.project(&["sha256"])?;
        let mut batches = scan.try_into_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            let column = batch.column_by_name("sha256").and_then(|column| column.as_string_opt::<i32>());
            let column = column.ok_or_else(|| StoreError::Misuse("documents.sha256 is no text".to_owned()))?;
            names.extend(column.iter().flatten().filter_map(as_name));
        }
        Ok(names)
    }
}

/// The name of a blob that is written in a text: in JSON a sha256 begins with `0x`, in names of files it does not.
fn as_name(word: &str) -> Option<String> {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    (digits.len() == NAME_BYTES).then(|| digits.to_ascii_lowercase())
}

fn name(blob: &ObjectMeta) -> &str {
    blob.location.filename().unwrap_or_default()
}
