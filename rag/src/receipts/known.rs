//! Which answers may be in the tables: a request that is new, as nearly all are, needs no look into them for its answer.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::AnswerId;
use schemas::tables::AnswerIdRow;
use store::Store;
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;

use super::{RECEIPTS_AT_ONCE, joined};
use crate::{Result, blocking};

/// The first eight bytes of every id, which is a hash. So much memory it takes for each receipt that there was at the start, and twice
/// that for each that came since.
#[derive(Debug)]
pub(super) struct Known {
    /// Of the receipts that the tables had at the start, sorted; none where they could not be read. Read meanwhile: until they are,
    /// the tables may hold any.
    stored: Arc<SetOnce<Option<Vec<u64>>>>,
    /// Of those that were issued here, and of those that the log had.
    issued: Mutex<HashSet<u64>>,
    reading: JoinHandle<()>,
}

impl Known {
    pub(super) fn of(store: &Store) -> Self {
        let (store, stored) = (store.clone(), Arc::new(SetOnce::new()));
        let read = stored.clone();
        let reading = tokio::spawn(async move {
            let ids = read_all(&store).await.inspect_err(|error| {
                tracing::warn!(%error, "the ids of earlier answers could not be read; each is looked for in the tables");
            });
            // nobody else sets it
            drop(read.set(ids.ok()));
        });
        Self { stored, issued: Mutex::default(), reading }
    }

    /// Returns once those at the start were read, or could not be.
    pub(super) async fn read(&self) {
        self.stored.wait().await;
    }

    pub(super) fn add(&self, id: AnswerId) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).insert(beginning(id));
    }

    /// Whether the tables may hold an answer with this id: they do not where this says no.
    pub(super) fn may_hold(&self, id: AnswerId) -> bool {
        let stored = self.stored.get().and_then(Option::as_ref);
        let is_stored = stored.is_none_or(|stored| stored.binary_search(&beginning(id)).is_ok());
        is_stored || self.issued.lock().unwrap_or_else(PoisonError::into_inner).contains(&beginning(id))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read_all(store: &Store) -> Result<Vec<u64>> {
    let ids = |rows: Vec<AnswerIdRow>| rows.into_iter().map(|row| beginning(row.answer_id)).collect::<Vec<u64>>();
    let parts = store.map_batches(None, RECEIPTS_AT_ONCE, ids).await?;
    blocking(move || {
        let mut stored = joined(parts);
        stored.sort_unstable();
        Ok(stored)
    })
    .await
}

fn beginning(id: AnswerId) -> u64 {
    id.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
