//! `answers`: what was asked and said.

use alloy_primitives::{Address, B256};

use super::{Millis, Wei, WriteMode, table};
use crate::ids::{AnswerId, DatanetId};

table! {
    /// One answer.
    AnswerRow = "answers", WriteMode::Keyed(&["answer_id"]), indexed ["answer_id"];
    answer_id: AnswerId,
    sequence: u64,
    datanet_id: DatanetId,
    version: u64,
    question: String,
    /// Private, as the question is: with it the receipt's hash of the question can be checked.
    question_salt: B256,
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
