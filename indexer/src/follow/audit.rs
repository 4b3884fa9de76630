//! Auditing the tables: reading a range again from another node, fully verified, and comparing.
//!
//! Nothing is written, and nothing that the indexer remembers is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::B256;
use schemas::tables::{BlockRow, LogRow};
use serde::Serialize;
use store::Store;

use super::fetch::{Fetcher, Segment};
use super::{Followed, IndexerConfig, Verify};
use crate::source::ChainSource;
use crate::{IndexerError, Result, digest};

/// Blocks compared at a time.
const PIECE_BLOCKS: u64 = 500;

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub from: u64,
    pub to: u64,
    /// Blocks read from the other node.
    pub blocks: u64,
    /// Logs that are the same on both sides.
    pub logs: u64,
    /// The digest of the tables at the last block compared.
    pub digest: B256,
    pub difference: Option<Difference>,
}

/// Where tables and chain part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The first block that differs.
    pub block: u64,
    pub problem: String,
}

/// Compares the final blocks `from..=to` in the tables with what `source` proves.
///
/// # Errors
/// [`IndexerError::StoredChainBroken`] when the tables do not hold the range, and what the node says.
pub async fn audit(
    store: &Store,
    source: Arc<dyn ChainSource>,
    followed: &Followed,
    range: std::ops::RangeInclusive<u64>,
    progress: impl Fn(u64),
) -> Result<Audit> {
    let found = source.chain_id().await?;
    if found != followed.chain_id {
        return Err(IndexerError::WrongChain { expected: followed.chain_id, found });
    }
    let (from, to) = (*range.start(), *range.end());
    let held = store.max::<BlockRow>("number").await?;
    if held.is_none_or(|held| held < to) || from < followed.start_block || from > to {
        let held = held.map_or("none".to_owned(), |held| format!("{} to {held}", followed.start_block));
        return Err(IndexerError::StoredChainBroken { problem: format!("blocks {from} to {to} are to be audited, and held are {held}") });
    }
    let filter = Arc::new(followed.filter());
    let fetcher = Fetcher::new(source, filter.clone(), &IndexerConfig { verify: Verify::Full, ..IndexerConfig::default() });
    let mut audit = Audit { from, to, blocks: 0, logs: 0, digest: digest_before(store, from).await?, difference: None };
    let mut next = from;
    while next <= to && audit.difference.is_none() {
        let end = to.min(next.saturating_add(PIECE_BLOCKS - 1));
        let segment = fetcher.clone().fetch(next, end).await?;
        let blocks: Vec<BlockRow> = store.scan(Some(&format!("number >= {next} AND number <= {end}"))).await?;
        let logs: Vec<LogRow> = store.scan(Some(&format!("block_number >= {next} AND block_number <= {end}"))).await?;
        let logs = logs.into_iter().filter(|log| filter.names(log.address.0)).collect();
        compare(&mut audit, &segment, blocks, logs);
        next = end + 1;
        progress(end);
    }
    Ok(audit)
}

/// The digest up to the block before `from`, as the tables say.
async fn digest_before(store: &Store, from: u64) -> Result<B256> {
    let before: Vec<BlockRow> = store.scan(Some(&format!("number < {from}"))).await?;
    Ok(before.iter().max_by_key(|block| block.number).map(|block| block.digest).unwrap_or_default())
}

fn compare(audit: &mut Audit, segment: &Segment, blocks: Vec<BlockRow>, logs: Vec<LogRow>) {
    let stored: BTreeMap<u64, BlockRow> = blocks.into_iter().map(|block| (block.number, block)).collect();
    let mut held: BTreeMap<u64, Vec<LogRow>> = BTreeMap::new();
    for log in logs {
        held.entry(log.block_number).or_default().push(log);
    }
    let mut proven = segment.logs.iter().peekable();
    for block in &segment.blocks {
        let expected: Vec<_> = std::iter::from_fn(|| proven.next_if(|log| log.block_number == block.number)).collect();
        let mut found = held.remove(&block.number).unwrap_or_default();
        found.sort_by_key(|log| log.log_index);
        audit.blocks += 1;
        audit.digest = digest::extend(audit.digest, block.hash, expected.iter().copied());
        let problem = difference(block.hash, stored.get(&block.number), audit.digest, &expected, &found);
        if let Some(problem) = problem {
            audit.difference = Some(Difference { block: block.number, problem });
            return;
        }
        audit.logs += expected.len() as u64;
    }
}

fn difference(
    hash: B256,
    stored: Option<&BlockRow>,
    digest: B256,
    expected: &[schemas::tables::LogRef<'_>],
    found: &[LogRow],
) -> Option<String> {
    if let Some(stored) = stored.filter(|stored| stored.hash != hash) {
        return Some(format!("the tables hold block {:#x}, the chain {hash:#x}", stored.hash));
    }
    let mut wanted = schemas::tables::Logs::default();
    for log in expected {
        // They were read before, so their numbers fit.
        let _ = wanted.push(*log);
    }
    let wanted = wanted.rows();
    let at = wanted.iter().zip(found).position(|(wanted, found)| wanted != found);
    if let Some(index) = at.and_then(|index| wanted.get(index)).map(|log| log.log_index) {
        return Some(format!("log {index} differs"));
    }
    if wanted.len() != found.len() {
        return Some(format!("the chain has {} followed logs, the tables {}", wanted.len(), found.len()));
    }
    if stored.is_none() && !expected.is_empty() {
        return Some("the block has no row".into());
    }
    let stored = stored.filter(|stored| stored.digest != digest)?;
    Some(format!("the digest is {digest:#x}, the tables say {:#x}", stored.digest))
}
