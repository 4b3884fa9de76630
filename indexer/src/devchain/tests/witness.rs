//! A contract that emits on a live chain, and what a table of its events must hold, taken from the node's
//! receipts without any of the follower's code.

use schemas::alloy_primitives::{Bloom, Bytes, U64};
use schemas::tables::{BlockRow, LogRef, LogRow, Logs, Verified};
use store::Hot;

use super::*;
use crate::digest;

pub(super) const EMITTER: Address = Address::repeat_byte(0xe7);
const ACCOUNT: Address = Address::repeat_byte(0xac);

/// Stores the first word of what it is called with in memory, and logs it under topic 9.
const EMITTER_CODE: &str = "0x600035600052600960206000a100";

pub(super) struct Witness {
    pub(super) chain: DevChain,
    emitted: u64,
}

impl Witness {
    /// A chain that is `2 * slots_in_an_epoch` blocks from newest to finalized.
    pub(super) async fn start(slots_in_an_epoch: u64) -> Self {
        let chain = DevChain::start(&DevChainConfig { slots_in_an_epoch, ..by_hand() }).await.unwrap();
        chain.control("anvil_setCode", json!([EMITTER, EMITTER_CODE])).await.unwrap();
        chain.control("anvil_impersonateAccount", json!([ACCOUNT])).await.unwrap();
        chain.fund(ACCOUNT, U256::from(10u64).pow(U256::from(20))).await.unwrap();
        chain.mine(1).await.unwrap();
        Self { chain, emitted: 0 }
    }

    pub(super) fn followed() -> Followed {
        Followed { chain_id: CHAIN_ID, addresses: vec![EMITTER], events: Default::default(), start_block: 1, numbered: Vec::new() }
    }

    /// As many events, one in each of as many blocks.
    pub(super) async fn emit(&mut self, events: u64) {
        for _ in 0..events {
            self.emitted += 1;
            let data = B256::from(U256::from(self.emitted));
            let transaction = json!({ "from": ACCOUNT, "to": EMITTER, "data": data, "gas": "0x20000" });
            let hash = self.chain.control("eth_sendTransaction", json!([transaction])).await.unwrap();
            // After a reorganisation anvil can leave a transaction in its pool; what is emitted is then less.
            for _ in 0..100 {
                if !self.chain.control("eth_getTransactionReceipt", json!([hash])).await.unwrap().is_null() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    pub(super) async fn height(&self) -> u64 {
        let height: U64 = serde_json::from_value(self.chain.control("eth_blockNumber", json!([])).await.unwrap()).unwrap();
        height.to()
    }

    pub(super) async fn snapshot(&self) -> Value {
        self.chain.control("evm_snapshot", json!([])).await.unwrap()
    }

    pub(super) async fn revert(&self, snapshot: Value) {
        assert_eq!(self.chain.control("evm_revert", json!([snapshot])).await.unwrap(), json!(true));
    }

    /// Adds the rows of blocks above those that are there, up to a height.
    pub(super) async fn extend(&self, rows: &mut (Vec<BlockRow>, Vec<LogRow>), to: u64) {
        let from = rows.0.last().map_or(1, |row| row.number + 1);
        for number in from..=to {
            let digest = rows.0.last().map_or(B256::ZERO, |row| row.digest);
            let (block, logs) = self.rows_of(number, digest).await;
            rows.0.push(block);
            rows.1.extend(logs.rows());
        }
    }

    async fn rows_of(&self, number: u64, digest: B256) -> (BlockRow, Logs) {
        let tag = format!("{number:#x}");
        let block = self.chain.control("eth_getBlockByNumber", json!([tag, false])).await.unwrap();
        let receipts = self.chain.control("eth_getBlockReceipts", json!([tag])).await.unwrap();
        let hash: B256 = read(&block["hash"]);
        let timestamp = read::<U64>(&block["timestamp"]).to();
        let mut logs = Logs::default();
        for log in receipts.as_array().unwrap().iter().flat_map(|receipt| receipt["logs"].as_array().unwrap()) {
            if read::<Address>(&log["address"]) == EMITTER {
                logs.push(LogRef {
                    block_number: number,
                    block_hash: read(&log["blockHash"]),
                    block_timestamp: timestamp,
                    transaction_hash: read(&log["transactionHash"]),
                    transaction_index: read::<U64>(&log["transactionIndex"]).to(),
                    log_index: read::<U64>(&log["logIndex"]).to(),
                    address: EMITTER,
                    topics: &read::<Vec<B256>>(&log["topics"]),
                    data: &read::<Bytes>(&log["data"]),
                })
                .unwrap();
            }
        }
        let may_hold = LogFilter::of_addresses(&[EMITTER]).may_be_in(&read::<Bloom>(&block["logsBloom"]));
        let verified = if may_hold { Verified::Receipts } else { Verified::Bloom } as u64;
        let log_count = logs.len() as u64;
        let digest = digest::extend(digest, hash, logs.iter());
        let parent_hash = Some(read(&block["parentHash"]));
        (BlockRow { number, hash, parent_hash, timestamp, log_count, verified, digest }, logs)
    }

    /// Tables and window together equal what the node's receipts say, row by row.
    pub(super) async fn check(&self, store: &Store) {
        let mut expected = (Vec::new(), Vec::new());
        self.extend(&mut expected, self.height().await).await;
        let (mut blocks, mut logs) = stored(store).await;
        let hot: std::sync::Arc<Hot> = store.hot();
        blocks.extend(hot.blocks.iter().cloned());
        logs.extend(hot.logs().cloned());
        assert_eq!(blocks, expected.0, "blocks");
        assert_eq!(logs, expected.1, "logs");
    }
}

/// What is in the tables, in order.
pub(super) async fn stored(store: &Store) -> (Vec<BlockRow>, Vec<LogRow>) {
    let (mut blocks, mut logs) = (store.scan::<BlockRow>(None).await.unwrap(), store.scan::<LogRow>(None).await.unwrap());
    blocks.sort_by_key(|row| row.number);
    logs.sort_by_key(|row| (row.block_number, row.log_index));
    (blocks, logs)
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}
