//! `closings`: which receipts an epoch asks its payers for. One row closes the epoch; `epochs` has it once its
//! payers were debited and its rewards follow.

use alloy_primitives::B256;

use super::{Millis, Wei, WriteMode, table};

table! {
    /// Receipts `first_sequence..=last_sequence`, beside what earlier epochs left unpaid.
    ClosingRow = "closings", WriteMode::Keyed(&["epoch"]);
    /// From 1.
    epoch: u64,
    first_sequence: u64,
    /// `first_sequence - 1` where the epoch asks for earlier debts only.
    last_sequence: u64,
    receipt_count: u64,
    /// Fees of the epoch's receipts.
    total_wei: Wei,
    /// Merkle root over the receipts' body hashes.
    receipts_root: B256,
    /// The part of every fee that is contributors', in basis points.
    data_bps: u64,
    /// What the operator adds at most for contributors of receipts that are not paid for.
    reserve_wei: Wei,
    /// Finalized block at which it was closed.
    block_number: u64,
    block_hash: B256,
    closed_at: Millis,
}
