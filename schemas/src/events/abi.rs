//! A contract's ABI as somebody hands it in. Read within limits: an event that cannot be read is left out with a word, and
//! the others are followed.

mod file;

use std::borrow::Cow;
use std::collections::HashSet;

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::types::AbiType;
use crate::hashing::sha256;
use crate::ids::Sha256;
use crate::{SchemaError, canonical};

/// Bytes of an ABI's JSON.
pub const MAX_ABI_BYTES: usize = 4 << 20;
/// Bytes of a file that an ABI is looked for in: a compiler's output also holds code and syntax trees.
pub const MAX_ABI_FILE_BYTES: usize = 64 << 20;
const MAX_EVENTS: usize = 10_000;
const MAX_PARAMETERS: usize = 64;
const MAX_LEFT_OUT: usize = 20;

/// The events of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abi {
    events: Vec<AbiEvent>,
    canonical: String,
    left_out: Vec<String>,
}

/// An event of an ABI. Never anonymous: those cannot be told apart by their topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbiEvent {
    pub name: String,
    /// As Solidity hashes it: `Transfer(address,address,uint256)`.
    pub signature: String,
    pub(super) parameters: Vec<Parameter>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// As the ABI has it; may be empty.
    pub(super) name: String,
    pub(super) ty: AbiType,
    pub(super) indexed: bool,
}

/// The one ABI in a file of [`MAX_ABI_FILE_BYTES`] at most, without what stands around it.
///
/// # Errors
/// [`SchemaError::BadAbi`] for what holds no ABI, or those of several contracts with events.
pub fn abi_in_file(text: &str) -> Result<Value, SchemaError> {
    check_size(text, MAX_ABI_FILE_BYTES)?;
    Ok(file::entries(text)?.into())
}

fn check_size(text: &str, most: usize) -> Result<(), SchemaError> {
    match text.len() {
        bytes if bytes > most => Err(bad("the file", format!("{bytes} bytes; at most {most} are read"))),
        _ => Ok(()),
    }
}

impl Abi {
    /// Reads an ABI, in whatever file it stands: `abi/file.rs` says which. Entries of one event, which a compiler writes once
    /// for each library that has it, are one.
    ///
    /// # Errors
    /// [`SchemaError::BadAbi`] for what is no ABI, and for one in which no event can be followed.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        check_size(text, MAX_ABI_BYTES)?;
        let items = file::entries(text)?;
        let (mut events, mut kept, mut left_out, mut seen) = (Vec::new(), Vec::new(), Vec::new(), HashSet::new());
        for (index, item) in items.iter().enumerate().filter(|(_, item)| file::is_event(item)) {
            let entry = match item {
                Value::String(text) => file::of_solidity(text).map(Cow::Owned),
                entry => Ok(Cow::Borrowed(entry)),
            };
            match entry.and_then(|entry| Ok((AbiEvent::read(&entry)?, entry))) {
                Ok((event, _)) if !seen.insert((event.signature.clone(), event.indexed_mask())) => {}
                Ok((event, entry)) => {
                    events.push(event);
                    kept.push(entry);
                }
                Err(problem) => {
                    let name = item.get("name").or(Some(item)).and_then(Value::as_str).unwrap_or_default();
                    left_out.push(format!("item {index} (event {:?}): {problem}", name.chars().take(64).collect::<String>()));
                }
            }
        }
        if left_out.len() > MAX_LEFT_OUT {
            let more = left_out.split_off(MAX_LEFT_OUT).len();
            left_out.push(format!("{more} more events cannot be read"));
        }
        match events.len() {
            0 if left_out.is_empty() => Err(bad("the file", "holds no event")),
            0 => Err(bad("the file", format!("holds no event that can be followed: {}", left_out.join("; ")))),
            1..=MAX_EVENTS => Ok(Self { canonical: canonical::to_string(&kept)?, events, left_out }),
            count => Err(bad("the file", format!("{count} events; at most {MAX_EVENTS} are followed"))),
        }
    }

    /// No two have the same signature and the same parameters indexed.
    pub fn events(&self) -> &[AbiEvent] {
        &self.events
    }

    /// What was not read, each with its reason.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Canonical JSON of the events, and its hash.
    pub fn canonical(&self) -> (&str, Sha256) {
        (&self.canonical, sha256(self.canonical.as_bytes()))
    }
}

/// An entry as JSON has it; what people and tools leave out, or write as null, is filled in.
#[derive(Debug, Deserialize)]
struct RawEvent {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    inputs: Vec<RawParameter>,
    #[serde(default, deserialize_with = "or_default")]
    anonymous: bool,
}

/// A parameter, or a member of a tuple.
#[derive(Debug, Deserialize)]
pub(super) struct RawParameter {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: String,
    #[serde(default, deserialize_with = "or_default")]
    indexed: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) components: Vec<RawParameter>,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl AbiEvent {
    /// The first topic of its logs.
    pub fn topic0(&self) -> B256 {
        keccak256(self.signature.as_bytes())
    }

    /// How many of its parameters are topics, besides the first.
    pub(super) fn indexed_count(&self) -> usize {
        self.parameters.iter().filter(|parameter| parameter.indexed).count()
    }

    /// Which parameters are topics, the first one in the lowest bit.
    pub(super) fn indexed_mask(&self) -> u64 {
        self.parameters.iter().enumerate().filter(|(_, parameter)| parameter.indexed).fold(0, |mask, (index, _)| mask | 1 << index)
    }

    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read(item: &Value) -> Result<Self, String> {
        let raw = RawEvent::deserialize(item).map_err(|error| error.to_string())?;
        if raw.anonymous {
            return Err("it is anonymous, and no topic tells its logs from others".into());
        }
        if raw.name.is_empty() || raw.name.contains(['(', ')', ',']) {
            return Err("it has no name that a signature can be made of".into());
        }
        if raw.inputs.len() > MAX_PARAMETERS {
            return Err(format!("{} parameters; at most {MAX_PARAMETERS} are read", raw.inputs.len()));
        }
        let (mut parameters, mut types) = (Vec::with_capacity(raw.inputs.len()), Vec::with_capacity(raw.inputs.len()));
        for (index, input) in raw.inputs.iter().enumerate() {
            let (ty, canonical) = AbiType::parse(&input.ty, &input.components)
                .map_err(|problem| format!("parameter {index} ({:?}): {problem}", input.name.chars().take(64).collect::<String>()))?;
            parameters.push(Parameter { name: input.name.clone(), ty, indexed: input.indexed });
            types.push(canonical);
        }
        let event = Self { signature: format!("{}({})", raw.name, types.join(",")), name: raw.name, parameters };
        match event.indexed_count() {
            0..=3 => Ok(event),
            count => Err(format!("{count} indexed parameters; a log has room for 3")),
        }
    }
}

fn bad(item: &str, problem: impl Into<String>) -> SchemaError {
    SchemaError::BadAbi { item: item.into(), problem: problem.into() }
}
