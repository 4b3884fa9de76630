//! What a result was read at.

use std::collections::BTreeMap;

use schemas::B256;
use schemas::tables::{BlockRow, Row, WriteMode};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError};

/// A state of all tables. Everything a query returns is a function of it and of the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Version of each keyed table.
    pub tables: BTreeMap<String, u64>,
    /// The highest block whose logs are seen; absent before the first.
    pub block: Option<BlockStamp>,
}

/// A block by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockStamp {
    pub number: u64,
    pub hash: B256,
}

impl Store {
    /// The newest state.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let hot_tip = self.hot().blocks.iter().max_by_key(|block| block.number).map(stamp);
        let block = match hot_tip {
            Some(tip) => Some(tip),
            None => self.highest_finalized().await?,
        };
        let tables = (self.inner.tables.iter())
            .filter(|(_, table)| matches!(table.mode(), WriteMode::Keyed(_)))
            .map(|(name, table)| ((*name).to_owned(), table.version()))
            .collect();
        Ok(Snapshot { tables, block })
    }

    async fn highest_finalized(&self) -> Result<Option<BlockStamp>, StoreError> {
        let Some(number) = self.max::<BlockRow>("number").await? else { return Ok(None) };
        Ok(self.block_at(number).await?.as_ref().map(stamp))
    }

    async fn block_at(&self, number: u64) -> Result<Option<BlockRow>, StoreError> {
        if let Some(block) = self.hot().blocks.iter().find(|block| block.number == number) {
            return Ok(Some(block.clone()));
        }
        Ok(self.scan::<BlockRow>(Some(&format!("number = {number}"))).await?.pop())
    }

    /// Checks that a snapshot's block is still on the chain.
    pub(super) async fn check_block(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let Some(wanted) = snapshot.block else { return Ok(()) };
        match self.block_at(wanted.number).await? {
            Some(block) if block.hash == wanted.hash => Ok(()),
            Some(block) => Err(StoreError::NotFound(format!(
                "block {} with hash {:#x}: the chain was reorganised, that height is now {:#x}",
                wanted.number, wanted.hash, block.hash
            ))),
            None => {
                Err(StoreError::NotFound(format!("block {} with hash {:#x} in table {}", wanted.number, wanted.hash, BlockRow::TABLE.name)))
            }
        }
    }
}

fn stamp(block: &BlockRow) -> BlockStamp {
    BlockStamp { number: block.number, hash: block.hash }
}
