//! Commits that rest on what was read: they follow exactly the version that was read, or do not happen.
//!
//! Lance carries an append or an update over to whatever was committed meanwhile, also where no retries are allowed
//! (`lance/src/io/commit.rs`, 14.0.2). Then two processes that each look for a key, or for the largest number, and write what
//! follows from it, both succeed. So the manifest itself is refused when its version is not the next one.

use std::sync::Arc;

use async_trait::async_trait;
use lance::Dataset;
use lance::dataset::CommitBuilder;
use lance::dataset::transaction::{Operation, Transaction};
use lance::io::ObjectStore;
use lance_table::format::{IndexMetadata, Manifest, Transaction as StoredTransaction};
use lance_table::io::commit::{
    CommitError, CommitHandler, ConditionalPutCommitHandler, ManifestLocation, ManifestNamingScheme, ManifestWriter,
};
use object_store::path::Path;

/// Writes the manifest that follows a version, if absent, and no other.
#[derive(Debug)]
struct Following(u64);

#[async_trait]
impl CommitHandler for Following {
    fn is_version_not_found_definitive(&self) -> bool {
        ConditionalPutCommitHandler.is_version_not_found_definitive()
    }

    fn propagate_commit_error_after_success(&self) -> bool {
        ConditionalPutCommitHandler.propagate_commit_error_after_success()
    }

    async fn commit(
        &self,
        manifest: &mut Manifest,
        indices: Option<Vec<IndexMetadata>>,
        base_path: &Path,
        object_store: &ObjectStore,
        manifest_writer: ManifestWriter,
        naming_scheme: ManifestNamingScheme,
        transaction: Option<StoredTransaction>,
    ) -> Result<ManifestLocation, CommitError> {
        if manifest.version != self.0 + 1 {
            let problem = format!("what was read at version {} is not the newest any more", self.0);
            // Nothing was written: Lance reads the version back, does not find it, and ends with this error.
            return Err(CommitError::OtherError(lance::Error::commit_conflict_source(manifest.version, problem.into())));
        }
        ConditionalPutCommitHandler.commit(manifest, indices, base_path, object_store, manifest_writer, naming_scheme, transaction).await
    }
}

/// Commits a change to exactly the version that was read.
///
/// # Errors
/// One for which [`is_stale`] holds when another version came first; nothing was changed then.
pub(crate) async fn commit_following(read: &Arc<Dataset>, change: Operation) -> lance::Result<Dataset> {
    let transaction = Transaction::new(read.version_id(), change, None);
    let builder = CommitBuilder::new(read.clone()).with_commit_handler(Arc::new(Following(read.version_id())));
    builder.execute(transaction).await
}

/// Whether a commit did not happen because another one did.
pub(crate) fn is_stale(error: &lance::Error) -> bool {
    matches!(
        error,
        lance::Error::CommitConflict { .. }
            | lance::Error::RetryableCommitConflict { .. }
            | lance::Error::IncompatibleTransaction { .. }
            | lance::Error::TooMuchWriteContention { .. }
    )
}
