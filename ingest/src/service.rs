//! The service: what is built once and shared by every operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use engine::Embedder;
use store::Store;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinError;

use crate::book::Books;
use crate::indexes::Indexes;
use crate::jobs::Jobs;
use crate::measures::{Stages, UploadStage};
use crate::reviews;
use crate::submissions::Held;
use crate::versions::PreparedVersions;
use crate::{IngestConfig, IngestError, Result};

/// Takes uploads in, has them reviewed, and publishes what was accepted. Clones share everything.
///
/// One process writes: registration order and versions are serialised here, not in the store.
#[derive(Clone)]
pub struct Ingest {
    pub(crate) inner: Arc<Inner>,
    pub(crate) stages: Stages,
}

pub(crate) struct Inner {
    pub store: Store,
    pub embedder: Arc<dyn Embedder>,
    pub config: IngestConfig,
    /// Held from a submission's registration number to its commit, so that the order has no gaps.
    pub registrations: Mutex<()>,
    /// What is compared with, each Datanet by itself.
    pub indexes: Indexes,
    /// Held while a Datanet is created, a decision recorded, or a version published: members cannot
    /// change between their root's computation and its commit.
    pub decisions: Mutex<()>,
    pub waiting_reviews: reviews::Waiting,
    pub books: Books,
    pub prepared: PreparedVersions,
    /// What contributors' uploads under way hold of places and quotas.
    pub uploading: Arc<std::sync::Mutex<Held>>,
    /// Uploads that were accepted and are not committed.
    pub jobs: Jobs,
    files: Arc<Semaphore>,
    #[cfg(test)]
    pub crash_at: std::sync::Mutex<Option<Step>>,
}

/// Points between two writes, where a crash must be harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    BlobsStored,
    JobRecorded,
    DocumentsInserted,
    ChunksInserted,
    SubmissionCommitted,
    MembersWritten,
    VersionCommitted,
}

impl Ingest {
    #[must_use]
    pub fn new(store: Store, embedder: Arc<dyn Embedder>, config: IngestConfig) -> Self {
        let files = Arc::new(Semaphore::new(config.max_concurrent_files.max(1)));
        let inner = Inner {
            store,
            embedder,
            config,
            registrations: Mutex::default(),
            indexes: Indexes::default(),
            decisions: Mutex::default(),
            waiting_reviews: reviews::Waiting::default(),
            books: Books::default(),
            prepared: PreparedVersions::default(),
            uploading: Arc::default(),
            jobs: Jobs::default(),
            files,
            #[cfg(test)]
            crash_at: std::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner), stages: Stages::default() }
    }

    /// The same, which tells `listener` how long each stage of an upload took.
    #[must_use]
    pub fn with_stage_listener(mut self, listener: impl Fn(UploadStage, Duration) + Send + Sync + 'static) -> Self {
        self.stages = Stages::told_to(Arc::new(listener));
        self
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn config(&self) -> &IngestConfig {
        &self.inner.config
    }

    /// Runs a share of reading a file off the async runtime, when its turn comes. The inner error says that
    /// the work itself panicked.
    pub(crate) async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<Result<T, Panicked>> {
        let permit = self.inner.files.clone().acquire_owned().await.map_err(|_| IngestError::Interrupted("reading a file"))?;
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        match task.await {
            Ok(result) => Ok(Ok(result)),
            Err(error) if error.is_panic() => Ok(Err(Panicked)),
            Err(_) => Err(IngestError::Interrupted("reading a file")),
        }
    }

    /// Runs other CPU work off the async runtime.
    pub(crate) async fn compute<T: Send + 'static>(&self, what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(work).await.map_err(|_: JoinError| IngestError::Interrupted(what))
    }

    /// Where a test may have a crash happen.
    pub(crate) fn reached(&self, step: Step) -> Result<()> {
        #[cfg(test)]
        {
            let mut crash_at = self.inner.crash_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *crash_at == Some(step) {
                *crash_at = None;
                return Err(IngestError::Crashed(format!("{step:?}")));
            }
        }
        tracing::trace!(?step, "reached");
        Ok(())
    }
}

/// The work of [`Ingest::in_turn`] panicked: a defect in a parser.
#[derive(Debug)]
pub(crate) struct Panicked;

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
