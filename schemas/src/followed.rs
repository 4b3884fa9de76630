//! Contracts that are followed beside our own: checking one that is to be added, and reading those that
//! were. Pure functions of the rows of `followed_contracts`.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SchemaError;
use crate::events::{Abi, AbiEvent, Creation, Emitter, EventTable, contract_tables};
use crate::ids::typed_address;
use crate::tables::{FollowedContractRow, Millis};

const MAX_CONTRACTS: usize = 256;
const MAX_NAME_BYTES: usize = 40;

/// A contract as somebody wants it followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContract {
    /// Lower-case letters, digits and underscores.
    pub name: String,
    /// As compilers and block explorers write it: a list, or whatever holds one.
    pub abi: Value,
    /// Either this or `factory`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "typed_address::optional")]
    pub address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_block: Option<u64>,
    /// `PARENT:Event:parameter`: the children that a followed contract tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory: Option<String>,
    /// Whether it is followed although no code stands at the address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// A followed contract, its ABI read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedContract {
    pub name: String,
    pub revision: u64,
    pub emitter: Emitter,
    /// First block whose logs are kept.
    pub start_block: u64,
    /// First topics of its events.
    pub topics: BTreeSet<B256>,
    pub tables: Vec<EventTable>,
}

/// The rows of what is followed now: of each name the highest revision, unless that one removed it.
pub fn current(rows: &[FollowedContractRow]) -> Vec<&FollowedContractRow> {
    let mut newest = BTreeMap::<&str, &FollowedContractRow>::new();
    for row in rows {
        let known = newest.entry(&row.name).or_insert(row);
        if row.revision > known.revision {
            *known = row;
        }
    }
    newest.into_values().filter(|row| !row.removed).collect()
}

impl FollowedContract {
    /// The followed contracts, in the order in which they were added. Their tables have other names than those `taken`.
    ///
    /// # Errors
    /// [`SchemaError::BadAbi`] and [`SchemaError::BadContract`] for rows that were not made here.
    pub fn all(rows: &[FollowedContractRow], taken: &BTreeSet<String>) -> Result<Vec<Self>, SchemaError> {
        let mut ordered = current(rows);
        ordered.sort_by(|a, b| (a.changed_at, &a.name).cmp(&(b.changed_at, &b.name)));
        ordered.iter().map(|row| Self::read(row, &ordered, taken)).collect()
    }

    fn read(row: &FollowedContractRow, rows: &[&FollowedContractRow], taken: &BTreeSet<String>) -> Result<Self, SchemaError> {
        let bad = |problem: String| SchemaError::BadContract { name: row.name.clone(), problem };
        let abi = Abi::parse(&row.abi)?;
        let emitter = match (row.address, &row.factory, &row.factory_event, &row.factory_parameter) {
            (Some(address), None, None, None) => Emitter::Contract(address),
            (None, Some(parent), Some(event), Some(parameter)) => {
                let parent = named(parent, rows).map_err(bad)?;
                Emitter::Children(creation(parent, event, parameter).map_err(bad)?.0)
            }
            _ => return Err(bad("has either an address or a factory".into())),
        };
        let tables = contract_tables(&row.name, &abi, emitter, taken);
        let topics = abi.events().iter().map(AbiEvent::topic0).collect();
        Ok(Self { name: row.name.clone(), revision: row.revision, emitter, start_block: row.start_block, topics, tables })
    }
}

fn named<'a>(name: &str, rows: &[&'a FollowedContractRow]) -> Result<&'a FollowedContractRow, String> {
    rows.iter().find(|row| row.name == name).copied().ok_or_else(|| format!("no contract {name:?} is followed"))
}

/// How the event of a followed contract tells of children, and the event's signature.
fn creation(parent: &FollowedContractRow, event: &str, parameter: &str) -> Result<(Creation, String), String> {
    let Some(factory) = parent.address else {
        return Err(format!("{} is no single contract; children of children are not followed", parent.name));
    };
    let abi = Abi::parse(&parent.abi).map_err(|error| error.to_string())?;
    let named: Vec<_> = abi.events().iter().filter(|found| found.name == event || found.signature == event).collect();
    let found = match named.as_slice() {
        [found] => *found,
        [] => return Err(format!("{} has no event {event}", parent.name)),
        [first, others @ ..] if others.iter().all(|other| other.signature == first.signature) => {
            return Err(format!("{} has {} events {event} that differ by what is indexed", parent.name, named.len()));
        }
        _ => return Err(format!("{} has {} events {event}; give the signature", parent.name, named.len())),
    };
    let child = found.place_of_address(parameter)?;
    Ok((Creation { factory, topic0: found.topic0(), child }, found.signature.clone()))
}

/// The row of a contract that is to be followed beside those of `rows`.
///
/// `taken` are the names that SQL shows already, those of `rows` left out.
///
/// # Errors
/// [`SchemaError::BadAbi`], and [`SchemaError::BadContract`] for everything else that is wrong with it.
pub fn admit(
    new: &NewContract,
    rows: &[FollowedContractRow],
    taken: &BTreeSet<String>,
    default_start_block: u64,
    changed_at: Millis,
) -> Result<FollowedContractRow, SchemaError> {
    let bad = |problem: String| SchemaError::BadContract { name: new.name.chars().take(2 * MAX_NAME_BYTES).collect(), problem };
    let followed = current(rows);
    let others: Vec<&FollowedContractRow> = followed.iter().copied().filter(|row| row.name != new.name).collect();
    check(new, &others).map_err(bad)?;
    let abi = Abi::parse(&new.abi.to_string())?;
    let (canonical, abi_sha256) = abi.canonical();
    let mut row = FollowedContractRow {
        name: new.name.clone(),
        revision: rows.iter().filter(|row| row.name == new.name).map(|row| row.revision + 1).max().unwrap_or(0),
        removed: false,
        address: new.address,
        abi: canonical.to_owned(),
        abi_sha256,
        start_block: new.start_block.unwrap_or(default_start_block),
        factory: None,
        factory_event: None,
        factory_parameter: None,
        changed_at,
    };
    if let Some(factory) = &new.factory {
        let [parent, event, parameter] = factory.split(':').collect::<Vec<_>>()[..] else {
            return Err(bad(format!("factory {factory:?} is not PARENT:Event:parameter")));
        };
        let of = named(parent, &others).map_err(bad)?;
        row.factory_event = Some(creation(of, event, parameter).map_err(bad)?.1);
        row.factory = Some(parent.into());
        row.factory_parameter = Some(parameter.into());
    }
    let mut names = BTreeSet::new();
    for other in &others {
        names.extend(FollowedContract::read(other, &followed, taken)?.tables.into_iter().map(|table| table.name));
    }
    match FollowedContract::read(&row, &others, taken)?.tables.iter().find(|table| names.contains(&table.name)) {
        Some(table) => Err(bad(format!("another contract has the table {}; choose another name", table.name))),
        None => Ok(row),
    }
}

/// The row that ends the following of a contract.
///
/// # Errors
/// [`SchemaError::BadContract`] where it is not followed, or others are its children.
pub fn remove(name: &str, rows: &[FollowedContractRow], changed_at: Millis) -> Result<FollowedContractRow, SchemaError> {
    let bad = |problem: String| SchemaError::BadContract { name: name.chars().take(2 * MAX_NAME_BYTES).collect(), problem };
    let followed = current(rows);
    let row = followed.iter().find(|row| row.name == name).ok_or_else(|| bad("is not followed".into()))?;
    if let Some(child) = followed.iter().find(|other| other.factory.as_deref() == Some(name)) {
        return Err(bad(format!("{:?} follows its children; remove that first", child.name)));
    }
    Ok(FollowedContractRow { revision: row.revision + 1, removed: true, changed_at, ..(*row).clone() })
}

/// Whether a contract fits beside the others, its ABI and factory left out.
fn check(new: &NewContract, others: &[&FollowedContractRow]) -> Result<(), String> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    if new.name.len() > MAX_NAME_BYTES || !new.name.starts_with(|first: char| first.is_ascii_lowercase()) || !new.name.chars().all(plain) {
        return Err(format!("a name is up to {MAX_NAME_BYTES} lower-case letters, digits and underscores, a letter first"));
    }
    if others.len() >= MAX_CONTRACTS {
        return Err(format!("{MAX_CONTRACTS} contracts are followed already"));
    }
    if let Some(other) = others.iter().find(|row| row.address.is_some() && row.address == new.address) {
        return Err(format!("{} is followed as {:?} already", new.address.unwrap_or_default(), other.name));
    }
    match new.start_block {
        Some(start_block) if i64::try_from(start_block).is_err() => Err(format!("start block {start_block} exceeds 63 bits")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Place, WordType};
    use serde_json::json;

    fn factory_abi() -> Value {
        json!([{"type": "event", "name": "PairCreated", "inputs": [
            {"name": "token0", "type": "address", "indexed": true}, {"name": "token1", "type": "address", "indexed": true},
            {"name": "pair", "type": "address", "indexed": false}, {"name": "", "type": "uint256", "indexed": false}]}])
    }

    fn pair_abi() -> Value {
        json!({"abi": [{"type": "constructor"}, {"type": "event", "name": "Sync", "inputs": [
            {"name": "reserve0", "type": "uint112", "indexed": false}, {"name": "reserve1", "type": "uint112", "indexed": false}]}]})
    }

    fn new(name: &str, abi: Value) -> NewContract {
        NewContract { name: name.into(), abi, address: None, start_block: None, factory: None, force: false }
    }

    fn add(new: &NewContract, rows: &[FollowedContractRow]) -> Result<FollowedContractRow, SchemaError> {
        admit(new, rows, &BTreeSet::from(["version_committed".to_owned()]), 5, Millis(1))
    }

    #[test]
    fn a_factory_and_its_children_are_read_back() {
        let parent = add(&NewContract { address: Some(Address::repeat_byte(1)), ..new("factory", factory_abi()) }, &[]).unwrap();
        let child = NewContract { factory: Some("factory:PairCreated:pair".into()), start_block: Some(9), ..new("pair", pair_abi()) };
        let child = add(&child, &[parent.clone()]).unwrap();
        assert_eq!(child.factory_event.as_deref(), Some("PairCreated(address,address,address,uint256)"));
        let again = NewContract { address: parent.address, ..new("factory", factory_abi()) };
        let again = add(&again, &[parent.clone(), child.clone()]).unwrap();
        assert_eq!(again, FollowedContractRow { revision: 1, ..parent.clone() }, "the same again");
        let read = FollowedContract::all(&[child, parent], &BTreeSet::new()).unwrap();
        let [factory, pair] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((factory.start_block, pair.start_block), (5, 9));
        assert_eq!(pair.tables[0].name, "pair_sync");
        let Emitter::Children(creation) = pair.emitter else { panic!("{:?}", pair.emitter) };
        let (topic0, child) = (creation.topic0, Place::Data(0, WordType::Address));
        assert_eq!(creation, Creation { factory: Address::repeat_byte(1), topic0, child });
    }

    /// Each case: what is added, and words of the refusal.
    #[test]
    fn what_cannot_be_followed_is_refused_with_the_reason() {
        let at = Some(Address::repeat_byte(1));
        let factory = add(&NewContract { address: at, ..new("factory", factory_abi()) }, &[]).unwrap();
        let created = json!([{"type": "event", "name": "Created", "inputs": []}]);
        let child = |rule: &str| NewContract { factory: Some(rule.into()), ..new("pair", pair_abi()) };
        let cases = [
            (NewContract { address: at, ..new("Pair", pair_abi()) }, "lower-case"),
            (NewContract { address: at, ..new("", pair_abi()) }, "lower-case"),
            (NewContract { address: at, ..new(&"a".repeat(41), pair_abi()) }, "lower-case"),
            (NewContract { address: at, ..new("pair", pair_abi()) }, "already"),
            (new("pair", pair_abi()), "either an address or a factory"),
            (NewContract { address: Some(Address::ZERO), ..child("factory:PairCreated:pair") }, "either"),
            (child("factory:PairCreated"), "PARENT:Event:parameter"),
            (child("nobody:PairCreated:pair"), "no contract"),
            (child("factory:Created:pair"), "no event"),
            (child("factory:PairCreated:child"), "no parameter"),
            (child("factory:PairCreated:"), "not an address"),
            (NewContract { address: Some(Address::ZERO), ..new("factory_pair", created) }, "factory_pair_created; choose"),
            (NewContract { address: Some(Address::ZERO), start_block: Some(u64::MAX), ..new("pair", pair_abi()) }, "63 bits"),
            (NewContract { address: Some(Address::ZERO), ..new("pair", json!("x")) }, "no JSON"),
        ];
        for (new, words) in cases {
            let error = add(&new, &[factory.clone()]).unwrap_err();
            assert!(matches!(error, SchemaError::BadContract { .. } | SchemaError::BadAbi { .. }));
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }

    /// Added, removed, and added again with another ABI: each change is a row, and the last one counts.
    #[test]
    fn a_removed_contract_is_none_and_can_be_added_again() {
        let at = Some(Address::repeat_byte(1));
        let first = add(&NewContract { address: at, ..new("factory", factory_abi()) }, &[]).unwrap();
        let child = NewContract { factory: Some("factory:PairCreated:pair".into()), ..new("pair", pair_abi()) };
        let child = add(&child, &[first.clone()]).unwrap();
        let error = remove("factory", &[first.clone(), child.clone()], Millis(2)).unwrap_err().to_string();
        assert!(error.contains("\"pair\" follows its children"), "{error}");
        let child_removed = remove("pair", &[first.clone(), child.clone()], Millis(2)).unwrap();
        let rows = [first.clone(), child, child_removed];
        let removed = remove("factory", &rows, Millis(3)).unwrap();
        assert_eq!(removed, FollowedContractRow { revision: 1, removed: true, changed_at: Millis(3), ..first.clone() });
        let mut rows = [rows.to_vec(), vec![removed]].concat();
        assert_eq!(FollowedContract::all(&rows, &BTreeSet::new()).unwrap(), []);
        assert!(remove("factory", &rows, Millis(4)).unwrap_err().to_string().contains("not followed"));
        let again = add(&NewContract { address: at, ..new("factory", pair_abi()) }, &rows).unwrap();
        assert_eq!((again.revision, again.removed), (2, false));
        rows.push(again);
        rows.reverse();
        let read = FollowedContract::all(&rows, &BTreeSet::new()).unwrap();
        assert_eq!(read.iter().map(|contract| contract.tables[0].name.as_str()).collect::<Vec<_>>(), ["factory_sync"]);
    }

    #[test]
    fn an_address_with_a_wrong_checksum_is_no_contract() {
        let body = |address: &str| json!({"name": "token", "abi": [], "address": address}).to_string();
        assert!(serde_json::from_str::<NewContract>(&body("0x4842AE6205FB6bdA74a8B390A69c7a7b3E945307")).is_ok());
        let error = serde_json::from_str::<NewContract>(&body("0x4842ae6205fB6BDA74a8B390a69c7a7b3E945307")).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}
