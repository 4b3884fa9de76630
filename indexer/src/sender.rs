//! Sending transactions: one account, one queue, one transaction at a time on its way into a block.
//!
//! A transaction is estimated first, so that a refusal costs nothing and comes with the contract's
//! reason; checked against the [`SpendingPolicy`]; signed; written to the outbox and onto the disk; and
//! only then sent. From there it is followed until it is final: the same bytes are offered again while
//! it waits and when its block is reorganised away, a stuck one is replaced by one with the same
//! nonce and higher fees, and after a crash the next start goes on where this one stopped. Of all
//! versions of a nonce the chain takes one.
//!
//! A caller gets a receipt, a typed refusal, or "unknown": then the transaction is still on its way,
//! and asking for the same again waits for it instead of sending a second one. A caller that was told
//! that its transaction failed is never surprised by it later, except by a node that had it all along;
//! so callers look at the chain before they ask again, and contracts refuse repetitions.
//!
//! The key never leaves the [`Signer`]. Nothing here decides what is worth sending.

mod counters;
mod fees;
mod node;
mod outbox;
mod policy;
mod progress;
mod queue;
mod submit;
mod tend;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use schemas::alloy_primitives::{Bytes, Signature, TxKind, U64};
use schemas::alloy_sol_types::SolCall;
use schemas::signer::Signer;
use schemas::tables::{Millis, Wei};
use schemas::{Address, B256, U256};
use serde_json::json;
use tokio::sync::Mutex;

pub use counters::SenderStatus;
pub use policy::{Action, Allowed, Permission, PolicyViolation, SpendingPolicy};

use crate::rpc::{Rpc, RpcConfig};
use crate::{IndexerError, Result};
use counters::Counters;
use fees::Fees;
use node::{Head, Node};
use outbox::{Content, Lock, Outbox, Role, Version};
use queue::Queue;

/// Limits of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    pub rpc: RpcConfig,
    pub policy: SpendingPolicy,
    /// The folder of the outbox, one file per chain and account. Without one, what was sent is
    /// forgotten with the sender: for tests.
    pub outbox_dir: Option<PathBuf>,
    /// How long another process that sends for the account is waited for.
    pub lock_timeout_ms: u64,
    /// How long a caller waits for its turn and the receipt.
    pub receipt_timeout_ms: u64,
    pub receipt_poll_ms: u64,
    /// While there is no receipt, the transaction is offered to the node again this often.
    pub rebroadcast_ms: u64,
    /// A transaction is replaced by one with higher fees after this time and this many blocks without it.
    pub replace_after_ms: u64,
    pub replace_after_blocks: u64,
    /// A used nonce without a receipt is believed to be another sender's after this time: nodes behind
    /// one address may be apart by a few blocks.
    pub missing_receipt_ms: u64,
    /// What is in a block is looked at this often until it is final.
    pub tend_ms: u64,
    /// Added to the node's estimate of gas.
    pub gas_margin_percent: u64,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            rpc: RpcConfig::default(),
            policy: SpendingPolicy::default(),
            outbox_dir: None,
            lock_timeout_ms: 5_000,
            receipt_timeout_ms: 120_000,
            receipt_poll_ms: 100,
            rebroadcast_ms: 5_000,
            replace_after_ms: 20_000,
            replace_after_blocks: 3,
            missing_receipt_ms: 3_000,
            tend_ms: 2_000,
            gas_margin_percent: 25,
        }
    }
}

impl SenderConfig {
    /// The defaults, with a place for the outbox.
    pub fn with_outbox(folder: PathBuf) -> Self {
        Self { outbox_dir: Some(folder), ..Self::default() }
    }
}

/// A transaction that is in a block and did not revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxOutcome {
    pub hash: B256,
    pub block_number: u64,
    pub block_hash: B256,
    /// Where the new contract is, for a deployment.
    pub contract_address: Option<Address>,
    /// Units of gas.
    pub gas_used: u64,
}

/// The only sender of one account's transactions.
#[derive(Debug)]
pub struct Sender {
    node: Node,
    signer: Arc<dyn Signer>,
    chain_id: u64,
    config: SenderConfig,
    counters: Counters,
    /// Held from a caller's turn to its receipt.
    queue: Mutex<Queue>,
}

/// A transaction without nonce and fees.
#[derive(Debug)]
struct Draft {
    role: Role,
    purpose: String,
    content: Content,
    gas_limit: u64,
}

impl Sender {
    /// Connects, asks for the chain id, which every signature is bound to, and goes on with what the
    /// outbox says is unfinished.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`], [`IndexerError::OutboxLocked`] when another process sends for this
    /// account, [`IndexerError::Outbox`] when the outbox cannot be read, and what the node says.
    pub async fn connect(url: &str, signer: impl Signer + 'static, config: SenderConfig) -> Result<Self> {
        let rpc = Rpc::connect(url, config.rpc.clone())?;
        let chain_id: U64 = rpc.request("eth_chainId", json!([])).await?;
        let (chain_id, account) = (chain_id.to(), signer.address());
        let outbox = match &config.outbox_dir {
            None => Outbox::in_memory(),
            Some(folder) => {
                let lock = Lock::take(folder, chain_id, account, Duration::from_millis(config.lock_timeout_ms)).await?;
                Outbox::open(lock, chain_id, account, Node::genesis(&rpc).await?, Millis::now())?
            }
        };
        let node = Node { rpc, account };
        let queue = Mutex::new(Queue::new(outbox));
        let sender = Self { node, signer: Arc::new(signer), chain_id, config, counters: Counters::default(), queue };
        match sender.tend().await {
            Err(error) if !error.is_transient() => Err(error),
            Err(error) => {
                tracing::warn!(%error, account = %account, "unfinished transactions are looked up later");
                Ok(sender)
            }
            Ok(()) => Ok(sender),
        }
    }

    pub fn address(&self) -> Address {
        self.signer.address()
    }

    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    pub fn status(&self) -> SenderStatus {
        self.counters.snapshot()
    }

    /// Calls a contract function in a transaction; see [`Sender::send`].
    pub async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<TxOutcome> {
        let content = Content { to: Some(to), calldata: call.abi_encode().into(), value: U256::ZERO };
        self.submit(C::SIGNATURE.to_owned(), content).await
    }

    /// Units of gas that a call would be sent with now: the node's estimate with the margin.
    ///
    /// # Errors
    /// [`IndexerError::Reverted`], [`IndexerError::Transaction`] when the node will not say.
    pub async fn estimate<C: SolCall>(&self, to: Address, call: &C) -> Result<u64> {
        self.gas_limit(&Content { to: Some(to), calldata: call.abi_encode().into(), value: U256::ZERO }).await
    }

    /// Sends a transaction and waits for its receipt. Without `to` it deploys the code in `calldata`.
    /// `value` is in wei. Waits for transactions that others send through this sender. If the same
    /// transaction is on its way already, that one is waited for.
    ///
    /// # Errors
    /// [`IndexerError::Policy`], [`IndexerError::FeeAboveCap`], [`IndexerError::Unfunded`], [`IndexerError::QueueBusy`] and
    /// [`IndexerError::Transaction`] when nothing was sent; [`IndexerError::Reverted`] before sending or
    /// in the block; [`IndexerError::TransactionUnknown`] while it is on its way;
    /// [`IndexerError::NonceTaken`] and [`IndexerError::TransactionCancelled`] when it is not any more.
    pub async fn send(&self, to: Option<Address>, calldata: Bytes, value: U256) -> Result<TxOutcome> {
        let content = Content { to, calldata, value };
        self.submit(policy::describe(&content), content).await
    }

    /// Brings unfinished transactions further, now and then: what was reorganised away is sent again,
    /// what is stuck is replaced, what is final is forgotten. Returns at once while a caller waits for a
    /// transaction, which does the same.
    ///
    /// # Errors
    /// Those of the node, and [`IndexerError::Outbox`]; call it again.
    pub async fn tend(&self) -> Result<()> {
        let Ok(mut queue) = self.queue.try_lock() else { return Ok(()) };
        let due = queue.tended_at.is_none_or(|at| at.elapsed() >= Duration::from_millis(self.config.tend_ms));
        if due { self.advance(&mut queue).await } else { Ok(()) }
    }

    /// The node's estimate with some room.
    async fn gas_limit(&self, content: &Content) -> Result<u64> {
        let gas = self.node.estimate(content).await?;
        Ok(gas.saturating_add(gas / 100 * self.config.gas_margin_percent))
    }

    async fn suggested_fees(&self, head: Head) -> Result<Fees> {
        fees::suggested(head.base_fee_wei, self.node.tip_wei().await?, self.config.policy.max_fee_per_gas_wei)
    }

    fn signed(&self, draft: &Draft, nonce: u64, fees: Fees, head: Head, replaces: Option<B256>) -> Result<Version> {
        let content = &draft.content;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: draft.gas_limit,
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.tip,
            to: content.to.map_or(TxKind::Create, TxKind::Call),
            value: content.value,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: content.calldata.clone(),
        };
        let signature: Signature = self.signer.sign_digest(transaction.signature_hash())?.parse().map_err(|error| {
            IndexerError::Transaction { problem: format!("the signer of {} gave no signature: {error}", self.address()) }
        })?;
        let signed = transaction.into_signed(signature);
        Ok(Version {
            nonce,
            hash: *signed.hash(),
            role: draft.role,
            purpose: draft.purpose.clone(),
            content: content.clone(),
            gas_limit: draft.gas_limit,
            max_fee_per_gas: Wei(fees.max_fee),
            max_priority_fee_per_gas: Wei(fees.tip),
            replaces,
            signed_at: Millis::now(),
            signed_at_block: head.number,
            raw: signed.encoded_2718().into(),
        })
    }
}

#[cfg(test)]
mod tests;
