//! Ids are content hashes, never row numbers: the same content has the same id on every machine.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::B256;
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

/// Parses an address: 40 hexadecimal digits with or without `0x`, in any case.
pub fn parse_address(text: &str) -> Result<alloy_primitives::Address, SchemaError> {
    text.parse().map_err(|_| SchemaError::BadId {
        kind: "address",
        value: text.chars().take(80).collect(),
        expected: "0x and 40 hexadecimal digits",
    })
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
}
