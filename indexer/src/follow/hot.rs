//! Above the finalized block: a window in memory, read only by hash.

use schemas::B256;
use schemas::tables::LogRow;

use super::cold::Stretch;
use super::{Indexer, Progress};
use crate::decide::{Decision, Held, decide};
use crate::source::Header;
use crate::{IndexerError, Result};

/// A block that can still be undone, with its logs.
#[derive(Debug, Clone)]
pub(super) struct HotBlock {
    pub(super) header: Header,
    pub(super) logs: Vec<LogRow>,
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
            Decision::Undo { keep, depth } => (keep, depth),
            Decision::BelowFinalized { number, stored, found } => {
                self.expect_final(crate::BlockId { number, hash: stored }, found).await?;
                return Ok(Progress::default());
            }
        };
        if depth as u64 > self.config.confirm_undo_blocks {
            self.confirm_branch(&branch).await?;
        }
        let (fresh, failure) = self.read_blocks(&branch).await;
        if fresh.is_empty() {
            return failure.map_or_else(|| Ok(Progress::default()), Err);
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
        let limit = self.first_above_cursor().saturating_add(self.config.max_hot_blocks.max(1) - 1);
        if head.number <= limit {
            return Ok(Some(*head));
        }
        tracing::warn!(head = head.number, limit, "the window above the finalized block is full; waiting for finality");
        self.source.header_by_number(limit).await
    }

    /// Reads parents until the branch meets what is held. Newest first.
    async fn walk(&self, target: Header) -> Result<(Decision, Vec<Header>)> {
        let hot: Vec<B256> = self.window.iter().map(|block| block.header.hash).collect();
        let held = Held { anchor: self.cursor, first: self.first_above_cursor(), hot: &hot };
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

    /// The branch's blocks with their logs, lowest first, up to the first failure.
    async fn read_blocks(&self, branch: &[Header]) -> (Vec<HotBlock>, Option<IndexerError>) {
        let mut blocks = Vec::with_capacity(branch.len());
        for header in branch.iter().rev() {
            match self.source.logs_of_block(header.hash, &self.followed.addresses).await {
                Ok(logs) => {
                    let logs = logs.iter().map(|log| log.row(header.timestamp)).collect();
                    blocks.push(HotBlock { header: *header, logs });
                }
                Err(error) => return (blocks, Some(error)),
            }
        }
        (blocks, None)
    }

    /// Moves the window's blocks up to `finalized` into the tables; returns how many.
    pub(super) async fn finalize_window(&mut self, finalized: &Header) -> Result<u64> {
        let Some(index) = self.window.iter().position(|block| block.header.number == finalized.number) else { return Ok(0) };
        let moved = self.window.get(..=index).unwrap_or_default();
        if moved.last().is_none_or(|block| block.header.hash != finalized.hash) {
            return Err(IndexerError::Inconsistent {
                block: finalized.number,
                problem: "the finalized block is not on the branch of the newest block".into(),
            });
        }
        let blocks = moved.iter().map(|block| block.header.row(block.logs.len() as u64)).collect();
        let logs = moved.iter().flat_map(|block| block.logs.clone()).collect();
        self.append(Stretch { blocks, logs }).await?;
        Ok(index as u64 + 1)
    }

    /// Drops from the window what is in the tables now, and all of it if the rest does not continue them.
    pub(super) fn realign_window(&mut self) {
        let first = self.first_above_cursor();
        self.window.retain(|block| block.header.number >= first);
        let continues = match (self.window.first(), self.cursor) {
            (Some(block), Some(cursor)) => block.header.number == first && block.header.parent_hash == cursor.hash,
            (Some(block), None) => block.header.number == first,
            (None, _) => true,
        };
        if !continues {
            self.window.clear();
        }
        self.publish();
    }

    fn publish(&self) {
        let blocks = self.window.iter().map(|block| block.header.row(block.logs.len() as u64)).collect();
        let logs = self.window.iter().flat_map(|block| block.logs.clone()).collect();
        self.store.set_hot(blocks, logs);
    }
}
