//! Our contracts' events as SQL tables: for each event a name, the topic that selects it from
//! `logs`, and where each parameter stands. `store` turns this into views, so that a decoded table
//! is always a pure function of the logs.

use alloy_json_abi::{Event, JsonAbi};
use alloy_primitives::{Address, B256};

use crate::SchemaError;
use crate::contracts::{Contract, Deployment};

/// How one 32-byte word is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordType {
    Address,
    Bytes32,
    Bool,
    /// Unsigned, at most 63 bits used: an Int64 column.
    Uint64,
    /// Unsigned, any width: a Decimal256(76, 0) column.
    Uint256,
}

/// Where one parameter stands in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordPlace {
    /// `topic1` to `topic3`.
    Topic(u8),
    /// n-th 32-byte word of `data`, from 0.
    Data(usize),
}

/// One parameter of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventColumn {
    /// snake_case.
    pub name: String,
    pub word: WordType,
    pub place: WordPlace,
}

/// One event of one contract as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTable {
    /// snake_case name of the event.
    pub name: String,
    pub address: Address,
    pub topic0: B256,
    pub columns: Vec<EventColumn>,
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
                tables.push(event_table(event, address)?);
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
    let abi = serde_json::from_str::<JsonAbi>(json).map_err(|error| SchemaError::BadAbi { problem: error.to_string() })?;
    let mut topics: Vec<B256> = abi.events().filter(|event| !event.anonymous).map(Event::selector).collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.is_empty() { Err(SchemaError::BadAbi { problem: "it has no event".into() }) } else { Ok(topics) }
}

/// The table of one event whose parameters are all single words.
///
/// # Errors
/// [`SchemaError::BadColumn`] for a parameter of dynamic size.
pub fn event_table(event: &Event, address: Address) -> Result<EventTable, SchemaError> {
    let (mut topics, mut words) = (0u8, 0usize);
    let mut columns = Vec::with_capacity(event.inputs.len());
    for input in &event.inputs {
        let word = word_type(&input.ty).ok_or_else(|| SchemaError::BadColumn {
            table: "logs",
            column: format!("{}.{}", event.name, input.name),
            problem: format!("{} does not fit one word", input.ty),
        })?;
        let place = if input.indexed {
            topics += 1;
            WordPlace::Topic(topics)
        } else {
            words += 1;
            WordPlace::Data(words - 1)
        };
        columns.push(EventColumn { name: column_name(&input.name), word, place });
    }
    Ok(EventTable { name: snake_case(&event.name), address, topic0: event.selector(), columns })
}

fn word_type(solidity: &str) -> Option<WordType> {
    match solidity {
        "address" => Some(WordType::Address),
        "bytes32" => Some(WordType::Bytes32),
        "bool" => Some(WordType::Bool),
        _ => match solidity.strip_prefix("uint")?.parse::<u16>().ok()? {
            bits @ 8..=64 if bits.is_multiple_of(8) => Some(WordType::Uint64),
            bits @ 72..=256 if bits.is_multiple_of(8) => Some(WordType::Uint256),
            _ => None,
        },
    }
}

/// `from` and `to` are SQL keywords; a parameter of that name gets a suffix.
fn column_name(solidity: &str) -> String {
    match snake_case(solidity).as_str() {
        "from" => "from_address".into(),
        "to" => "to_address".into(),
        "by" => "by_address".into(),
        name => name.into(),
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() {
            if index > 0 {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
        } else {
            snake.push(letter);
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_events_become_tables() {
        let at = Address::repeat_byte;
        let deployment =
            Deployment { chain_id: 1, registry: at(1), models: at(5), vault: at(2), distributor: at(3), token: at(4), start_block: 0 };
        let mut text = String::new();
        for table in event_tables(&deployment).unwrap() {
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("{} {:?} {:?}", column.name, column.word, column.place)).collect();
            text.push_str(&format!("{} of {}: {}\n", table.name, table.address, columns.join(", ")));
        }
        insta::assert_snapshot!(text);
    }
}
