//! Block headers.

use alloy_consensus::Header as ConsensusHeader;
use schemas::alloy_primitives::{B64, Bloom, Bytes, U256};
use schemas::{Address, B256};
use serde::Deserialize;

use super::{Fixed, Quantity};
use crate::rpc::Quick;
use crate::source::Header;

/// A header with every field that its hash covers, up to the OP Stack's Jovian fork.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireHeader {
    hash: B256,
    parent_hash: B256,
    number: Quantity,
    timestamp: Quantity,
    logs_bloom: Fixed<256>,
    receipts_root: B256,
    sha3_uncles: Option<B256>,
    miner: Option<Address>,
    state_root: Option<B256>,
    transactions_root: Option<B256>,
    difficulty: Option<U256>,
    gas_limit: Option<Quantity>,
    gas_used: Option<Quantity>,
    extra_data: Option<Bytes>,
    mix_hash: Option<B256>,
    nonce: Option<B64>,
    base_fee_per_gas: Option<Quantity>,
    withdrawals_root: Option<B256>,
    blob_gas_used: Option<Quantity>,
    excess_blob_gas: Option<Quantity>,
    parent_beacon_block_root: Option<B256>,
    requests_hash: Option<B256>,
}

impl Quick for Option<WireHeader> {}

impl From<WireHeader> for Header {
    fn from(wire: WireHeader) -> Self {
        let mut header = Self {
            number: wire.number.0,
            hash: wire.hash,
            parent_hash: wire.parent_hash,
            timestamp: wire.timestamp.0,
            logs_bloom: Bloom::from(wire.logs_bloom.0),
            receipts_root: wire.receipts_root,
            sealed: false,
        };
        header.sealed = consensus(wire).is_some_and(|consensus| consensus.hash_slow() == header.hash);
        header
    }
}

/// The header that is hashed; `None` when the node left out a field that every header has.
fn consensus(wire: WireHeader) -> Option<ConsensusHeader> {
    Some(ConsensusHeader {
        parent_hash: wire.parent_hash,
        ommers_hash: wire.sha3_uncles?,
        beneficiary: wire.miner?,
        state_root: wire.state_root?,
        transactions_root: wire.transactions_root?,
        receipts_root: wire.receipts_root,
        logs_bloom: Bloom::from(wire.logs_bloom.0),
        difficulty: wire.difficulty?,
        number: wire.number.0,
        gas_limit: wire.gas_limit?.0,
        gas_used: wire.gas_used?.0,
        timestamp: wire.timestamp.0,
        extra_data: wire.extra_data?,
        mix_hash: wire.mix_hash?,
        nonce: wire.nonce?,
        base_fee_per_gas: wire.base_fee_per_gas.map(|fee| fee.0),
        withdrawals_root: wire.withdrawals_root,
        blob_gas_used: wire.blob_gas_used.map(|gas| gas.0),
        excess_blob_gas: wire.excess_blob_gas.map(|gas| gas.0),
        parent_beacon_block_root: wire.parent_beacon_block_root,
        requests_hash: wire.requests_hash,
        ..ConsensusHeader::default()
    })
}
