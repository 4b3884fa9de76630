//! What can be wrong with a value that crosses this crate's border.

/// The article that `noun` takes.
fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// A value that does not have the form that its format demands.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Text that is not an id, hash or address.
    #[error("{value:?} is not {} {kind}: expected {expected}", article(kind))]
    BadId { kind: &'static str, value: String, expected: &'static str },
    /// A record batch that is not one of the table it was read as.
    #[error("table {table}, column {column}: {problem}")]
    BadColumn { table: &'static str, column: String, problem: String },
    /// A signature that is malformed or was not made by the one who claims it.
    #[error("{0}")]
    BadSignature(String),
    /// A value that canonical JSON does not admit.
    #[error("canonical JSON: {0}")]
    NotCanonical(String),
    /// A receipt whose parts contradict each other.
    #[error("receipt: {0}")]
    BadReceipt(String),
    /// An amount outside the range that its column or contract admits.
    #[error("amount out of range: {0}")]
    AmountOutOfRange(String),
    /// An ABI, or one of its events, that cannot be followed.
    #[error("ABI: {item}: {problem}")]
    BadAbi { item: String, problem: String },
    /// A contract that cannot be followed as it is described.
    #[error("contract {name:?}: {problem}")]
    BadContract { name: String, problem: String },
    /// A Merkle tree or proof that cannot exist.
    #[error("merkle: {0}")]
    BadTree(String),
}
