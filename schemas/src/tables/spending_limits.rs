//! `spending_limits`: what payers allow this service to debit. Each is registered once, whoever shows it.
//! Not visible in SQL.

use alloy_primitives::{Address, B256};

use super::{Millis, WriteMode, table};

table! {
    /// A payer's signed limit.
    SpendingLimitRow = "spending_limits", WriteMode::Keyed(&["limit_hash"]), indexed ["limit_hash"];
    /// Its EIP-712 digest, by which the vault counts what was spent.
    limit_hash: B256,
    payer: Address,
    /// JSON of the limit with its signature.
    signed_limit: String,
    registered_at: Millis,
}
