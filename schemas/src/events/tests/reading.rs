//! What is read of a log.

use super::*;
use alloy_primitives::{I256, U256};

fn table(inputs: &[Value]) -> EventTable {
    tables(&json!([event("E", inputs)])).unwrap().remove(0)
}

/// Each type: words that are values of it, with their text, and words that are none.
#[test]
fn a_word_is_a_value_only_if_its_type_has_it() {
    let unsigned = |value: U256| value.to_be_bytes::<32>();
    let signed = |value: I256| value.to_be_bytes::<32>();
    let two = U256::from(2);
    let power = |exponent: u64| two.pow(U256::from(exponent));
    let mut left = [0; 32];
    left[..4].copy_from_slice(&[1, 2, 3, 4]);
    let cases = [
        (WordType::Uint(64), vec![(unsigned(power(64) - U256::from(1)), "18446744073709551615")], vec![unsigned(power(64))]),
        (WordType::Uint(8), vec![(unsigned(U256::from(255)), "255")], vec![unsigned(U256::from(256))]),
        (
            WordType::Uint(256),
            vec![(unsigned(U256::MAX), "115792089237316195423570985008687907853269984665640564039457584007913129639935")],
            vec![],
        ),
        (
            WordType::Int(256),
            vec![
                (signed(I256::MIN), "-57896044618658097711785492504343953926634992332820282019728792003956564819968"),
                (signed(I256::MAX), "57896044618658097711785492504343953926634992332820282019728792003956564819967"),
            ],
            vec![],
        ),
        (
            WordType::Int(8),
            vec![(signed(I256::try_from(-128).unwrap()), "-128"), (signed(I256::try_from(127).unwrap()), "127")],
            vec![signed(I256::try_from(-129).unwrap()), signed(I256::try_from(128).unwrap())],
        ),
        (WordType::Bool, vec![(unsigned(U256::from(1)), "true"), ([0; 32], "false")], vec![unsigned(two), [1; 32]]),
        (WordType::Address, vec![(unsigned(U256::from(1)), "0x0000000000000000000000000000000000000001")], vec![[1; 32]]),
        (WordType::FixedBytes(4), vec![(left, "0x01020304")], vec![unsigned(U256::from(1))]),
    ];
    for (kind, values, others) in cases {
        for (word, text) in values {
            assert!(kind.holds(&word), "{kind:?} {text}");
            assert_eq!(kind.text(&word), text, "{kind:?}");
        }
        assert!(others.iter().all(|word| !kind.holds(word)), "{kind:?}");
    }
}

/// Data of another length, words that are no values, and another number of topics than the ABI says.
#[test]
fn a_log_that_is_not_what_its_abi_says_does_not_decode() {
    let table = table(&[parameter("a", "bool", true), parameter("b", "uint8", false), parameter("c", "string", false)]);
    let word = |value: u64| U256::from(value).to_be_bytes::<32>();
    let data = [word(7), word(64), word(2), *b"hi______________________________"].concat();
    let topic = word(1);
    assert!(table.decodes(&[&topic], &data));
    assert!(table.decodes(&[&topic], &[data.clone(), vec![0; 5]].concat()), "more than is read");
    for cut in 0..data.len() - 30 {
        assert!(!table.decodes(&[&topic], &data[..cut]), "{cut} bytes");
    }
    assert!(!table.decodes(&[], &data) && !table.decodes(&[&topic, &topic], &data));
    assert!(!table.decodes(&[&word(2)], &data));
    assert!(!table.decodes(&[&topic], &[word(256), word(64), word(2), word(0)].concat()));
    assert!(!table.decodes(&[&topic], &[word(7), word(64), word(u64::MAX), word(0)].concat()));
    assert!(!table.decodes(&[&topic], &[&word(7)[..], &word(64), &word(2), &[0xff; 32]].concat()), "no text");
}
