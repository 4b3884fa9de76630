//! `datanets`: one row per Datanet this service keeps.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};
use crate::ids::DatanetId;

table! {
    /// A community-owned dataset.
    DatanetRow = "datanets", WriteMode::Keyed(&["datanet_id"]);
    datanet_id: DatanetId,
    /// Short name, unique per owner: lower-case letters, digits and hyphens.
    name: String,
    title: String,
    description: String,
    /// What belongs here, in words; submissions are screened against it.
    topic: String,
    /// Who registered it on chain and anchors its versions.
    owner: Address,
    /// Those that it was created with; `current_curators` in SQL has those of now.
    curators: Vec<Address>,
    /// keccak256 of the canonical JSON of name, title, description and topic.
    metadata_hash: B256,
    /// keccak256 of the canonical JSON of the screening policy.
    policy_hash: B256,
    created_at: Millis,
}
