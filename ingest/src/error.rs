//! The crate's one error type. Variants are named by what the caller can do about them.

use engine::EngineError;
use schemas::SchemaError;
use store::StoreError;

/// Why an operation of ingest did not happen. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// Ask for something that exists.
    #[error("{0}")]
    NotFound(String),
    /// Sign again, with the right key over the right fields.
    #[error("{0}")]
    Unauthorised(String),
    /// Let somebody else do it, who may.
    #[error("{0}")]
    Forbidden(String),
    /// Mend the request.
    #[error("{0}")]
    InvalidRequest(String),
    /// Send less at once.
    #[error("{0}")]
    TooLarge(String),
    /// Send the rest another day.
    #[error("{0}")]
    OverQuota(String),
    /// Wait until some of your uploads are done.
    #[error("{0}")]
    TooManyUnderWay(String),
    /// Try again shortly.
    #[error("{0}")]
    Busy(String),
    /// Sign again, with a later deadline.
    #[error("{0}")]
    Expired(String),
    /// Look at what is there now, then decide again.
    #[error("{0}")]
    Conflict(String),
    /// Accept or reject something first.
    #[error("{0}")]
    NothingToPublish(String),
    /// The store failed: [`StoreError`] says whether trying again helps.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedding model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A value that could not be hashed or encoded: a defect of this crate.
    #[error("internal: {0}")]
    Schema(#[from] SchemaError),
    /// The work was cut short (shutdown, or a defect in a parser): try again.
    #[error("{0} was interrupted before it was done; try again")]
    Interrupted(&'static str),
    /// A test's scripted crash.
    #[cfg(test)]
    #[error("crashed at {0}")]
    Crashed(String),
}

impl IngestError {
    /// Whether the same can succeed later without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Store(StoreError::Storage(_) | StoreError::Full(_) | StoreError::Conflict(_) | StoreError::Unknown { .. }))
    }

    /// A short name of what went wrong, for what is stored and sent.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Engine(_) => "embedding_failed",
            Self::Store(_) => "storage_failed",
            Self::NotFound(_) => "not_found",
            Self::Interrupted(_) => "interrupted",
            _ => "internal",
        }
    }
}
