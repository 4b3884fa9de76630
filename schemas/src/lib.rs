//! The shared vocabulary of Headwater: ids, canonical hashing, Merkle trees, receipts, signed
//! messages, contract bindings, and the Arrow schema of every table.
//!
//! Everything here is a pure function of its input: no I/O, nothing async. It is the one crate
//! that knows Arrow and alloy's types; the others use them through [`arrow`] and [`alloy_primitives`].

pub mod allocation;
pub mod canonical;
pub mod contracts;
mod error;
pub mod events;
pub mod followed;
pub mod hashing;
pub mod ids;
pub mod leaves;
pub mod merkle;
pub mod receipt;
pub mod said;
pub mod signed;
pub mod signer;
pub mod tables;
pub mod words;

pub use alloy_primitives;
pub use alloy_primitives::{Address, B256, U256};
pub use alloy_sol_types;
pub use arrow;
pub use error::SchemaError;
