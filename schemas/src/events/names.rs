//! Names of Solidity as names of SQL: lower case with underscores, usable without quotes, each once.
//!
//! A name depends on the ABI alone. Where two parameters of an event would be one column, the later one ends in its
//! place, from 0. Where two events would be one table, those with other parameter types end in four bytes of their topic
//! (`_ddf252ad`), and those that differ by what is indexed in how much of it is (`_indexed2`), or in what is where even
//! that is the same (`_indexed2_0_1`). What SQL has already ends in `_event`.

use std::collections::{BTreeSet, HashMap, HashSet};

use alloy_primitives::{B256, hex};

use super::WordType;
use super::abi::AbiEvent;
use super::reserved::RESERVED;
use super::types::AbiType;

/// The columns that every event table has.
const EVERYWHERE: &[&str] =
    &["block_number", "block_timestamp", "block_hash", "transaction_hash", "log_index", "finalized", "contract", "decoded"];
/// Of one part of a name: a statement has an end.
const MAX_NAME_BYTES: usize = 64;

/// The column of a parameter; one without a name is called by its place, from 0.
pub(super) fn column_name(solidity: &str, place: usize, ty: &AbiType) -> String {
    let name = snake_case(solidity);
    match name.as_str() {
        "" => format!("arg{place}"),
        "from" | "to" | "by" if *ty == AbiType::Word(WordType::Address) => format!("{name}_address"),
        _ if is_reserved(&name) || EVERYWHERE.contains(&name.as_str()) => format!("{name}_value"),
        _ => name,
    }
}

/// The table of each event, beside those that are `taken`. No two events have the same signature and the same parameters indexed.
pub(super) fn table_names(contract: &str, events: &[AbiEvent], taken: &BTreeSet<String>) -> Vec<String> {
    let mut told: Vec<Told<'_>> = events.iter().map(|event| Told::new(contract, event, taken)).collect();
    // Each round adds to those that still share a name; with all four no two do.
    for _round in 0..5 {
        let mut groups = HashMap::<String, Vec<&mut Told<'_>>>::new();
        for event in &mut told {
            groups.entry(event.name()).or_default().push(event);
        }
        let mut shared = groups.into_values().filter(|group| group.len() > 1).peekable();
        if shared.peek().is_none() {
            break;
        }
        for mut group in shared {
            let topics: Vec<B256> = group.iter().map(|event| event.topic0).collect();
            for event in &mut group {
                if topics.iter().any(|topic| *topic != event.topic0) {
                    (event.whole_hash, event.hash) = (event.hash, true);
                }
                if topics.iter().filter(|topic| **topic == event.topic0).count() > 1 {
                    (event.places, event.indexed) = (event.indexed, true);
                }
            }
        }
    }
    told.iter().map(Told::name).collect()
}

/// What a table's name says of its event.
struct Told<'a> {
    base: String,
    event: &'a AbiEvent,
    taken: &'a BTreeSet<String>,
    topic0: B256,
    hash: bool,
    whole_hash: bool,
    indexed: bool,
    places: bool,
}

impl<'a> Told<'a> {
    fn new(contract: &str, event: &'a AbiEvent, taken: &'a BTreeSet<String>) -> Self {
        let base = match snake_case(&event.name).as_str() {
            "" => format!("{contract}_event"),
            name => format!("{contract}_{name}"),
        };
        Self { base, event, taken, topic0: event.topic0(), hash: false, whole_hash: false, indexed: false, places: false }
    }

    fn name(&self) -> String {
        let mut name = self.base.clone();
        if self.hash {
            name.push_str(&format!("_{}", hex::encode(self.topic0.get(..if self.whole_hash { 32 } else { 4 }).unwrap_or_default())));
        }
        if self.indexed {
            name.push_str(&format!("_indexed{}", self.event.indexed_count()));
        }
        if self.places {
            let indexed = self.event.parameters.iter().enumerate().filter(|(_, parameter)| parameter.indexed);
            indexed.for_each(|(place, _)| name.push_str(&format!("_{place}")));
        }
        if is_reserved(&name) || self.taken.contains(&name) { format!("{name}_event") } else { name }
    }
}

/// Gives each name that is there before it its place, from 0, as an ending.
pub(super) fn distinct(names: Vec<&mut String>) {
    let mut taken: HashSet<String> = names.iter().map(|name| (**name).clone()).collect();
    let mut seen = HashSet::with_capacity(names.len());
    for (place, name) in names.into_iter().enumerate() {
        if !seen.insert(name.clone()) {
            let mut other = format!("{name}_{place}");
            while !taken.insert(other.clone()) {
                other.push_str(&format!("_{place}"));
            }
            *name = other;
        }
    }
}

/// Whether the parser of SQL takes the word, bare, for something else than a name.
fn is_reserved(name: &str) -> bool {
    RESERVED.binary_search(&name).is_ok()
}

/// In snake_case: lower-case letters, digits and underscores, no digit first. Empty when nothing of it is left.
pub(super) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let mut snake = String::with_capacity(MAX_NAME_BYTES + 2);
    for (index, letter) in letters.iter().enumerate().take_while(|(index, _)| *index < MAX_NAME_BYTES) {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let ends_acronym = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && before.is_some_and(|before| *before != '_' && (!before.is_ascii_uppercase() || ends_acronym)) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    let snake = snake.trim_matches('_');
    if snake.starts_with(|first: char| first.is_ascii_digit()) { format!("_{snake}") } else { snake.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_sql() {
        let address = AbiType::Word(WordType::Address);
        for (solidity, sql) in [
            ("DatanetCreated", "datanet_created"),
            ("tokenURI", "token_uri"),
            ("URISet", "uri_set"),
            ("ERC20Transfer", "erc20_transfer"),
            ("sqrtPriceX96", "sqrt_price_x96"),
            ("_value", "value"),
            ("from", "from_address"),
            ("order", "order_value"),
            ("currentDate", "current_date_value"),
            ("blockNumber", "block_number_value"),
            ("decoded", "decoded_value"),
            ("a$b", "a_b"),
            ("größe", "gr__e"),
            ("数量", "arg3"),
            ("$0", "_0"),
            ("", "arg3"),
            ("_", "arg3"),
        ] {
            assert_eq!(column_name(solidity, 3, &address), sql, "{solidity}");
        }
        assert_eq!(column_name("from", 0, &AbiType::String), "from_value");
        assert_eq!(column_name(&"x".repeat(1000), 0, &address), "x".repeat(64));
    }

    #[test]
    fn every_name_is_there_once() {
        let check = |names: &[&str], expected: &[&str]| {
            let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            distinct(names.iter_mut().collect());
            assert_eq!(names, expected);
        };
        check(&["a", "b"], &["a", "b"]);
        check(&["a", "a", "a"], &["a", "a_1", "a_2"]);
        check(&["a", "a", "a_1"], &["a", "a_1_1", "a_1"]);
        check(&["a_1", "a", "a", "a_1"], &["a_1", "a", "a_2", "a_1_3"]);
    }

    #[test]
    fn reserved_words_are_in_order() {
        assert!(RESERVED.is_sorted_by(|a, b| a < b));
    }
}
