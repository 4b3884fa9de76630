//! `submissions`: one row per acknowledged upload. Its commit is the upload's commit point:
//! documents and chunks without their submission's row are invisible.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};
use crate::ids::{DatanetId, SubmissionId};

table! {
    /// A signed upload of one or more files.
    SubmissionRow = "submissions", WriteMode::Keyed(&["submission_id"]), indexed ["submission_id", "datanet_id", "contributor", "registered"];
    submission_id: SubmissionId,
    datanet_id: DatanetId,
    contributor: Address,
    /// SPDX expression.
    licence: String,
    note: String,
    manifest_hash: B256,
    document_count: u64,
    refused_count: u64,
    /// Registration order over all Datanets, from 1: who was first.
    registered: u64,
    /// EIP-712 signature by the contributor.
    signature: String,
    /// Unix seconds, part of what was signed.
    deadline: u64,
    received_at: Millis,
}

table! {
    /// Of a [`SubmissionRow`] under which terms it was given, and when.
    TermsRow = "submissions", WriteMode::Keyed(&["submission_id"]);
    submission_id: SubmissionId,
    licence: String,
    received_at: Millis,
}

table! {
    /// Of a [`SubmissionRow`] its number.
    RegistrationRow = "submissions", WriteMode::Keyed(&["submission_id"]);
    submission_id: SubmissionId,
    registered: u64,
}
