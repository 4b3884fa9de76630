//! `followed_contracts` and `coverage`: contracts of others that are followed beside our own, and which
//! blocks their logs are complete for.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};
use crate::ids::Sha256;

table! {
    /// A contract, or all children of a factory, being followed or not any more. Of each name the highest revision counts.
    FollowedContractRow = "followed_contracts", WriteMode::Keyed(&["name", "revision"]);
    /// Lower-case letters, digits and underscores: the first part of its tables' names.
    name: String,
    /// How often the name was added or removed before.
    revision: u64,
    /// Whether it was removed; the other columns are then those of what was followed.
    removed: bool,
    /// Absent for the children of a factory, whose addresses its events tell.
    address: Option<Address>,
    /// Canonical JSON of its events.
    abi: String,
    abi_sha256: Sha256,
    /// First block whose logs are kept.
    start_block: u64,
    /// Name of the followed contract that creates the children.
    factory: Option<String>,
    /// Signature of the factory's event that tells of a child.
    factory_event: Option<String>,
    /// That event's parameter with the child's address.
    factory_parameter: Option<String>,
    changed_at: Millis,
}

table! {
    /// All logs of a contract in these blocks are in `logs`. Written after them: a backfill's commit marker.
    CoverageRow = "coverage", WriteMode::Append;
    name: String,
    /// Of the row in `followed_contracts` that they are read for.
    revision: u64,
    from_block: u64,
    /// Absent for the row from which on the follower brings its logs with every block.
    to_block: Option<u64>,
    /// Hash of `to_block`, which the next block must name as its parent.
    to_hash: Option<B256>,
}
