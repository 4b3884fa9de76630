//! `curators`: changes to who may decide in a Datanet, signed by its owner; append-only. Who may now are those
//! that the Datanet was created with, and what follows from these rows in order.

use alloy_primitives::Address;

use super::{Millis, WriteMode, table};
use crate::ids::DatanetId;

table! {
    /// One change.
    CuratorRow = "curators", WriteMode::Keyed(&["datanet_id", "sequence"]);
    datanet_id: DatanetId,
    /// From 1 within the Datanet, without gaps.
    sequence: u64,
    curator: Address,
    /// Whether it may decide from here on.
    allowed: bool,
    /// EIP-712 signature by the Datanet's owner.
    signature: String,
    changed_at: Millis,
}
