//! A chain, a store and an indexer between them; and the oracle, which replays the chain from nothing.

use std::pin::pin;
use std::task::Poll;

use schemas::tables::Verified;
use store::Hot;

use super::*;
use crate::digest;
use crate::rpc::{Rpc, RpcConfig};
use crate::source::{RpcSource, ScriptedNode, ScriptedTransaction};

pub(super) const CHAIN_ID: u64 = 7;
pub(super) const START: u64 = 2;
pub(super) const OURS: Address = Address::repeat_byte(1);
pub(super) const OTHERS: Address = Address::repeat_byte(2);
pub(super) const TOPIC: B256 = B256::with_last_byte(9);

pub(super) struct Rig {
    pub(super) chain: ScriptedChain,
    pub(super) store: Store,
    pub(super) indexer: Indexer,
    source: Arc<dyn ChainSource>,
    followed: Followed,
    config: IndexerConfig,
}

pub(super) fn config() -> IndexerConfig {
    IndexerConfig { max_range_blocks: 3, max_hot_blocks: 40, poll_interval_ms: 1, commit_interval_ms: 0, ..IndexerConfig::default() }
}

pub(super) fn followed() -> Followed {
    Followed { chain_id: CHAIN_ID, addresses: vec![OURS], events: Default::default(), start_block: START, numbered: Vec::new() }
}

pub(super) fn log(address: Address, number: u64, salt: u64) -> ScriptedLog {
    ScriptedLog { address, topics: vec![TOPIC], data: [number.to_be_bytes(), salt.to_be_bytes()].concat().into() }
}

/// An event of ours that bears the contract's number.
pub(super) fn numbered(number: u64, salt: u64) -> ScriptedLog {
    let data = [B256::from(schemas::U256::from(number)).as_slice(), &salt.to_be_bytes()].concat();
    ScriptedLog { address: OURS, topics: vec![TOPIC], data: data.into() }
}

/// The number that the next event of ours bears on the canonical branch.
pub(super) fn next_number(chain: &ScriptedChain) -> u64 {
    1 + chain.canonical_logs().iter().filter(|log| log.address == OURS).count() as u64
}

/// Polls a future this many times at most; `None` when it was not done then, and dropped.
pub(super) async fn cut_short<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

impl Rig {
    /// The chain itself is the source.
    pub(super) async fn new() -> Self {
        let chain = ScriptedChain::new(CHAIN_ID);
        let source = Arc::new(chain.clone());
        Self::over(chain, source, followed(), config(), Store::in_memory().await.unwrap())
    }

    /// Between chain and indexer stands a node, whose replies our own JSON-RPC layer reads. Our events are numbered.
    pub(super) fn on_node(verify: Verify, is_timed: bool, store: Store) -> (Self, Arc<ScriptedNode>) {
        Self::on_node_with(verify, is_timed, store, |_, _| {})
    }

    /// The same, with another configuration or other things followed.
    pub(super) fn on_node_with(
        verify: Verify,
        is_timed: bool,
        store: Store,
        change: impl FnOnce(&mut IndexerConfig, &mut Followed),
    ) -> (Self, Arc<ScriptedNode>) {
        let chain = ScriptedChain::new(CHAIN_ID);
        let node = Arc::new(ScriptedNode::new(chain.clone(), is_timed));
        let rpc_config = RpcConfig {
            backoff_ms: 0,
            max_backoff_ms: 0,
            max_retry_after_ms: 0,
            cool_down_ms: 0,
            max_batch_requests: 7,
            ..RpcConfig::default()
        };
        let source = Arc::new(RpcSource::over(Rpc::over(node.clone(), rpc_config)));
        let event = NumberedEvent { address: OURS, topic0: TOPIC, word: 0 };
        let mut followed = Followed { numbered: vec![event], ..followed() };
        let mut config = IndexerConfig { verify, max_hot_blocks: 400, ..config() };
        change(&mut config, &mut followed);
        (Self::over(chain, source, followed, config, store), node)
    }

    fn over(chain: ScriptedChain, source: Arc<dyn ChainSource>, followed: Followed, config: IndexerConfig, store: Store) -> Self {
        let indexer = Indexer::new(source.clone(), store.clone(), followed.clone(), config.clone());
        Self { chain, store, indexer, source, followed, config }
    }

    /// As after kill -9: nothing but the tables is left.
    pub(super) fn restart(&mut self) {
        self.store.set_hot(Hot::default());
        self.indexer = Indexer::new(self.source.clone(), self.store.clone(), self.followed.clone(), self.config.clone());
    }

    pub(super) fn mine(&self, salt: u64, blocks: u64) {
        for _ in 0..blocks {
            let number = self.chain.canonical().len() as u64;
            self.chain.mine(salt, &[log(OURS, number, salt), log(OTHERS, number, salt)]);
        }
    }

    /// Blocks with a deposit, a transaction of several logs and an empty one. From the start block on, two
    /// of the logs are numbered events of ours.
    pub(super) fn mine_numbered(&self, salt: u64, blocks: u64) {
        for _ in 0..blocks {
            let (height, next) = (self.chain.canonical().len() as u64, next_number(&self.chain));
            let ours = |number| if height < START { log(OTHERS, number, salt) } else { numbered(number, salt) };
            let deposit = ScriptedTransaction { transaction_type: 0x7e, logs: vec![ours(next)] };
            let several = ScriptedTransaction::new(vec![log(OTHERS, height, salt), ours(next + 1)]);
            self.chain.mine_transactions(salt, &[deposit, ScriptedTransaction::new(Vec::new()), several]);
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.chain.canonical().len() as u64 - 1
    }

    /// Steps until there is nothing left to do.
    pub(super) async fn settle(&mut self) -> Progress {
        let mut total = Progress::default();
        for _ in 0..1_000 {
            let step = self.indexer.step().await.unwrap();
            total.finalized_blocks += step.finalized_blocks;
            total.hot_blocks += step.hot_blocks;
            total.undone_blocks += step.undone_blocks;
            if step == Progress::default() {
                return total;
            }
        }
        panic!("the indexer does not come to rest")
    }

    /// The window continues the tables, whose last block this is, by hashes, and its logs are those of its blocks.
    pub(super) fn check_window(&self, last_stored: Option<&BlockRow>) {
        let hot = self.store.hot();
        let mut below = last_stored;
        for block in &hot.blocks {
            if let Some(below) = below {
                assert_eq!((block.number, block.parent_hash), (below.number + 1, Some(below.hash)), "a broken link in the window");
            }
            assert_eq!(hot.logs().filter(|log| log.block_hash.0 == block.hash).count() as u64, block.log_count);
            below = Some(block);
        }
    }

    /// Tables and window together hold exactly the canonical chain, once. Without proofs the tables need
    /// not have a row for a block without logs.
    pub(super) async fn check(&self) {
        let first_hot = self.indexer.cursor.map_or(START, |cursor| cursor.id.number + 1);
        let (blocks, logs) = oracle(&self.chain, self.config.verify);
        let (mut cold, hot): (Vec<BlockRow>, Vec<BlockRow>) = blocks.into_iter().partition(|block| block.number < first_hot);
        let (cold_logs, hot_logs): (Vec<LogRow>, Vec<LogRow>) = logs.rows().into_iter().partition(|log| log.block_number < first_hot);
        let stored = stored_blocks(&self.store).await;
        if self.config.verify == Verify::Logs {
            cold.retain(|block| block.log_count > 0 || stored.iter().any(|row| row.number == block.number));
            for (block, row) in cold.iter_mut().zip(&stored).filter(|(_, row)| row.parent_hash.is_none()) {
                block.parent_hash = row.parent_hash;
            }
        }
        assert_eq!(stored, cold, "blocks in the tables");
        assert_eq!(stored_logs(&self.store).await, cold_logs, "logs in the tables");
        assert_eq!(self.store.hot().blocks, hot, "blocks in the window");
        assert_eq!(self.store.hot().logs().cloned().collect::<Vec<_>>(), hot_logs, "logs in the window");
    }
}

/// What the tables must hold of a chain, replayed from nothing.
pub(super) fn oracle(chain: &ScriptedChain, verify: Verify) -> (Vec<BlockRow>, Logs) {
    let filter = LogFilter::of_addresses(&[OURS]);
    let logs = chain.canonical_logs().filtered(|log| log.block_number >= START && filter.admits(log));
    let mut digest = B256::ZERO;
    let row = |header: Header| {
        let of_block = || logs.iter().filter(|log| log.block_hash == header.hash);
        digest = digest::extend(digest, header.hash, of_block());
        let verified = match verify {
            Verify::Logs => Verified::Logs,
            Verify::Full if filter.may_be_in(&header.logs_bloom) => Verified::Receipts,
            Verify::Full => Verified::Bloom,
        };
        BlockRow {
            number: header.number,
            hash: header.hash,
            parent_hash: Some(header.parent_hash),
            timestamp: header.timestamp,
            log_count: of_block().count() as u64,
            verified: verified as u64,
            digest,
        }
    };
    let blocks = chain.canonical().into_iter().filter(|header| header.number >= START).map(row).collect();
    (blocks, logs)
}

pub(super) async fn stored_blocks(store: &Store) -> Vec<BlockRow> {
    let mut rows = store.scan::<BlockRow>(None).await.unwrap();
    rows.sort_by_key(|row| row.number);
    rows
}

pub(super) async fn stored_logs(store: &Store) -> Vec<LogRow> {
    let mut rows = store.scan::<LogRow>(None).await.unwrap();
    rows.sort_by_key(|row| (row.block_number, row.log_index));
    rows
}
