//! Contracts followed beside our own: adding and removing one, listing them, and their tables in SQL. The follower finds
//! them in the table by itself.

use std::collections::BTreeSet;

use indexer::{IndexerError, Standing};
use schemas::contracts::Deployment;
use schemas::events::{Abi, Emitter, EventTable, event_tables};
use schemas::followed::{FollowedContract, NewContract, admit, current, remove};
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
    /// What whoever added it should know: events that are not read, and what stands at the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Adds and lists followed contracts.
#[derive(Debug)]
pub struct Contracts {
    store: Store,
    deployment: Deployment,
    /// One at a time, so that two cannot take one table's name.
    changing: Mutex<()>,
}

/// What was wrong with adding or removing a contract.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is another contract of that name.
    #[error(
        "contract {0:?} is followed already, with another address, ABI, start block or factory; `headwater index remove {0}` ends that"
    )]
    Conflict(String),
    /// The address is mistyped, or of another chain, or its contract is still to come.
    #[error(
        "no code stands at {address} on chain {chain_id}: look for a mistyped digit; a contract that is still to be deployed is followed with --force"
    )]
    NoCode { address: Address, chain_id: u64 },
}

/// What whoever follows an address should know of what stands there.
pub fn note_on(address: Address, standing: &Result<Standing, IndexerError>) -> Option<String> {
    let implementation = |of: &Address| format!("its events are those of the code at {of}: their ABI is the one to give");
    match standing {
        Ok(Standing::NoCode) => Some(format!("no code stands at {address} yet")),
        Ok(Standing::Contract) => None,
        Ok(Standing::Proxy(of)) => Some(format!("{address} is a proxy; {}", implementation(of))),
        Ok(Standing::BeaconProxy(beacon)) => Some(format!("{address} is a proxy; the beacon at {beacon} says whose events it emits")),
        Ok(Standing::Delegation(of)) => Some(format!("{address} is somebody's account, not a contract; {}", implementation(of))),
        Err(error) => {
            tracing::warn!(%address, %error, "could not look for code");
            Some(format!("whether code stands at {address} was not checked: the node did not answer"))
        }
    }
}

impl Contracts {
    /// Shows every contract's tables in SQL.
    pub async fn open(store: Store, deployment: Deployment) -> Result<Self, FollowError> {
        let contracts = Self { store, deployment, changing: Mutex::default() };
        contracts.show_tables().await?;
        Ok(contracts)
    }

    /// Follows a contract, after `look` has said what stands at its address. Doing it again changes nothing.
    pub async fn add<F>(&self, new: &NewContract, look: impl FnOnce(Address) -> F) -> Result<ListedContract, FollowError>
    where
        F: Future<Output = Result<Standing, IndexerError>>,
    {
        let _changing = self.changing.lock().await;
        let rows = self.rows().await?;
        let row = admit(new, &rows, &self.taken()?, self.deployment.start_block, Millis::now())?;
        let mut notes: Vec<String> = Abi::parse(&new.abi.to_string())?.left_out().iter().map(|left| format!("left out: {left}")).collect();
        if let Some(newest) = self.store.snapshot().await?.block.filter(|newest| newest.number < row.start_block) {
            notes.push(format!("its start block {} is above the newest, {}: until then nothing is read", row.start_block, newest.number));
        }
        match current(&rows).into_iter().find(|row| row.name == new.name) {
            Some(there) if *there == (FollowedContractRow { changed_at: there.changed_at, revision: there.revision, ..row.clone() }) => {}
            Some(_) => return Err(FollowError::Conflict(new.name.clone())),
            None => {
                if let Some(address) = new.address {
                    let standing = look(address).await;
                    if matches!(standing, Ok(Standing::NoCode)) && !new.force {
                        return Err(FollowError::NoCode { address, chain_id: self.deployment.chain_id });
                    }
                    notes.extend(note_on(address, &standing));
                }
                tracing::info!(contract = %row.name, address = ?row.address, "following one more contract");
                self.store.insert_new(&[row]).await?;
                self.show_tables().await?;
            }
        }
        let listed = self.list().await?.into_iter().find(|listed| listed.name == new.name);
        let listed = listed.ok_or_else(|| StoreError::NotFound(format!("contract {}", new.name)))?;
        Ok(ListedContract { notes, ..listed })
    }

    /// Ends the following of a contract: its tables leave SQL, its logs stay in `logs`.
    pub async fn remove(&self, name: &str) -> Result<ListedContract, FollowError> {
        let _changing = self.changing.lock().await;
        let listed = self.list().await?.into_iter().find(|listed| listed.name == name);
        let listed = listed.ok_or_else(|| StoreError::NotFound(format!("a followed contract {name}")))?;
        let row = remove(name, &self.rows().await?, Millis::now())?;
        tracing::info!(contract = %row.name, "following one contract less");
        self.store.insert_new(&[row]).await?;
        self.show_tables().await?;
        Ok(listed)
    }

    /// All of them, in the order in which they were added.
    pub async fn list(&self) -> Result<Vec<ListedContract>, FollowError> {
        let rows = self.rows().await?;
        let coverage = self.store.scan::<CoverageRow>(None).await?;
        let listed = FollowedContract::all(&rows, &self.taken()?)?.into_iter().filter_map(|contract| {
            let row = rows.iter().find(|row| row.name == contract.name && row.revision == contract.revision)?;
            Some(self.listed(contract, row, &coverage))
        });
        Ok(listed.collect())
    }

    fn listed(&self, contract: FollowedContract, row: &FollowedContractRow, coverage: &[CoverageRow]) -> ListedContract {
        let is_ours = matches!(contract.emitter, Emitter::Contract(address) if self.deployment.addresses().contains(&address));
        let of = || coverage.iter().filter(|row| row.name == contract.name && row.revision == contract.revision);
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
            notes: Vec::new(),
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

    async fn show_tables(&self) -> Result<(), FollowError> {
        let mut tables: Vec<EventTable> = event_tables(&self.deployment)?;
        tables.extend(FollowedContract::all(&self.rows().await?, &self.taken()?)?.into_iter().flat_map(|contract| contract.tables));
        self.store.set_event_tables(tables);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::tables::BlockRow;
    use serde_json::json;

    fn at(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    async fn contracts() -> Contracts {
        let deployment =
            Deployment { chain_id: 1, registry: at(1), models: at(5), vault: at(2), distributor: at(3), token: at(4), start_block: 5 };
        Contracts::open(Store::in_memory().await.unwrap(), deployment).await.unwrap()
    }

    fn token(name: &str, address: Address) -> NewContract {
        let abi = json!([{"type": "event", "name": "Transfer", "inputs": [{"name": "from", "type": "address", "indexed": true}]}]);
        NewContract { name: name.into(), abi, address: Some(address), start_block: None, factory: None, force: false }
    }

    async fn add(contracts: &Contracts, new: &NewContract) -> Result<ListedContract, FollowError> {
        contracts.add(new, |_| async { Ok(Standing::Contract) }).await
    }

    async fn shows(contracts: &Contracts, query: &str) -> bool {
        contracts.store.query(query, &Default::default(), None).await.is_ok()
    }

    /// Tables are there at once and after a restart; the same again changes nothing, another is refused.
    #[tokio::test]
    async fn contracts_are_added_once_and_shown() {
        let contracts = contracts().await;
        let new = token("token", at(9));
        let listed = add(&contracts, &new).await.unwrap();
        assert_eq!((listed.start_block, listed.live_from, listed.complete), (5, None, false));
        assert_eq!(add(&contracts, &new).await.unwrap(), listed);
        let other = NewContract { address: Some(at(8)), ..new.clone() };
        assert!(matches!(add(&contracts, &other).await.unwrap_err(), FollowError::Conflict(_)));
        for (index, own) in contracts.deployment.addresses().into_iter().enumerate() {
            assert!(add(&contracts, &token(&format!("open{index}"), own)).await.unwrap().complete, "logs of our own are there anyway");
        }
        for _ in 0..2 {
            assert!(shows(&contracts, "SELECT from_address FROM token_transfer UNION ALL SELECT from_address FROM transfer").await);
            contracts.store.set_event_tables(Vec::new());
            Contracts::open(contracts.store.clone(), contracts.deployment).await.unwrap();
        }
        let covered = |from_block, to_block| CoverageRow { name: "token".into(), revision: 0, from_block, to_block, to_hash: None };
        contracts.store.append(&[covered(9, None), covered(5, Some(8))]).await.unwrap();
        let listed = contracts.list().await.unwrap();
        let token = listed.iter().find(|listed| listed.name == "token").unwrap();
        assert_eq!((token.live_from, token.covered_to, token.complete), (Some(9), Some(8), true));
    }

    /// No table of a contract takes the place of ours, whatever the contract and its events are called.
    #[tokio::test]
    async fn names_of_our_own_tables_are_kept() {
        let contracts = contracts().await;
        let before = "SELECT datanet_id FROM version_committed";
        let names = [
            ("version", "Committed", "version_committed_event"),
            ("document", "Status", "document_status_event"),
            ("followed", "Contracts", "followed_contracts_event"),
            ("chunks", "At", "chunks_at_event"),
            ("current", "Date", "current_date_event"),
        ];
        for ((name, event, table), byte) in names.into_iter().zip(20..) {
            let abi = json!([{"type": "event", "name": event, "inputs": [{"name": "x", "type": "bool"}]}]);
            let listed = add(&contracts, &NewContract { abi, ..token(name, at(byte)) }).await.unwrap();
            assert_eq!(listed.tables, [table]);
            assert!(shows(&contracts, &format!("SELECT x FROM {table}")).await && shows(&contracts, before).await);
        }
    }

    #[tokio::test]
    async fn a_removed_contract_is_gone_and_can_come_again() {
        let contracts = contracts().await;
        let query = "SELECT from_address FROM token_transfer";
        let first = add(&contracts, &token("token", at(9))).await.unwrap();
        let covered = CoverageRow { name: "token".into(), revision: 0, from_block: 5, to_block: Some(8), to_hash: None };
        contracts.store.append(&[covered]).await.unwrap();
        assert!(shows(&contracts, query).await);
        assert_eq!(contracts.remove("token").await.unwrap().address, first.address);
        assert!(contracts.list().await.unwrap().is_empty() && !shows(&contracts, query).await);
        assert!(matches!(contracts.remove("token").await.unwrap_err(), FollowError::Store(StoreError::NotFound(_))));
        let again = Contracts::open(contracts.store.clone(), contracts.deployment).await.unwrap();
        assert!(again.list().await.unwrap().is_empty() && !shows(&again, query).await, "also after a restart");
        // With another address: what was covered counts for the first one alone.
        let second = add(&again, &token("token", at(8))).await.unwrap();
        assert_eq!((second.address, second.covered_to), (Some(at(8)), None));
        assert!(shows(&again, query).await);
    }

    /// Nothing is read before the start block, and a typing error in it is easily made.
    #[tokio::test]
    async fn a_start_block_above_the_newest_is_noted() {
        let contracts = contracts().await;
        let far = |start_block| NewContract { start_block: Some(start_block), ..token("token", at(9)) };
        assert!(add(&contracts, &far(100)).await.unwrap().notes.is_empty(), "no block is known");
        contracts.remove("token").await.unwrap();
        let hash = schemas::B256::ZERO;
        let block = BlockRow { number: 7, hash, parent_hash: None, timestamp: 1, log_count: 0, verified: 0, digest: hash };
        contracts.store.append(&[block]).await.unwrap();
        let notes = add(&contracts, &far(100)).await.unwrap().notes;
        assert!(notes[0].contains("start block 100") && notes[0].contains("newest, 7"), "{notes:?}");
        contracts.remove("token").await.unwrap();
        assert!(add(&contracts, &far(7)).await.unwrap().notes.is_empty());
    }

    #[tokio::test]
    async fn an_address_without_code_is_refused_unless_forced() {
        let contracts = contracts().await;
        let new = token("token", at(9));
        let none = || async { Ok(Standing::NoCode) };
        let error = contracts.add(&new, |_| none()).await.unwrap_err();
        assert!(matches!(error, FollowError::NoCode { .. }) && error.to_string().contains("--force"), "{error}");
        let forced = contracts.add(&NewContract { force: true, ..new }, |_| none()).await.unwrap();
        assert!(forced.notes[0].contains("no code"), "{:?}", forced.notes);
        let proxy = contracts.add(&token("proxy", at(10)), |_| async { Ok(Standing::Proxy(at(11))) }).await.unwrap();
        assert!(proxy.notes[0].contains("proxy") && proxy.notes[0].contains(&at(11).to_string()), "{:?}", proxy.notes);
        let silent = || async { Err(IndexerError::NoContract { address: at(1), at: String::new() }) };
        let unknown = contracts.add(&token("unknown", at(12)), |_| silent()).await.unwrap();
        assert!(unknown.notes[0].contains("not checked"), "{:?}", unknown.notes);
    }
}
