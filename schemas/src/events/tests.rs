use alloy_sol_types::{SolEvent, sol};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::tables::LogRef;

mod reading;
mod shapes;

#[test]
fn our_events_become_tables() {
    let at = Address::repeat_byte;
    let deployment =
        Deployment { chain_id: 1, registry: at(1), models: at(5), vault: at(2), distributor: at(3), token: at(4), start_block: 0 };
    let mut text = String::new();
    for table in event_tables(&deployment).unwrap() {
        let Emitter::Contract(address) = table.emitter else { panic!("{table:?}") };
        let columns: Vec<String> = table.columns.iter().map(|column| format!("{} {:?}", column.name, column.place)).collect();
        text.push_str(&format!("{} of {address}: {}\n", table.name, columns.join(", ")));
    }
    insta::assert_snapshot!(text);
}

fn tables(abi: &Value) -> Result<Vec<EventTable>, SchemaError> {
    Ok(contract_tables("c", &Abi::parse(&abi.to_string())?, Emitter::Contract(Address::ZERO), &BTreeSet::new()))
}

fn parameter(name: &str, ty: &str, indexed: bool) -> Value {
    json!({ "name": name, "type": ty, "indexed": indexed })
}

fn event(name: &str, inputs: &[Value]) -> Value {
    json!({ "type": "event", "name": name, "inputs": inputs })
}

sol! {
    #[derive(Debug)]
    struct Order { address owner; uint96 amount; string note; int64[] steps; }
    #[derive(Debug)]
    event Filled(address indexed maker, string text, bytes raw, Order order, Order[] orders, uint8[2][] grid, bytes4 selector, int256 change);
}

fn filled_abi() -> Value {
    let order = json!([{"name": "owner", "type": "address"}, {"name": "amount", "type": "uint96"},
        {"name": "note", "type": "string"}, {"name": "steps", "type": "int64[]"}]);
    let orders = |name: &str, ty: &str| json!({"name": name, "type": ty, "indexed": false, "components": order});
    json!([event(
        "Filled",
        &[
            parameter("maker", "address", true),
            parameter("text", "string", false),
            parameter("raw", "bytes", false),
            orders("order", "tuple"),
            orders("orders", "tuple[]"),
            parameter("grid", "uint8[2][]", false),
            parameter("selector", "bytes4", false),
            parameter("change", "int256", false)
        ]
    )])
}

fn order_strategy() -> impl Strategy<Value = Order> {
    (any::<[u8; 20]>(), 0..1u128 << 96, ".{0,40}", prop::collection::vec(any::<i64>(), 0..4))
        .prop_map(|(owner, amount, note, steps)| Order { owner: owner.into(), amount: alloy_primitives::Uint::from(amount), note, steps })
}

fn order_json(order: &Order) -> Value {
    let steps: Vec<String> = order.steps.iter().map(ToString::to_string).collect();
    json!({ "owner": format!("{:#x}", order.owner), "amount": order.amount.to_string(), "note": order.note, "steps": steps })
}

fn filled_strategy() -> impl Strategy<Value = Filled> {
    let grid = prop::collection::vec(any::<[u8; 2]>(), 0..4);
    let raw = prop::collection::vec(any::<u8>(), 0..70);
    (".{0,70}", raw, order_strategy(), prop::collection::vec(order_strategy(), 0..3), grid, any::<[u8; 4]>(), any::<i128>()).prop_map(
        |(text, raw, order, orders, grid, selector, change)| Filled {
            maker: Address::repeat_byte(1),
            text,
            raw: raw.into(),
            order,
            orders,
            grid,
            selector: selector.into(),
            change: alloy_primitives::I256::try_from(change).unwrap(),
        },
    )
}

proptest! {
    /// What alloy's typed encoder writes is read back as what was written.
    #[test]
    fn decoding_agrees_with_alloy(filled in filled_strategy()) {
        let table = &tables(&filled_abi()).unwrap()[0];
        let log = filled.encode_log_data();
        prop_assert_eq!(table.topic0, log.topics()[0]);
        let text = |index| table.body.text(&log.data, index);
        let parsed = |index| -> Value { serde_json::from_str(&text(index).unwrap()).unwrap() };
        prop_assert_eq!(text(0).unwrap(), filled.text.clone());
        prop_assert_eq!(text(1).unwrap(), format!("{}", filled.raw));
        prop_assert_eq!(parsed(2), order_json(&filled.order));
        prop_assert_eq!(parsed(3), filled.orders.iter().map(order_json).collect::<Value>());
        prop_assert_eq!(parsed(4), filled.grid.iter().map(|pair| json!(pair.map(|n| n.to_string()))).collect::<Value>());
        // The words after five offsets.
        prop_assert_eq!(table.columns[6].place, Place::Data(5, WordType::FixedBytes(4)));
        let word: &[u8; 32] = log.data[192..].first_chunk().unwrap();
        prop_assert_eq!(alloy_primitives::I256::from_be_bytes(*word), filled.change);
    }

    /// Whatever bytes a contract emits, decoding ends, and within its limit.
    #[test]
    fn any_bytes_are_safe(words in prop::collection::vec(prop_oneof![0u64..20, 0u64..400, any::<u64>()], 0..24), cut in 0usize..32) {
        let table = &tables(&filled_abi()).unwrap()[0];
        let mut data: Vec<u8> = words.iter().flat_map(|word| alloy_primitives::U256::from(*word).to_be_bytes::<32>()).collect();
        data.truncate(data.len().saturating_sub(cut));
        for index in 0..9 {
            let text = table.body.text(&data, index);
            prop_assert!(text.is_none_or(|text| text.len() <= 64 + 8 * data.len()));
        }
    }
}

/// Nested arrays whose elements all point to the same array: 26 kB of data for a value of 100^8 numbers.
#[test]
fn a_small_log_cannot_become_a_huge_value() {
    let abi = json!([event("E", &[parameter("x", &format!("uint8{}", "[]".repeat(8)), false)])]);
    let table = &tables(&abi).unwrap()[0];
    let word = |value: u64| alloy_primitives::U256::from(value).to_be_bytes::<32>();
    let mut data = word(32).to_vec();
    for _level in 0..8 {
        data.extend(word(100));
        data.extend(std::iter::repeat_n(word(100 * 32), 100).flatten());
    }
    assert_eq!(table.body.text(&data, 0), None);
}

#[test]
fn children_are_told_by_their_creation() {
    let creation = |child| Creation { factory: Address::repeat_byte(1), topic0: B256::repeat_byte(2), child };
    let (topics, data) = ([B256::repeat_byte(2), B256::repeat_byte(3)], [4u8; 64]);
    let log = LogRef {
        block_number: 1,
        block_hash: B256::ZERO,
        block_timestamp: 0,
        transaction_hash: B256::ZERO,
        transaction_index: 0,
        log_index: 0,
        address: Address::repeat_byte(1),
        topics: &topics,
        data: &data,
    };
    let word = WordType::Address;
    assert_eq!(creation(Place::Topic(1, word)).child_of(&log), Some(Address::repeat_byte(3)));
    assert_eq!(creation(Place::Data(1, word)).child_of(&log), Some(Address::repeat_byte(4)));
    assert_eq!(creation(Place::Data(2, word)).child_of(&log), None);
    assert_eq!(creation(Place::Topic(2, word)).child_of(&log), None);
    assert_eq!(creation(Place::Data(1, word)).child_of(&LogRef { address: Address::ZERO, ..log }), None);
    assert_eq!(creation(Place::Data(1, word)).child_of(&LogRef { topics: &[], ..log }), None);
}
