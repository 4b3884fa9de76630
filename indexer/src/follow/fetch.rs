//! Reading a range of final blocks, as far verified as is asked for. Reads only; the order of ranges and
//! their place on the chain are checked where they are put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::B256;
use schemas::tables::{Logs, Verified};

use super::ranges::RangeSize;
use super::{IndexerConfig, Verify};
use crate::source::{ChainSource, Header};
use crate::verify::LogFilter;
use crate::{IndexerError, Result};

/// A block of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentBlock {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) parent_hash: Option<B256>,
    pub(super) timestamp: u64,
    pub(super) verified: Verified,
}

impl SegmentBlock {
    pub(super) fn new(header: &Header, verified: Verified) -> Self {
        let Header { number, hash, parent_hash, timestamp, .. } = *header;
        Self { number, hash, parent_hash: Some(parent_hash), timestamp, verified }
    }
}

/// What blocks `from..=to` hold of what is wanted. With full verification there is a block for every
/// height; otherwise for those that hold logs and the last.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) from: u64,
    pub(super) to: u64,
    /// Ascending.
    pub(super) blocks: Vec<SegmentBlock>,
    /// In the order of the chain, each log of one of `blocks`.
    pub(super) logs: Logs,
}

/// Reads ranges; clones share what they learn about sizes.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    source: Arc<dyn ChainSource>,
    filter: Arc<LogFilter>,
    verify: Verify,
    /// Blocks in one range.
    pub(super) ranges: Arc<RangeSize>,
    /// Blocks whose receipts are asked for at once.
    receipts: Arc<RangeSize>,
}

/// Receipts of more blocks at once make a node slower, not faster.
const MAX_RECEIPT_BLOCKS: u64 = 20;

impl Fetcher {
    pub(super) fn new(source: Arc<dyn ChainSource>, filter: Arc<LogFilter>, config: &IndexerConfig) -> Self {
        let size = |max| Arc::new(RangeSize::new(config.initial_range_blocks.min(max), max, config.target_range_logs));
        Self { source, filter, verify: config.verify, ranges: size(config.max_range_blocks), receipts: size(MAX_RECEIPT_BLOCKS) }
    }

    /// Reads blocks `from..=to`.
    ///
    /// # Errors
    /// [`IndexerError::Inconsistent`] for a reply that its own hashes refute, and what the node says.
    pub(super) async fn fetch(self, from: u64, to: u64) -> Result<Segment> {
        match self.verify {
            Verify::Full => self.fetch_verified(from, to).await,
            Verify::Logs => self.fetch_logs(from, to).await,
        }
    }

    async fn fetch_verified(&self, from: u64, to: u64) -> Result<Segment> {
        let numbers: Vec<u64> = (from..=to).collect();
        let headers = self.source.headers(&numbers).await?;
        check_chain(&headers, from, to)?;
        let matching: Vec<Header> = headers.iter().filter(|header| self.filter.may_be_in(&header.logs_bloom)).copied().collect();
        let logs = self.fetch_receipts(&matching).await?;
        self.ranges.saw(numbers.len() as u64, logs.len() as u64);
        let verified = |header: &Header| match matching.binary_search_by_key(&header.number, |matching| matching.number) {
            Ok(_) => Verified::Receipts,
            Err(_) => Verified::Bloom,
        };
        let blocks = headers.iter().map(|header| SegmentBlock::new(header, verified(header))).collect();
        Ok(Segment { from, to, blocks, logs })
    }

    /// The wanted logs of these blocks, from receipts that hash to the root in their headers.
    pub(super) async fn fetch_receipts(&self, headers: &[Header]) -> Result<Logs> {
        let mut logs = Logs::default();
        let mut rest = headers;
        while !rest.is_empty() {
            let count = usize::try_from(self.receipts.blocks()).unwrap_or(1).clamp(1, rest.len());
            let (now, later) = rest.split_at(count);
            let ids: Vec<_> = now.iter().map(Header::id).collect();
            let blocks = match self.source.receipts(&ids).await {
                Err(IndexerError::RangeTooLarge { .. }) if count > 1 => {
                    self.receipts.refused(count as u64);
                    continue;
                }
                other => other?,
            };
            let before = logs.len();
            for (header, mut receipts) in now.iter().zip(blocks) {
                if receipts.root() != header.receipts_root {
                    return Err(IndexerError::Inconsistent {
                        block: header.number,
                        problem: "its receipts do not hash to the root in its header: logs were left out or changed".into(),
                    });
                }
                receipts.logs.set_timestamps(|_| Some(header.timestamp));
                logs.append(receipts.logs.filtered(|log| self.filter.admits(log)))?;
            }
            self.receipts.saw(count as u64, (logs.len() - before) as u64);
            rest = later;
        }
        Ok(logs)
    }

    /// Takes the node's logs as they come, in smaller ranges where it wants them.
    async fn fetch_logs(&self, from: u64, to: u64) -> Result<Segment> {
        let mut logs = Logs::default();
        let mut next = from;
        let mut most = to - from + 1;
        let mut last = None;
        while next <= to {
            let end = to.min(next.saturating_add(most - 1));
            match self.source.logs_in_range(next, end, &self.filter).await {
                Err(IndexerError::RangeTooLarge { .. }) if end > next => most = self.ranges.refused(end - next + 1),
                other => {
                    let (header, found) = other?;
                    self.ranges.saw(end - next + 1, found.len() as u64);
                    logs.append(found)?;
                    last = Some(header);
                    next = end + 1;
                }
            }
        }
        let last = last.ok_or_else(|| IndexerError::BlockUnknown { block: to.to_string() })?;
        self.segment_of_logs(from, last, logs).await
    }

    async fn segment_of_logs(&self, from: u64, last: Header, mut logs: Logs) -> Result<Segment> {
        let mut headers = BTreeMap::from([(last.number, last)]);
        let untimed: Vec<u64> = {
            let mut numbers: Vec<u64> = logs.iter().filter(|log| log.block_timestamp == 0).map(|log| log.block_number).collect();
            numbers.dedup();
            numbers
        };
        if !untimed.is_empty() {
            headers.extend(self.source.headers(&untimed).await?.into_iter().map(|header| (header.number, header)));
            logs.set_timestamps(|number| headers.get(&number).map(|header| header.timestamp));
        }
        let mut blocks: Vec<SegmentBlock> = Vec::new();
        for log in logs.iter() {
            if blocks.last().is_some_and(|block| block.number == log.block_number) {
                continue;
            }
            let parent_hash = headers.get(&log.block_number).map(|header| header.parent_hash);
            let (number, hash, timestamp) = (log.block_number, log.block_hash, log.block_timestamp);
            blocks.push(SegmentBlock { number, hash, parent_hash, timestamp, verified: Verified::Logs });
        }
        if blocks.last().is_none_or(|block| block.number != last.number) {
            blocks.push(SegmentBlock::new(&last, Verified::Logs));
        }
        if let Some(block) = blocks.iter().find(|block| headers.get(&block.number).is_some_and(|header| header.hash != block.hash)) {
            return Err(IndexerError::Inconsistent {
                block: block.number,
                problem: "a log belongs to another block of that height".into(),
            });
        }
        Ok(Segment { from, to: last.number, blocks, logs })
    }
}

/// Whether headers are those of `from..=to`, each hashing to its hash and naming the one before.
pub(super) fn check_chain(headers: &[Header], from: u64, to: u64) -> Result<()> {
    let mut expected = from;
    let mut parent: Option<B256> = None;
    for header in headers {
        if header.number != expected {
            return inconsistent(expected, "a range of headers has a gap");
        }
        check_sealed(header)?;
        if parent.is_some_and(|parent| parent != header.parent_hash) {
            return inconsistent(header.number, "a range of headers is not hash-linked");
        }
        parent = Some(header.hash);
        expected += 1;
    }
    if expected == to + 1 { Ok(()) } else { inconsistent(expected, "a range of headers is short") }
}

/// Whether a header hashes to its hash.
pub(super) fn check_sealed(header: &Header) -> Result<()> {
    if header.sealed {
        return Ok(());
    }
    inconsistent(
        header.number,
        "its header does not hash to its hash; where a new fork has brought header fields that this version does not know, \
         chain.verify = \"logs\" goes on without this proof",
    )
}

fn inconsistent(block: u64, problem: &str) -> Result<()> {
    Err(IndexerError::Inconsistent { block, problem: problem.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{ScriptedChain, ScriptedLog};
    use schemas::Address;

    #[test]
    fn a_range_that_does_not_hang_together_is_refused() {
        let chain = ScriptedChain::new(1);
        for byte in 1..5 {
            chain.mine(0, &[ScriptedLog { address: Address::ZERO, topics: vec![B256::repeat_byte(byte)], data: Vec::new().into() }]);
        }
        let headers = chain.canonical();
        check_chain(&headers, 0, 4).unwrap();
        let broken: [fn(&mut Vec<Header>); 6] = [
            |headers| headers.truncate(4),
            |headers| headers.rotate_left(1),
            |headers| headers[2].number += 1,
            |headers| headers.swap(1, 2),
            |headers| headers[2].hash = B256::ZERO,
            |headers| headers[2].sealed = false,
        ];
        for breaking in broken {
            let mut headers = headers.clone();
            breaking(&mut headers);
            assert!(matches!(check_chain(&headers, 0, 4), Err(IndexerError::Inconsistent { .. })), "{headers:?}");
        }
    }
}
