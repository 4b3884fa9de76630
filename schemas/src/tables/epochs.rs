//! `epochs`: closed accounting periods. One row commits the epoch; its rewards precede it.

use alloy_primitives::B256;

use super::{Millis, Wei, WriteMode, table};

table! {
    /// Receipts `first_sequence..=last_sequence`, turned into rewards.
    EpochRow = "epochs", WriteMode::Keyed(&["epoch"]);
    /// From 1.
    epoch: u64,
    first_sequence: u64,
    last_sequence: u64,
    receipt_count: u64,
    /// Fees of the epoch's receipts.
    total_wei: Wei,
    /// What contributors earn: the sum of the epoch's rewards.
    pool_wei: Wei,
    /// What stays with the platform: its part, and what could not be attributed.
    platform_wei: Wei,
    /// Sum of all cumulative amounts under the reward root.
    total_cumulative_wei: Wei,
    /// StandardMerkleTree root over the reward leaves.
    reward_root: B256,
    /// Merkle root over the receipts' body hashes.
    receipts_root: B256,
    /// keccak256 of the canonical JSON of everything the root was computed from.
    artifact_hash: B256,
    /// Finalized block that the epoch was cut at.
    to_block: u64,
    to_block_hash: B256,
    closed_at: Millis,
}
