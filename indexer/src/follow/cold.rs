//! Up to the finalized block: ranges by number, read in parallel, put together in order, and appended
//! to the tables for good.

use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use schemas::Address;
use schemas::arrow::array::RecordBatch;
use schemas::tables::{BlockRow, LogRow, Logs, Row};
use store::Store;

use super::fetch::{Fetcher, Segment};
use super::foreign::Foreign;
use super::sequences::Sequences;
use super::{Checkpoint, Indexer, Progress};
use crate::source::{BlockId, Header};
use crate::{IndexerError, Result, digest};

/// Final blocks that follow the last checkpoint, checked and ready to be appended.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) blocks: Vec<BlockRow>,
    pub(super) logs: Vec<RecordBatch>,
    bytes: usize,
}

impl Stretch {
    pub(super) fn of_rows(blocks: Vec<BlockRow>, logs: &[LogRow]) -> Result<Self> {
        let logs = if logs.is_empty() { Vec::new() } else { vec![LogRow::to_batch(logs)?] };
        Ok(Self { blocks, logs, bytes: 0 })
    }

    /// Appends to the tables: logs first, then the blocks that make them count.
    pub(super) async fn append(self, store: &Store) -> Result<()> {
        if !self.logs.is_empty() {
            store.append_batches::<LogRow>(self.logs).await?;
        }
        store.append(&self.blocks).await?;
        Ok(())
    }
}

/// Puts segments together, in order.
#[derive(Debug)]
struct Assembly {
    stretch: Stretch,
    tip: Option<Checkpoint>,
    sequences: Sequences,
}

impl Assembly {
    /// Adds the segment that follows.
    ///
    /// # Errors
    /// [`IndexerError::Inconsistent`] when it does not; [`IndexerError::EventsMissing`].
    fn admit(&mut self, segment: Segment, foreign: &mut Foreign, own: &[Address]) -> Result<()> {
        let Segment { from, to, blocks, mut logs } = segment;
        if let (Some(tip), Some(parent)) =
            (self.tip, blocks.first().filter(|block| block.number == from).and_then(|block| block.parent_hash))
            && tip.id.number + 1 == from
            && parent != tip.id.hash
        {
            return Err(IndexerError::Inconsistent { block: from, problem: "two ranges of blocks are not hash-linked".into() });
        }
        check_logs(&logs, &blocks)?;
        if !foreign.contracts.is_empty() {
            foreign.note(logs.iter(), own);
            logs = logs.filtered(|log| foreign.admits(log, own));
        }
        logs.iter().try_for_each(|log| self.sequences.admit(&log))?;
        let mut digest = self.tip.map_or_else(Default::default, |tip| tip.digest);
        let mut rest = logs.iter().peekable();
        for block in &blocks {
            let mut log_count = 0;
            let of_block = std::iter::from_fn(|| rest.next_if(|log| log.block_number == block.number));
            let of_block = of_block.filter(|log| own.contains(&log.address)).inspect(|_| log_count += 1);
            digest = digest::extend(digest, block.hash, of_block);
            self.stretch.blocks.push(BlockRow {
                number: block.number,
                hash: block.hash,
                parent_hash: block.parent_hash,
                timestamp: block.timestamp,
                log_count,
                verified: block.verified as u64,
                digest,
            });
            self.tip = Some(Checkpoint { id: BlockId { number: block.number, hash: block.hash }, digest });
        }
        drop(rest);
        if self.tip.is_none_or(|tip| tip.id.number != to) {
            return Err(IndexerError::Inconsistent { block: to, problem: "a range of blocks is short".into() });
        }
        self.stretch.bytes += logs.size_bytes() + blocks.len() * size_of::<BlockRow>();
        if !logs.is_empty() {
            self.stretch.logs.push(logs.into_batch()?);
        }
        Ok(())
    }
}

/// Logs must be in order, each once, and each of one of the blocks.
pub(super) fn check_logs(logs: &Logs, blocks: &[super::fetch::SegmentBlock]) -> Result<()> {
    let wrong = |block: u64, problem: &str| Err(IndexerError::Inconsistent { block, problem: problem.into() });
    let mut before: Option<(u64, u64)> = None;
    let mut blocks = blocks.iter().peekable();
    for log in logs.iter() {
        if before.is_some_and(|before| before >= log.position()) {
            return wrong(log.block_number, "its logs are out of order, or one came twice");
        }
        before = Some(log.position());
        while blocks.next_if(|block| block.number < log.block_number).is_some() {}
        if blocks.peek().is_none_or(|block| (block.number, block.hash) != (log.block_number, log.block_hash)) {
            return wrong(log.block_number, "a log belongs to a block that is not on the chain");
        }
    }
    Ok(())
}

impl Indexer {
    /// Reads and appends everything up to `target`. What was appended before a failure stays.
    pub(super) async fn backfill(&mut self, target: &Header) -> Result<Progress> {
        self.check_target(target).await?;
        let start = self.first_above_cursor();
        self.foreign.undo_above(start.checked_sub(1));
        let fetcher = Fetcher::new(self.source.clone(), self.filter.clone(), &self.config);
        let mut assembly = Assembly { stretch: Stretch::default(), tip: self.cursor, sequences: self.sequences.clone() };
        let mut next = start;
        let mut fetches = FuturesOrdered::new();
        let mut write: Option<BoxFuture<'static, (Checkpoint, Sequences, Result<()>)>> = None;
        let mut failure = None;
        if let Err(error) = self.admit_first_block(&mut assembly, &mut next).await {
            failure = Some(error);
        }
        loop {
            let has_room = assembly.stretch.bytes < 2 * self.config.commit_bytes;
            while failure.is_none() && has_room && next <= target.number && fetches.len() < self.config.max_ranges_in_flight.max(1) {
                let to = target.number.min(next.saturating_add(fetcher.ranges.blocks() - 1));
                fetches.push_back(fetcher.clone().fetch(next, to));
                next = to + 1;
            }
            let is_full = assembly.stretch.bytes >= self.config.commit_bytes || fetches.is_empty();
            if let (None, true, Some(tip)) = (&write, is_full && !assembly.stretch.blocks.is_empty(), assembly.tip) {
                let (store, stretch) = (self.store.clone(), std::mem::take(&mut assembly.stretch));
                let sequences = assembly.sequences.clone();
                write = Some(async move { (tip, sequences, stretch.append(&store).await) }.boxed());
            }
            if write.is_none() && fetches.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                (tip, sequences, outcome) = async { match &mut write { Some(write) => write.await, None => std::future::pending().await } },
                    if write.is_some() => {
                    write = None;
                    if let Err(error) = outcome {
                        return Err(failure.unwrap_or(error));
                    }
                    self.advance(tip, sequences);
                }
                Some(segment) = fetches.next(), if !fetches.is_empty() => {
                    if let Err(error) = segment.and_then(|segment| self.admit(&mut assembly, segment, target)) {
                        failure = Some(error);
                        fetches.clear();
                    }
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(Progress { finalized_blocks: target.number + 1 - start, more: true, ..Progress::default() }),
        }
    }

    fn admit(&mut self, assembly: &mut Assembly, segment: Segment, target: &Header) -> Result<()> {
        if let Some(last) = segment.blocks.last().filter(|last| last.number == target.number)
            && last.hash != target.hash
        {
            return Err(IndexerError::Inconsistent {
                block: target.number,
                problem: "the finalized block differs by tag and by range".into(),
            });
        }
        assembly.admit(segment, &mut self.foreign, &self.followed.addresses)
    }

    /// Without full verification not every block has a row, but the first one always has.
    async fn admit_first_block(&mut self, assembly: &mut Assembly, next: &mut u64) -> Result<()> {
        if self.cursor.is_some() {
            return Ok(());
        }
        let first = self.followed.start_block;
        let fetcher = Fetcher::new(self.source.clone(), self.filter.clone(), &self.config);
        let segment = fetcher.fetch(first, first).await?;
        assembly.admit(segment, &mut self.foreign, &self.followed.addresses)?;
        *next = first + 1;
        Ok(())
    }

    /// The finalized block must be the node's block of that height, and the cursor's block still there.
    async fn check_target(&self, target: &Header) -> Result<()> {
        let by_number = self.source.header_by_number(target.number).await?;
        if by_number.is_none_or(|header| header.hash != target.hash) {
            return Err(IndexerError::Inconsistent {
                block: target.number,
                problem: "the finalized block differs by tag and by number".into(),
            });
        }
        if let Some(cursor) = self.cursor
            && let Some(header) = self.source.header_by_number(cursor.id.number).await?
        {
            self.expect_final(cursor.id, header.hash).await?;
        }
        Ok(())
    }

    /// What is in the tables now ends at `tip`.
    pub(super) fn advance(&mut self, tip: Checkpoint, sequences: Sequences) {
        self.cursor = Some(tip);
        self.sequences = sequences;
        self.waiting_since = None;
        self.realign_window();
        let (last_final, tip) = (self.last_final(), self.tip());
        self.status.send_modify(|status| status.stepped(last_final, tip, None));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fetch::SegmentBlock;
    use super::*;
    use schemas::B256;
    use schemas::tables::Verified;

    fn block(number: u64, hash: u8, parent: u8) -> SegmentBlock {
        let (hash, parent_hash) = (B256::repeat_byte(hash), Some(B256::repeat_byte(parent)));
        SegmentBlock { number, hash, parent_hash, timestamp: number, verified: Verified::Bloom }
    }

    /// What comes of a range to 8 after one of the blocks 5 and 6, whose hashes are their numbers.
    fn followed_by(blocks: Vec<SegmentBlock>) -> Result<()> {
        let mut assembly = Assembly { stretch: Stretch::default(), tip: None, sequences: Sequences::new(&[]) };
        let mut admit = |from, to, blocks| {
            let segment = Segment { from, to, blocks, logs: Logs::default() };
            assembly.admit(segment, &mut Foreign::default(), &[])
        };
        admit(5, 6, vec![block(5, 5, 4), block(6, 6, 5)])?;
        admit(7, 8, blocks)
    }

    #[test]
    fn a_range_that_does_not_follow_is_refused() {
        followed_by(vec![block(7, 7, 6), block(8, 8, 7)]).unwrap();
        // Without proofs, blocks between those with logs are not there.
        followed_by(vec![block(8, 8, 7)]).unwrap();
        for wrong in [vec![block(7, 17, 16), block(8, 18, 17)], vec![block(7, 7, 6)], Vec::new()] {
            let error = followed_by(wrong).unwrap_err();
            assert!(matches!(error, IndexerError::Inconsistent { .. }), "{error}");
        }
    }
}
