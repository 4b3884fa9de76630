//! Above the tables: a window in memory, read only by hash. Its lowest blocks may be final already.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::B256;
use schemas::tables::{BlockRow, LogRow, Logs, Verified};
use store::Hot;

use super::cold::{Stretch, check_logs};
use super::fetch::{Fetcher, SegmentBlock, check_sealed};
use super::sequences::Sequences;
use super::{Checkpoint, Indexer, Progress, Verify};
use crate::decide::{Decision, Held, decide};
use crate::source::Header;
use crate::{IndexerError, Result, digest};

/// A block that is not in the tables yet, with its logs.
#[derive(Debug, Clone)]
pub(super) struct HotBlock {
    pub(super) header: Header,
    pub(super) row: BlockRow,
    pub(super) logs: Arc<[LogRow]>,
    /// As of this block.
    sequences: Sequences,
}

impl Indexer {
    /// Brings the window onto the branch of `head`. What is not reached because of a failure is
    /// left to the next step; the window is a linked chain at every moment.
    pub(super) async fn follow_head(&mut self, head: &Header) -> Result<Progress> {
        let Some(target) = self.reachable(head).await? else { return Ok(Progress::default()) };
        let (decision, branch) = self.walk(target).await?;
        let (keep, depth) = match decision {
            Decision::Nothing | Decision::ReadParent(_) => return Ok(Progress::default()),
            Decision::Extend => (self.window.len(), 0),
            Decision::Undo { keep, depth } => (self.settled_len() + keep, depth),
            Decision::BelowFinalized { number, stored, found } => {
                self.expect_final(crate::BlockId { number, hash: stored }, found).await?;
                return Ok(Progress::default());
            }
        };
        if depth as u64 > self.config.confirm_undo_blocks {
            self.confirm_branch(&branch).await?;
        }
        let (fresh, failure) = self.read_blocks(&branch, keep).await;
        if fresh.is_empty() {
            return failure.map_or_else(|| Ok(Progress::default()), Err);
        }
        // After an error the window may have been dropped with blocks that were final.
        if let Some(settled) = self.settled
            && let Some(found) = fresh.iter().find(|block| block.header.number == settled.number)
        {
            self.expect_final(settled, found.header.hash).await?;
        }
        let progress = Progress {
            hot_blocks: fresh.len() as u64,
            undone_blocks: depth as u64,
            more: target.number < head.number,
            ..Progress::default()
        };
        if depth > 0 {
            tracing::warn!(depth, kept = keep, new_head = %target.hash, "the chain was reorganised; undoing blocks that were not final");
            self.status.send_modify(|status| status.reorganised(depth as u64));
        }
        self.window.truncate(keep);
        self.window.extend(fresh);
        self.publish();
        failure.map_or(Ok(progress), Err)
    }

    /// The head, or the highest block on the way to it that the window has room for.
    async fn reachable(&self, head: &Header) -> Result<Option<Header>> {
        let limit = self.first_above_final().saturating_add(self.config.max_hot_blocks.max(1) - 1);
        if head.number <= limit {
            return Ok(Some(*head));
        }
        tracing::warn!(head = head.number, limit, "the window above the finalized block is full; waiting for finality");
        self.source.header_by_number(limit).await
    }

    /// Reads parents until the branch meets what is held. Newest first.
    async fn walk(&self, target: Header) -> Result<(Decision, Vec<Header>)> {
        let hot: Vec<B256> = self.window.iter().skip(self.settled_len()).map(|block| block.header.hash).collect();
        let held = Held { anchor: self.last_final().map(|last| last.id), first: self.first_above_final(), hot: &hot };
        let mut branch = vec![target];
        let mut lowest = target;
        loop {
            match decide(&held, &branch) {
                Decision::ReadParent(hash) => {
                    let parent = self.source.header_by_hash(hash).await?;
                    let parent = parent.ok_or_else(|| IndexerError::BlockUnknown { block: format!("{hash:#x}") })?;
                    if parent.hash != hash || parent.number.checked_add(1) != Some(lowest.number) {
                        return Err(IndexerError::Inconsistent {
                            block: lowest.number,
                            problem: "its parent has another height or hash".into(),
                        });
                    }
                    branch.push(parent);
                    lowest = parent;
                }
                decision => return Ok((decision, branch)),
            }
        }
    }

    /// A second reading for deep undos: the branch must be what the node serves by number too.
    async fn confirm_branch(&self, branch: &[Header]) -> Result<()> {
        let Some(oldest) = branch.last() else { return Ok(()) };
        match self.source.header_by_number(oldest.number).await? {
            Some(again) if again.hash == oldest.hash => Ok(()),
            _ => Err(IndexerError::Inconsistent { block: oldest.number, problem: "a deep reorganisation was not confirmed".into() }),
        }
    }

    /// The branch's blocks with their logs, lowest first, up to the first failure. They follow the
    /// lowest `keep` blocks of the window.
    async fn read_blocks(&mut self, branch: &[Header], keep: usize) -> (Vec<HotBlock>, Option<IndexerError>) {
        let below = keep.checked_sub(1).and_then(|index| self.window.get(index));
        let mut digest = below.map(|block| block.row.digest).or(self.cursor.map(|cursor| cursor.digest)).unwrap_or_default();
        let mut sequences = below.map_or_else(|| self.sequences.clone(), |block| block.sequences.clone());
        self.foreign.undo_above(below.map(|block| block.header.number).or(self.cursor.map(|cursor| cursor.id.number)));
        let fetcher = Fetcher::new(self.source.clone(), self.filter.clone(), &self.config);
        let mut blocks = Vec::with_capacity(branch.len());
        for header in branch.iter().rev() {
            let read = self.read_block(&fetcher, header).await.and_then(|(mut logs, verified)| {
                if !self.foreign.contracts.is_empty() {
                    self.foreign.note(logs.iter(), &self.followed.addresses);
                    logs = logs.filtered(|log| self.foreign.admits(log, &self.followed.addresses));
                }
                logs.iter().try_for_each(|log| sequences.admit(&log))?;
                Ok((logs, verified))
            });
            let (logs, verified) = match read {
                Ok(read) => read,
                Err(error) => return (blocks, Some(error)),
            };
            let own = || logs.iter().filter(|log| self.followed.addresses.contains(&log.address));
            digest = digest::extend(digest, header.hash, own());
            let row = BlockRow {
                number: header.number,
                hash: header.hash,
                parent_hash: Some(header.parent_hash),
                timestamp: header.timestamp,
                log_count: own().count() as u64,
                verified: verified as u64,
                digest,
            };
            blocks.push(HotBlock { header: *header, row, logs: logs.rows().into(), sequences: sequences.clone() });
        }
        (blocks, None)
    }

    /// Reads the window's blocks again, after what is followed has changed. A block that the node knows no
    /// more was reorganised away: it and those above it are left to the next walk.
    pub(super) async fn reread_window(&mut self) -> Result<()> {
        let branch: Vec<Header> = self.window.iter().rev().map(|block| block.header).collect();
        if branch.is_empty() {
            return Ok(());
        }
        let settled = self.settled_len();
        let (fresh, failure) = self.read_blocks(&branch, 0).await;
        match failure {
            // A final block that the node knows no more is the node's fault.
            Some(error) if !matches!(error, IndexerError::BlockUnknown { .. }) || fresh.len() < settled => Err(error),
            _ => {
                self.window = fresh;
                self.publish();
                Ok(())
            }
        }
    }

    async fn read_block(&self, fetcher: &Fetcher, header: &Header) -> Result<(Logs, Verified)> {
        if self.config.verify == Verify::Logs {
            let mut logs = self.source.logs_of_block(header.id(), &self.filter).await?;
            logs.set_timestamps(|_| Some(header.timestamp));
            check_logs(&logs, &[SegmentBlock::new(header, Verified::Logs)])?;
            return Ok((logs, Verified::Logs));
        }
        check_sealed(header)?;
        if !self.filter.may_be_in(&header.logs_bloom) {
            return Ok((Logs::default(), Verified::Bloom));
        }
        Ok((fetcher.fetch_receipts(&[*header]).await?, Verified::Receipts))
    }

    /// Takes note that the window's blocks up to `finalized` are final, and moves those that are to the tables when there is
    /// cause to; returns how many.
    pub(super) async fn finalize_window(&mut self, finalized: &Header) -> Result<u64> {
        let Some(index) = self.window.iter().position(|block| block.header.number == finalized.number) else { return Ok(0) };
        let moved = self.window.get(..=index).unwrap_or_default();
        if moved.last().is_none_or(|block| block.header.hash != finalized.hash) {
            return Err(IndexerError::Inconsistent {
                block: finalized.number,
                problem: "the finalized block is not on the branch of the newest block".into(),
            });
        }
        if self.settled.is_none_or(|settled| settled.number < finalized.number) {
            self.settled = Some(finalized.id());
            self.waiting_since.get_or_insert_with(Instant::now);
            self.publish();
        }
        let settled = self.window.get(..self.settled_len()).unwrap_or_default();
        let Some(last) = settled.last().filter(|_| self.is_commit_due(settled)) else { return Ok(0) };
        let (count, sequences) = (settled.len(), last.sequences.clone());
        let tip = Checkpoint { id: last.header.id(), digest: last.row.digest };
        self.stretch_of(count)?.append(&self.store).await?;
        self.advance(tip, sequences);
        Ok(count as u64)
    }

    fn is_commit_due(&self, settled: &[HotBlock]) -> bool {
        let interval = Duration::from_millis(self.config.commit_interval_ms);
        let bytes_of = |block: &HotBlock| block.logs.iter().map(|log| size_of::<LogRow>() + log.data.len()).sum::<usize>();
        let bytes = settled.iter().map(|block| size_of::<HotBlock>() + bytes_of(block)).sum::<usize>();
        settled.len() >= self.config.commit_blocks
            || bytes >= self.config.commit_bytes
            || self.waiting_since.is_none_or(|since| since.elapsed() >= interval)
    }

    /// The lowest `count` blocks of the window as they are appended.
    pub(super) fn stretch_of(&self, count: usize) -> Result<Stretch> {
        let blocks = self.window.get(..count).unwrap_or_default();
        let logs: Vec<LogRow> = blocks.iter().flat_map(|block| block.logs.iter().cloned()).collect();
        Stretch::of_rows(blocks.iter().map(|block| block.row.clone()).collect(), &logs)
    }

    /// Drops from the window what is in the tables now, and all of it if the rest does not continue them.
    pub(super) fn realign_window(&mut self) {
        let first = self.first_above_cursor();
        self.window.retain(|block| block.header.number >= first);
        let continues = match (self.window.first(), self.cursor) {
            (Some(block), Some(cursor)) => block.header.number == first && block.header.parent_hash == cursor.id.hash,
            (Some(block), None) => block.header.number == first,
            (None, _) => true,
        };
        if !continues {
            self.window.clear();
        }
        self.publish();
    }

    pub(super) fn publish(&self) {
        let blocks = self.window.iter().map(|block| block.row.clone()).collect();
        let logs = self.window.iter().filter(|block| !block.logs.is_empty()).map(|block| block.logs.clone()).collect();
        let stored_to = self.cursor.map(|cursor| cursor.id.number);
        let finalized_to = self.last_final().map(|last| last.id.number);
        self.store.set_hot(Hot { blocks, logs, stored_to, finalized_to });
    }
}
