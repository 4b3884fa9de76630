//! Contracts followed beside our own: adding one, listing them, and their tables in SQL. The follower finds
//! them in the table by itself.

use std::collections::BTreeSet;

use schemas::contracts::Deployment;
use schemas::events::{Emitter, EventTable, event_tables};
use schemas::followed::{FollowedContract, NewContract, admit};
use schemas::tables::{CoverageRow, FollowedContractRow, Millis};
use schemas::{Address, SchemaError};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use tokio::sync::Mutex;

/// A followed contract and how far its logs are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedContract {
    pub name: String,
    /// Absent for the children of a factory.
    pub address: Option<Address>,
    /// `PARENT:Event:parameter`
    pub factory: Option<String>,
    pub start_block: u64,
    pub abi_sha256: String,
    /// Its tables in SQL.
    pub tables: Vec<String>,
    /// First block whose logs come with the block; absent until it has taken effect.
    pub live_from: Option<u64>,
    /// All logs from the start block up to this one are in the tables; absent before the first piece.
    pub covered_to: Option<u64>,
    /// Whether all history is read.
    pub complete: bool,
}

/// Adds and lists followed contracts.
#[derive(Debug)]
pub struct Contracts {
    store: Store,
    deployment: Deployment,
    /// One at a time, so that two cannot take one table's name.
    adding: Mutex<()>,
}

/// What was wrong with adding a contract.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is another contract of that name.
    #[error("contract {0:?} is followed already, with another address, ABI, start block or factory")]
    Conflict(String),
}

impl Contracts {
    /// Shows every contract's tables in SQL.
    pub async fn open(store: Store, deployment: Deployment) -> Result<Self, AddError> {
        let contracts = Self { store, deployment, adding: Mutex::default() };
        contracts.show_tables().await?;
        Ok(contracts)
    }

    /// Follows a contract. Doing it again changes nothing.
    pub async fn add(&self, new: &NewContract) -> Result<ListedContract, AddError> {
        let _adding = self.adding.lock().await;
        let rows = self.rows().await?;
        let row = admit(new, &rows, &self.taken()?, self.deployment.start_block, Millis::now())?;
        match rows.iter().find(|row| row.name == new.name) {
            Some(there) if *there == (FollowedContractRow { added_at: there.added_at, ..row.clone() }) => {}
            Some(_) => return Err(AddError::Conflict(new.name.clone())),
            None => {
                tracing::info!(contract = %row.name, address = ?row.address, "following one more contract");
                self.store.insert_new(&[row]).await?;
                self.show_tables().await?;
            }
        }
        let listed = self.list().await?.into_iter().find(|listed| listed.name == new.name);
        listed.ok_or_else(|| StoreError::NotFound(format!("contract {}", new.name)).into())
    }

    /// All of them, in the order in which they were added.
    pub async fn list(&self) -> Result<Vec<ListedContract>, AddError> {
        let rows = self.rows().await?;
        let coverage = self.store.scan::<CoverageRow>(None).await?;
        let listed = FollowedContract::all(&rows)?.into_iter().filter_map(|contract| {
            let row = rows.iter().find(|row| row.name == contract.name)?;
            Some(self.listed(contract, row, &coverage))
        });
        Ok(listed.collect())
    }

    fn listed(&self, contract: FollowedContract, row: &FollowedContractRow, coverage: &[CoverageRow]) -> ListedContract {
        let ours = [self.deployment.registry, self.deployment.vault, self.deployment.distributor, self.deployment.token];
        let is_ours = matches!(contract.emitter, Emitter::Contract(address) if ours.contains(&address));
        let of = || coverage.iter().filter(|row| row.name == contract.name);
        let own_start = is_ours.then_some(self.deployment.start_block);
        let live_from = own_start.or(of().filter(|row| row.to_block.is_none()).map(|row| row.from_block).min());
        let covered_to = of().filter_map(|row| row.to_block).max();
        let next = covered_to.map_or(contract.start_block, |to| to + 1);
        let factory = match (&row.factory, &row.factory_event, &row.factory_parameter) {
            (Some(parent), Some(event), Some(parameter)) => Some(format!("{parent}:{event}:{parameter}")),
            _ => None,
        };
        ListedContract {
            address: row.address,
            factory,
            start_block: contract.start_block,
            abi_sha256: row.abi_sha256.to_string(),
            tables: contract.tables.into_iter().map(|table| table.name).collect(),
            live_from,
            covered_to,
            complete: is_ours || live_from.is_some_and(|live| next >= live),
            name: contract.name,
        }
    }

    async fn rows(&self) -> Result<Vec<FollowedContractRow>, StoreError> {
        self.store.scan::<FollowedContractRow>(None).await
    }

    /// Names in SQL that are not a followed contract's.
    fn taken(&self) -> Result<BTreeSet<String>, SchemaError> {
        let own = event_tables(&self.deployment)?.into_iter().map(|table| table.name);
        Ok(Store::reserved_names().into_iter().chain(own).collect())
    }

    async fn show_tables(&self) -> Result<(), AddError> {
        let mut tables: Vec<EventTable> = event_tables(&self.deployment)?;
        tables.extend(FollowedContract::all(&self.rows().await?)?.into_iter().flat_map(|contract| contract.tables));
        self.store.set_event_tables(tables);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Tables are there at once and after a restart; the same again changes nothing, another is refused.
    #[tokio::test]
    async fn contracts_are_added_once_and_shown() {
        let at = Address::repeat_byte;
        let deployment =
            Deployment { chain_id: 1, registry: at(1), models: at(5), vault: at(2), distributor: at(3), token: at(4), start_block: 5 };
        let store = Store::in_memory().await.unwrap();
        let contracts = Contracts::open(store.clone(), deployment).await.unwrap();
        let abi = json!([{"type": "event", "name": "Transfer", "inputs": [{"name": "from", "type": "address", "indexed": true}]}]);
        let new = NewContract { name: "token".into(), abi, address: Some(at(9)), start_block: None, factory: None };
        let listed = contracts.add(&new).await.unwrap();
        assert_eq!((listed.start_block, listed.live_from, listed.complete), (5, None, false));
        assert_eq!(contracts.add(&new).await.unwrap(), listed);
        let other = NewContract { address: Some(at(8)), ..new.clone() };
        assert!(matches!(contracts.add(&other).await.unwrap_err(), AddError::Conflict(_)));
        let ours = contracts.add(&NewContract { name: "open".into(), address: Some(at(4)), ..new.clone() }).await.unwrap();
        assert!(ours.complete);
        let clash = NewContract { name: "version".into(), abi: json!([{"type": "event", "name": "Committed", "inputs": []}]), ..other };
        assert!(matches!(contracts.add(&clash).await.unwrap_err(), AddError::Schema(SchemaError::BadContract { .. })));
        for _ in 0..2 {
            let query = "SELECT from_address FROM token_transfer UNION ALL SELECT from_address FROM transfer";
            store.query(query, &Default::default(), None).await.unwrap();
            store.set_event_tables(Vec::new());
            Contracts::open(store.clone(), deployment).await.unwrap();
        }
        store.append(&[CoverageRow { name: "token".into(), from_block: 9, to_block: None, to_hash: None }]).await.unwrap();
        store.append(&[CoverageRow { name: "token".into(), from_block: 5, to_block: Some(8), to_hash: None }]).await.unwrap();
        let listed = contracts.list().await.unwrap();
        let token = listed.iter().find(|listed| listed.name == "token").unwrap();
        assert_eq!((token.live_from, token.covered_to, token.complete), (Some(9), Some(8), true));
    }
}
