//! What a sender has done since it was made, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outbox::State;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) replaced: AtomicU64,
    pub(super) reorged_out: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) finalized: AtomicU64,
    open: AtomicU64,
    unfinished: AtomicU64,
}

/// A sender's numbers. All but the last two only grow; they begin anew with the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderStatus {
    /// Transactions signed for callers, replacements not among them.
    pub sent: u64,
    /// Versions signed to take the place of a stuck one, or to fill a gap.
    pub replaced: u64,
    /// Transactions whose block was reorganised away.
    pub reorged_out: u64,
    /// Transactions that reverted in a block, that the node refused, or whose nonce another sender used.
    pub failed: u64,
    pub finalized: u64,
    /// Now wanted in a block.
    pub open: u64,
    /// Now not final.
    pub unfinished: u64,
}

impl Counters {
    pub(super) fn count(&self, which: fn(&Self) -> &AtomicU64) {
        which(self).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_if(&self, condition: bool, which: fn(&Self) -> &AtomicU64) {
        if condition {
            self.count(which);
        }
    }

    pub(super) fn note(&self, state: &State) {
        let open = state.slots.values().filter(|slot| slot.is_open()).count();
        self.open.store(open as u64, Ordering::Relaxed);
        self.unfinished.store(state.slots.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> SenderStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SenderStatus {
            sent: read(&self.sent),
            replaced: read(&self.replaced),
            reorged_out: read(&self.reorged_out),
            failed: read(&self.failed),
            finalized: read(&self.finalized),
            open: read(&self.open),
            unfinished: read(&self.unfinished),
        }
    }
}
