//! Contracts' events as SQL tables: for each event a name, the topic that selects it from `logs`, and
//! where each parameter stands. `store` turns this into views, so that a decoded table is always a pure
//! function of the logs.

mod abi;
mod names;
#[cfg(test)]
mod tests;
mod types;

use std::sync::Arc;

use alloy_json_abi::{Event, JsonAbi};
use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::SchemaError;
use crate::contracts::{Contract, Deployment};
use crate::tables::LogRef;
pub use abi::{Abi, MAX_ABI_BYTES};
use names::{column_name, snake_case};
use types::AbiType;

/// How one 32-byte word is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WordType {
    Address,
    /// Left-aligned, this many bytes.
    FixedBytes(u8),
    Bool,
    /// Unsigned, at most 64 bits: an Int64 column, NULL from 2^63 on.
    Uint64,
    /// Unsigned, any width: a Decimal256(76, 0) column, NULL beyond 76 digits.
    Uint256,
    /// Signed, at most 64 bits.
    Int64,
    /// Signed, any width: as `Uint256`.
    Int256,
}

/// Where one parameter stands in a log, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// `topic1` to `topic3`.
    Topic(u8, WordType),
    /// n-th 32-byte word of `data`, from 0.
    Data(usize, WordType),
    /// n-th parameter that is not indexed, from 0; as text, see [`EventBody::text`].
    Body(usize),
}

/// One parameter of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventColumn {
    /// snake_case.
    pub name: String,
    pub place: Place,
}

/// Who emits an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emitter {
    Contract(Address),
    /// Every contract that a factory created.
    Children(Creation),
}

/// The event by which a factory tells of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creation {
    pub factory: Address,
    pub topic0: B256,
    /// Where the child's address stands.
    pub child: Place,
}

impl Creation {
    /// The child that a log tells of; `None` for other logs.
    pub fn child_of(&self, log: &LogRef<'_>) -> Option<Address> {
        if log.address != self.factory || log.topic0() != Some(self.topic0) {
            return None;
        }
        let word = match self.child {
            Place::Topic(index, _) => log.topics.get(usize::from(index))?.as_slice(),
            Place::Data(index, _) => log.data.get(32 * index..32 * index + 32)?,
            Place::Body(_) => return None,
        };
        word.get(12..).map(Address::from_slice)
    }
}

/// One event of one contract as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTable {
    /// snake_case.
    pub name: String,
    pub emitter: Emitter,
    pub topic0: B256,
    pub columns: Vec<EventColumn>,
    #[serde(with = "shared")]
    pub body: Arc<EventBody>,
}

/// The types of the parameters that are not indexed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventBody(Vec<AbiType>);

impl EventBody {
    /// The parameter at `index` of a log's data: text as it is, bytes as `0x` text, arrays and tuples as
    /// JSON with integers as strings. `None` for what is malformed, not UTF-8, longer than 1 MiB, or longer
    /// than honest data of that size can be.
    pub fn text(&self, data: &[u8], index: usize) -> Option<String> {
        self.0.get(index)?.text(data, 32 * self.head_words_before(index))
    }

    fn head_words_before(&self, index: usize) -> usize {
        self.0.iter().take(index).map(AbiType::head_words).sum()
    }
}

/// A body between processes: what is shared in one is sent whole to the other.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::EventBody;

    pub(super) fn serialize<S: Serializer>(body: &Arc<EventBody>, serializer: S) -> Result<S::Ok, S::Error> {
        body.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<EventBody>, D::Error> {
        EventBody::deserialize(deserializer).map(Arc::new)
    }
}

/// A table for every event that our contracts declare themselves.
///
/// Inherited events of the token other than `Transfer` are left to `logs`.
pub fn event_tables(deployment: &Deployment) -> Result<Vec<EventTable>, SchemaError> {
    let mut tables = Vec::new();
    for (contract, address) in [
        (Contract::DatanetRegistry, deployment.registry),
        (Contract::ModelRegistry, deployment.models),
        (Contract::PaymentVault, deployment.vault),
        (Contract::RewardDistributor, deployment.distributor),
        (Contract::OpenToken, deployment.token),
    ] {
        let abi = contract.artifact()?.abi;
        for event in abi.events() {
            let ours = event.inputs.iter().any(|input| input.name == "seq");
            if ours || event.name == "Transfer" {
                tables.push(event_table(event, snake_case(&event.name), Emitter::Contract(address))?);
            }
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// The first topic of every event in an ABI that has one, ascending.
///
/// # Errors
/// [`SchemaError::BadAbi`] for what is no ABI, and for one without such an event.
pub fn topics_of_abi(json: &str) -> Result<Vec<B256>, SchemaError> {
    let abi = serde_json::from_str::<JsonAbi>(json)
        .map_err(|error| SchemaError::BadAbi { item: "the ABI".into(), problem: error.to_string() })?;
    let mut topics: Vec<B256> = abi.events().filter(|event| !event.anonymous).map(Event::selector).collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() { Err(SchemaError::BadAbi { item: "the ABI".into(), problem: "it has no event".into() }) } else { Ok(topics) }
}

/// A table `<contract>_<event>` for each event of an ABI. Events that share a name get the first four
/// bytes of their topic as a suffix.
///
/// # Errors
/// [`SchemaError::BadAbi`] for events whose names or signatures, or parameters whose names, are the same.
pub fn contract_tables(contract: &str, abi: &Abi, emitter: Emitter) -> Result<Vec<EventTable>, SchemaError> {
    let mut tables: Vec<EventTable> = Vec::with_capacity(abi.events().len());
    for event in abi.events() {
        let mut name = format!("{contract}_{}", snake_case(&event.name));
        if abi.events().iter().filter(|other| other.name == event.name).count() > 1 {
            name.push_str(&format!("_{}", hex::encode(event.selector().get(..4).unwrap_or_default())));
        }
        if tables.iter().any(|table| table.name == name) {
            return Err(SchemaError::BadAbi { item: format!("event {}", event.signature()), problem: format!("a second table {name}") });
        }
        tables.push(event_table(event, name, emitter)?);
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// The table of one event.
fn event_table(event: &Event, name: String, emitter: Emitter) -> Result<EventTable, SchemaError> {
    let bad = |problem: String| SchemaError::BadAbi { item: format!("event {}", event.signature()), problem };
    let (mut topics, mut body) = (0u8, EventBody(Vec::new()));
    let mut columns: Vec<EventColumn> = Vec::with_capacity(event.inputs.len());
    for (index, input) in event.inputs.iter().enumerate() {
        let parsed = AbiType::parse(&input.ty, &input.components).map_err(&bad)?;
        let mut name = column_name(&input.name, index);
        let place = if input.indexed {
            topics += 1;
            match parsed {
                AbiType::Word(word) => Place::Topic(topics, word),
                // Only the hash of such a value is in the log.
                _ => {
                    name.push_str("_hash");
                    Place::Topic(topics, WordType::FixedBytes(32))
                }
            }
        } else {
            let position = body.0.len();
            body.0.push(parsed);
            match body.0.last() {
                Some(AbiType::Word(word)) => Place::Data(body.head_words_before(position), *word),
                _ => Place::Body(position),
            }
        };
        if columns.iter().any(|column| column.name == name) {
            return Err(bad(format!("two parameters would be column {name}")));
        }
        columns.push(EventColumn { name, place });
    }
    Ok(EventTable { name, emitter, topic0: event.selector(), columns, body: Arc::new(body) })
}
