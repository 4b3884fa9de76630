//! A contract's ABI as somebody hands it in: read within limits, every problem with the item's name.

use alloy_json_abi::Event;
use serde_json::Value;

use super::types::AbiType;
use crate::hashing::sha256;
use crate::ids::Sha256;
use crate::{SchemaError, canonical};

/// Bytes of an ABI's JSON.
pub const MAX_ABI_BYTES: usize = 1 << 20;
const MAX_EVENTS: usize = 256;
const MAX_PARAMETERS: usize = 64;

/// The events of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abi {
    events: Vec<Event>,
    canonical: String,
}

impl Abi {
    /// Reads an ABI: a JSON array, or a compiler's artifact with a member `abi`. Anonymous events cannot be
    /// told apart by their topics and are left out.
    ///
    /// # Errors
    /// [`SchemaError::BadAbi`] that names the item.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > MAX_ABI_BYTES {
            return Err(bad("the file", format!("{} bytes; at most {MAX_ABI_BYTES} are read", text.len())));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| bad("the file", format!("not JSON: {error}")))?;
        let items = match &value {
            Value::Array(items) => items,
            Value::Object(artifact) => match artifact.get("abi") {
                Some(Value::Array(items)) => items,
                _ => return Err(bad("the file", "an object without a list `abi`")),
            },
            _ => return Err(bad("the file", "neither a list nor an object with `abi`")),
        };
        let (mut events, mut kept) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            let kind = item.get("type").and_then(Value::as_str).ok_or_else(|| bad(&format!("item {index}"), "has no `type`"))?;
            if kind != "event" {
                continue;
            }
            let event = event(item, index)?;
            if !event.anonymous {
                events.push(event);
                kept.push(item);
            }
        }
        match events.len() {
            0 => Err(bad("the file", "holds no event that is not anonymous")),
            1..=MAX_EVENTS => Ok(Self { canonical: canonical::to_string(&kept)?, events }),
            count => Err(bad("the file", format!("{count} events; at most {MAX_EVENTS} are followed"))),
        }
    }

    /// None is anonymous.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Canonical JSON of the events, and its hash.
    pub fn canonical(&self) -> (&str, Sha256) {
        (&self.canonical, sha256(self.canonical.as_bytes()))
    }
}

fn event(item: &Value, index: usize) -> Result<Event, SchemaError> {
    let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
    let place = format!("item {index} (event {name:?})");
    let mut item = item.clone();
    if let Some(members) = item.as_object_mut() {
        // Compilers write it always, people do not.
        members.entry("anonymous").or_insert(Value::Bool(false));
    }
    let event: Event = serde_json::from_value(item).map_err(|error| bad(&place, error.to_string()))?;
    let is_identifier = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$');
    if name.is_empty() || name.len() > 64 || !is_identifier(name) {
        return Err(bad(&place, "its name is not a Solidity identifier of up to 64 letters"));
    }
    if event.inputs.len() > MAX_PARAMETERS {
        return Err(bad(&place, format!("{} parameters; at most {MAX_PARAMETERS} are read", event.inputs.len())));
    }
    if event.inputs.iter().filter(|input| input.indexed).count() > if event.anonymous { 4 } else { 3 } {
        return Err(bad(&place, "more indexed parameters than a log has topics"));
    }
    for (index, input) in event.inputs.iter().enumerate() {
        let problem = |problem| bad(&format!("{place}, parameter {index} ({:?})", input.name), problem);
        AbiType::parse(&input.ty, &input.components).map_err(problem)?;
        if input.name.len() > 64 || !is_identifier(&input.name) {
            return Err(problem("its name is not a Solidity identifier of up to 64 letters".into()));
        }
    }
    Ok(event)
}

fn bad(item: &str, problem: impl Into<String>) -> SchemaError {
    SchemaError::BadAbi { item: item.into(), problem: problem.into() }
}
