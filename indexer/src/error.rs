//! What can go wrong with the chain, by what the caller can do about it.

use std::path::PathBuf;

use schemas::{Address, B256, SchemaError, U256};
use store::StoreError;

use crate::revert::Revert;
use crate::sender::PolicyViolation;

/// Chain errors. URLs in them are cut down to scheme, host and port, because paths often hold API keys.
#[derive(Debug, thiserror::Error)]
pub enum IndexerError {
    /// The node did not answer; the bounded retries are used up. Try again later.
    #[error("cannot reach the node at {url} ({method}): {problem}")]
    RpcUnreachable { url: String, method: &'static str, problem: String },
    /// The node wants fewer requests; the bounded retries are used up. Ask less often.
    #[error("the node at {url} limits the rate of {method}: {problem}")]
    RpcRateLimited { url: String, method: &'static str, problem: String },
    /// The node took too long; the bounded retries are used up. Ask for less, or later. Whether a
    /// transaction that was sent so arrived is unknown.
    #[error("the node at {url} did not answer {method} in time: {problem}")]
    RpcTimeout { url: String, method: &'static str, problem: String },
    /// The request is over a limit of the node, or its answer over ours. Ask for less: a smaller range,
    /// or fewer requests in one batch.
    #[error("{method} asks for too much at once: {message}")]
    RangeTooLarge {
        method: &'static str,
        message: String,
        /// Blocks in a range that the node would take, where it says so. A hint: ask for less than this too if it fails.
        max_blocks: Option<u64>,
    },
    /// The node answered with an error of its own.
    #[error("the node refused {method}: {message} (code {code})")]
    RpcRefused { method: &'static str, code: i64, message: String, data: Option<String> },
    /// The node's answer is not what the method returns.
    #[error("the node's answer to {method}{} cannot be read: {problem}", about(.blocks))]
    RpcMalformed {
        method: &'static str,
        /// Which block or blocks were asked for, where it was about some.
        blocks: Option<String>,
        problem: String,
    },
    /// An address that cannot be a node's.
    #[error("node address {url:?}: {problem}; expected http://host:port or https://host/path")]
    BadUrl { url: String, problem: String },
    /// The node does not know a block that was asked for: it is behind, or the block was reorganised away.
    #[error("the node does not know block {block}; it is behind or the block was reorganised away")]
    BlockUnknown { block: String },
    /// Answers of the node contradict each other, as when nodes behind one address disagree. Nothing
    /// was written; read again.
    #[error("the node contradicts itself at block {block}: {problem}")]
    Inconsistent { block: u64, problem: String },
    /// Nodes that are checked against each other have different blocks at one height. Nothing was
    /// written; read again, and if it lasts, find out which node is on the wrong chain.
    #[error("nodes disagree about block {number}: {first_url} has {first_hash:#x} and {second_url} has {second_hash:#x}")]
    NodesDisagree { number: u64, first_url: String, first_hash: B256, second_url: String, second_hash: B256 },

    /// A contract numbers its events, and one of them is not there: the node left out logs. Nothing was
    /// written; read again, from another node if it stays.
    #[error("events of {contract} are missing before block {block}: number {found} follows {held}; the node leaves out logs")]
    EventsMissing { contract: Address, block: u64, held: u64, found: u64 },

    /// The node serves another chain than the one that is followed.
    #[error("the node serves chain {found} instead of {expected}; check the configured node address")]
    WrongChain { expected: u64, found: u64 },
    /// The chain changed below what was final. Nothing was changed in the tables; a person must decide.
    #[error(
        "block {number} was final with hash {stored:#x}, but the chain now has {found:#x} there; indexing is halted and the tables \
         are untouched: check that the node is on the right chain, or start with an empty data folder"
    )]
    ReorgBelowFinalized { number: u64, stored: B256, found: B256 },
    /// The stored blocks are not what this indexer would have written.
    #[error("the stored blocks do not fit: {problem}; use the data folder they belong to, or an empty one")]
    StoredChainBroken { problem: String },

    /// A contract refused a call or transaction.
    #[error("{to} refused {action}: {revert}")]
    Reverted { to: String, action: &'static str, revert: Revert },
    /// There is no contract at an address at which one was called.
    #[error("no contract at {address} at block {at}; check the configured deployment")]
    NoContract { address: Address, at: String },
    /// A transaction is still on its way into a block. Look for its effect on chain; asking for the
    /// same again goes on waiting for it.
    #[error(
        "transaction {hash:#x} (nonce {nonce}) is not included after {waited_ms} ms; it is still on its way: look for its effect on \
         chain before asking again"
    )]
    TransactionUnknown { hash: B256, nonce: u64, waited_ms: u64 },
    /// Another transaction with its nonce is in a block. Look for the effect on chain before asking again.
    #[error("nonce {nonce} of {account} was used by another transaction; nobody else may send with this key")]
    NonceTaken { account: Address, nonce: u64 },
    /// A stuck transaction had become impossible; one that does nothing took its place. Ask again if it is still wanted.
    #[error("the transaction with nonce {nonce} had become impossible and was cancelled by {hash:#x}")]
    TransactionCancelled { hash: B256, nonce: u64 },
    /// An earlier transaction of the account is still not in a block; nothing was sent.
    #[error("an earlier transaction of {account} is not included after {waited_ms} ms; nothing was sent")]
    QueueBusy { account: Address, waited_ms: u64 },
    /// The account's limits forbid it; nothing was signed.
    #[error("the spending policy refuses a transaction: {0}; nothing was signed")]
    Policy(#[from] PolicyViolation),
    /// Another process sends for this account.
    #[error("another process is sending for {account} (it holds {}); wait for it, or end it", .path.display())]
    OutboxLocked { account: Address, path: PathBuf },
    /// The file of signed transactions cannot be used. Nothing is sent without it.
    #[error("the outbox {}: {problem}", .path.display())]
    Outbox { path: PathBuf, problem: String },
    /// The node would not take a transaction; it was not sent.
    #[error("transaction not sent: {problem}")]
    Transaction { problem: String },
    /// The account cannot pay for the gas, and for what it sends. Nothing was signed; give it some.
    #[error("transaction not sent: {account} holds {balance_wei} wei for gas, and it may cost up to {needed_wei} wei")]
    Unfunded { account: Address, balance_wei: U256, needed_wei: U256 },
    /// Gas costs more than the configuration allows; nothing was sent.
    #[error("the base fee of {base_fee_wei} wei is above the cap of {cap_wei} wei; wait, or raise the cap")]
    FeeAboveCap { base_fee_wei: u128, cap_wei: u128 },

    /// A stored log is not the event that its topic says.
    #[error("log {log_index} of block {block} is not the event {event}: {problem}")]
    EventUndecodable { event: &'static str, block: u64, log_index: u64, problem: String },

    /// anvil, which the development chain runs on, is not installed.
    #[error(
        "anvil was not found (looked at {searched}); run `make setup` in the repository, or name it in the configuration (chain.anvil)"
    )]
    AnvilMissing { searched: String },
    /// The development chain did not come up or went down.
    #[error("development chain: {problem}")]
    DevChain { problem: String },

    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

fn about(blocks: &Option<String>) -> String {
    blocks.as_ref().map(|blocks| format!(" for {blocks}")).unwrap_or_default()
}

impl IndexerError {
    /// Whether the same step may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RpcUnreachable { .. }
            | Self::RpcRateLimited { .. }
            | Self::RpcTimeout { .. }
            | Self::RangeTooLarge { .. }
            | Self::RpcRefused { .. }
            | Self::RpcMalformed { .. }
            | Self::BlockUnknown { .. }
            | Self::Inconsistent { .. }
            | Self::EventsMissing { .. }
            | Self::NodesDisagree { .. }
            | Self::TransactionUnknown { .. }
            | Self::NonceTaken { .. }
            | Self::TransactionCancelled { .. }
            | Self::QueueBusy { .. }
            | Self::OutboxLocked { .. }
            | Self::FeeAboveCap { .. } => true,
            Self::Store(error) => {
                matches!(error, StoreError::Conflict(_) | StoreError::Unknown { .. } | StoreError::Storage(_) | StoreError::Full(_))
            }
            _ => false,
        }
    }
}
