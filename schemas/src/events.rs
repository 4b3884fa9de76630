//! Contracts' events as SQL tables: for each event a name, the topic that selects it from `logs`, and
//! where each parameter stands. `store` turns this into views, so that a decoded table is always a pure
//! function of the logs.

mod abi;
mod names;
mod reserved;
mod table;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::SchemaError;
use crate::contracts::{Contract, Deployment};
use crate::tables::LogRef;
pub use abi::{Abi, AbiEvent, MAX_ABI_BYTES, MAX_ABI_FILE_BYTES, abi_in_file};
use names::{column_name, snake_case, table_names};
use types::AbiType;

/// How one 32-byte word is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WordType {
    Address,
    /// Left-aligned, this many bytes.
    FixedBytes(u8),
    Bool,
    /// Unsigned, of this many bits.
    Uint(u16),
    /// Signed, of this many bits.
    Int(u16),
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

/// What a column holds. Every value of a parameter's type fits its column, [`ColumnKind::Decimal`] of 256 bits left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ColumnKind {
    Boolean,
    /// Integers of less than 64 bits, and `int64`.
    Int64,
    /// `uint64`.
    Uint64,
    /// Integers of 72 to 248 bits: 76 digits, which hold them all. Of 256 bits those that fit; others are NULL.
    Decimal,
    /// Everything else, integers of 256 bits in decimal digits.
    Text,
}

/// One parameter of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventColumn {
    /// snake_case, and usable without quotes wherever a column is.
    pub name: String,
    pub place: Place,
    pub kind: ColumnKind,
}

/// Who emits an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Emitter {
    Contract(Address),
    /// Every contract that a factory created.
    Children(Creation),
}

/// The event by which a factory tells of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
            Place::Data(index, _) => log.data.get(32 * index..)?.get(..32)?,
            Place::Body(_) => return None,
        };
        word.get(12..).map(Address::from_slice)
    }
}

/// One event of one contract as a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EventTable {
    /// snake_case, and usable without quotes.
    pub name: String,
    pub emitter: Emitter,
    pub topic0: B256,
    /// Topics of its logs besides the first.
    pub indexed: u8,
    /// Numbers of topics besides the first, ascending: logs that have one of them are its rows. Absent where no other table of the
    /// contract has the same first topic: every log is then.
    pub takes: Option<Vec<u8>>,
    /// One for each parameter, in their order; then a decimal for each integer of 256 bits that is shown in digits.
    pub columns: Vec<EventColumn>,
    #[serde(with = "shared")]
    pub body: Arc<EventBody>,
}

impl EventTable {
    /// Whether a log, its first topic left out, is what the ABI says: as many topics, and a value in every parameter.
    pub fn decodes(&self, topics: &[&[u8]], data: &[u8]) -> bool {
        let holds = |word: Option<&[u8; 32]>, kind: WordType| word.is_some_and(|word| kind.holds(word));
        topics.len() == usize::from(self.indexed)
            && self.columns.iter().all(|column| match column.place {
                Place::Topic(index, kind) => {
                    holds(usize::from(index).checked_sub(1).and_then(|index| topics.get(index)?.first_chunk()), kind)
                }
                Place::Data(index, kind) => holds(index.checked_mul(32).and_then(|at| data.get(at..)?.first_chunk()), kind),
                Place::Body(index) => self.body.text(data, index).is_some(),
            })
    }
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

    /// Whether the parameter at `index` is bytes, which are shown as `0x` text.
    pub fn is_bytes(&self, index: usize) -> bool {
        self.0.get(index) == Some(&AbiType::Bytes)
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
                let problem = |problem: String| SchemaError::BadAbi { item: format!("event {}", event.name), problem };
                let read = serde_json::to_value(event).map_err(|error| error.to_string()).and_then(|event| AbiEvent::read(&event));
                let read = read.map_err(problem)?;
                tables.push(table::of_event(&read, snake_case(&read.name), Emitter::Contract(address), table::Wide::Amounts));
            }
        }
    }
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tables)
}

/// A table `<contract>_<event>` for each event of an ABI; `names.rs` says what follows where two would have one name, or
/// one is `taken` by ours.
pub fn contract_tables(contract: &str, abi: &Abi, emitter: Emitter, taken: &BTreeSet<String>) -> Vec<EventTable> {
    let named = abi.events().iter().zip(table_names(contract, abi.events(), taken));
    let mut tables: Vec<EventTable> = named.map(|(event, name)| table::of_event(event, name, emitter, table::Wide::Digits)).collect();
    share_forms(&mut tables);
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    tables
}

/// Topics of a log besides the first, at most.
const MAX_INDEXED: u8 = 3;

/// Where several tables have one first topic, each takes the logs with its number of topics, and the first in the ABI those with a
/// number that none has: what a contract logs is a row somewhere, whatever its ABI says.
fn share_forms(tables: &mut [EventTable]) {
    let mut forms = HashMap::<B256, Vec<u8>>::new();
    tables.iter().for_each(|table| forms.entry(table.topic0).or_default().push(table.indexed));
    let mut seen = BTreeSet::new();
    for table in tables {
        let Some(counts) = forms.get(&table.topic0).filter(|counts| counts.len() > 1) else { continue };
        let is_first = seen.insert(table.topic0);
        let takes = |count: &u8| *count == table.indexed || (is_first && !counts.contains(count));
        table.takes = Some((0..=MAX_INDEXED).filter(takes).collect());
    }
}
