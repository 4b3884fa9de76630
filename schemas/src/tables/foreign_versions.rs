//! `foreign_versions`: versions that stand on chain and were not published here, and that the operator has told
//! the service to build on.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};
use crate::ids::DatanetId;

table! {
    /// One such version, as `VersionCommitted` tells it.
    ForeignVersionRow = "foreign_versions", WriteMode::Keyed(&["datanet_id", "version", "root"]);
    datanet_id: DatanetId,
    version: u64,
    root: B256,
    committer: Address,
    accepted_at: Millis,
}
