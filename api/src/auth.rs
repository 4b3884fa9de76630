//! API keys: random, shown once, stored as their sha256. Deny by default: a route names the roles
//! that may call it, and nothing else can.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use schemas::Address;
use schemas::hashing::sha256;
use schemas::ids::Sha256;
use schemas::signed::SignedSpendingLimit;
use schemas::tables::{ApiKeyRow, Millis};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Operator,
    /// Ask questions; answers are paid for by the key's payer.
    App,
    /// Query tables.
    Analyst,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::App => "app",
            Self::Analyst => "analyst",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Operator, Self::App, Self::Analyst].into_iter().find(|role| role.name() == name)
    }
}

/// Who is calling.
#[derive(Debug, Clone)]
pub struct Caller {
    pub key_id: String,
    pub roles: Vec<Role>,
    pub payer: Option<Address>,
    pub spending_limit: Option<SignedSpendingLimit>,
}

impl Caller {
    pub fn may(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| *role == Role::Operator || roles.contains(role))
    }
}

/// All keys that are not revoked.
#[derive(Debug, Clone)]
pub struct Keys {
    store: Store,
    by_hash: Arc<RwLock<BTreeMap<Sha256, Caller>>>,
}

impl Keys {
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        let rows: Vec<ApiKeyRow> = store.scan(None).await?;
        let revoked: Vec<&str> = rows.iter().filter(|row| row.revoked).map(|row| row.key_id.as_str()).collect();
        let callers = rows.iter().filter(|row| !revoked.contains(&row.key_id.as_str())).map(|row| (row.key_sha256, caller(row)));
        let by_hash = Arc::new(RwLock::new(callers.collect()));
        Ok(Self { store, by_hash })
    }

    /// Makes a key; the returned text is the only copy.
    pub async fn issue(&self, name: &str, roles: &[Role], limit: Option<SignedSpendingLimit>) -> Result<String, StoreError> {
        let secret = schemas::B256::from(rand::random::<[u8; 32]>());
        let key_id = format!("{:016x}", rand::random::<u64>());
        let key = format!("hw_{key_id}_{secret:x}");
        let row = ApiKeyRow {
            key_id,
            name: name.to_owned(),
            key_sha256: sha256(key.as_bytes()),
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
            payer: limit.as_ref().map(|limit| limit.payer),
            spending_limit: limit.as_ref().and_then(|limit| serde_json::to_string(limit).ok()),
            revoked: false,
            created_at: Millis::now(),
        };
        self.store.insert_new(std::slice::from_ref(&row)).await?;
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(row.key_sha256, caller(&row));
        Ok(key)
    }

    /// Who holds this key. Looking up a hash tells nothing about other keys, however long it takes.
    pub fn caller(&self, key: &str) -> Option<Caller> {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).get(&sha256(key.as_bytes())).cloned()
    }

    /// Every limit that this payer has signed, newest last.
    pub fn limits_of(&self, payer: Address) -> Vec<SignedSpendingLimit> {
        let callers = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let mut limits: Vec<SignedSpendingLimit> =
            callers.values().filter_map(|caller| caller.spending_limit.clone()).filter(|limit| limit.payer == payer).collect();
        limits.sort_by_key(|limit| (limit.expiry, limit.nonce));
        limits
    }
}

fn caller(row: &ApiKeyRow) -> Caller {
    Caller {
        key_id: row.key_id.clone(),
        roles: row.roles.iter().filter_map(|role| Role::parse(role)).collect(),
        payer: row.payer,
        spending_limit: row.spending_limit.as_deref().and_then(|text| serde_json::from_str(text).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_known_until_it_is_revoked() {
        let store = Store::in_memory().await.unwrap();
        let keys = Keys::open(store.clone()).await.unwrap();
        let key = keys.issue("test", &[Role::App], None).await.unwrap();
        for keys in [keys, Keys::open(store.clone()).await.unwrap()] {
            let caller = keys.caller(&key).unwrap();
            assert!(caller.may(&[Role::App]) && !caller.may(&[Role::Analyst]) && !caller.may(&[]));
            assert!(keys.caller("hw_0_0").is_none() && keys.caller("").is_none());
        }
        let mut row = store.scan::<ApiKeyRow>(None).await.unwrap().remove(0);
        assert!(!format!("{row:?}").contains(&key));
        row.revoked = true;
        store.insert_new(&[row]).await.unwrap();
        assert!(Keys::open(store).await.unwrap().caller(&key).is_none());
    }
}
