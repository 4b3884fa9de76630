//! Replies of a real node, damaged at random: every one is an answer of the right type or a typed
//! error that names the method. `HEADWATER_FUZZ` sets the number of replies.
//!
//! `anvil.json` was recorded from anvil 1.7.1 with --optimism: a contract that emits a log with two
//! topics and one with none, called once in block 2, twice in block 3 and so on, and in the last
//! block a deposit transaction.

mod damage;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::alloy_primitives::{Bytes as Data, U64};
use schemas::{Address, B256};
use serde::Deserialize;

use super::*;
use crate::source::{BlockId, ChainSource, RpcSource};
use crate::verify::LogFilter;
use damage::damaged;

const DEFAULT_REPLIES: u64 = 20_000;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    number: U64,
    hash: B256,
    parent_hash: B256,
    logs_bloom: Data,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Data,
    block_hash: B256,
    log_index: U64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    status: U64,
    contract_address: Option<Address>,
    logs: Vec<Log>,
}

impl Quick for Option<Header> {}
impl Quick for Vec<Log> {}

#[derive(Debug, Deserialize)]
struct Recorded {
    headers: Vec<Value>,
    logs: Vec<Value>,
    receipts: Vec<Value>,
}

/// The block that is asked for, and what there is of it.
const BLOCK: usize = 3;

impl Recorded {
    fn read() -> Self {
        serde_json::from_str(include_str!("anvil.json")).unwrap()
    }

    fn answer(&self, method: &str) -> Value {
        match method {
            "eth_getBlockByNumber" | "eth_getBlockByHash" => self.headers[BLOCK].clone(),
            "eth_getLogs" => self.logs.iter().filter(|log| log["blockHash"] == self.headers[BLOCK]["hash"]).cloned().collect(),
            "eth_getBlockReceipts" => Value::from(self.receipts.clone()),
            other => panic!("{other}"),
        }
    }

    fn receipts_block(&self) -> BlockId {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Of {
            block_number: U64,
            block_hash: B256,
        }
        let of: Of = serde_json::from_value(self.receipts[0].clone()).unwrap();
        BlockId { number: of.block_number.to(), hash: of.block_hash }
    }

    fn expected<R: DeserializeOwned>(&self, method: &str) -> R {
        serde_json::from_value(self.answer(method)).unwrap()
    }
}

/// Damages each reply as the seed says.
#[derive(Debug)]
struct Damaging {
    recorded: Recorded,
    seed: AtomicU64,
    is_whole: AtomicBool,
}

#[async_trait]
impl Transport for Damaging {
    async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure> {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let reply = |call: &Value| answer(call, self.recorded.answer(call["method"].as_str().unwrap()));
        let reply = request.as_array().map_or_else(|| reply(&request), |calls| calls.iter().map(reply).collect());
        let (is_whole, reply) = damaged(reply, &mut StdRng::seed_from_u64(self.seed.load(Ordering::Relaxed)));
        self.is_whole.store(is_whole, Ordering::Relaxed);
        reply
    }

    fn shown_url(&self) -> &str {
        "http://damaging"
    }
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the reply that failed has seed {}", self.0);
        }
    }
}

struct Fuzz {
    node: Arc<Damaging>,
    rpc: Rpc,
    outcomes: BTreeMap<Outcome, u64>,
}

impl Fuzz {
    fn new() -> Self {
        let node = Arc::new(Damaging { recorded: Recorded::read(), seed: AtomicU64::new(0), is_whole: AtomicBool::new(true) });
        let config = RpcConfig { max_retry_after_ms: 0, max_reply_bytes: 200_000, ..once() };
        Self { rpc: Rpc::over(node.clone(), config), node, outcomes: BTreeMap::new() }
    }

    fn check<T: PartialEq + std::fmt::Debug>(&mut self, methods: &[&str], result: Result<T>, expected: &T) {
        let is_whole = self.node.is_whole.load(Ordering::Relaxed);
        match &result {
            Ok(answer) => assert!(!is_whole || answer == expected, "{answer:?}"),
            Err(IndexerError::BlockUnknown { .. } | IndexerError::Inconsistent { .. }) => assert!(!is_whole),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_whole && methods.iter().any(|method| text.contains(method)) && text.len() < 2_500, "{text}");
                *self.outcomes.entry(outcome(&result)).or_default() += 1;
                return;
            }
        }
        *self.outcomes.entry(Outcome::Answered).or_default() += 1;
    }

    async fn one_reply(&mut self, seed: u64) {
        let rpc = self.rpc.clone();
        self.node.seed.store(seed, Ordering::Relaxed);
        let recorded = |method| self.node.recorded.answer(method);
        let (header, logs): (Header, Vec<Log>) =
            (self.node.recorded.expected("eth_getBlockByNumber"), self.node.recorded.expected("eth_getLogs"));
        match seed % 6 {
            0 => self.check(&["eth_getBlockByNumber"], rpc.request("eth_getBlockByNumber", json!(["0x3", false])).await, &Some(header)),
            1 => self.check(&["eth_getLogs"], rpc.request("eth_getLogs", json!([{}])).await, &logs),
            2 => {
                let expected: Vec<Receipt> = serde_json::from_value(recorded("eth_getBlockReceipts")).unwrap();
                self.check(&["eth_getBlockReceipts"], rpc.request("eth_getBlockReceipts", json!(["0x3"])).await, &expected);
            }
            3 => {
                let calls = (("eth_getBlockByHash", json!([])), ("eth_getLogs", json!([{}])));
                match rpc.pair::<Option<Header>, Vec<Log>>(calls.0, calls.1).await {
                    Ok((first, second)) => {
                        self.check(&["eth_getBlockByHash"], first, &Some(header));
                        self.check(&["eth_getLogs"], second, &logs);
                    }
                    Err(error) => self.check(&["eth_getLogs"], Err(error), &logs),
                }
            }
            4 => {
                let calls: Vec<Call> = (0..3).map(|_| ("eth_getBlockByNumber", json!(["0x3", false]))).collect();
                match rpc.batch::<Header>(&calls).await {
                    Ok(answers) => {
                        assert_eq!(answers.len(), 3);
                        answers.into_iter().for_each(|answer| self.check(&["eth_getBlockByNumber"], answer, &header));
                    }
                    Err(error) => self.check(&["eth_getBlockByNumber"], Err(error), &header),
                }
            }
            _ => self.through_the_source(&header, seed).await,
        }
    }

    /// What the follower calls.
    async fn through_the_source(&mut self, header: &Header, seed: u64) {
        let source = RpcSource::over(self.rpc.clone());
        let block = BlockId { number: header.number.to(), hash: header.hash };
        match seed % 3 {
            0 => {
                let result = source.header_by_number(block.number).await.map(|header| header.map(|header| header.hash));
                self.check(&["eth_getBlockByNumber"], result, &Some(header.hash));
            }
            1 => {
                let emitter = self.node.recorded.expected::<Vec<Log>>("eth_getLogs").first().map(|log| log.address);
                let filter = LogFilter::new(emitter, []);
                // A damaged address is another contract's log, which the source refuses.
                let result = source.logs_of_block(block, &filter).await.map(|logs| logs.len());
                self.check(&["eth_getBlockByHash", "eth_getLogs"], result, &4);
            }
            // What is damaged shows in the root, which the follower compares.
            _ => {
                let result = source.receipts(&[self.node.recorded.receipts_block()]).await.map(|blocks| blocks.len());
                self.check(&["eth_getBlockReceipts"], result, &1);
            }
        }
    }
}

#[tokio::test]
async fn damaged_replies_are_answers_or_typed_errors() {
    let replies = std::env::var("HEADWATER_FUZZ").map_or(DEFAULT_REPLIES, |number| number.parse().unwrap());
    let mut fuzz = Fuzz::new();
    for seed in 0..replies {
        let named = Seed(seed);
        fuzz.one_reply(seed).await;
        drop(named);
    }
    if replies > DEFAULT_REPLIES {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
        eprintln!("{replies} replies: {:?}; {memory}", fuzz.outcomes);
    }
    use Outcome::{Answered, Malformed, RangeTooLarge, RateLimited, Refused, TimedOut, Unreachable};
    for outcome in [Answered, Malformed, RangeTooLarge, RateLimited, Refused, TimedOut, Unreachable] {
        assert!(
            fuzz.outcomes.get(&outcome).is_some_and(|count| *count > replies / 1_000),
            "{outcome:?} is hardly met: {:?}",
            fuzz.outcomes
        );
    }
}
