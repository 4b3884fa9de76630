//! The parts of replies about transactions that we read. The receipt's type is not among them: OP
//! nodes write it as "0x7E".

use schemas::alloy_primitives::U64;
use schemas::{Address, B256, U256};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReceipt {
    pub(super) transaction_hash: B256,
    pub(super) block_hash: B256,
    pub(super) block_number: U64,
    /// 1 or 0.
    pub(super) status: U64,
    pub(super) contract_address: Option<Address>,
    pub(super) gas_used: U64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBaseFee {
    /// wei
    pub(super) base_fee_per_gas: U256,
}
