//! Up to the finalized block: ranges by number, hash-linked, appended to the tables.

use std::collections::HashMap;

use schemas::B256;
use schemas::tables::{BlockRow, LogRow};

use super::{Indexer, Progress};
use crate::source::{BlockId, Header, Log};
use crate::{IndexerError, Result};

/// A stretch of final blocks, ready to be appended.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) blocks: Vec<BlockRow>,
    pub(super) logs: Vec<LogRow>,
}

impl Indexer {
    /// Reads the next range towards `target` and appends it.
    pub(super) async fn append_range(&mut self, target: &Header) -> Result<Progress> {
        let from = self.first_above_cursor();
        let to = target.number.min(from.saturating_add(self.config.max_range_blocks.max(1) - 1));
        let headers = self.source.headers_in_range(from, to).await?;
        check_linked(&headers, from, to)?;
        self.check_ends(&headers, target).await?;
        let logs = self.source.logs_in_range(from, to, &self.followed.addresses).await?;
        let stretch = stretch(&headers, &logs)?;
        self.append(stretch).await?;
        tracing::debug!(from, to, logs = logs.len(), "appended a range of final blocks");
        Ok(Progress { finalized_blocks: to - from + 1, more: true, ..Progress::default() })
    }

    /// The range must continue the cursor, and lie on the chain that the finalized block is on.
    async fn check_ends(&self, headers: &[Header], target: &Header) -> Result<()> {
        if let (Some(cursor), Some(first)) = (self.cursor, headers.first()) {
            self.expect_final(cursor, first.parent_hash).await?;
        }
        let by_number = match headers.last() {
            Some(last) if last.number == target.number => Some(*last),
            _ => self.source.header_by_number(target.number).await?,
        };
        if by_number.is_some_and(|header| header.hash == target.hash) {
            return Ok(());
        }
        Err(IndexerError::Inconsistent { block: target.number, problem: "the finalized block differs by tag and by number".into() })
    }

    /// Appends final blocks: logs first, then the blocks that make them count.
    pub(super) async fn append(&mut self, stretch: Stretch) -> Result<()> {
        self.append_logs(&stretch).await?;
        self.append_blocks(&stretch).await
    }

    pub(super) async fn append_logs(&mut self, stretch: &Stretch) -> Result<()> {
        if !stretch.logs.is_empty() {
            self.store.append(&stretch.logs).await?;
        }
        Ok(())
    }

    pub(super) async fn append_blocks(&mut self, stretch: &Stretch) -> Result<()> {
        let Some(last) = stretch.blocks.last() else { return Ok(()) };
        self.store.append(&stretch.blocks).await?;
        self.cursor = Some(BlockId { number: last.number, hash: last.hash });
        self.realign_window();
        Ok(())
    }
}

fn check_linked(headers: &[Header], from: u64, to: u64) -> Result<()> {
    let broken = |block: u64, problem: &str| Err(IndexerError::Inconsistent { block, problem: problem.into() });
    let mut expected = from;
    let mut parent: Option<B256> = None;
    for header in headers {
        if header.number != expected {
            return broken(expected, "a range of headers has a gap");
        }
        if parent.is_some_and(|parent| parent != header.parent_hash) {
            return broken(header.number, "a range of headers is not hash-linked");
        }
        parent = Some(header.hash);
        expected += 1;
    }
    if expected == to + 1 { Ok(()) } else { broken(expected, "a range of headers is short") }
}

/// The rows of a linked range. Every log must belong to exactly one of its blocks.
fn stretch(headers: &[Header], logs: &[Log]) -> Result<Stretch> {
    let by_hash: HashMap<B256, &Header> = headers.iter().map(|header| (header.hash, header)).collect();
    let mut counts: HashMap<B256, u64> = HashMap::new();
    let mut rows: Vec<LogRow> = Vec::with_capacity(logs.len());
    for log in logs {
        let header =
            by_hash.get(&log.block_hash).filter(|header| header.number == log.block_number).ok_or_else(|| IndexerError::Inconsistent {
                block: log.block_number,
                problem: "a log belongs to a block that is not on the linked chain".into(),
            })?;
        *counts.entry(header.hash).or_default() += 1;
        rows.push(log.row(header.timestamp));
    }
    rows.sort_by_key(|row| (row.block_number, row.log_index));
    if let Some([row, _]) = rows.array_windows().find(|[a, b]| (a.block_number, a.log_index) == (b.block_number, b.log_index)) {
        return Err(IndexerError::Inconsistent { block: row.block_number, problem: format!("log {} came twice", row.log_index) });
    }
    let blocks = headers.iter().map(|header| header.row(counts.get(&header.hash).copied().unwrap_or(0))).collect();
    Ok(Stretch { blocks, logs: rows })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{ScriptedChain, ScriptedLog};
    use schemas::Address;

    fn chain() -> (Vec<Header>, Vec<Log>) {
        let chain = ScriptedChain::new(1);
        for byte in 1..5 {
            let log = ScriptedLog { address: Address::ZERO, topics: vec![B256::repeat_byte(byte)], data: Vec::new().into() };
            chain.mine(0, &[log.clone(), log]);
        }
        (chain.canonical(), chain.canonical_logs())
    }

    #[test]
    fn a_range_that_does_not_hang_together_is_refused() {
        let (headers, _) = chain();
        check_linked(&headers, 0, 4).unwrap();
        let broken: [fn(&mut Vec<Header>); 5] = [
            |headers| headers.truncate(4),
            |headers| headers.rotate_left(1),
            |headers| headers[2].number += 1,
            |headers| headers.swap(1, 2),
            |headers| headers[2].hash = B256::ZERO,
        ];
        for breaking in broken {
            let mut headers = headers.clone();
            breaking(&mut headers);
            assert!(matches!(check_linked(&headers, 0, 4), Err(IndexerError::Inconsistent { .. })), "{headers:?}");
        }
    }

    #[test]
    fn a_log_of_another_block_is_refused() {
        let (headers, logs) = chain();
        let rows = stretch(&headers, &logs).unwrap();
        assert_eq!((rows.logs.len(), rows.blocks.iter().map(|block| block.log_count).sum::<u64>()), (8, 8));
        let mut shuffled = logs.clone();
        shuffled.reverse();
        assert_eq!(stretch(&headers, &shuffled).unwrap().logs, rows.logs);
        let broken: [fn(&mut Vec<Log>); 3] =
            [|logs| logs[3].block_hash = B256::repeat_byte(7), |logs| logs[3].block_number += 1, |logs| logs.push(logs[0].clone())];
        for breaking in broken {
            let mut logs = logs.clone();
            breaking(&mut logs);
            assert!(matches!(stretch(&headers, &logs), Err(IndexerError::Inconsistent { .. })));
        }
    }
}
