//! `epochs`: accounting periods whose payers were debited. One row commits the epoch; its rewards and debts
//! precede it.

use alloy_primitives::B256;

use super::{Millis, Wei, WriteMode, table};

table! {
    /// Receipts `first_sequence..=last_sequence`, debited and turned into rewards.
    EpochRow = "epochs", WriteMode::Keyed(&["epoch"]);
    /// From 1.
    epoch: u64,
    /// How the rewards follow: `rewards/3`, or without a policy `rewards/2`.
    rules: String,
    first_sequence: u64,
    last_sequence: u64,
    receipt_count: u64,
    /// Fees of the epoch's receipts.
    total_wei: Wei,
    /// What payers were asked for: these fees, and what was unpaid before.
    asked_wei: Wei,
    collected_wei: Wei,
    /// What of it went into the reward pool.
    data_wei: Wei,
    /// What the operator's reserve paid.
    reserve_used_wei: Wei,
    /// What payers still owe.
    unpaid_wei: Wei,
    /// What receipts that are paid for attribute, and the pool was not given: see `debts`.
    withheld_wei: Wei,
    /// What contributors earn: the sum of the epoch's rewards.
    pool_wei: Wei,
    /// Sum of all cumulative amounts under the reward root.
    total_cumulative_wei: Wei,
    /// StandardMerkleTree root over the reward leaves.
    reward_root: B256,
    /// Merkle root over the receipts' body hashes.
    receipts_root: B256,
    /// keccak256 of the canonical JSON of everything the root was computed from.
    artifact_hash: B256,
    /// Finalized block that holds the epoch's last debit.
    to_block: u64,
    to_block_hash: B256,
    computed_at: Millis,
}
