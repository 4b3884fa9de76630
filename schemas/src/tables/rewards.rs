//! `rewards`: what each account earned in each epoch, and in all.

use alloy_primitives::{Address, B256};

use super::{Wei, WriteMode, table};

table! {
    /// One account in one epoch; every account ever paid has a row in every later epoch.
    RewardRow = "rewards", WriteMode::Keyed(&["epoch", "account"]), indexed ["epoch"];
    epoch: u64,
    account: Address,
    amount_wei: Wei,
    cumulative_wei: Wei,
    /// Leaf hash in the epoch's reward tree.
    leaf: B256,
}
