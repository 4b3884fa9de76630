//! How often tables are read: what a request costs, in numbers that do not depend on the machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// Reads of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    pub scans: u64,
    /// Rows that the scans gave.
    pub rows: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    scans: AtomicU64,
    rows: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, rows: usize) {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn so_far(&self) -> Reads {
        Reads { scans: self.scans.load(Ordering::Relaxed), rows: self.rows.load(Ordering::Relaxed) }
    }
}
