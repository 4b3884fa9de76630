//! `api_keys`: who may call the service. Of a key its sha256 is stored, never itself. Not visible in SQL.
//! Revocation is a later row with the same key id.

use alloy_primitives::Address;

use super::{Millis, WriteMode, table};
use crate::ids::Sha256;

table! {
    /// A registered or revoked key.
    ApiKeyRow = "api_keys", WriteMode::Keyed(&["key_id", "revoked"]), indexed ["key_id"];
    key_id: String,
    name: String,
    key_sha256: Sha256,
    /// `operator`, `app`, `analyst`.
    roles: Vec<String>,
    /// Who pays for answers asked with this key.
    payer: Option<Address>,
    /// The payer's signature of the app's authorisation.
    signature: Option<String>,
    revoked: bool,
    created_at: Millis,
}
