//! Which answers may be in the tables: a request that is new, as nearly all are, needs no look into them for its answer.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use schemas::ids::AnswerId;
use schemas::tables::AnswerIdRow;
use store::{Store, StoreError};
use tokio::sync::OnceCell;

use super::RECEIPTS_AT_ONCE;

/// The first eight bytes of every id, which is a hash. So much memory it takes for each receipt that there was at the start, and twice
/// that for each that came since.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the receipts that were in the tables when this was asked first, sorted.
    stored: OnceCell<Vec<u64>>,
    /// Of those that were issued here, and of those that the log had.
    issued: Mutex<HashSet<u64>>,
}

impl Known {
    pub(super) fn add(&self, id: AnswerId) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).insert(beginning(id));
    }

    /// Whether the tables may hold an answer with this id: they do not where this says no.
    pub(super) async fn may_hold(&self, store: &Store, id: AnswerId) -> Result<bool, StoreError> {
        let stored = self.stored.get_or_try_init(|| read(store)).await?;
        let is_issued = || self.issued.lock().unwrap_or_else(PoisonError::into_inner).contains(&beginning(id));
        Ok(stored.binary_search(&beginning(id)).is_ok() || is_issued())
    }
}

async fn read(store: &Store) -> Result<Vec<u64>, StoreError> {
    let ids = |rows: Vec<AnswerIdRow>| rows.into_iter().map(|row| beginning(row.answer_id)).collect::<Vec<u64>>();
    let mut stored: Vec<u64> = store.map_batches("sequence > 0", RECEIPTS_AT_ONCE, ids).await?.into_iter().flatten().collect();
    stored.sort_unstable();
    Ok(stored)
}

fn beginning(id: AnswerId) -> u64 {
    id.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
