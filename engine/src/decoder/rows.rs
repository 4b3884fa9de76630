//! Dividing work over rows among the threads.

use std::sync::{Mutex, PoisonError};

use super::Decoder;
use crate::kernels::Team;

/// Numbers below which another thread costs more than it saves.
const PART_NUMBERS: usize = 16 * 1024;
/// Parts for each thread, so that a late one holds the others up for little.
const PARTS_PER_THREAD: usize = 4;

/// Runs `work` once for every item, the first ones first.
pub(super) fn share<T: Send>(team: &Team, items: Vec<T>, work: impl Fn(T) + Sync) {
    if items.len() < 2 {
        return items.into_iter().for_each(work);
    }
    // Each part is run once, by whichever thread; the lock hands its item over.
    let items: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    team.run(items.len(), &|part| {
        let item = items.get(part).and_then(|item| item.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(item) = item {
            work(item);
        }
    });
}

impl Decoder {
    /// Rows that one part of a division takes.
    fn part_rows(&self, rows: usize, numbers: usize) -> usize {
        let parts = (rows * numbers / PART_NUMBERS).clamp(1, PARTS_PER_THREAD * self.threads);
        rows.div_ceil(parts).max(1)
    }

    /// Runs `work` for every row; `numbers` is what a row has.
    pub(super) fn by_rows<T: Send>(&self, rows: impl Iterator<Item = T>, numbers: usize, work: impl Fn(T) + Sync) {
        let mut rows: Vec<T> = rows.collect();
        let part_rows = self.part_rows(rows.len(), numbers);
        if part_rows >= rows.len() {
            return rows.into_iter().for_each(work);
        }
        let mut parts = Vec::new();
        while rows.len() > part_rows {
            let rest = rows.split_off(part_rows);
            parts.push(std::mem::replace(&mut rows, rest));
        }
        parts.push(rows);
        share(&self.team, parts, |rows| rows.into_iter().for_each(&work));
    }
}
