//! `versions`: one row per published version. Committing the row *is* publishing.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};
use crate::ids::DatanetId;

table! {
    /// An immutable, published state of a Datanet.
    VersionRow = "versions", WriteMode::Keyed(&["datanet_id", "version"]);
    datanet_id: DatanetId,
    /// From 1.
    version: u64,
    /// Root of the version before; zero for the first.
    parent_root: B256,
    /// StandardMerkleTree root over (chunk id, contributor, submission id).
    root: B256,
    chunk_count: u64,
    document_count: u64,
    contributor_count: u64,
    /// keccak256 of the canonical JSON of this version's counts and parent.
    manifest_hash: B256,
    /// Version of the Datanet's Lance dataset that holds exactly the members.
    lance_version: u64,
    publisher: Address,
    /// EIP-712 signature by the publisher.
    signature: String,
    published_at: Millis,
}
