//! Where blocks and logs come from: the seam, and its two implementations.
//!
//! A source answers what one node says; it never decides which chain is right. Every reply that
//! could silently mean "I do not have that block" is an error instead.

mod quorum;
mod rpc_source;
mod scripted;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use schemas::B256;
use schemas::alloy_primitives::Bloom;
use schemas::tables::Logs;
use serde::Serialize;

use crate::Result;
use crate::rpc::{RpcConfig, RpcStats};
use crate::verify::{BlockReceipts, LogFilter};
pub use quorum::QuorumSource;
pub use rpc_source::RpcSource;
pub use scripted::{FaultPlan, NodeFault, ScriptedChain, ScriptedLog, ScriptedNode, ScriptedTransaction};

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

/// A block header, as far as linking and verifying need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    pub logs_bloom: Bloom,
    pub receipts_root: B256,
    /// Whether `hash` is keccak256 of the RLP of the header that the node gave.
    pub sealed: bool,
}

impl Header {
    pub fn id(&self) -> BlockId {
        BlockId { number: self.number, hash: self.hash }
    }
}

/// The three ends of a chain, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// `None` only for a node that has no block at all.
    pub latest: Option<Header>,
    pub safe: Option<Header>,
    pub finalized: Option<Header>,
}

/// Prepares connections to the nodes of a chain; nothing is sent yet. Of several addresses, with commas
/// between them, the first is preferred, and what is final is checked on all.
///
/// # Errors
/// [`crate::IndexerError::BadUrl`].
pub fn connect(urls: &str, config: &RpcConfig) -> Result<Arc<dyn ChainSource>> {
    let urls: Vec<String> = urls.split(',').map(|url| url.trim().to_owned()).collect();
    match urls.as_slice() {
        [url] => Ok(Arc::new(RpcSource::connect(url, config.clone())?)),
        _ => Ok(Arc::new(QuorumSource::connect(&urls, config)?)),
    }
}

/// A view of one chain. [`crate::conformance::check`] states what every implementation keeps.
#[async_trait]
pub trait ChainSource: Send + Sync + std::fmt::Debug {
    async fn chain_id(&self) -> Result<u64>;

    /// What the connections have done so far, node by node; empty for a chain in memory.
    fn stats(&self) -> Vec<RpcStats> {
        Vec::new()
    }

    /// The header at a tag; `None` when the chain has no such block yet.
    async fn head(&self, tag: HeadTag) -> Result<Option<Header>>;

    /// All three heads. The finalized one is read first, so that the others are at or above it.
    async fn heads(&self) -> Result<Heads> {
        let finalized = self.head(HeadTag::Finalized).await?;
        let safe = self.head(HeadTag::Safe).await?;
        Ok(Heads { latest: self.head(HeadTag::Latest).await?, safe, finalized })
    }

    /// The header at a height of the canonical chain; `None` above the head.
    async fn header_by_number(&self, number: u64) -> Result<Option<Header>>;

    /// The header with a hash; `None` when the node does not know it.
    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>>;

    /// `[numbers.len()]` headers of the canonical chain. Linkage is the caller's to check.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] for a height beyond the head.
    async fn headers(&self, numbers: &[u64]) -> Result<Vec<Header>>;

    /// The wanted logs of blocks `from..=to` of the canonical chain in order, and the header of `to`
    /// from the same node. A log's time is 0 where the node does not tell it.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the range goes beyond the head,
    /// [`crate::IndexerError::RangeTooLarge`] when the node wants a smaller one.
    async fn logs_in_range(&self, from: u64, to: u64, filter: &LogFilter) -> Result<(Header, Logs)>;

    /// The wanted logs of one block, in order.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the node does not know the block: never an empty list.
    async fn logs_of_block(&self, block: BlockId, filter: &LogFilter) -> Result<Logs>;

    /// `[blocks.len()]`: all receipts of each block, asked for by hash. Every log names its block; its
    /// index and its transaction's are its places among the receipts.
    ///
    /// # Errors
    /// [`crate::IndexerError::BlockUnknown`] when the node does not know one of the blocks.
    async fn receipts(&self, blocks: &[BlockId]) -> Result<Vec<BlockReceipts>>;
}
