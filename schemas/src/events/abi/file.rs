//! Where an ABI stands in what tools write: a list, a compiler's output or artifact, its metadata, a block explorer's reply.
//! Looks for the one ABI that has events; what its entries say is read elsewhere.

use alloy_json_abi::Event;
use serde_json::{Map, Value};

use super::bad;
use crate::SchemaError;

/// Objects, and texts that are JSON themselves, within each other.
const MAX_DEPTH: usize = 8;
const MAX_CANDIDATES_SHOWN: usize = 20;
/// Of an entry that is written as Solidity has it.
const MAX_ENTRY_BYTES: usize = 16 << 10;
/// Its parser recurses.
const MAX_PARENTHESES: usize = 32;

/// An ABI and which contract's it is, as far as the file says.
type Found = (String, Vec<Value>);

/// The entries of the one ABI in a JSON text.
///
/// # Errors
/// [`SchemaError::BadAbi`] where there is none, or where several contracts have events.
pub(super) fn entries(text: &str) -> Result<Vec<Value>, SchemaError> {
    let mut found = Vec::new();
    let value = parse(text).map_err(|error| bad("the file", format!("not JSON: {error}")))?;
    collect(value, "", MAX_DEPTH, &mut found).map_err(|problem| bad("the file", problem))?;
    if found.len() > 1 {
        // Libraries and the like have none.
        found.retain(|(_, entries)| entries.iter().any(is_event));
    }
    match found.as_slice() {
        [] => Err(bad("the file", "holds no event")),
        [_] => Ok(found.pop().map(|(_, entries)| entries).unwrap_or_default()),
        several => {
            let mut names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).take(MAX_CANDIDATES_SHOWN).collect();
            if several.len() > names.len() {
                names.push("…");
            }
            Err(bad("the file", format!("{} contracts in it have events: {}; give the ABI of one", several.len(), names.join(", "))))
        }
    }
}

/// Whether an entry is an event: an object, or as Solidity has it.
pub(super) fn is_event(entry: &Value) -> bool {
    match entry {
        Value::String(text) => text.trim_start().starts_with("event "),
        entry => entry.get("type").and_then(Value::as_str) == Some("event"),
    }
}

/// `event Transfer(address indexed from, …)` as a compiler writes it.
pub(super) fn of_solidity(text: &str) -> Result<Value, String> {
    if text.len() > MAX_ENTRY_BYTES || text.matches('(').count() > MAX_PARENTHESES {
        return Err("it is too long, or nests too deep".into());
    }
    let event = Event::parse(text.trim().trim_end_matches(';')).map_err(|error| error.to_string())?;
    serde_json::to_value(event).map_err(|error| error.to_string())
}

/// Some editors put a byte order mark before everything.
fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Adds every ABI in `value`, which is called `name`.
fn collect(value: Value, name: &str, depth: usize, found: &mut Vec<Found>) -> Result<(), String> {
    let depth = depth.checked_sub(1).ok_or("an ABI is not looked for so deep")?;
    match value {
        // Etherscan's `getsourcecode` lists contracts; their ABI is text.
        Value::Array(items) if items.iter().any(|item| item.get("ABI").is_some()) => items.into_iter().try_for_each(|mut item| {
            let name = item.get("ContractName").and_then(Value::as_str).unwrap_or(name).to_owned();
            item.get_mut("ABI").map_or(Ok(()), |abi| collect(abi.take(), &name, depth, found))
        }),
        Value::Array(entries) => {
            found.push((name.to_owned(), entries));
            Ok(())
        }
        Value::String(text) => match parse(&text) {
            Ok(value) => collect(value, name, depth, found),
            // A block explorer says there why it gives none.
            Err(_) => Err(format!("text that is no JSON where the ABI should be: {:?}", text.chars().take(100).collect::<String>())),
        },
        Value::Object(members) => collect_members(members, name, depth, found),
        _ => Err("neither a list, nor an object that holds an ABI".into()),
    }
}

fn collect_members(mut members: Map<String, Value>, name: &str, depth: usize, found: &mut Vec<Found>) -> Result<(), String> {
    // An artifact; Etherscan's `getabi`; metadata, as Sourcify has it, and build-info, which hold the compiler's output.
    for holder in ["abi", "result", "output"] {
        if let Some(held) = members.remove(holder).filter(|held| !held.is_null()) {
            return collect(held, name, depth, found);
        }
    }
    let contracts = match members.remove("contracts") {
        Some(Value::Object(contracts)) => contracts,
        // Vyper's `combined_json` has them beside its version.
        _ => members,
    };
    let before = found.len();
    for (key, mut held) in contracts {
        match abi_of(&mut held) {
            // solc's `--combined-json` calls it `FILE:NAME`.
            Some(abi) => collect(abi, &key, depth, found)?,
            // `--standard-json` has a file's contracts together.
            None => {
                for (of_file, contract) in held.as_object_mut().into_iter().flatten() {
                    if let Some(abi) = abi_of(contract) {
                        collect(abi, &format!("{key}:{of_file}"), depth, found)?;
                    }
                }
            }
        }
    }
    if found.len() == before { Err("an object without an ABI".into()) } else { Ok(()) }
}

fn abi_of(contract: &mut Value) -> Option<Value> {
    contract.get_mut("abi").map(Value::take).filter(|abi| !abi.is_null())
}
