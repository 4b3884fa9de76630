//! By which policy an epoch was closed.

use super::{WriteMode, table};

table! {
    /// Whom an epoch does not pay, and how much at most. One that was closed before there were policies has none.
    PolicyRow = "policies", WriteMode::Keyed(&["epoch"]);
    epoch: u64,
    /// Canonical JSON.
    policy: String,
}
