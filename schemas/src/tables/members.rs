//! Parts of `chunks`: fewer columns, for whoever reads every row. A question at a million chunks must not read their vectors.

use alloy_primitives::Address;

use super::{ChunkRow, Embedding, WriteMode, table};
use crate::ids::{ChunkId, DocumentId, Sha256, SubmissionId};

table! {
    /// A chunk without its text and vector: what publishing decides by, and what stays the same from version to version.
    MemberRow = "chunks", WriteMode::Append;
    chunk_id: ChunkId,
    submission_id: SubmissionId,
    document_id: DocumentId,
    contributor: Address,
    ordinal: u64,
    cluster_id: ChunkId,
    duplicate_of: Option<ChunkId>,
    similarity_ppm: Option<u64>,
    registered: u64,
}

table! {
    /// Whose a chunk is.
    OriginRow = "chunks", WriteMode::Append;
    chunk_id: ChunkId,
    submission_id: SubmissionId,
    document_id: DocumentId,
    contributor: Address,
    registered: u64,
}

table! {
    /// What an answer quotes and cites of a chunk, beside whose it is.
    PassageRow = "chunks", WriteMode::Append;
    document_sha256: Sha256,
    byte_start: u64,
    byte_end: u64,
    text: String,
}

table! {
    /// What retrieval is derived from.
    ContentRow = "chunks", WriteMode::Append;
    text: String,
    embedding: Embedding,
}

table! {
    /// A vector alone.
    VectorRow = "chunks", WriteMode::Append;
    embedding: Embedding,
}

table! {
    /// What screening said of a chunk.
    FlagRow = "chunks", WriteMode::Append;
    flags: Vec<String>,
}

table! {
    /// A text with its key.
    TextRow = "submitted_chunks", WriteMode::Append;
    chunk_id: ChunkId,
    submission_id: SubmissionId,
    text: String,
}

impl MemberRow {
    pub fn of(chunk: &ChunkRow) -> Self {
        let ChunkRow { chunk_id, submission_id, document_id, contributor, ordinal, cluster_id, .. } = *chunk;
        let ChunkRow { duplicate_of, similarity_ppm, registered, .. } = *chunk;
        Self { chunk_id, submission_id, document_id, contributor, ordinal, cluster_id, duplicate_of, similarity_ppm, registered }
    }

    /// What tells members apart.
    pub fn key(&self) -> (ChunkId, SubmissionId) {
        (self.chunk_id, self.submission_id)
    }

    /// States of `chunk` what this one does.
    pub fn apply_to(&self, chunk: &mut ChunkRow) {
        chunk.cluster_id = self.cluster_id;
        chunk.duplicate_of = self.duplicate_of;
        chunk.similarity_ppm = self.similarity_ppm;
        chunk.registered = self.registered;
    }
}
