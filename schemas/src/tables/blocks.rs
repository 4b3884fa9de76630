//! `blocks`: the followed chain, one row per block, hash-linked.

use alloy_primitives::B256;

use super::{WriteMode, table};

table! {
    /// A block header, as far as linking needs it.
    BlockRow = "blocks", WriteMode::Append;
    number: u64,
    hash: B256,
    parent_hash: B256,
    /// Unix seconds.
    timestamp: u64,
    /// Logs of the followed contracts in this block.
    log_count: u64,
}
