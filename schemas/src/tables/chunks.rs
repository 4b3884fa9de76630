//! `chunks`: what is retrieved, cited and paid. The same row type serves the chunks of pending
//! submissions (`submitted_chunks`, one table) and those of published versions (`chunks`, one
//! dataset per Datanet, tag `v{n}` = exactly the members of version n).

use alloy_primitives::Address;

use super::{Embedding, WriteMode, table};
use crate::ids::{ChunkId, DatanetId, DocumentId, Sha256, SubmissionId};

table! {
    /// A byte range of a document, and the text read from it.
    ChunkRow = "submitted_chunks", WriteMode::Keyed(&["chunk_id", "submission_id"]), indexed ["submission_id", "document_id", "datanet_id"];
    chunk_id: ChunkId,
    submission_id: SubmissionId,
    document_id: DocumentId,
    datanet_id: DatanetId,
    contributor: Address,
    /// Position in the document, from 0.
    ordinal: u64,
    document_sha256: Sha256,
    /// First byte in the uploaded file.
    byte_start: u64,
    /// One past the last byte in the uploaded file.
    byte_end: u64,
    text: String,
    text_sha256: Sha256,
    /// Tokens of the embedder, without its special tokens.
    token_count: u64,
    /// The first-registered chunk of the near-duplicate cluster: itself when it is original.
    cluster_id: ChunkId,
    /// The earlier chunk that this one repeats.
    duplicate_of: Option<ChunkId>,
    /// Jaccard similarity to `duplicate_of` in parts per million; 1,000,000 is exact.
    similarity_ppm: Option<u64>,
    /// Screening signals: `prompt_injection`, `secret`, `pii_email`, …
    flags: Vec<String>,
    /// The submission's registration order.
    registered: u64,
    embedding: Embedding,
}
