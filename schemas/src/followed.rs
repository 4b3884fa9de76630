//! Contracts that are followed beside our own: checking one that is to be added, and reading those that
//! were. Pure functions of the rows of `followed_contracts`.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::SchemaError;
use crate::events::{Abi, Creation, Emitter, EventTable, contract_tables};
use crate::tables::{FollowedContractRow, Millis};

const MAX_CONTRACTS: usize = 256;
const MAX_NAME_BYTES: usize = 40;

/// A contract as somebody wants it followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContract {
    /// Lower-case letters, digits and underscores.
    pub name: String,
    /// As the compiler writes it: a list, or an artifact with a member `abi`.
    pub abi: Value,
    /// Either this or `factory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_block: Option<u64>,
    /// `PARENT:Event:parameter`: the children that a followed contract tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory: Option<String>,
}

/// A followed contract, its ABI read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedContract {
    pub name: String,
    pub emitter: Emitter,
    /// First block whose logs are kept.
    pub start_block: u64,
    /// First topics of its events.
    pub topics: BTreeSet<B256>,
    pub tables: Vec<EventTable>,
}

impl FollowedContract {
    /// The followed contracts, in the order in which they were added.
    ///
    /// # Errors
    /// [`SchemaError::BadAbi`] and [`SchemaError::BadContract`] for rows that were not made here.
    pub fn all(rows: &[FollowedContractRow]) -> Result<Vec<Self>, SchemaError> {
        let mut ordered: Vec<&FollowedContractRow> = rows.iter().collect();
        ordered.sort_by(|a, b| (a.added_at, &a.name).cmp(&(b.added_at, &b.name)));
        ordered.into_iter().map(|row| Self::read(row, rows)).collect()
    }

    fn read(row: &FollowedContractRow, rows: &[FollowedContractRow]) -> Result<Self, SchemaError> {
        let bad = |problem: String| SchemaError::BadContract { name: row.name.clone(), problem };
        let abi = Abi::parse(&row.abi)?;
        let emitter = match (row.address, &row.factory, &row.factory_event, &row.factory_parameter) {
            (Some(address), None, None, None) => Emitter::Contract(address),
            (None, Some(parent), Some(event), Some(parameter)) => {
                let parent =
                    rows.iter().find(|row| row.name == *parent).ok_or_else(|| bad(format!("no contract {parent:?} is followed")))?;
                Emitter::Children(creation(parent, event, parameter).map_err(bad)?.0)
            }
            _ => return Err(bad("has either an address or a factory".into())),
        };
        let tables = contract_tables(&row.name, &abi, emitter)?;
        let topics = abi.events().iter().map(|event| event.selector()).collect();
        Ok(Self { name: row.name.clone(), emitter, start_block: row.start_block, topics, tables })
    }
}

/// How the event of a followed contract tells of children, and the event's signature.
fn creation(parent: &FollowedContractRow, event: &str, parameter: &str) -> Result<(Creation, String), String> {
    let Some(factory) = parent.address else {
        return Err(format!("{} is no single contract; children of children are not followed", parent.name));
    };
    let abi = Abi::parse(&parent.abi).map_err(|error| error.to_string())?;
    let named: Vec<_> = abi.events().iter().filter(|found| found.name == event || found.signature() == event).collect();
    let found = match named.as_slice() {
        [found] => *found,
        [] => return Err(format!("{} has no event {event}", parent.name)),
        _ => return Err(format!("{} has {} events {event}; give the signature", parent.name, named.len())),
    };
    let mut place = None;
    for (index, input) in found.inputs.iter().enumerate().filter(|(_, input)| input.name == parameter) {
        if input.ty != "address" {
            return Err(format!("parameter {parameter} of {event} is {}, not an address", input.ty));
        }
        let tables = contract_tables(&parent.name, &abi, Emitter::Contract(factory)).map_err(|error| error.to_string())?;
        let table = tables.iter().find(|table| table.topic0 == found.selector());
        place = table.and_then(|table| table.columns.get(index)).map(|column| column.place);
    }
    let child = place.ok_or_else(|| format!("event {event} has no parameter {parameter}"))?;
    Ok((Creation { factory, topic0: found.selector(), child }, found.signature()))
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
    added_at: Millis,
) -> Result<FollowedContractRow, SchemaError> {
    let bad = |problem: String| SchemaError::BadContract { name: new.name.chars().take(2 * MAX_NAME_BYTES).collect(), problem };
    let others: Vec<FollowedContractRow> = rows.iter().filter(|row| row.name != new.name).cloned().collect();
    check(new, &others).map_err(bad)?;
    let abi = Abi::parse(&new.abi.to_string())?;
    let (canonical, abi_sha256) = abi.canonical();
    let mut row = FollowedContractRow {
        name: new.name.clone(),
        address: new.address,
        abi: canonical.to_owned(),
        abi_sha256,
        start_block: new.start_block.unwrap_or(default_start_block),
        factory: None,
        factory_event: None,
        factory_parameter: None,
        added_at,
    };
    if let Some(factory) = &new.factory {
        let [parent, event, parameter] = factory.split(':').collect::<Vec<_>>()[..] else {
            return Err(bad(format!("factory {factory:?} is not PARENT:Event:parameter")));
        };
        let of = others.iter().find(|row| row.name == parent).ok_or_else(|| bad(format!("no contract {parent:?} is followed")))?;
        row.factory_event = Some(creation(of, event, parameter).map_err(bad)?.1);
        row.factory = Some(parent.into());
        row.factory_parameter = Some(parameter.into());
    }
    let mut names = taken.clone();
    let others_read = FollowedContract::all(rows)?.into_iter().filter(|other| other.name != new.name);
    names.extend(others_read.flat_map(|other| other.tables).map(|table| table.name));
    match FollowedContract::read(&row, &others)?.tables.iter().find(|table| names.contains(&table.name)) {
        Some(table) => Err(bad(format!("there is a table {} already; choose another name", table.name))),
        None => Ok(row),
    }
}

/// Whether a contract fits beside the others, its ABI and factory left out.
fn check(new: &NewContract, others: &[FollowedContractRow]) -> Result<(), String> {
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
        NewContract { name: name.into(), abi, address: None, start_block: None, factory: None }
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
        assert_eq!(add(&again, &[parent.clone(), child.clone()]).unwrap(), parent, "the same again");
        let read = FollowedContract::all(&[child, parent]).unwrap();
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
        let created = json!([{"type": "event", "name": "Committed", "inputs": []}]);
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
            (NewContract { address: Some(Address::ZERO), ..new("version", created) }, "version_committed"),
            (NewContract { address: Some(Address::ZERO), start_block: Some(u64::MAX), ..new("pair", pair_abi()) }, "63 bits"),
            (NewContract { address: Some(Address::ZERO), ..new("pair", json!("x")) }, "neither a list"),
        ];
        for (new, words) in cases {
            let error = add(&new, &[factory.clone()]).unwrap_err();
            assert!(matches!(error, SchemaError::BadContract { .. } | SchemaError::BadAbi { .. }));
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }
}
