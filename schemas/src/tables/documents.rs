//! `documents`: one row per uploaded file, whether it could be read or not.

use alloy_primitives::Address;

use super::{WriteMode, table};
use crate::ids::{DatanetId, DocumentId, Sha256, SubmissionId};

table! {
    /// A file of a submission: chunked, or refused with a reason.
    DocumentRow = "documents", WriteMode::Keyed(&["document_id"]), indexed ["document_id", "submission_id", "datanet_id", "contributor"];
    document_id: DocumentId,
    submission_id: SubmissionId,
    datanet_id: DatanetId,
    contributor: Address,
    file_name: String,
    /// As found in the bytes, never taken from the name alone.
    media_type: String,
    sha256: Sha256,
    size_bytes: u64,
    title: String,
    /// `chunked` or `refused`.
    status: String,
    /// Why it was refused; a fixed vocabulary.
    reason_code: Option<String>,
    /// The same in words, with what the contributor can do.
    reason: Option<String>,
    /// Name and version of the parser that read it.
    parser: String,
    chunk_count: u64,
    /// Cosine of the document to the Datanet's topic, in parts per million; negative becomes 0.
    topic_similarity_ppm: u64,
}

table! {
    /// Of a [`DocumentRow`] what it is called.
    FileNameRow = "documents", WriteMode::Keyed(&["document_id"]);
    document_id: DocumentId,
    file_name: String,
}

table! {
    /// Of a [`DocumentRow`] where it stands among the others.
    DocumentStandingRow = "documents", WriteMode::Keyed(&["document_id"]);
    document_id: DocumentId,
    submission_id: SubmissionId,
    file_name: String,
    status: String,
}
