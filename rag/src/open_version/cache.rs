//! Open versions, least recently used first out. A version that several ask for at once is loaded once.

use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::DatanetId;
use tokio::sync::OnceCell;

use super::OpenVersion;
use crate::Result;

type Slot = Arc<OnceCell<Arc<OpenVersion>>>;

/// Open versions of at most `limit` bytes together, but for one that is larger alone.
#[derive(Debug)]
pub(crate) struct OpenVersions {
    limit: usize,
    /// Most recently used last.
    slots: Mutex<Vec<((DatanetId, u64), Slot)>>,
}

impl OpenVersions {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit: limit_bytes, slots: Mutex::new(Vec::new()) }
    }

    /// The open version, loaded by `load` where it is not open yet. A failed load is tried anew by the next caller.
    pub(crate) async fn get(&self, key: (DatanetId, u64), load: impl AsyncFnOnce() -> Result<OpenVersion>) -> Result<Arc<OpenVersion>> {
        let slot = self.slot(key);
        let is_open = slot.initialized();
        let opened = slot.get_or_try_init(async || load().await.map(Arc::new)).await.cloned();
        if !is_open {
            self.close_beyond_limit();
        }
        opened
    }

    fn slot(&self, key: (DatanetId, u64)) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|(other, _)| *other == key).map(|index| slots.remove(index));
        let entry = found.unwrap_or_else(|| (key, Slot::default()));
        let slot = entry.1.clone();
        slots.push(entry);
        slot
    }

    /// Closes what was not asked for longest until the rest fits; what is being loaded, or failed to, holds nothing.
    fn close_beyond_limit(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.limit;
        let mut is_newest = true;
        let mut kept = Vec::with_capacity(slots.len());
        for (key, slot) in slots.drain(..).rev() {
            let bytes = slot.get().map_or(0, |opened| opened.bytes());
            let fits = bytes <= left || is_newest;
            left = left.saturating_sub(bytes);
            is_newest &= bytes == 0;
            // a slot that nobody waits for any more and that failed to load is let go
            if fits && (slot.initialized() || Arc::strong_count(&slot) > 1) {
                kept.push((key, slot));
            }
        }
        kept.reverse();
        *slots = kept;
    }

    /// Bytes that open versions take, about.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter_map(|(_, slot)| slot.get()).map(|opened| opened.bytes()).sum()
    }
}
