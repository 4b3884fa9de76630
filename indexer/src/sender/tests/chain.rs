//! A node with a mempool, blocks, reorganisations and finality, behind real HTTP: what the sender
//! believes is checked against what really took effect here. Signatures are checked independently.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use schemas::alloy_primitives::{Bytes, keccak256};
use schemas::{Address, B256, U256};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(super) const CHAIN_ID: u64 = 7;

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is not heard, and never answered.
    HangBefore,
    /// It is carried out, and never answered.
    HangAfter,
    /// It is carried out, and the connection ends without an answer.
    LoseReply,
    Refuse(&'static str),
}

#[derive(Debug, Clone)]
struct Tx {
    hash: B256,
    envelope: TxEnvelope,
}

impl Tx {
    fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }
}

#[derive(Debug, Clone)]
struct Block {
    hash: B256,
    txs: Vec<(Tx, bool)>,
}

#[derive(Debug)]
pub(super) struct State {
    account: Address,
    blocks: Vec<Block>,
    pub(super) pool: BTreeMap<u64, TxEnvelope>,
    pub(super) base_fee: u128,
    pub(super) balance: U256,
    pub(super) finality_depth: u64,
    /// A block is mined as soon as there is a transaction.
    pub(super) automine: bool,
    /// Blocks come and stay empty.
    pub(super) starve: bool,
    /// Calldata that the contract takes once only.
    pub(super) once: bool,
    /// Requests to come that go wrong: (method, which one from now, how).
    pub(super) faults: Vec<(&'static str, usize, Fault)>,
    /// The request with this number, counted from the start, goes wrong.
    pub(super) fault_at: Option<(usize, Fault)>,
    pub(super) requests: usize,
    /// Of them those that send a transaction.
    pub(super) offers: usize,
    pub(super) hanging: bool,
    forks: u64,
}

/// The node. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Chain {
    pub(super) async fn start(account: Address) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State {
            account,
            blocks: vec![Block { hash: keccak256("genesis"), txs: Vec::new() }],
            pool: BTreeMap::new(),
            base_fee: 100,
            balance: U256::from(10u64).pow(U256::from(18)),
            finality_depth: 3,
            automine: true,
            starve: false,
            once: true,
            faults: Vec::new(),
            fault_at: None,
            requests: 0,
            offers: 0,
            hanging: false,
            forks: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, shared).await;
                });
            }
        });
        Self { url, state, server }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn included(&self) -> impl Iterator<Item = (u64, &Block, &Tx, bool)> {
        let numbered = self.blocks.iter().enumerate();
        numbered.flat_map(|(number, block)| block.txs.iter().map(move |(tx, succeeded)| (number as u64, block, tx, *succeeded)))
    }

    /// Calldata that took effect, in order, of transactions that are not empty.
    pub(super) fn effects(&self) -> Vec<Bytes> {
        let succeeded = self.included().filter(|(_, _, _, succeeded)| *succeeded);
        succeeded.map(|(_, _, tx, _)| tx.envelope.input().clone()).filter(|input| !input.is_empty()).collect()
    }

    pub(super) fn nonces(&self) -> Vec<u64> {
        self.included().map(|(_, _, tx, _)| tx.nonce()).collect()
    }

    /// Effects and nonces.
    pub(super) fn story(&self) -> (Vec<Bytes>, Vec<u64>) {
        (self.effects(), self.nonces())
    }

    fn count(&self) -> u64 {
        self.included().count() as u64
    }

    pub(super) fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn finalized(&self) -> u64 {
        self.head().saturating_sub(self.finality_depth)
    }

    pub(super) fn mine(&mut self, blocks: u64) {
        for _ in 0..blocks {
            let mut txs = Vec::new();
            let mut next = self.count();
            while !self.starve && self.pool.get(&next).is_some_and(|tx| tx.max_fee_per_gas() >= self.base_fee) {
                let Some(envelope) = self.pool.remove(&next) else { break };
                let succeeded = !self.reverts(envelope.input(), &txs);
                txs.push((Tx { hash: *envelope.tx_hash(), envelope }, succeeded));
                next += 1;
            }
            let seed = format!("{}-{}-{}", self.forks, self.blocks.len(), txs.len());
            self.blocks.push(Block { hash: keccak256(seed), txs });
            let count = self.count();
            self.pool.retain(|nonce, _| *nonce >= count);
        }
    }

    /// Replaces the newest blocks by empty ones; their transactions are gone, or wait again.
    pub(super) fn reorg(&mut self, depth: u64, waiting_again: bool) {
        self.forks += 1;
        let kept = self.blocks.len() - usize::try_from(depth).unwrap();
        let undone = self.blocks.split_off(kept);
        let starve = std::mem::replace(&mut self.starve, true);
        self.mine(depth);
        self.starve = starve;
        if waiting_again {
            let txs = undone.into_iter().flat_map(|block| block.txs);
            self.pool.extend(txs.map(|(tx, _)| (tx.nonce(), tx.envelope)));
        }
    }

    /// Another holder of the key sends with its next nonce.
    pub(super) fn foreign(&mut self, raw: &Bytes) {
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        assert_eq!(envelope.nonce(), self.count());
        self.pool.insert(envelope.nonce(), envelope);
        self.mine(1);
    }

    fn reverts(&self, calldata: &Bytes, earlier: &[(Tx, bool)]) -> bool {
        let here = earlier.iter().any(|(tx, succeeded)| *succeeded && tx.envelope.input() == calldata);
        self.once && !calldata.is_empty() && (here || self.effects().contains(calldata))
    }

    fn send(&mut self, raw: &str) -> Result<Value, String> {
        let raw: Bytes = raw.parse().unwrap();
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).map_err(|error| error.to_string())?;
        assert_eq!(envelope.chain_id(), Some(CHAIN_ID));
        assert_eq!(envelope.recover_signer().unwrap(), self.account);
        let (hash, nonce) = (*envelope.tx_hash(), envelope.nonce());
        if self.pool.get(&nonce).is_some_and(|waiting| *waiting.tx_hash() == hash) {
            return Err("already known".into());
        }
        if nonce < self.count() {
            return Err(format!("nonce too low: next nonce {}, tx nonce {nonce}", self.count()));
        }
        if let Some(waiting) = self.pool.get(&nonce) {
            let enough = |new: u128, old: u128| new * 10 >= old * 11;
            let tip = |tx: &TxEnvelope| tx.max_priority_fee_per_gas().unwrap();
            if !enough(envelope.max_fee_per_gas(), waiting.max_fee_per_gas()) || !enough(tip(&envelope), tip(waiting)) {
                return Err("replacement transaction underpriced".into());
            }
        }
        let cost = U256::from(envelope.gas_limit()) * U256::from(envelope.max_fee_per_gas()) + envelope.value();
        if cost > self.balance {
            return Err("insufficient funds for gas * price + value".into());
        }
        self.pool.insert(nonce, envelope);
        Ok(json!(hash))
    }

    fn answer(&mut self, method: &str, params: &Value) -> Result<Value, (i64, String)> {
        let block = |state: &Self, number: u64| {
            let hash = state.blocks[usize::try_from(number).unwrap()].hash;
            json!({ "number": format!("{number:#x}"), "hash": hash, "baseFeePerGas": format!("{:#x}", state.base_fee) })
        };
        let refused = |message: String| (-32000, message);
        match (method, params[0].as_str(), params[1].as_str()) {
            ("eth_chainId", _, _) => Ok(json!(format!("{CHAIN_ID:#x}"))),
            ("eth_getBlockByNumber", Some("latest"), _) => Ok(block(self, self.head())),
            ("eth_getBlockByNumber", Some("finalized"), _) => Ok(block(self, self.finalized())),
            ("eth_getBlockByNumber", Some("0x0"), _) => Ok(block(self, 0)),
            ("eth_getTransactionCount", _, tag) => {
                let in_blocks = match tag.unwrap() {
                    "finalized" => self.included().filter(|(number, ..)| *number <= self.finalized()).count() as u64,
                    _ => self.count(),
                };
                let pending = (in_blocks..).take_while(|nonce| self.pool.contains_key(nonce)).count() as u64;
                Ok(json!(format!("{:#x}", in_blocks + if tag == Some("pending") { pending } else { 0 })))
            }
            ("eth_getBalance", ..) => Ok(json!(self.balance)),
            ("eth_maxPriorityFeePerGas", ..) => Ok(json!("0x8")),
            ("eth_estimateGas", ..) => {
                let calldata: Bytes = serde_json::from_value(params[0]["data"].clone()).unwrap();
                if self.reverts(&calldata, &[]) { Err((3, "execution reverted".into())) } else { Ok(json!("0x186a0")) }
            }
            ("eth_call", ..) => Err((3, "execution reverted".into())),
            ("eth_sendRawTransaction", Some(raw), _) => {
                let sent = self.send(raw);
                self.offers += 1;
                if self.automine {
                    self.mine(1);
                }
                sent.map_err(refused)
            }
            ("eth_getTransactionByHash", Some(hash), _) => {
                let hash: B256 = hash.parse().unwrap();
                let known = self.pool.values().any(|tx| *tx.tx_hash() == hash) || self.included().any(|(_, _, tx, _)| tx.hash == hash);
                Ok(if known { json!({ "hash": hash }) } else { Value::Null })
            }
            ("eth_getTransactionReceipt", Some(hash), _) => {
                let hash: B256 = hash.parse().unwrap();
                let found = self.included().find(|(_, _, tx, _)| tx.hash == hash);
                Ok(found.map_or(Value::Null, |(number, block, tx, succeeded)| {
                    json!({ "type": "0x7E", "transactionHash": tx.hash, "blockHash": block.hash, "blockNumber": format!("{number:#x}"),
                        "status": if succeeded { "0x1" } else { "0x0" }, "contractAddress": null, "gasUsed": "0xc350",
                        "effectiveGasPrice": format!("{:#x}", self.base_fee + 8), "l1Fee": "0x5" })
                }))
            }
            _ => Err((-32601, format!("{method} {params} is not known here"))),
        }
    }

    /// Takes the fault that this request has, if any.
    fn fault(&mut self, method: &str) -> Option<Fault> {
        self.requests += 1;
        if self.fault_at.as_ref().is_some_and(|(number, _)| *number == self.requests) {
            return self.fault_at.take().map(|(_, fault)| fault);
        }
        let position = self.faults.iter_mut().position(|(of, left, _)| {
            let hit = *of == method && *left == 0;
            *left -= usize::from(*of == method && !hit);
            hit
        })?;
        Some(self.faults.remove(position).2)
    }
}

/// One connection, request after request. `None` ends it.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        stream.read_exact(&mut body).await.ok()?;
        let request: Value = serde_json::from_slice(&body).ok()?;
        let reply = match request.as_array() {
            Some(requests) => {
                let mut replies = Vec::new();
                for request in requests {
                    replies.push(reply(request, &state).await?);
                }
                Value::Array(replies)
            }
            None => reply(&request, &state).await?,
        };
        let body = reply.to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    }
}

async fn reply(request: &Value, state: &Mutex<State>) -> Option<Value> {
    let method = request["method"].as_str()?;
    let fault = lock(state).fault(method);
    if fault == Some(Fault::HangBefore) {
        lock(state).hanging = true;
        std::future::pending::<()>().await;
    }
    let answer = match &fault {
        Some(Fault::Refuse(message)) => Err((-32000, (*message).to_owned())),
        _ => lock(state).answer(method, &request["params"]),
    };
    match fault {
        Some(Fault::HangAfter) => {
            lock(state).hanging = true;
            std::future::pending().await
        }
        Some(Fault::LoseReply) => None,
        _ => Some(match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }),
            Err((code, message)) => json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": message } }),
        }),
    }
}
