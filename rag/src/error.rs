//! What can go wrong here, named by what the caller can do about it.

use std::path::{Path, PathBuf};

use schemas::SchemaError;
use schemas::ids::{AnswerId, DatanetId};

/// The errors of this crate. None carries a question or the text of a source.
#[derive(Debug, thiserror::Error)]
pub enum RagError {
    /// A setting that cannot work.
    #[error("configuration: {0}")]
    Config(String),
    /// The caller should ask differently.
    #[error("the question cannot be answered as it stands: {0}")]
    InvalidQuestion(String),
    /// The caller should send other parameters.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// The caller should give `parameter` another value.
    #[error("{parameter}: {problem}")]
    Parameter { parameter: &'static str, problem: String },
    /// Nothing to retrieve from yet.
    #[error("Datanet {0} has no published version yet: publish accepted submissions first")]
    NothingPublished(DatanetId),
    /// Something that the caller named does not exist.
    #[error("no {what} {id}: check the id, or list what there is")]
    NotFound { what: &'static str, id: String },
    /// The same request id was used for something else.
    #[error("answer {0} was already given to another question, Datanet or version under the same request id: use a new request id")]
    Conflict(AnswerId),
    /// Too much at once.
    #[error("{what} is at its limit of {limit}: try again shortly")]
    Busy { what: &'static str, limit: usize },
    /// More than this program can number.
    #[error("{what} are more than {limit}: publish it as several Datanets")]
    TooLarge { what: &'static str, limit: usize },
    /// The model did not answer. Nothing was recorded or charged: trying again is safe.
    #[error("the generator gave no answer, nothing was charged: {0}")]
    Generator(#[source] engine::EngineError),
    /// Closing an epoch would change nothing.
    #[error("nothing to settle: no paid receipt since epoch {last_epoch} pays a contributor")]
    NothingToSettle { last_epoch: u64 },
    /// The tables hold something that the receipts do not lead to.
    #[error("epoch {epoch}: {problem}; do not propose its root, and compare the tables with a backup")]
    EpochConflict { epoch: u64, problem: String },
    /// A document that does not prove what it states.
    #[error("verification failed: {0}")]
    Unproven(String),
    /// A published version that does not add up.
    #[error("version {version} of Datanet {datanet} is damaged: {problem}; restore the store from a backup")]
    CorruptVersion { datanet: DatanetId, version: u64, problem: String },
    /// The receipt log is damaged before its end: receipts that were handed out would be lost.
    #[error(
        "{}: the record at byte {offset} is damaged but intact records follow it; restore the file from a backup, \
         or move it away to give up the receipts in it", path.display()
    )]
    CorruptLog { path: PathBuf, offset: u64 },
    /// Another process writes receipts.
    #[error("{}: another process holds the receipt log; stop it, or give this one another directory", .0.display())]
    LogLocked(PathBuf),
    /// A write to the receipt log had an unknown result.
    #[error("the receipt log stopped after a failed write ({0}): free or mend the disk and restart")]
    LogStopped(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("text index: {0}; it is derived and may be deleted, it is rebuilt when next used")]
    Index(#[from] tantivy::TantivyError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Engine(#[from] engine::EngineError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A defect: work on another thread did not come back.
    #[error("a worker stopped: {0}; this is a defect, please report it")]
    Worker(String),
}

pub type Result<T, E = RagError> = std::result::Result<T, E>;

impl RagError {
    /// Names the file that an operation failed on.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }
}
