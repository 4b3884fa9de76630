//! What can go wrong with storage, by what the caller can do about it.

use std::error::Error;
use std::io::ErrorKind;

use schemas::SchemaError;

/// Storage and query errors.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configured URL cannot be a store.
    #[error("storage location {url:?}: {problem}")]
    BadLocation { url: String, problem: String },
    /// Another process has the store open.
    #[error("the store at {url} is in use by another process (it holds {lock}); stop that one first, or use another data folder")]
    Locked { url: String, lock: String },
    /// The storage breaks a promise that commits rest on.
    #[error("the storage at {url} is not safe to write to: {problem}")]
    UnsafeStorage { url: String, problem: String },
    /// A table whose files cannot be read. Nothing is repaired silently.
    #[error("table {table} is corrupt ({problem}); restore its folder {path} from a backup, then run `headwater doctor`")]
    Corrupt { table: String, path: String, problem: String },
    /// A table that was written by a version of this software with other columns.
    #[error("table {table} has other columns than this version of headwater expects: {problem}")]
    WrongSchema { table: String, problem: String },
    /// Bytes that do not hash to their name.
    #[error("blob {sha256} is corrupt: its bytes hash to {found}")]
    CorruptBlob { sha256: String, found: String },
    /// What was asked for is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// A call that the table's rule forbids: a bug in the caller.
    #[error("{0}")]
    Misuse(String),
    /// A query that is not allowed or not understood.
    #[error("{0}")]
    Query(String),
    /// A query that would go beyond its limits.
    #[error("the query was stopped: {0}")]
    QueryLimit(String),
    /// Somebody else committed first, again and again: the caller may try again.
    #[error("too many concurrent writers: {0}")]
    Conflict(String),
    /// What a write was decided on is not the newest any more, and nothing was written: read again, and decide again.
    #[error("table {table} has changed since version {version}, on which a write to it was decided; read it again")]
    Stale { table: String, version: u64 },
    /// Whether a commit happened is unknown; look for its rows before trying again.
    #[error("whether the write to {table} was committed is unknown: {problem}")]
    Unknown { table: String, problem: String },
    /// There is no room for what was to be written; nothing of it counts.
    #[error("storage is full: {0}")]
    Full(String),
    /// The disk or object store failed.
    #[error("storage: {0}")]
    Storage(String),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl From<lance::Error> for StoreError {
    fn from(error: lance::Error) -> Self {
        match &error {
            lance::Error::NotFound { .. } | lance::Error::DatasetNotFound { .. } | lance::Error::VersionNotFound { .. } => {
                Self::NotFound(error.to_string())
            }
            lance::Error::TooMuchWriteContention { .. }
            | lance::Error::CommitConflict { .. }
            | lance::Error::RetryableCommitConflict { .. } => Self::Conflict(error.to_string()),
            _ if is_full(&error) => Self::Full(error.to_string()),
            _ => Self::Storage(error.to_string()),
        }
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::NotFound(path),
            full if is_full(&full) => Self::Full(full.to_string()),
            other => Self::Storage(other.to_string()),
        }
    }
}

/// Whether an error comes from a disk, or a quota, without room.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        at = error.source();
    }
    false
}

impl From<datafusion::error::DataFusionError> for StoreError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Query(error.strip_backtrace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_told_from_one_that_failed() {
        let through = |kind: ErrorKind| {
            let error = object_store::Error::Generic { store: "file", source: std::io::Error::from(kind).into() };
            [
                StoreError::from(lance::Error::from(error)),
                object_store::Error::Generic { store: "file", source: Box::new(std::io::Error::from(kind)) }.into(),
            ]
        };
        assert!(through(ErrorKind::StorageFull).iter().all(|error| matches!(error, StoreError::Full(_))));
        assert!(through(ErrorKind::PermissionDenied).iter().all(|error| matches!(error, StoreError::Storage(_))));
    }
}
