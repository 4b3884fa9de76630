//! The parts of replies about transactions that we read. The receipt's type is not among them: OP
//! nodes write it as "0x7E".

use schemas::alloy_primitives::U64;
use schemas::tables::Wei;
use schemas::{Address, B256, U256};
use serde::Deserialize;

use super::outbox::Inclusion;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReceipt {
    transaction_hash: B256,
    block_hash: B256,
    block_number: U64,
    /// 1 or 0.
    status: U64,
    contract_address: Option<Address>,
    gas_used: U64,
    /// wei
    #[serde(default)]
    effective_gas_price: U256,
    /// OP-Stack: for publishing the transaction's data, in wei.
    #[serde(default)]
    l1_fee: Option<U256>,
}

impl From<WireReceipt> for Inclusion {
    fn from(receipt: WireReceipt) -> Self {
        let gas_fee = receipt.effective_gas_price.saturating_mul(U256::from(receipt.gas_used.to::<u64>()));
        let fee = gas_fee.saturating_add(receipt.l1_fee.unwrap_or_default());
        Self {
            hash: receipt.transaction_hash,
            block_number: receipt.block_number.to(),
            block_hash: receipt.block_hash,
            succeeded: receipt.status != U64::ZERO,
            contract_address: receipt.contract_address,
            gas_used: receipt.gas_used.to(),
            fee: Wei(u128::try_from(fee).unwrap_or(u128::MAX)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireBlock {
    pub(super) number: U64,
    pub(super) hash: B256,
    /// wei
    #[serde(default)]
    pub(super) base_fee_per_gas: U256,
}
