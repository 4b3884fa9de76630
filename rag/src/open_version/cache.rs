//! Open versions, least recently used first out, and of those that a newer one replaced what nobody asks for any more. A version
//! that several ask for at once is loaded once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemas::ids::DatanetId;
use tokio::sync::OnceCell;

use super::OpenVersion;
use crate::Result;

type Slot = Arc<OnceCell<Arc<OpenVersion>>>;

/// A version that was replaced stays open for so long after it was asked for.
pub(crate) const REPLACED_FOR: Duration = Duration::from_mins(5);

/// Open versions of at most `limit` bytes together, but for one that is larger alone.
#[derive(Debug)]
pub(crate) struct OpenVersions {
    limit: usize,
    replaced_for: Duration,
    /// Most recently used last.
    slots: Mutex<Vec<Opened>>,
}

#[derive(Debug)]
struct Opened {
    key: (DatanetId, u64),
    slot: Slot,
    asked: Instant,
}

impl Opened {
    fn is_replaced_by(&self, other: &Self) -> bool {
        self.key.0 == other.key.0 && self.key.1 < other.key.1 && other.slot.initialized()
    }
}

impl OpenVersions {
    pub(crate) fn new(limit_bytes: usize, replaced_for: Duration) -> Self {
        Self { limit: limit_bytes, replaced_for, slots: Mutex::new(Vec::new()) }
    }

    /// The open version, loaded by `load` where it is not open yet. A failed load is tried anew by the next caller.
    pub(crate) async fn get(&self, key: (DatanetId, u64), load: impl AsyncFnOnce() -> Result<OpenVersion>) -> Result<Arc<OpenVersion>> {
        let slot = self.slot(key);
        let is_open = slot.initialized();
        let opened = slot.get_or_try_init(async || load().await.map(Arc::new)).await.cloned();
        if is_open {
            self.close(|_| 0);
        } else {
            // asked for until it was there
            drop(self.slot(key));
            self.close(OpenVersion::bytes);
        }
        opened
    }

    fn slot(&self, key: (DatanetId, u64)) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|opened| opened.key == key).map(|index| slots.remove(index).slot);
        let slot = found.unwrap_or_default();
        slots.push(Opened { key, slot: slot.clone(), asked: Instant::now() });
        slot
    }

    /// Closes what was replaced and is not asked for, and what was not asked for longest until the rest fits by `bytes_of`, which
    /// takes time; what is being loaded, or failed to, holds nothing.
    fn close(&self, bytes_of: fn(&OpenVersion) -> usize) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |opened: &Opened| {
            opened.slot.initialized()
                && opened.asked.elapsed() >= self.replaced_for
                && slots.iter().any(|other| opened.is_replaced_by(other))
        };
        let over: Vec<bool> = slots.iter().map(is_over).collect();
        let mut left = self.limit;
        let mut is_newest = true;
        let mut kept = Vec::with_capacity(slots.len());
        for (opened, is_over) in slots.drain(..).zip(over).rev() {
            if is_over {
                continue;
            }
            let bytes = opened.slot.get().map_or(0, |version| bytes_of(version));
            let fits = bytes <= left || is_newest;
            left = left.saturating_sub(bytes);
            is_newest &= bytes == 0;
            // a slot that nobody waits for any more and that failed to load is let go
            if fits && (opened.slot.initialized() || Arc::strong_count(&opened.slot) > 1) {
                kept.push(opened);
            }
        }
        kept.reverse();
        *slots = kept;
    }

    /// Bytes that open versions take, about.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter_map(|opened| opened.slot.get()).map(|version| version.bytes()).sum()
    }
}
