//! Where blocks and logs come from: the seam, and its two implementations.
//!
//! A source answers what one node says; it never decides which chain is right. Every reply that
//! could silently mean "I do not have that block" is an error instead.

mod quorum;
mod rpc_source;
mod scripted;
mod wire;

use async_trait::async_trait;
use schemas::alloy_primitives::Bytes;
use schemas::tables::{BlockRow, LogRow};
use schemas::{Address, B256};
use serde::Serialize;

use crate::Result;
pub use quorum::QuorumSource;
pub use rpc_source::RpcSource;
pub use scripted::{ScriptedChain, ScriptedLog};

/// Which end of the chain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadTag {
    /// The sequencer's newest block; it can be reorganised at any time.
    Latest,
    /// Derived from L1 data that is not final yet.
    Safe,
    /// Derived from final L1 data.
    Finalized,
}

/// A block's place and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct BlockId {
    pub number: u64,
    pub hash: B256,
}

/// A block header, as far as linking needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

impl Header {
    pub fn id(&self) -> BlockId {
        BlockId { number: self.number, hash: self.hash }
    }

    pub(crate) fn row(&self, log_count: u64) -> BlockRow {
        BlockRow { number: self.number, hash: self.hash, parent_hash: self.parent_hash, timestamp: self.timestamp, log_count }
    }
}

/// One log of a mined block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub block_number: u64,
    pub block_hash: B256,
    pub transaction_hash: B256,
    pub transaction_index: u64,
    /// Position among all logs of the block.
    pub log_index: u64,
    pub address: Address,
    /// 0 to 4.
    pub topics: Vec<B256>,
    pub data: Bytes,
}

impl Log {
    /// The table row; the time is the block's.
    pub(crate) fn row(&self, block_timestamp: u64) -> LogRow {
        let topic = |index: usize| self.topics.get(index).copied();
        LogRow {
            block_number: self.block_number,
            block_hash: self.block_hash,
            block_timestamp,
            transaction_hash: self.transaction_hash,
            transaction_index: self.transaction_index,
            log_index: self.log_index,
            address: self.address,
            topic0: topic(0),
            topic1: topic(1),
            topic2: topic(2),
            topic3: topic(3),
            data: self.data.to_string(),
        }
    }
}

/// A view of one chain. [`crate::conformance::check`] states what every implementation keeps.
#[async_trait]
pub trait ChainSource: Send + Sync + std::fmt::Debug {
    async fn chain_id(&self) -> Result<u64>;

    /// The header at a tag; `None` when the chain has no such block yet.
    async fn head(&self, tag: HeadTag) -> Result<Option<Header>>;

    /// The header at a height of the canonical chain; `None` above the head.
    async fn header_by_number(&self, number: u64) -> Result<Option<Header>>;

    /// The header with a hash; `None` when the node does not know it.
    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>>;

    /// Headers `from..=to` of the canonical chain, ascending, `[to - from + 1]`. Linkage is the
    /// caller's to check.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the range goes beyond the head.
    async fn headers_in_range(&self, from: u64, to: u64) -> Result<Vec<Header>>;

    /// Logs of `addresses` in blocks `from..=to` of the canonical chain, ordered by (block, log
    /// index). No address means no log.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the range goes beyond the head.
    async fn logs_in_range(&self, from: u64, to: u64, addresses: &[Address]) -> Result<Vec<Log>>;

    /// Logs of `addresses` in one block, ordered by log index.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the node does not know the block: never an empty list.
    async fn logs_of_block(&self, hash: B256, addresses: &[Address]) -> Result<Vec<Log>>;
}
