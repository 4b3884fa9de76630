//! `logs`: every event of the followed contracts, undecoded. The decoded tables are views of it.

use alloy_primitives::{Address, B256};

use super::{WriteMode, table};

table! {
    /// One log; `(block_hash, log_index)` identifies it.
    LogRow = "logs", WriteMode::Append;
    block_number: u64,
    block_hash: B256,
    /// Unix seconds of the block.
    block_timestamp: u64,
    transaction_hash: B256,
    transaction_index: u64,
    log_index: u64,
    address: Address,
    topic0: Option<B256>,
    topic1: Option<B256>,
    topic2: Option<B256>,
    topic3: Option<B256>,
    /// `0x` hexadecimal.
    data: String,
}
