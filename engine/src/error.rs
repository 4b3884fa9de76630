//! The crate's one error type. Variants are named by what the caller can do about them.

use std::io;
use std::path::{Path, PathBuf};

use crate::Isa;

/// Why a model could not be found, fetched, loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Ask for one of `known` instead.
    #[error("there is no model named {name:?}; known models: {known}")]
    UnknownModel { name: String, known: String },

    /// Do what `remedy` says: a file of a model that somebody put there is not there.
    #[error("{} is missing: {remedy}", file.display())]
    MissingFile { file: PathBuf, remedy: String },

    /// Pull the model.
    #[error("model {name} is not installed: {} is missing; run `headwater models pull`", file.display())]
    MissingModel { name: String, file: PathBuf },

    /// The bytes are not the pinned ones: pull again, and distrust where they came from.
    #[error(
        "{} is corrupt: expected {expected}, found {found}; run `headwater models pull` to fetch it again",
        file.display()
    )]
    CorruptModel { file: PathBuf, expected: String, found: String },

    /// The model's files are what they should be, but this build cannot run them.
    #[error("model {name} cannot be run by this build: {reason}")]
    UnsupportedModel { name: String, reason: String },

    /// The file breaks its format, lacks what the model needs, or holds what no model can: fetch it again.
    #[error("{} is broken: {reason}", file.display())]
    BrokenModel { file: PathBuf, reason: String },

    /// Force no instruction set, or one that the processor has.
    #[error("this processor does not run {wanted}; the best it runs is {best}")]
    UnsupportedCpu { wanted: Isa, best: Isa },

    /// Try again later, or name another source. `what` is a file and where it was asked for.
    #[error("cannot download {what}: {reason}")]
    Download { what: String, reason: String },

    /// Every source failed: mend the network, or copy the files in by hand.
    #[error("cannot pull model {name}: from the hub: {hub}; from the package index: {package}")]
    NoSource { name: String, hub: Box<EngineError>, package: Box<EngineError> },

    /// Another process is pulling the same model and has not finished: wait for it, or end it.
    #[error("another pull holds {} and did not finish within {waited_s} s", lock.display())]
    Busy { lock: PathBuf, waited_s: u64 },

    /// The request cannot be run by this model as it is: shorten or mend it.
    #[error("the request does not fit the model: {reason}")]
    Prompt { reason: String },

    /// As many requests wait as may: try again later.
    #[error("{waiting} requests are waiting, the most there may be; try again later")]
    Overloaded { waiting: usize },

    /// Ask a generator that scores.
    #[error("{name} cannot say how likely an answer is: {reason}")]
    Unscored { name: String, reason: String },

    /// Load the adapter, or one made for this base model.
    #[error("adapter {name} cannot be used: {reason}")]
    Adapter { name: String, reason: String },

    /// A remote model refused or failed; `status` where it answered.
    #[error("the remote model failed: {reason}")]
    Remote { status: Option<u16>, reason: String },

    /// Mend the disk, its permissions or its free space.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    /// A defect of this crate or of a library under it: report it.
    #[error("{operation} failed in the model library: {reason}")]
    Library { operation: &'static str, reason: String },
}

impl EngineError {
    /// For `map_err`: an [`EngineError::Io`] that says what was being done to which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// For `map_err`: an [`EngineError::BrokenModel`] naming the file.
    pub(crate) fn broken<E: std::fmt::Display>(file: &Path) -> impl FnOnce(E) -> Self {
        move |reason| Self::BrokenModel { file: file.to_owned(), reason: reason.to_string() }
    }

    /// For `map_err`: an [`EngineError::Library`] naming the operation. The reason must hold no text of a caller.
    pub(crate) fn library<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Library { operation, reason: error.to_string() }
    }
}
