use proptest::prelude::*;

use super::*;

/// A file of that header and as many zero bytes.
fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data_bytes]].concat()
}

fn entry(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

#[test]
fn tensors_are_read_as_f32() {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[8,12]},"c":{"dtype":"F16","shape":[5],"data_offsets":[12,22]}}"#;
    let mut bytes = file(header, 0);
    for number in [1.5_f32, -2.0] {
        bytes.extend(number.to_le_bytes());
    }
    for half in [0x3fc0_u16, 0xc000, 0x3e00, 0xc000, 0x0001, 0x8400, 0x7bff] {
        bytes.extend(half.to_le_bytes());
    }
    let tensors = Safetensors::parse(&bytes).expect("parses");
    assert_eq!(tensors.read("a", &[2]).expect("a"), [1.5, -2.0]);
    assert_eq!(tensors.read("b", &[1, 2]).expect("b"), [1.5, -2.0]);
    assert_eq!(tensors.read("c", &[5]).expect("c"), [1.5, -2.0, 2.0_f32.powi(-24), -(2.0_f32.powi(-14)), 65504.0]);
    assert!(tensors.read("a", &[1, 2]).expect_err("shape").contains("[2], not [1, 2]"));
    assert!(tensors.read("d", &[2]).expect_err("name").contains("d is missing"));
}

#[test]
fn lying_headers_are_refused() {
    let check = |bytes: &[u8], complaint: &str| {
        let error = Safetensors::parse(bytes).err().unwrap_or_else(|| panic!("accepted what should be {complaint:?}"));
        assert!(error.contains(complaint), "{error} is not {complaint:?}");
    };
    check(b"", "shorter than");
    check(b"1234567", "shorter than");
    check(&u64::MAX.to_le_bytes(), "a header of");
    check(&(17_u64 << 20).to_le_bytes(), "allowed");
    check(&100_u64.to_le_bytes(), "in 8 bytes");
    check(&file("{", 0), "the header");
    check(&file("[]", 0), "the header");
    check(&file(&"[".repeat(100_000), 0), "the header");
    check(&file(r#"{"t":1}"#, 0), "the header of t");
    check(&file(&entry("F32", "[2]", "[0,8]"), 4), "ends early: 4 bytes of tensors are there of 8");
    check(&file(&entry("F32", "[2]", "[8,0]"), 8), "bytes 8 to 0");
    check(&file(&entry("F32", "[-1]", "[0,8]"), 8), "the header of t");
    check(&file(&entry("F32", "[3]", "[0,8]"), 8), "does not fill");
    check(&file(&entry("F32", "[4294967296,4294967296,4294967296]", "[0,8]"), 8), "does not fill");
    check(&file(&entry("F32", "[4611686018427387904,4]", "[0,0]"), 0), "does not fill");
    check(&file(&entry("F99", "[2]", "[0,8]"), 8), "unknown type");
    check(&file(&entry("F32", "[2]", "[0,8]"), 12), "fill 8 of 12");
    check(&file(&entry("F32", "[2]", "[4,12]"), 12), "starts at byte 4");
    let twice = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    check(&file(twice, 8), "starts at byte 0, where 8 is next");
}

#[test]
fn weights_are_finite_numbers() {
    for bits in [0x7fc0_0000_u32, 0x7f80_0000, 0xff80_0000] {
        let mut bytes = file(&entry("F32", "[2]", "[0,8]"), 4);
        bytes.extend(bits.to_le_bytes());
        let error = Safetensors::parse(&bytes).expect("parses").read("t", &[2]).expect_err("not finite");
        assert!(error.contains("at 1"), "{error}");
    }
    let bytes = file(&entry("I64", "[1]", "[0,8]"), 8);
    assert!(Safetensors::parse(&bytes).expect("parses").read("t", &[1]).expect_err("type").contains("I64"));
}

proptest! {
    /// Whatever the bytes, an answer: no panic, no allocation beyond the file.
    #[test]
    fn any_bytes_are_answered(header in "\\PC{0,80}", tail in proptest::collection::vec(any::<u8>(), 0..64), length in any::<u16>()) {
        let _ = Safetensors::parse(&file(&header, tail.len()));
        let _ = Safetensors::parse(&[&u64::from(length).to_le_bytes()[..], &tail].concat());
    }

    #[test]
    fn any_entry_is_answered(shape in proptest::collection::vec(any::<u64>(), 0..4), start in any::<u64>(), end in any::<u64>()) {
        let bytes = file(&entry("F16", &format!("{shape:?}"), &format!("[{start},{end}]")), 32);
        let _ = Safetensors::parse(&bytes);
    }
}
