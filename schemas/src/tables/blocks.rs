//! `blocks`: the followed chain. With full verification one row per block, hash-linked; with logs
//! only, the first block, the blocks that hold logs and the last of every range.

use alloy_primitives::B256;

use super::{WriteMode, table};

table! {
    /// A block header, as far as linking needs it.
    BlockRow = "blocks", WriteMode::Append, indexed ["number"];
    number: u64,
    hash: B256,
    /// Absent where no header was read.
    parent_hash: Option<B256>,
    /// Unix seconds.
    timestamp: u64,
    /// Logs of the followed contracts in this block.
    log_count: u64,
    /// What was checked, see [`Verified`].
    verified: u64,
    /// The digest of all logs up to this block, see ARCHITECTURE.md.
    digest: B256,
}

/// How far a block was checked against its own hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verified {
    /// The node's logs were taken as they came.
    Logs = 0,
    /// The header hashes to the block's hash and links to its parent.
    Linked = 1,
    /// And its bloom filter rules out every followed log.
    Bloom = 2,
    /// And the logs were derived from receipts that hash to its receipts root.
    Receipts = 3,
}
