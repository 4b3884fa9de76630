//! Everything that touches the chain: following it into the `blocks` and `logs` tables through
//! reorganisations and finality, reading contracts, sending transactions, and the development chain.
//!
//! The crate owns the JSON-RPC transport and the transaction sender; nobody else opens a connection
//! to a node. It never reads uploads and never decides what an event means beyond its types.

pub mod conformance;
pub mod decide;
pub mod deploy;
pub mod devchain;
pub mod digest;
mod error;
pub mod events;
pub mod follow;
pub mod reader;
pub mod revert;
pub mod rpc;
pub mod sender;
pub mod source;
pub mod verify;
pub mod wake;

pub use deploy::{DeployParams, deploy_contracts};
pub use devchain::{DevChain, DevChainConfig};
pub use error::IndexerError;
pub use follow::audit::{Audit, audit};
pub use follow::{Followed, Indexer, IndexerConfig, IndexerStatus, NumberedEvent, Progress, Verify};
pub use reader::{At, ContractReader, Standing, standing};
pub use revert::Revert;
pub use rpc::{Rpc, RpcConfig, RpcStats};
pub use sender::{Allowed, Permission, PolicyViolation, Sender, SenderConfig, SenderStatus, SpendingPolicy, TxOutcome};
pub use source::{BlockId, ChainSource, HeadTag, Header, Heads, QuorumSource, RpcSource, ScriptedChain};
pub use verify::LogFilter;
pub use wake::{HeadWaker, WakeConfig};

/// What this crate's fallible functions return.
pub type Result<T> = std::result::Result<T, IndexerError>;
