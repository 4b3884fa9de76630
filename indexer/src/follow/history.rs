//! Contracts taking effect, and their logs from before that: read in bounded pieces between the steps
//! that follow the head.
//!
//! A piece is verified as everything else is, each piece linked to the one before and to the blocks in
//! the tables. Its logs are appended, then the row of `coverage` that makes it count. After a stop in
//! between it is read again, and what is in the tables already is left out.

use std::collections::HashSet;

use futures::future::try_join_all;
use schemas::tables::{CoverageRow, LogRow, Logs};

use super::cold::check_logs;
use super::fetch::{Fetcher, Segment};
use super::foreign::Foreign;
use super::{Indexer, Verify};
use crate::{IndexerError, Result};

impl Indexer {
    /// Reads from the tables what is followed beside our own contracts. Logs of those that were removed leave the window.
    pub(super) async fn restore_foreign(&mut self) -> Result<()> {
        self.store.reload::<CoverageRow>().await?;
        self.foreign = Foreign::restore(&self.store, &self.followed.addresses).await?;
        let mut has_changed = false;
        for block in &mut self.window {
            let kept = self.foreign.kept(&block.logs, &self.followed.addresses);
            has_changed |= kept.len() < block.logs.len();
            block.logs = kept;
        }
        if has_changed {
            self.publish();
        }
        self.rebuild_filter();
        Ok(())
    }

    fn rebuild_filter(&mut self) {
        self.filter = match self.foreign.contracts.is_empty() {
            true => self.followed.filter().into(),
            false => self.foreign.filter(&self.followed.addresses).into(),
        };
    }

    /// Lets contracts that were added take effect above the cursor. The window is read again with them.
    pub(super) async fn start_contracts(&mut self) -> Result<()> {
        if self.foreign.is_outdated(&self.store)? {
            self.restore_foreign().await?;
        }
        let starting = self.foreign.startable(&self.followed.addresses);
        if starting.is_empty() {
            return Ok(());
        }
        let live_from = self.first_above_cursor();
        let rows = self.foreign.start(&starting, live_from, &self.store).await?;
        self.rebuild_filter();
        self.reread_window().await?;
        self.store.append(&rows).await?;
        tracing::info!(contracts = rows.len(), live_from, "following more contracts");
        Ok(())
    }

    /// Reads the next piece of history; returns how many blocks. A failure that may pass is waited out
    /// without holding up the head.
    pub(super) async fn read_history(&mut self) -> Result<u64> {
        if self.foreign.history_pause_steps > 0 {
            self.foreign.history_pause_steps -= 1;
            return Ok(0);
        }
        // What lies below the cursor is final; without one nothing is known to be.
        let waiting = self.foreign.contracts.iter().position(|tracked| tracked.history().is_some());
        let Some(index) = waiting.filter(|_| self.cursor.is_some()) else { return Ok(0) };
        match self.read_piece(index).await {
            // After a failure to write, the position has to be derived again.
            Err(error) if error.is_transient() && !matches!(error, IndexerError::Store(_)) => {
                self.foreign.history_failures += 1;
                self.foreign.history_pause_steps = 1 << self.foreign.history_failures.min(8);
                tracing::warn!(%error, failures = self.foreign.history_failures, "reading a contract's history failed and will be tried again");
                Ok(0)
            }
            outcome => {
                self.foreign.history_failures = 0;
                outcome
            }
        }
    }

    async fn read_piece(&mut self, index: usize) -> Result<u64> {
        let may_be_stored = self.foreign.has_children() || self.foreign.has_remains;
        let Some(tracked) = self.foreign.contracts.get_mut(index) else { return Ok(0) };
        let Some((from, last)) = tracked.history() else { return Ok(0) };
        let (name, revision, before) = (tracked.contract.name.clone(), tracked.contract.revision, tracked.before);
        let is_clean = std::mem::take(&mut tracked.clean) && !may_be_stored;
        let filter = tracked.filter();
        let fetcher = tracked.fetcher.get_or_insert_with(|| Fetcher::new(self.source.clone(), filter.into(), &self.config)).clone();
        let (mut next, mut ranges) = (from, Vec::new());
        while next <= last && ranges.len() < self.config.max_ranges_in_flight.max(1) {
            let to = last.min(next.saturating_add(fetcher.ranges.blocks() - 1));
            ranges.push(fetcher.clone().fetch(next, to));
            next = to + 1;
        }
        let to = next - 1;
        let segments = try_join_all(ranges).await?;
        let to_hash = self.check_links(&segments, before).await?;
        let mut logs = Logs::default();
        for segment in &segments {
            logs.append(segment.logs.filtered(|log| self.foreign.is_of(index, log)))?;
        }
        if !is_clean && !logs.is_empty() {
            logs = self.without_stored(&logs, from, to).await?;
        }
        if !logs.is_empty() {
            self.store.append_batches::<LogRow>(vec![logs.into_batch()?]).await?;
        }
        self.store.append(&[CoverageRow { name, revision, from_block: from, to_block: Some(to), to_hash }]).await?;
        if let Some(tracked) = self.foreign.contracts.get_mut(index) {
            (tracked.next, tracked.before, tracked.clean) = (next, to_hash, true);
        }
        Ok(next - from)
    }

    /// Whether the ranges hang together, follow the block before them, and lead to the stored blocks.
    async fn check_links(&self, segments: &[Segment], mut before: Option<schemas::B256>) -> Result<Option<schemas::B256>> {
        for segment in segments {
            let refuse = |problem: &str| Err(IndexerError::Inconsistent { block: segment.from, problem: problem.into() });
            check_logs(&segment.logs, &segment.blocks)?;
            let first = segment.blocks.first().filter(|block| block.number == segment.from);
            if let (Some(before), Some(parent)) = (before, first.and_then(|block| block.parent_hash))
                && before != parent
            {
                return refuse("two ranges of a contract's history are not hash-linked");
            }
            before = segment.blocks.last().filter(|block| block.number == segment.to).map(|block| block.hash);
            if self.config.verify == Verify::Full && before.is_none() {
                return refuse("a range of blocks is short");
            }
        }
        let last = segments.last().map_or(0, |segment| segment.to);
        // The first stored block proves those before it once they are all read.
        let (stored, found) = match self.stored_block(last).await? {
            Some(stored) => (Some(stored.id.hash), before),
            None if last + 1 == self.followed.start_block => {
                let start = self.source.header_by_number(last + 1).await?;
                let stored = self.stored_block(last + 1).await?.map(|stored| stored.id.hash);
                let start = start.filter(|start| Some(start.hash) == stored && start.sealed);
                (start.map(|start| start.parent_hash), before)
            }
            None => (None, before),
        };
        match (stored, found) {
            (Some(stored), Some(found)) if stored != found => Err(IndexerError::Inconsistent {
                block: last,
                problem: "a contract's history is of another chain than the blocks in the tables".into(),
            }),
            _ => Ok(before),
        }
    }

    /// Those logs that are not in the tables: a stop may have come between a piece's logs and its row, a child may also be
    /// followed under a name of its own, and a contract may have been followed before.
    async fn without_stored(&self, logs: &Logs, from: u64, to: u64) -> Result<Logs> {
        let stored = self.store.scan::<LogRow>(Some(&format!("block_number >= {from} AND block_number <= {to}"))).await?;
        let stored: HashSet<(u64, u64)> = stored.iter().map(|row| (row.block_number, row.log_index)).collect();
        Ok(logs.filtered(|log| !stored.contains(&log.position())))
    }
}
