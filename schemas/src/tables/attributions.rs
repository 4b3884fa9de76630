//! `attributions`: how much of each answer rests on which chunk of which contributor.

use alloy_primitives::Address;

use super::{Millis, WriteMode, table};
use crate::ids::{AnswerId, ChunkId, DatanetId, DocumentId};

table! {
    /// One chunk's share of one answer; a contributor's share is the sum over its chunks.
    AttributionRow = "attributions", WriteMode::Keyed(&["answer_id", "chunk_id", "contributor"]), indexed ["answer_id"];
    answer_id: AnswerId,
    chunk_id: ChunkId,
    contributor: Address,
    document_id: DocumentId,
    datanet_id: DatanetId,
    version: u64,
    share_ppm: u64,
    /// The chunk that said it first; differs from `chunk_id` for copies.
    original_id: ChunkId,
    method: String,
    issued_at: Millis,
}
