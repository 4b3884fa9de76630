//! What the outbox remembers, as it stands in the file.

use schemas::alloy_primitives::Bytes;
use schemas::tables::{Millis, Wei};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};

/// What a transaction does, without the nonce, the fees and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    /// Absent for the creation of a contract.
    pub(crate) to: Option<Address>,
    pub(crate) calldata: Bytes,
    /// wei
    pub(crate) value: U256,
}

/// Why a signed transaction exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// A caller wants its effect.
    Action,
    /// It does nothing but use up its nonce, so that what comes after can go on.
    Cancellation,
}

/// One signed transaction. Those with the same nonce are versions of which the chain takes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) nonce: u64,
    pub(crate) hash: B256,
    pub(crate) role: Role,
    /// For people: the function's signature.
    pub(crate) purpose: String,
    pub(crate) content: Content,
    pub(crate) gas_limit: u64,
    pub(crate) max_fee_per_gas: Wei,
    pub(crate) max_priority_fee_per_gas: Wei,
    /// The version before it, with lower fees.
    pub(crate) replaces: Option<B256>,
    pub(crate) signed_at: Millis,
    /// The newest block when it was signed.
    pub(crate) signed_at_block: u64,
    pub(crate) raw: Bytes,
}

impl Version {
    /// The most that its gas can cost, in wei. An OP-Stack chain adds the fee of its data, which no
    /// field of the transaction limits.
    pub(crate) fn worst_fee_wei(&self) -> u128 {
        self.max_fee_per_gas.0.saturating_mul(self.gas_limit.into())
    }
}

/// A version in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inclusion {
    pub(crate) hash: B256,
    pub(crate) block_number: u64,
    pub(crate) block_hash: B256,
    pub(crate) succeeded: bool,
    pub(crate) contract_address: Option<Address>,
    pub(crate) gas_used: u64,
    /// What it cost, the fee for its data included.
    pub(crate) fee: Wei,
}

/// Why a transaction is no longer offered to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Parked {
    /// The node would not take it.
    Refused,
    /// Its nonce is used, by none of our versions.
    NonceTaken,
    /// It had reverted, and its block was reorganised away. Its caller knows it as failed, so it must not succeed now.
    Undone,
}

/// Which queue a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) format: u32,
    pub(crate) chain_id: u64,
    pub(crate) account: Address,
    /// Hash of block 0, or of a development chain's mark: those chains share their id.
    pub(crate) genesis: B256,
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Opened(Identity),
    /// Written before the transaction is sent.
    Signed(Box<Version>),
    Parked {
        nonce: u64,
        why: Parked,
    },
    /// Offered again after it was parked, or after its block was reorganised away: this version of it.
    Reopened {
        nonce: u64,
        hash: B256,
    },
    Included {
        nonce: u64,
        inclusion: Inclusion,
    },
    Final {
        nonce: u64,
    },
    /// Another sender's transaction with this nonce is final.
    Foreign {
        nonce: u64,
    },
    /// What is left of a finished transaction: its part of the day's limits.
    Spent(Spent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spent {
    pub(crate) signed_at: Millis,
    pub(crate) fee: Wei,
}
