//! `reviews`: every decision of every curator, append-only and signed. A document's status is
//! its latest decision.

use alloy_primitives::Address;

use super::{Millis, WriteMode, table};
use crate::ids::{DatanetId, DocumentId, ReviewId, SubmissionId};

table! {
    /// One decision on one document.
    ReviewRow = "reviews", WriteMode::Keyed(&["review_id"]), indexed ["review_id", "document_id", "datanet_id", "sequence"];
    review_id: ReviewId,
    document_id: DocumentId,
    submission_id: SubmissionId,
    datanet_id: DatanetId,
    curator: Address,
    /// `accept` or `reject`.
    decision: String,
    /// A fixed vocabulary that the contributor can act on.
    reason_code: String,
    comment: String,
    /// Order of arrival, from 1: the highest decides.
    sequence: u64,
    /// EIP-712 signature by the curator.
    signature: String,
    /// Unix seconds, part of what was signed.
    decided_at: u64,
    received_at: Millis,
}

table! {
    /// Of a [`ReviewRow`] what was decided.
    DecisionRow = "reviews", WriteMode::Keyed(&["review_id"]);
    document_id: DocumentId,
    decision: String,
    sequence: u64,
}
