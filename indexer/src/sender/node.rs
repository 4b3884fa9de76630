//! What the sender asks the node, and what it makes of the answers.

use std::collections::HashMap;

use schemas::alloy_primitives::{Bytes, U64, keccak256};
use schemas::{Address, B256, U256};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::outbox::{Content, Inclusion};
use super::wire::{WireBlock, WireReceipt};
use crate::devchain::MARKED_ACCOUNT;
use crate::revert::Revert;
use crate::rpc::{Call, Rpc};
use crate::{IndexerError, Result};

/// The node, asked about one account.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) rpc: Rpc,
    pub(super) account: Address,
}

/// How things stand now.
#[derive(Debug)]
pub(super) struct View {
    /// Transactions of the account in the newest block's state.
    pub(super) count: u64,
    pub(super) head: Head,
    /// Absent where a node does not know of finality, or has none yet.
    pub(super) finalized: Option<u64>,
    pub(super) inclusions: HashMap<B256, Inclusion>,
}

/// The newest block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) base_fee_wei: u128,
}

/// What became of an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Taken, taken before, too late, or unknown: the receipts will tell.
    Pending,
    Refused(String),
}

impl Node {
    pub(super) async fn view(&self, hashes: &[B256]) -> Result<View> {
        let mut calls: Vec<Call> = vec![
            ("eth_getTransactionCount", json!([self.account, "latest"])),
            ("eth_getBlockByNumber", json!(["latest", false])),
            ("eth_getBlockByNumber", json!(["finalized", false])),
        ];
        let fixed = calls.len();
        calls.extend(hashes.iter().map(|hash| ("eth_getTransactionReceipt", json!([hash]))));
        let mut answers = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(self.rpc.max_batch_requests().max(1)) {
            answers.extend(self.rpc.batch::<Value>(chunk).await?);
        }
        let receipts = answers.split_off(fixed.min(answers.len()));
        let mut answers = answers.into_iter();
        let count: U64 = read("eth_getTransactionCount", answers.next())?;
        let head: WireBlock = read("eth_getBlockByNumber", answers.next())?;
        let finalized: Option<WireBlock> = read("eth_getBlockByNumber", answers.next()).unwrap_or_default();
        let mut inclusions = HashMap::new();
        for (answer, hash) in receipts.into_iter().zip(hashes) {
            if let Some(receipt) = read::<Option<WireReceipt>>("eth_getTransactionReceipt", Some(answer))? {
                inclusions.insert(*hash, receipt.into());
            }
        }
        Ok(View { count: count.to(), head: head.into(), finalized: finalized.map(|block| block.number.to()), inclusions })
    }

    pub(super) async fn head(&self) -> Result<Head> {
        let head: WireBlock = self.rpc.request("eth_getBlockByNumber", json!(["latest", false])).await?;
        Ok(head.into())
    }

    /// What tells apart chains of one id: the hash of block 0. On anvil, which makes its block 0 anew
    /// whenever it goes on from a saved state, the hash of the mark that [`crate::devchain`] leaves
    /// there; zero on an anvil without one.
    pub(super) async fn genesis(rpc: &Rpc) -> Result<B256> {
        let client: Result<String> = rpc.request("web3_clientVersion", json!([])).await;
        if client.is_ok_and(|client| client.starts_with("anvil")) {
            let mark: Bytes = rpc.request("eth_getCode", json!([MARKED_ACCOUNT, "latest"])).await?;
            return Ok(if mark.is_empty() { B256::ZERO } else { keccak256(&mark) });
        }
        let block: WireBlock = rpc.request("eth_getBlockByNumber", json!(["0x0", false])).await?;
        Ok(block.hash)
    }

    pub(super) async fn count(&self, at: &str) -> Result<u64> {
        let count: U64 = self.rpc.request("eth_getTransactionCount", json!([self.account, at])).await?;
        Ok(count.to())
    }

    pub(super) async fn balance_wei(&self) -> Result<U256> {
        self.rpc.request("eth_getBalance", json!([self.account, "latest"])).await
    }

    /// wei per unit of gas
    pub(super) async fn tip_wei(&self) -> Result<u128> {
        let tip: U256 = self.rpc.request("eth_maxPriorityFeePerGas", json!([])).await?;
        Ok(u128::try_from(tip).unwrap_or(u128::MAX))
    }

    /// Whether the node has a transaction, in a block or waiting.
    pub(super) async fn knows(&self, hash: B256) -> Result<bool> {
        let found: Value = self.rpc.request("eth_getTransactionByHash", json!([hash])).await?;
        Ok(!found.is_null())
    }

    /// Units of gas.
    ///
    /// # Errors
    /// [`IndexerError::Reverted`], [`IndexerError::Transaction`] when the node will not say.
    pub(super) async fn estimate(&self, content: &Content) -> Result<u64> {
        match self.rpc.request::<U64>("eth_estimateGas", json!([self.call_object(content)])).await {
            Ok(gas) => Ok(gas.to()),
            Err(IndexerError::RpcRefused { data, message, .. }) => match Revert::from_rpc(data.as_deref()) {
                Some(revert) => Err(reverted(content, revert)),
                None if message.contains("revert") => Err(reverted(content, Revert::decode(&Bytes::new()))),
                None => Err(IndexerError::Transaction { problem: message }),
            },
            Err(error) => Err(error),
        }
    }

    pub(super) async fn offer(&self, raw: &Bytes) -> Result<Offered> {
        match self.rpc.request::<B256>("eth_sendRawTransaction", json!([raw])).await {
            Ok(_) => Ok(Offered::Pending),
            Err(IndexerError::RpcRefused { message, .. }) => Ok(refusal(message)),
            // Whether the node took it is not known.
            Err(
                IndexerError::RpcUnreachable { .. }
                | IndexerError::RpcTimeout { .. }
                | IndexerError::RpcRateLimited { .. }
                | IndexerError::RpcMalformed { .. },
            ) => Ok(Offered::Pending),
            Err(error) => Err(error),
        }
    }

    /// Why a transaction reverted in its block: the same call on the state before that block. An
    /// approximation, since transactions earlier in the block are missing.
    pub(super) async fn reason(&self, content: &Content, block: u64) -> Revert {
        let before = format!("{:#x}", block.saturating_sub(1));
        match self.rpc.request::<Bytes>("eth_call", json!([self.call_object(content), before])).await {
            Err(IndexerError::RpcRefused { data, .. }) => Revert::from_rpc(data.as_deref()),
            _ => None,
        }
        .unwrap_or_else(|| Revert::decode(&Bytes::new()))
    }

    fn call_object(&self, content: &Content) -> Value {
        let mut object = json!({ "from": self.account, "data": content.calldata, "value": content.value });
        if let (Some(to), Some(fields)) = (content.to, object.as_object_mut()) {
            fields.insert("to".into(), json!(to));
        }
        object
    }
}

impl From<WireBlock> for Head {
    fn from(block: WireBlock) -> Self {
        Self { number: block.number.to(), base_fee_wei: u128::try_from(block.base_fee_per_gas).unwrap_or(u128::MAX) }
    }
}

fn read<R: DeserializeOwned>(method: &'static str, answer: Option<Result<Value>>) -> Result<R> {
    let missing = || Err(IndexerError::RpcMalformed { method, blocks: None, problem: "no answer in the batch".into() });
    let malformed = |error: serde_json::Error| IndexerError::RpcMalformed { method, blocks: None, problem: error.to_string() };
    serde_json::from_value(answer.unwrap_or_else(missing)?).map_err(malformed)
}

pub(super) fn reverted(content: &Content, revert: Revert) -> IndexerError {
    let to = content.to.map_or_else(|| "the constructor".to_owned(), |to| to.to_string());
    IndexerError::Reverted { to, action: "the transaction", revert }
}

/// What a node means by refusing a signed transaction. There are no codes for it, only words.
fn refusal(message: String) -> Offered {
    let words = message.to_ascii_lowercase();
    let known = ["already known", "alreadyknown", "known transaction", "already imported"];
    let late = ["nonce too low", "nonce is too low", "oldnonce"];
    let says = |phrase: &&str| words.contains(phrase);
    if known.iter().chain(&late).any(says) { Offered::Pending } else { Offered::Refused(message) }
}
