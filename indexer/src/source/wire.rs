//! The parts of JSON-RPC replies that we read. Everything else is ignored, so that OP-Stack blocks
//! (deposit transactions of type 0x7e, receipts of type "0x7E", fork-specific header fields) parse.

use schemas::alloy_primitives::{Bytes, U64};
use schemas::{Address, B256};
use serde::Deserialize;

use super::{Header, Log};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireHeader {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
}

impl From<WireHeader> for Header {
    fn from(wire: WireHeader) -> Self {
        Self { number: wire.number.to(), hash: wire.hash, parent_hash: wire.parent_hash, timestamp: wire.timestamp.to() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_hash: B256,
    block_number: U64,
    transaction_hash: B256,
    transaction_index: U64,
    log_index: U64,
}

impl From<WireLog> for Log {
    fn from(wire: WireLog) -> Self {
        Self {
            block_number: wire.block_number.to(),
            block_hash: wire.block_hash,
            transaction_hash: wire.transaction_hash,
            transaction_index: wire.transaction_index.to(),
            log_index: wire.log_index.to(),
            address: wire.address,
            topics: wire.topics,
            data: wire.data,
        }
    }
}
