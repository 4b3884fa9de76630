//! Sending transactions: one signer, one queue, one transaction in flight.
//!
//! A transaction is estimated first, so that a refusal costs nothing and comes with the contract's
//! reason. Its result is a receipt, a typed refusal, or "unknown": then the caller looks for its
//! effect on chain before it asks again. Whether a block that holds it becomes final is the
//! indexer's to tell. The key never leaves the [`Signer`].
//!
//! Not here yet: the signed transaction is not written to disk before it is sent, and a stuck one is
//! not replaced with a higher fee. Until then the callers' own checks on chain (compare-and-swap on
//! roots, batch and epoch numbers) are what makes a repetition after a crash harmless.

mod wire;

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use schemas::alloy_primitives::{Bytes, Signature, TxKind, U64};
use schemas::alloy_sol_types::SolCall;
use schemas::signer::Signer;
use schemas::{Address, B256, U256};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::revert::Revert;
use crate::rpc::{Rpc, RpcConfig};
use crate::{IndexerError, Result};
use wire::{WireBaseFee, WireReceipt};

/// How often a transaction is numbered anew because its nonce was used meanwhile.
const MAX_NUMBERINGS: u32 = 4;

/// Limits of a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    pub rpc: RpcConfig,
    /// How long a receipt is waited for.
    pub receipt_timeout_ms: u64,
    pub receipt_poll_ms: u64,
    /// While there is no receipt, the transaction is offered to the node again this often.
    pub rebroadcast_ms: u64,
    /// Neither base fee plus tip nor the tip alone may go above this, per unit of gas.
    pub max_fee_per_gas_wei: u128,
    /// Added to the node's estimate of gas.
    pub gas_margin_percent: u64,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            rpc: RpcConfig::default(),
            receipt_timeout_ms: 120_000,
            receipt_poll_ms: 100,
            rebroadcast_ms: 5_000,
            max_fee_per_gas_wei: 500_000_000_000,
            gas_margin_percent: 25,
        }
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
    rpc: Rpc,
    signer: Arc<dyn Signer>,
    chain_id: u64,
    config: SenderConfig,
    /// Held from the choice of a nonce to the receipt.
    queue: Mutex<()>,
}

/// What a caller wants done.
#[derive(Debug)]
struct Request {
    to: Option<Address>,
    calldata: Bytes,
    value: U256,
}

#[derive(Debug)]
struct Signed {
    hash: B256,
    nonce: u64,
    raw: Bytes,
}

enum Broadcast {
    /// Taken, taken before, or unknown: the receipt will tell.
    Pending,
    /// The nonce belongs to a transaction that is in a block.
    NonceUsed,
}

impl Sender {
    /// Connects and asks for the chain id, which every signature is bound to.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`], and what the node says.
    pub async fn connect(url: &str, signer: impl Signer + 'static, config: SenderConfig) -> Result<Self> {
        let rpc = Rpc::connect(url, config.rpc.clone())?;
        let chain_id: U64 = rpc.request("eth_chainId", json!([])).await?;
        Ok(Self { rpc, signer: Arc::new(signer), chain_id: chain_id.to(), config, queue: Mutex::new(()) })
    }

    pub fn address(&self) -> Address {
        self.signer.address()
    }

    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Calls a contract function in a transaction; see [`Sender::send`].
    pub async fn call<C: SolCall>(&self, to: Address, call: &C) -> Result<TxOutcome> {
        self.send(Some(to), call.abi_encode().into(), U256::ZERO).await
    }

    /// Sends a transaction and waits for its receipt. Without `to` it deploys the code in `calldata`.
    /// `value` is in wei. Waits for transactions that others send through this sender.
    ///
    /// # Errors
    /// [`IndexerError::Reverted`] (before sending or in the block), [`IndexerError::FeeAboveCap`] and
    /// [`IndexerError::Transaction`] when nothing was sent, [`IndexerError::TransactionUnknown`].
    pub async fn send(&self, to: Option<Address>, calldata: Bytes, value: U256) -> Result<TxOutcome> {
        let _turn = self.queue.lock().await;
        let request = Request { to, calldata, value };
        let gas_limit = self.estimate_gas(&request).await?;
        for _ in 0..MAX_NUMBERINGS {
            let signed = self.sign(&request, gas_limit).await?;
            match self.broadcast(&signed).await? {
                Broadcast::Pending => return self.confirm(&request, &signed).await,
                Broadcast::NonceUsed => {
                    // Ours, if an earlier offer of it was answered by silence; else another sender's.
                    if let Some(receipt) = self.receipt(signed.hash).await? {
                        return self.outcome(&request, receipt).await;
                    }
                    tracing::warn!(account = %self.address(), nonce = signed.nonce, "the nonce was used by another sender of this account");
                }
            }
        }
        Err(IndexerError::Transaction { problem: format!("another sender keeps using the nonces of {}", self.address()) })
    }

    async fn estimate_gas(&self, request: &Request) -> Result<u64> {
        match self.rpc.request::<U64>("eth_estimateGas", json!([self.call_object(request)])).await {
            Ok(gas) => {
                let gas: u64 = gas.to();
                Ok(gas.saturating_add(gas / 100 * self.config.gas_margin_percent))
            }
            Err(IndexerError::RpcRefused { data, message, .. }) => match Revert::from_rpc(data.as_deref()) {
                Some(revert) => Err(reverted(request, revert)),
                None if message.contains("revert") => Err(reverted(request, Revert::decode(&Bytes::new()))),
                None => Err(IndexerError::Transaction { problem: message }),
            },
            Err(error) => Err(error),
        }
    }

    fn call_object(&self, request: &Request) -> Value {
        let mut object = json!({ "from": self.address(), "data": request.calldata, "value": request.value });
        if let (Some(to), Some(fields)) = (request.to, object.as_object_mut()) {
            fields.insert("to".into(), json!(to));
        }
        object
    }

    /// Nonce, fees and signature. The nonce is the node's count with pending transactions: under the
    /// queue's lock nobody else of this process can take it.
    async fn sign(&self, request: &Request, gas_limit: u64) -> Result<Signed> {
        let nonce: U64 = self.rpc.request("eth_getTransactionCount", json!([self.address(), "pending"])).await?;
        let (max_fee_per_gas, max_priority_fee_per_gas) = self.fees().await?;
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: nonce.to(),
            gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas,
            to: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            access_list: alloy_eips::eip2930::AccessList::default(),
            input: request.calldata.clone(),
        };
        let signature: Signature = self.signer.sign_digest(transaction.signature_hash())?.parse().map_err(|error| {
            IndexerError::Transaction { problem: format!("the signer of {} gave no signature: {error}", self.address()) }
        })?;
        let signed = transaction.into_signed(signature);
        Ok(Signed { hash: *signed.hash(), nonce: nonce.to(), raw: signed.encoded_2718().into() })
    }

    /// Maximum fee and tip per unit of gas, in wei: room for the base fee to double, below the cap.
    async fn fees(&self) -> Result<(u128, u128)> {
        let head: WireBaseFee = self.rpc.request("eth_getBlockByNumber", json!(["latest", false])).await?;
        let tip: U256 = self.rpc.request("eth_maxPriorityFeePerGas", json!([])).await?;
        let cap = self.config.max_fee_per_gas_wei;
        let base = u128::try_from(head.base_fee_per_gas).unwrap_or(u128::MAX);
        if base > cap {
            return Err(IndexerError::FeeAboveCap { base_fee_wei: base, cap_wei: cap });
        }
        let tip = u128::try_from(tip).unwrap_or(u128::MAX).min(cap - base);
        Ok((base.saturating_mul(2).saturating_add(tip).min(cap), tip))
    }

    async fn broadcast(&self, signed: &Signed) -> Result<Broadcast> {
        match self.rpc.request::<B256>("eth_sendRawTransaction", json!([signed.raw])).await {
            Ok(_) => {
                tracing::debug!(hash = %signed.hash, nonce = signed.nonce, account = %self.address(), "transaction sent");
                Ok(Broadcast::Pending)
            }
            Err(IndexerError::RpcRefused { message, .. }) => refusal(&message),
            // Whether the node took it is not known; the receipt will tell.
            Err(IndexerError::RpcUnreachable { .. } | IndexerError::RpcTimeout { .. } | IndexerError::RpcMalformed { .. }) => {
                Ok(Broadcast::Pending)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the receipt, offering the transaction again now and then.
    async fn confirm(&self, request: &Request, signed: &Signed) -> Result<TxOutcome> {
        let started = Instant::now();
        let waited_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut next_offer_ms = self.config.rebroadcast_ms;
        loop {
            match self.receipt(signed.hash).await {
                Ok(Some(receipt)) => return self.outcome(request, receipt).await,
                Ok(None) => {}
                Err(error) if error.is_transient() => tracing::debug!(%error, hash = %signed.hash, "no word about a transaction yet"),
                Err(error) => return Err(error),
            }
            if waited_ms() >= self.config.receipt_timeout_ms {
                return Err(IndexerError::TransactionUnknown { hash: signed.hash, nonce: signed.nonce, waited_ms: waited_ms() });
            }
            if waited_ms() >= next_offer_ms {
                next_offer_ms = waited_ms().saturating_add(self.config.rebroadcast_ms);
                // Whatever the answer, the receipt decides.
                let _ = self.broadcast(signed).await;
            }
            tokio::time::sleep(Duration::from_millis(self.config.receipt_poll_ms)).await;
        }
    }

    async fn receipt(&self, hash: B256) -> Result<Option<WireReceipt>> {
        self.rpc.request("eth_getTransactionReceipt", json!([hash])).await
    }

    async fn outcome(&self, request: &Request, receipt: WireReceipt) -> Result<TxOutcome> {
        if receipt.status == U64::ZERO {
            return Err(reverted(request, self.reason(request, receipt.block_number.to()).await));
        }
        Ok(TxOutcome {
            hash: receipt.transaction_hash,
            block_number: receipt.block_number.to(),
            block_hash: receipt.block_hash,
            contract_address: receipt.contract_address,
            gas_used: receipt.gas_used.to(),
        })
    }

    /// Why a transaction reverted in its block: the same call on the state before that block. An
    /// approximation, since transactions earlier in the block are missing.
    async fn reason(&self, request: &Request, block: u64) -> Revert {
        let before = format!("{:#x}", block.saturating_sub(1));
        match self.rpc.request::<Bytes>("eth_call", json!([self.call_object(request), before])).await {
            Err(IndexerError::RpcRefused { data, .. }) => Revert::from_rpc(data.as_deref()),
            _ => None,
        }
        .unwrap_or_else(|| Revert::decode(&Bytes::new()))
    }
}

fn reverted(request: &Request, revert: Revert) -> IndexerError {
    let to = request.to.map_or_else(|| "the constructor".to_owned(), |to| to.to_string());
    IndexerError::Reverted { to, action: "the transaction", revert }
}

/// What a node means by refusing a signed transaction. There are no codes for it, only words.
fn refusal(message: &str) -> Result<Broadcast> {
    let words = message.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    if says(&["already known", "alreadyknown", "known transaction", "already imported"]) {
        return Ok(Broadcast::Pending);
    }
    if says(&["nonce too low", "nonce is too low", "oldnonce"]) {
        return Ok(Broadcast::NonceUsed);
    }
    Err(IndexerError::Transaction { problem: message.to_owned() })
}
