//! Ids are content hashes, never row numbers: the same content has the same id on every machine.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::SchemaError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub B256);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = SchemaError;
            fn from_str(text: &str) -> Result<Self, SchemaError> {
                parse_b256($kind, text).map(Self)
            }
        }
        impl From<B256> for $name {
            fn from(value: B256) -> Self {
                Self(value)
            }
        }
        impl From<$name> for B256 {
            fn from(value: $name) -> B256 {
                value.0
            }
        }
    };
}

id!(
    /// A Datanet: `keccak256(abi.encode(owner, keccak256(name)))`, as `DatanetRegistry` computes it.
    DatanetId, "datanet id"
);
id!(
    /// One signed upload of files by one contributor.
    SubmissionId, "submission id"
);
id!(
    /// One file of one submission.
    DocumentId, "document id"
);
id!(
    /// One byte range of one file, with the text read from it: the identity of an occurrence.
    ChunkId, "chunk id"
);
id!(
    /// One curator's decision: the digest that the curator signed.
    ReviewId, "review id"
);
id!(
    /// One answer, and the receipt that goes with it.
    AnswerId, "answer id"
);

/// A sha256 digest: the name of bytes at rest (blobs, model files).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sha256(pub B256);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({:x})", self.0)
    }
}

impl FromStr for Sha256 {
    type Err = SchemaError;
    fn from_str(text: &str) -> Result<Self, SchemaError> {
        parse_b256("sha256", text).map(Self)
    }
}

/// Parses 64 hexadecimal digits with or without `0x`.
pub fn parse_b256(kind: &'static str, text: &str) -> Result<B256, SchemaError> {
    let bad = || SchemaError::BadId { kind, value: text.chars().take(80).collect(), expected: "64 hexadecimal digits" };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() != 64 {
        return Err(bad());
    }
    digits.parse().map_err(|_| bad())
}

/// Parses an address that somebody typed: 40 hexadecimal digits with or without `0x`. In upper and lower case it carries a
/// checksum (EIP-55), which must be right.
pub fn parse_address(text: &str) -> Result<Address, SchemaError> {
    let bad = |expected| SchemaError::BadId { kind: "address", value: text.chars().take(80).collect(), expected };
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X")).unwrap_or(text);
    let address: Address = match digits.len() {
        40 => digits.parse().map_err(|_| bad("0x and 40 hexadecimal digits"))?,
        _ => return Err(bad("0x and 40 hexadecimal digits")),
    };
    let has = |is: fn(&u8) -> bool| digits.as_bytes().iter().any(is);
    let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    if is_mixed && address.to_checksum(None).strip_prefix("0x") != Some(digits) {
        return Err(bad("another one: its letters' case is a checksum (EIP-55), which is wrong; look for a mistyped digit"));
    }
    Ok(address)
}

/// Reading addresses that people wrote into JSON or a configuration, as [`parse_address`] does.
pub mod typed_address {
    use super::{Address, parse_address};
    use serde::{Deserialize, Deserializer, de::Error};

    /// For `deserialize_with`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        parse_address(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }

    /// The same for several.
    pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Address>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| parse_address(text).map_err(D::Error::custom)).collect()
    }

    /// The same where there may be none.
    pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| parse_address(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let id = ChunkId(B256::repeat_byte(0xab));
        assert_eq!(id.to_string(), format!("0x{}", "ab".repeat(32)));
        assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
        assert_eq!("ab".repeat(32).parse::<ChunkId>().unwrap(), id);
        for bad in ["", "0x", "0x12", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(bad.parse::<ChunkId>().is_err(), "{bad}");
        }
        assert!(parse_address("0x12").is_err());
    }

    /// Addresses of EIP-55 itself; one digit's case, or one digit, changed is a typing error.
    #[test]
    fn a_wrong_checksum_is_a_typing_error() {
        for right in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
        ] {
            let address = parse_address(right).unwrap();
            assert_eq!(address.to_checksum(None).to_lowercase(), right.to_lowercase());
            for other in
                [right.to_lowercase(), right[2..].to_owned(), right[2..].to_uppercase(), format!("0x{}", right[2..].to_uppercase())]
            {
                assert_eq!(parse_address(&other).unwrap(), address, "{other}");
            }
        }
        for wrong in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee",
            "0x4842ae6205fB6BDA74a8B390a69c7a7b3E945307",
            "0xfb6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        ] {
            let error = parse_address(wrong).unwrap_err().to_string();
            assert!(error.contains("checksum"), "{wrong}: {error}");
        }
    }
}
