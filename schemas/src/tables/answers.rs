//! `answers`: what was asked and said.

use alloy_primitives::Address;

use super::{Millis, Wei, WriteMode, table};
use crate::ids::{AnswerId, DatanetId};

table! {
    /// One answer.
    AnswerRow = "answers", WriteMode::Keyed(&["answer_id"]);
    answer_id: AnswerId,
    sequence: u64,
    datanet_id: DatanetId,
    version: u64,
    question: String,
    answer: String,
    /// `answered` or `declined`.
    status: String,
    generator: String,
    embedder: String,
    fee_wei: Wei,
    payer: Option<Address>,
    unattributed_ppm: u64,
    issued_at: Millis,
}
