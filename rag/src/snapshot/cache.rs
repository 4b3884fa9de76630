//! Open versions, least recently used first out. A version that several ask for at once is loaded once.

use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::DatanetId;
use tokio::sync::OnceCell;

use super::Snapshot;
use crate::Result;

type Slot = Arc<OnceCell<Arc<Snapshot>>>;

/// At most `limit` open versions.
#[derive(Debug)]
pub(crate) struct SnapshotCache {
    limit: usize,
    /// Most recently used last.
    slots: Mutex<Vec<((DatanetId, u64), Slot)>>,
}

impl SnapshotCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, slots: Mutex::new(Vec::new()) }
    }

    /// The open version, loaded by `load` where it is not open yet. A failed load is tried anew by the next caller.
    pub(crate) async fn get(&self, key: (DatanetId, u64), load: impl AsyncFnOnce() -> Result<Snapshot>) -> Result<Arc<Snapshot>> {
        let slot = self.slot(key);
        slot.get_or_try_init(async || load().await.map(Arc::new)).await.cloned()
    }

    fn slot(&self, key: (DatanetId, u64)) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|(other, _)| *other == key).map(|index| slots.remove(index));
        let entry = found.unwrap_or_else(|| (key, Slot::default()));
        let slot = entry.1.clone();
        if slots.len() >= self.limit {
            slots.remove(0);
        }
        slots.push(entry);
        slot
    }
}
