//! `receipts`: the signed record of every answer, as canonical JSON. `answers` and
//! `attributions` are unfolded from it.

use alloy_primitives::{Address, B256};

use super::{Millis, Wei, WriteMode, table};
use crate::ids::{AnswerId, DatanetId};

table! {
    /// A receipt (see [`crate::receipt`]).
    ReceiptRow = "receipts", WriteMode::Keyed(&["answer_id"]), indexed ["answer_id", "sequence"];
    answer_id: AnswerId,
    /// Order of issue, from 1, without gaps.
    sequence: u64,
    datanet_id: DatanetId,
    version: u64,
    fee_wei: Wei,
    payer: Option<Address>,
    /// Canonical JSON of the receipt's body.
    body: String,
    /// keccak256 of `body`.
    body_hash: B256,
    signer: Address,
    signature: String,
    issued_at: Millis,
}

table! {
    /// Of a [`ReceiptRow`] its key.
    AnswerIdRow = "receipts", WriteMode::Keyed(&["answer_id"]);
    answer_id: AnswerId,
}

table! {
    /// Of a [`ReceiptRow`] what is signed.
    BodyRow = "receipts", WriteMode::Keyed(&["answer_id"]);
    sequence: u64,
    body: String,
    body_hash: B256,
}

table! {
    /// Of a [`ReceiptRow`] what its payer's account needs.
    ChargeRow = "receipts", WriteMode::Keyed(&["answer_id"]);
    answer_id: AnswerId,
    sequence: u64,
    fee_wei: Wei,
    payer: Option<Address>,
}

table! {
    /// Of a [`ReceiptRow`] what its epoch's closing needs.
    FeeRow = "receipts", WriteMode::Keyed(&["answer_id"]);
    sequence: u64,
    fee_wei: Wei,
    payer: Option<Address>,
    body_hash: B256,
}
