//! What versions are traced by, open: built when somebody first traces in one, once however many ask at once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::DatanetId;
use schemas::tables::{TextRow, VersionRow};
use store::Store;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::kept::{self, Kept, Making};
use crate::kept::KEPT_VERSIONS;
use crate::open_version::Members;
use crate::{Boxed, RagError, Result, blocking};

/// Versions built at once, each on one processor.
const BUILDS_AT_ONCE: usize = 1;
/// Members whose texts are read at once.
const TEXTS_PER_READ: usize = 4096;

type Slot = Arc<OnceCell<Arc<TracedVersion>>>;

/// A version that texts are traced in.
#[derive(Debug)]
pub(crate) struct TracedVersion {
    pub(super) row: VersionRow,
    pub(super) store: Store,
    pub(super) kept: Kept,
}

/// Where what versions are traced by is kept, and who may trace.
#[derive(Debug)]
pub(crate) struct Traces {
    store: Store,
    index_dir: PathBuf,
    tokens_max: usize,
    building: Semaphore,
    computing: Arc<Semaphore>,
    /// Traces under way or waiting.
    admitted: Arc<Semaphore>,
    admitted_max: usize,
    /// Versions that were built, for the tests.
    #[cfg(test)]
    pub(crate) built: std::sync::atomic::AtomicUsize,
    /// Versions that stay open: each is a few mapped files, of which the system keeps in memory what is used.
    open_max: usize,
    /// Last asked for last.
    open: Mutex<Vec<((DatanetId, u64), Slot)>>,
}

impl Traces {
    /// For so many traces at once, beside which so many may wait, and so many versions that stay open.
    pub(crate) fn new(store: Store, index_dir: PathBuf, at_once: usize, waiting: usize, open_max: usize) -> Self {
        Self {
            store,
            index_dir,
            tokens_max: kept::PART_TOKENS_MAX,
            building: Semaphore::new(BUILDS_AT_ONCE),
            computing: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(at_once + waiting)),
            admitted_max: at_once + waiting,
            #[cfg(test)]
            built: std::sync::atomic::AtomicUsize::new(0),
            open_max,
            open: Mutex::default(),
        }
    }

    /// The same with smaller parts.
    #[cfg(test)]
    pub(crate) fn with_parts_of(self, tokens_max: usize) -> Self {
        Self { tokens_max, ..self }
    }

    /// A place among those who trace.
    ///
    /// # Errors
    /// [`RagError::Busy`].
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit> {
        let place = self.admitted.clone().try_acquire_owned();
        place.map_err(|_| RagError::Busy { what: "the queue of texts to trace", limit: self.admitted_max })
    }

    pub(crate) async fn computing(&self) -> Result<OwnedSemaphorePermit> {
        self.computing.clone().acquire_owned().await.map_err(|error| RagError::Worker(error.to_string()))
    }

    /// A version to trace in. It is built to its end whoever still waits for it: who hangs up, or is told that it takes too long, finds
    /// it later. What failed is tried anew by the next caller. `along` is kept as long as that takes, whoever waits: a place among those
    /// who trace, so that nobody has more builds under way than places.
    ///
    /// # Errors
    /// [`RagError::CorruptVersion`], or what failed underneath.
    pub(crate) async fn opened(self: &Arc<Self>, row: &VersionRow, along: impl Send + 'static) -> Result<Arc<TracedVersion>> {
        let slot = self.slot((row.datanet_id, row.version));
        if let Some(open) = slot.get() {
            return Ok(open.clone());
        }
        let (traces, row) = (self.clone(), row.clone());
        let opening: Boxed<'static, _> = Box::pin(async move {
            let _along = along;
            slot.get_or_try_init(|| traces.open_or_build(row)).await.cloned()
        });
        tokio::spawn(opening).await.map_err(|error| RagError::Worker(error.to_string()))?
    }

    fn slot(&self, key: (DatanetId, u64)) -> Slot {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let found = open.iter().position(|(other, _)| *other == key).map(|at| open.remove(at).1);
        let slot = found.unwrap_or_default();
        open.push((key, slot.clone()));
        // whose folder is removed with this one's, and whose files would keep their place on the disk
        let is_old = |(datanet, version): &(DatanetId, u64)| *datanet == key.0 && version.saturating_add(KEPT_VERSIONS) <= key.1;
        open.retain(|(other, slot)| slot.get().is_none() || !is_old(other));
        if open.len() > self.open_max
            && let Some(first) = open.iter().position(|(other, slot)| *other != key && slot.get().is_some())
        {
            open.remove(first);
        }
        slot
    }

    /// Closes a version whose files turned out to be damaged: the next caller finds it checked, or built anew.
    pub(crate) fn forget(&self, row: &VersionRow) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(key, _)| *key != (row.datanet_id, row.version));
    }

    async fn open_or_build(&self, row: VersionRow) -> Result<Arc<TracedVersion>> {
        let kept = match self.open(&row).await? {
            Some(kept) => kept,
            None => {
                let _building = self.building.acquire().await.map_err(|error| RagError::Worker(error.to_string()))?;
                // somebody may have built it meanwhile
                match self.open(&row).await? {
                    Some(kept) => kept,
                    None => {
                        self.build(&row).await?;
                        self.open(&row).await?.ok_or_else(|| RagError::Worker("what a version is traced by was damaged at once".into()))?
                    }
                }
            }
        };
        Ok(Arc::new(TracedVersion { row, store: self.store.clone(), kept }))
    }

    /// Reads all of its files once.
    async fn open(&self, row: &VersionRow) -> Result<Option<Kept>> {
        let _computing = self.computing().await?;
        let (target, row) = (kept::directory(&self.index_dir, row), row.clone());
        blocking(move || kept::open(&target, &row)).await
    }

    /// Reads the texts of the members that no other version has, a batch at a time.
    async fn build(&self, row: &VersionRow) -> Result<()> {
        #[cfg(test)]
        self.built.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let members = Arc::new(Members::read(&self.store, row).await?);
        let target = kept::directory(&self.index_dir, row);
        let tokens_max = self.tokens_max;
        let (of, all, place) = (row.clone(), members.clone(), target.clone());
        let mut making = blocking(move || Making::begin(&place, &of, &all, tokens_max)).await?;
        loop {
            let batch = members.after(making.next());
            let places: Vec<u64> = batch.iter().take(TEXTS_PER_READ).map(|member| u64::from(member.place)).collect();
            if places.is_empty() {
                break;
            }
            let place = target.clone();
            let texts = match texts(&self.store, row, &places).await {
                Ok(texts) => texts,
                Err(error) => return blocking(move || Err(making.give_up(&place, error))).await,
            };
            making = blocking(move || match making.add(&texts) {
                Ok(()) => Ok(making),
                Err(error) => Err(making.give_up(&place, error)),
            })
            .await?;
        }
        let of = row.clone();
        blocking(move || making.finish(&target, &of)).await
    }
}

/// The texts at these places, in their order.
pub(super) async fn texts(store: &Store, row: &VersionRow, places: &[u64]) -> Result<Vec<String>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<TextRow> = store.members_at(row.datanet_id, row.lance_version, places).await?;
    if rows.len() == places.len() {
        Ok(rows.into_iter().map(|row| row.text).collect())
    } else {
        Err(RagError::Worker(format!("the store gave {} texts instead of {}", rows.len(), places.len())))
    }
}
