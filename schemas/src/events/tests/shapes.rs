//! Which tables and columns an ABI becomes.

use super::*;
use alloy_json_abi::JsonAbi;

fn described(abi: &Value) -> String {
    let described = |table: &EventTable| {
        let columns: Vec<String> =
            table.columns.iter().map(|column| format!("{} {:?} {:?}", column.name, column.place, column.kind)).collect();
        format!("{}: {}", table.name, columns.join(", "))
    };
    tables(abi).unwrap().iter().map(described).collect::<Vec<_>>().join("; ")
}

fn names(abi: &Value) -> Vec<String> {
    tables(abi).unwrap().into_iter().map(|table| table.name).collect()
}

fn columns(inputs: &[Value]) -> Vec<String> {
    let table = tables(&json!([event("E", inputs)])).unwrap().remove(0);
    table.columns.into_iter().map(|column| column.name).collect()
}

fn transfer(name: &str, indexed: bool) -> Value {
    let inputs = [parameter("from", "address", true), parameter("to", "address", true), parameter(name, "uint256", indexed)];
    event("Transfer", &inputs)
}

/// The standards' ABIs: tables and columns.
#[test]
fn well_known_contracts_become_tables() {
    let cases = [
        (
            json!([transfer("value", false)]),
            "c_transfer: from_address Topic(1, Address) Text, to_address Topic(2, Address) Text, \
             value Data(0, Uint(256)) Text, value_decimal Data(0, Uint(256)) Decimal",
        ),
        (
            json!([event("TransferBatch", &[parameter("ids", "uint256[]", false), parameter("values", "uint256[]", false)])]),
            "c_transfer_batch: ids Body(0) Text, values_value Body(1) Text",
        ),
        (json!([event("URI", &[parameter("value", "string", true)])]), "c_uri: value_hash Topic(1, FixedBytes(32)) Text"),
        (
            json!([event(
                "Swap",
                &[parameter("tick", "int24", false), parameter("key", "bytes4", true), parameter("a", "uint160", false)]
            )]),
            "c_swap: tick Data(0, Int(24)) Int64, key Topic(1, FixedBytes(4)) Text, a Data(1, Uint(160)) Decimal",
        ),
        (
            json!([event("E", &[parameter("x", "uint8[3]", false), parameter("y", "bool", false), parameter("", "string[2]", false)])]),
            "c_e: x Body(0) Text, y Data(3, Bool) Boolean, arg2 Body(2) Text",
        ),
        (json!([event("Quiet", &[]), {"type": "event", "name": "Q", "inputs": [], "anonymous": true}]), "c_quiet: "),
        // What people leave out, and how they write types.
        (
            json!([{"type": "event", "name": "E", "inputs": [{"type": "uint", "name": null}]}]),
            "c_e: arg0 Data(0, Uint(256)) Text, arg0_decimal Data(0, Uint(256)) Decimal",
        ),
    ];
    for (abi, expected) in cases {
        assert_eq!(described(&abi), expected);
    }
}

/// What tools write about the same event: where its ABI stands in a file, and what they leave out.
#[test]
fn an_abi_is_found_in_what_tools_write() {
    let tick = || event("Tick", &[parameter("value", "uint64", false)]);
    let abi = || json!([{"type": "constructor", "inputs": []}, tick()]);
    let text = |value: &Value| value.to_string();
    let without_events = json!([{"type": "function", "name": "go", "inputs": []}]);
    let files = [
        text(&abi()),
        format!("\u{feff}{}", abi()),
        text(&json!(text(&abi()))),
        text(&json!({"contractName": "C", "abi": abi(), "bytecode": "0x"})),
        text(&json!({"abi": text(&abi())})),
        // Etherscan's getabi and getsourcecode.
        text(&json!({"status": "1", "message": "OK", "result": text(&abi())})),
        text(&json!({"status": "1", "message": "OK", "result": [{"ContractName": "C", "ABI": text(&abi()), "SourceCode": ""}]})),
        // Metadata, which Sourcify serves; solc's outputs; build-info of Hardhat and Foundry; Vyper's combined_json.
        text(&json!({"compiler": {"version": "0.8.37"}, "output": {"abi": abi(), "devdoc": {}}, "version": 1})),
        text(&json!({"contracts": {"a.sol": {"C": {"abi": abi(), "evm": {}}, "L": {"abi": without_events}}}, "sources": {}})),
        text(&json!({"contracts": {"a.sol:C": {"abi": abi()}, "a.sol:L": {"abi": "[]"}, "a.sol:M": {}}, "version": "0.8.37"})),
        text(&json!({"contracts": {"a.sol:C": {"abi": text(&abi())}}})),
        text(&json!({"id": "1", "input": {}, "output": {"contracts": {"a.sol": {"C": {"abi": abi()}}}}})),
        text(&json!({"a.vy": {"abi": abi(), "bytecode": "0x"}, "version": "0.4.0"})),
        // Null for what is not there.
        text(&json!([{"type": "event", "name": "Tick", "anonymous": null,
            "inputs": [{"name": null, "type": "uint64", "indexed": null, "components": null}]}])),
        // As Solidity has it.
        text(&json!(["function go()", "event Tick(uint64 value)", "error No()"])),
        text(&json!({"abi": ["  event Tick(uint64);"]})),
    ];
    for file in files {
        let read = Abi::parse(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let signatures: Vec<&str> = read.events().iter().map(|event| event.signature.as_str()).collect();
        assert_eq!(signatures, ["Tick(uint64)"], "{file}");
        let kept = abi_in_file(&file).unwrap();
        assert_eq!(Abi::parse(&kept.to_string()).unwrap(), read, "{file}");
        assert_eq!(Abi::parse(read.canonical().0).unwrap().events(), read.events(), "{file}");
    }
    let quiet = Abi::parse(r#"[{"type": "event", "name": "Quiet"}]"#).unwrap();
    assert_eq!(quiet.events()[0].signature, "Quiet()");
    let indexed = Abi::parse(r#"["event T(address indexed from, tuple(uint8,bytes)[] parts, uint amount)"]"#).unwrap();
    assert_eq!(indexed.events()[0].signature, "T(address,(uint8,bytes)[],uint256)");
    assert_eq!(indexed.events()[0].indexed_count(), 1);
}

/// Each case: a file, and words of the refusal.
#[test]
fn a_file_without_the_one_abi_is_refused() {
    let abi = json!([event("E", &[])]);
    let many: serde_json::Map<String, Value> = (0..30).map(|index| (format!("C{index}"), json!({"abi": abi}))).collect();
    let deep = (0..10).fold(json!([]), |inner, _| json!({"output": inner}));
    let cases = [
        (json!({"contracts": {"a.sol": {"A": {"abi": abi}, "B": {"abi": abi}}}}), "2 contracts in it have events: a.sol:A, a.sol:B;"),
        (json!({"contracts": {"a.sol:A": {"abi": abi}, "b.sol:B": {"abi": abi.to_string()}}}), "a.sol:A, b.sol:B"),
        (json!({"contracts": {"a.sol": many}}), "…"),
        (json!({"contracts": {"a.sol": {"A": {"abi": []}, "B": {"abi": []}}}}), "no event"),
        (json!({"contracts": {}, "errors": []}), "an object without an ABI"),
        (json!({"status": "0", "message": "NOTOK", "result": "Contract source code not verified"}), "not verified"),
        (deep, "so deep"),
        (json!(["event Broken(uint256"]), "event Broken(uint256"),
        (json!([format!("event E({}uint8{} x)", "(".repeat(5_000), ")".repeat(5_000))]), "nests too deep"),
    ];
    for (file, words) in cases {
        let error = Abi::parse(&file.to_string()).unwrap_err();
        assert!(matches!(error, SchemaError::BadAbi { .. }) && error.to_string().contains(words), "{words}: {error}");
    }
    let large = abi_in_file(&" ".repeat(MAX_ABI_FILE_BYTES + 1)).unwrap_err();
    assert!(large.to_string().contains("bytes"), "{large}");
}

/// A compiler writes an event once for each library that has it.
#[test]
fn identical_entries_are_one_event() {
    let shared = || event("Shared", &[parameter("x", "uint256", false)]);
    assert_eq!(names(&json!([shared(), event("Other", &[]), shared(), shared()])), ["c_other", "c_shared"]);
    // Nothing in a log tells what a parameter was called.
    assert_eq!(names(&json!([shared(), event("Shared", &[parameter("y", "uint256", false)])])), ["c_shared"]);
}

#[test]
fn events_that_differ_by_what_is_indexed_are_tables_of_their_own() {
    let both = json!([transfer("value", false), transfer("tokenId", true)]);
    let tables = tables(&both).unwrap();
    assert_eq!(tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["c_transfer_indexed2", "c_transfer_indexed3"]);
    assert!(tables.iter().all(|table| table.topic0 == tables[0].topic0));
    // The first form takes what neither is, too: a log with no topic besides the first, or one.
    let takes = |abi: &Value| self::tables(abi).unwrap().into_iter().map(|table| table.takes).collect::<Vec<_>>();
    assert_eq!(takes(&both), [Some(vec![0, 1, 2]), Some(vec![3])]);
    assert_eq!(takes(&json!([transfer("id", true), transfer("value", false)])), [Some(vec![2]), Some(vec![0, 1, 3])]);
    assert_eq!(takes(&json!([transfer("value", false), event("Other", &[])])), [None, None]);
    assert_eq!(names(&json!([transfer("tokenId", true), transfer("value", false)])), ["c_transfer_indexed2", "c_transfer_indexed3"]);
    let pair = |first, second| event("P", &[parameter("a", "bool", first), parameter("b", "bool", second)]);
    assert_eq!(names(&json!([pair(true, false), pair(false, true)])), ["c_p_indexed1_0", "c_p_indexed1_1"]);
    assert_eq!(names(&json!([pair(true, true), pair(false, false)])), ["c_p_indexed0", "c_p_indexed2"]);
}

#[test]
fn overloads_and_names_that_differ_by_case_are_tables_of_their_own() {
    let with = |name: &str, ty: &str| event(name, &[parameter("x", ty, false)]);
    assert_eq!(names(&json!([event("A", &[]), with("A", "uint8")])), ["c_a_37e081be", "c_a_f446c1d0"]);
    let spelled = names(&json!([event("fooBar", &[]), event("FooBar", &[]), event("foo_bar", &[]), event("Foo_Bar", &[])]));
    assert_eq!(spelled.len(), 4);
    assert!(spelled.iter().all(|name| name.starts_with("c_foo_bar_") && name.len() == "c_foo_bar_".len() + 8), "{spelled:?}");
    // Overloads, one of which has two forms; and an event that is called as another's table would be.
    let all = json!([transfer("value", false), transfer("id", true), with("Transfer", "bytes"), event("Transfer_ddf252ad_indexed2", &[])]);
    let mut names = names(&all);
    assert!(names.contains(&"c_transfer_ddf252ad_indexed3".to_owned()), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
}

/// Names without a letter that SQL reads, and longer than anybody types.
#[test]
fn every_event_has_a_table() {
    let long = "E".repeat(300);
    let abi = json!([event("数量", &[]), event("$", &[]), event("größe", &[]), event(&long, &[]), event(&format!("{long}F"), &[])]);
    let names = names(&abi);
    let is_plain = |name: &String| name.bytes().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_');
    assert!(names.iter().all(|name| is_plain(name) && name.len() < 90), "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 5, "{names:?}");
    assert!(names.contains(&"c_gr__e".to_owned()), "{names:?}");
}

#[test]
fn every_parameter_has_a_column() {
    let of = |names: &[&str]| columns(&names.iter().map(|name| parameter(name, "bool", false)).collect::<Vec<_>>());
    assert_eq!(of(&["fooBar", "foo_bar", "FOO_BAR", "FooBar"]), ["foo_bar", "foo_bar_1", "foo_bar_2", "foo_bar_3"]);
    assert_eq!(of(&["", "", "arg0", "_"]), ["arg0", "arg1", "arg0_2", "arg3"]);
    assert_eq!(of(&["blockNumber", "decoded", "contract", "x"]), ["block_number_value", "decoded_value", "contract_value", "x"]);
    assert_eq!(of(&["x", "数", "a;b", "a b"]), ["x", "arg1", "a_b", "a_b_3"]);
    let twins = [parameter("v", "uint256", false), parameter("v_decimal", "bool", false), parameter("V", "int256", false)];
    assert_eq!(columns(&twins), ["v", "v_decimal", "v_2", "v_decimal_3", "v_2_decimal"]);
}

/// Thousands of events, half of which share their names with others.
#[test]
fn thousands_of_events_are_read() {
    let events: Vec<Value> = (0..3000)
        .map(|index| event(&format!("Event{}", index / 2), &[parameter("x", if index % 2 == 0 { "uint256" } else { "bool" }, false)]))
        .collect();
    let names = names(&json!(events));
    assert_eq!(names.len(), 3000);
    assert!(names.is_sorted_by(|a, b| a < b));
}

/// Each case: an ABI, and words that name the item. A file that is no ABI is refused; an event that cannot be read is left
/// out, and refused where no other is there.
#[test]
fn what_cannot_be_read_is_named() {
    let of_type = |ty: &str| json!([event("E", &[parameter("x", ty, false)])]);
    let indexed: Vec<Value> = (0..4).map(|index| parameter(&format!("p{index}"), "bool", true)).collect();
    let parameters: Vec<Value> = (0..65).map(|index| parameter(&format!("p{index}"), "bool", false)).collect();
    let refused = [(json!(3), "neither"), (json!({"abi": 3}), "neither"), (json!([]), "no event"), (json!([{"name": "E"}]), "no event")];
    let left_out = [
        (json!([{"type": "event", "name": "Q", "inputs": [], "anonymous": true}]), "\"Q\"): it is anonymous"),
        (json!([{"type": "event", "name": "E", "inputs": 3}]), "item 0 (event \"E\"): invalid type"),
        (json!([{"type": "event", "inputs": []}]), "item 0 (event \"\")"),
        (json!([{"type": "event", "name": "E", "inputs": [{"name": "x"}]}]), "missing field `type`"),
        (json!([event("E(uint8)", &[])]), "no name"),
        (json!([event("E", &indexed)]), "4 indexed"),
        (json!([event("E", &parameters)]), "65 parameters"),
        (of_type("uint7"), "uint7"),
        (of_type("uint264"), "uint264"),
        (of_type("uint08"), "uint08"),
        (of_type("bytes33"), "bytes33"),
        (of_type("fixed168x10"), "fixed168x10"),
        (of_type("uint8[0]"), "length"),
        (of_type("uint8]"), "uint8]"),
        (of_type("uint8[4096][2]"), "words"),
        (of_type(&format!("uint8{}", "[]".repeat(9))), "deeper"),
        (of_type("tuple"), "components"),
    ];
    for (abi, words) in refused.iter().chain(&left_out) {
        let error = tables(abi).unwrap_err();
        assert!(matches!(error, SchemaError::BadAbi { .. }) && error.to_string().contains(words), "{words}: {error}");
    }
    for (abi, words) in left_out {
        let beside = json!([abi[0], event("Other", &[])]);
        let read = Abi::parse(&beside.to_string()).unwrap();
        assert_eq!(read.events().len(), 1);
        assert!(read.left_out()[0].contains(words), "{words}: {:?}", read.left_out());
        assert_eq!(Abi::parse(read.canonical().0).unwrap().events(), read.events(), "what is kept is what was read");
    }
    let error = Abi::parse(&" ".repeat(MAX_ABI_BYTES + 1)).unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
    assert!(Abi::parse("[").unwrap_err().to_string().contains("not JSON"));
}

fn type_strategy() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        (1u16..=32).prop_map(|bytes| format!("uint{}", 8 * bytes)),
        (1u16..=32).prop_map(|bytes| format!("int{}", 8 * bytes)),
        (1u16..=32).prop_map(|bytes| format!("bytes{bytes}")),
        prop::sample::select(vec!["address", "bool", "function", "string", "bytes"]).prop_map(str::to_owned),
    ];
    let array = prop::collection::vec(prop::option::of(1u8..4), 0..3);
    let suffix = |sizes: &[Option<u8>]| sizes.iter().map(|size| size.map_or("[]".into(), |size| format!("[{size}]"))).collect::<String>();
    let leaf = (word, array.clone()).prop_map(move |(word, sizes)| json!({"name": "x", "type": format!("{word}{}", suffix(&sizes))}));
    leaf.prop_recursive(2, 12, 3, move |inner| {
        (prop::collection::vec(inner, 1..4), array.clone())
            .prop_map(move |(parts, sizes)| json!({"name": "t", "type": format!("tuple{}", suffix(&sizes)), "components": parts}))
    })
}

proptest! {
    /// Signature and topic are those that alloy gives the same ABI.
    #[test]
    fn signatures_agree_with_alloy(inputs in prop::collection::vec(type_strategy(), 0..5)) {
        let inputs: Vec<Value> = inputs.into_iter().map(|mut input| { input["indexed"] = json!(false); input }).collect();
        let abi = json!([{"type": "event", "name": "Made", "inputs": inputs, "anonymous": false}]);
        let theirs: JsonAbi = serde_json::from_value(abi.clone()).unwrap();
        let theirs = theirs.events().next().unwrap();
        let ours = Abi::parse(&abi.to_string()).unwrap();
        prop_assert_eq!(&ours.events()[0].signature, &theirs.signature());
        prop_assert_eq!(ours.events()[0].topic0(), theirs.selector());
    }
}
