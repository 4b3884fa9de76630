//! A chain in memory that does what a test tells it: a tree of blocks with real headers, receipts and
//! hashes, one branch of which is canonical. It behaves as a node would, faults included.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_consensus::Header as ConsensusHeader;
use async_trait::async_trait;
use schemas::alloy_primitives::{Bloom, Bytes, Keccak256, Log as PrimitiveLog, LogData, keccak256};
use schemas::tables::{LogRef, Logs};
use schemas::{Address, B256};

use super::{BlockId, ChainSource, HeadTag, Header};
use crate::verify::{BlockReceipts, LogFilter, ReceiptMeta};
use crate::{IndexerError, Result};

/// An event as a test gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
}

#[derive(Debug, Clone)]
struct Block {
    header: Header,
    receipts: BlockReceipts,
}

#[derive(Debug)]
struct State {
    chain_id: u64,
    blocks: HashMap<B256, Block>,
    /// Hashes from genesis to head.
    canonical: Vec<B256>,
    safe: Option<u64>,
    finalized: Option<u64>,
    misplaced_finalized: Option<B256>,
    orphans_known: bool,
    failing_calls: u64,
    fault_seed: u64,
    fault_ppm: u64,
    calls: u64,
}

/// A scripted [`ChainSource`]; clones share the chain.
#[derive(Debug, Clone)]
pub struct ScriptedChain {
    state: Arc<Mutex<State>>,
}

impl ScriptedChain {
    /// A chain that holds block 0 only; nothing is final.
    pub fn new(chain_id: u64) -> Self {
        let genesis = block(0, B256::ZERO, chain_id, &[]);
        let hash = genesis.header.hash;
        let state = State {
            chain_id,
            blocks: HashMap::from([(hash, genesis)]),
            canonical: vec![hash],
            safe: None,
            finalized: None,
            misplaced_finalized: None,
            orphans_known: true,
            failing_calls: 0,
            fault_seed: 0,
            fault_ppm: 0,
            calls: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Adds a block with these logs, one transaction each. The same content on the same parent with
    /// the same `salt` is the same block; another salt is a rival.
    pub fn mine(&self, salt: u64, logs: &[ScriptedLog]) -> Header {
        let mut state = self.lock();
        let parent = state.canonical.last().copied().unwrap_or_default();
        let number = state.canonical.len() as u64;
        let block = block(number, parent, salt, logs);
        let header = block.header;
        state.blocks.insert(header.hash, block);
        state.canonical.push(header.hash);
        header
    }

    /// Takes the newest `depth` blocks off the canonical branch, genesis never. They stay in the tree.
    pub fn rewind(&self, depth: usize) {
        let mut state = self.lock();
        let keep = state.canonical.len().saturating_sub(depth).max(1);
        state.canonical.truncate(keep);
    }

    /// Makes the branch that ends in `hash` canonical. Nothing happens for an unknown hash.
    pub fn switch_to(&self, hash: B256) {
        let mut state = self.lock();
        let mut branch = Vec::new();
        let mut next = Some(hash);
        while let Some(block) = next.and_then(|hash| state.blocks.get(&hash)) {
            branch.push(block.header.hash);
            next = (block.header.number > 0).then_some(block.header.parent_hash);
        }
        if !branch.is_empty() {
            branch.reverse();
            state.canonical = branch;
        }
    }

    /// Sets the safe and finalized heights.
    pub fn finalize(&self, number: u64) {
        let mut state = self.lock();
        state.safe = Some(number);
        state.finalized = Some(number);
    }

    /// From now on "finalized" is this block even off the canonical branch, as when nodes behind one
    /// address disagree; `None` ends it.
    pub fn misplace_finalized(&self, hash: Option<B256>) {
        self.lock().misplaced_finalized = hash;
    }

    /// Whether blocks off the canonical branch are still served by hash, as geth does and anvil does not.
    pub fn set_orphans_known(&self, known: bool) {
        self.lock().orphans_known = known;
    }

    /// The next `calls` calls fail as if the node could not be reached.
    pub fn fail_next(&self, calls: u64) {
        self.lock().failing_calls = calls;
    }

    /// From now on `fault_ppm` of a million calls fail; which ones is a function of the seed.
    pub fn fail_randomly(&self, seed: u64, fault_ppm: u64) {
        let mut state = self.lock();
        state.fault_seed = seed;
        state.fault_ppm = fault_ppm;
    }

    /// Headers of the canonical chain from block 0 to the head: the oracle of tests.
    pub fn canonical(&self) -> Vec<Header> {
        let state = self.lock();
        state.canonical.iter().filter_map(|hash| state.blocks.get(hash)).map(|block| block.header).collect()
    }

    /// All logs of the canonical chain, in order: the oracle of tests.
    pub fn canonical_logs(&self) -> Logs {
        let state = self.lock();
        let mut logs = Logs::default();
        for block in state.canonical.iter().filter_map(|hash| state.blocks.get(hash)) {
            // A scripted chain is small.
            let _ = logs.append(&block.receipts.logs);
        }
        logs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state for one call, unless the call is to fail.
    fn call(&self, method: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        state.calls += 1;
        let unlucky = {
            let mut hasher = Keccak256::new();
            hasher.update(state.fault_seed.to_be_bytes());
            hasher.update(state.calls.to_be_bytes());
            let hash = hasher.finalize();
            let word = hash.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            word % 1_000_000 < state.fault_ppm
        };
        if state.failing_calls > 0 || unlucky {
            state.failing_calls = state.failing_calls.saturating_sub(1);
            return Err(IndexerError::RpcUnreachable { url: "scripted".into(), method, problem: "scripted fault".into() });
        }
        Ok(state)
    }
}

impl State {
    fn at(&self, number: u64) -> Option<&Block> {
        let index = usize::try_from(number).ok()?;
        self.blocks.get(self.canonical.get(index)?)
    }

    fn known(&self, hash: B256) -> Option<&Block> {
        let block = self.blocks.get(&hash)?;
        let canonical = self.at(block.header.number).is_some_and(|other| other.header.hash == hash);
        (canonical || self.orphans_known).then_some(block)
    }

    fn known_block(&self, block: BlockId) -> Result<&Block> {
        self.known(block.hash).ok_or_else(|| IndexerError::BlockUnknown { block: format!("{:#x}", block.hash) })
    }

    fn range(&self, from: u64, to: u64) -> Result<Vec<&Block>> {
        (from..=to).map(|number| self.at(number).ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })).collect()
    }
}

/// A block of one transaction for each log. Its hash covers everything in it.
fn block(number: u64, parent_hash: B256, salt: u64, logs: &[ScriptedLog]) -> Block {
    let timestamp = 1_700_000_000 + 2 * number;
    let mut receipts = BlockReceipts::default();
    let mut logs_bloom = Bloom::ZERO;
    for log in logs {
        let bloom: Bloom =
            [PrimitiveLog { address: log.address, data: LogData::new_unchecked(log.topics.clone(), log.data.clone()) }].iter().collect();
        logs_bloom.accrue_bloom(&bloom);
        receipts.receipts.push(ReceiptMeta {
            transaction_type: 2,
            succeeded: true,
            cumulative_gas_used: 21_000 * (1 + receipts.receipts.len() as u64),
            logs_bloom: bloom,
            deposit_nonce: None,
            deposit_receipt_version: None,
            logs_end: receipts.receipts.len() + 1,
        });
        // The block's hash follows from the root, which does not cover it.
        push(&mut receipts.logs, log, number, B256::ZERO, timestamp);
    }
    let receipts_root = receipts.root();
    let consensus = ConsensusHeader {
        number,
        parent_hash,
        timestamp,
        logs_bloom,
        receipts_root,
        extra_data: Bytes::copy_from_slice(&salt.to_be_bytes()),
        ..ConsensusHeader::default()
    };
    let hash = consensus.hash_slow();
    receipts.logs = Logs::default();
    logs.iter().for_each(|log| push(&mut receipts.logs, log, number, hash, timestamp));
    Block { header: Header { number, hash, parent_hash, timestamp, logs_bloom, receipts_root, sealed: true }, receipts }
}

fn push(logs: &mut Logs, log: &ScriptedLog, number: u64, block_hash: B256, block_timestamp: u64) {
    let index = logs.len() as u64;
    let transaction_hash = keccak256([log.address.as_slice(), &log.data, &index.to_be_bytes()].concat());
    // A scripted log has at most four topics.
    let _ = logs.push(LogRef {
        block_number: number,
        block_hash,
        block_timestamp,
        transaction_hash,
        transaction_index: index,
        log_index: index,
        address: log.address,
        topics: &log.topics,
        data: &log.data,
    });
}

fn wanted<'a>(blocks: impl IntoIterator<Item = &'a Block>, filter: &LogFilter) -> Result<Logs> {
    let mut logs = Logs::default();
    for block in blocks {
        logs.append(&block.receipts.logs.filtered(|log| filter.admits(log)))?;
    }
    Ok(logs)
}

#[async_trait]
impl ChainSource for ScriptedChain {
    async fn chain_id(&self) -> Result<u64> {
        Ok(self.call("chain_id")?.chain_id)
    }

    async fn head(&self, tag: HeadTag) -> Result<Option<Header>> {
        let state = self.call("head")?;
        if let (HeadTag::Finalized, Some(hash)) = (tag, state.misplaced_finalized) {
            return Ok(state.blocks.get(&hash).map(|block| block.header));
        }
        let number = match tag {
            HeadTag::Latest => Some(state.canonical.len() as u64 - 1),
            HeadTag::Safe => state.safe,
            HeadTag::Finalized => state.finalized,
        };
        Ok(number.and_then(|number| state.at(number)).map(|block| block.header))
    }

    async fn header_by_number(&self, number: u64) -> Result<Option<Header>> {
        Ok(self.call("header_by_number")?.at(number).map(|block| block.header))
    }

    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>> {
        Ok(self.call("header_by_hash")?.known(hash).map(|block| block.header))
    }

    async fn headers(&self, numbers: &[u64]) -> Result<Vec<Header>> {
        let state = self.call("headers")?;
        let header = |number: &u64| state.at(*number).map(|block| block.header);
        numbers.iter().map(|number| header(number).ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })).collect()
    }

    async fn logs_in_range(&self, from: u64, to: u64, filter: &LogFilter) -> Result<(Header, Logs)> {
        let state = self.call("logs_in_range")?;
        let blocks = state.range(from, to)?;
        let last = blocks.last().ok_or_else(|| IndexerError::BlockUnknown { block: to.to_string() })?.header;
        Ok((last, wanted(blocks, filter)?))
    }

    async fn logs_of_block(&self, block: BlockId, filter: &LogFilter) -> Result<Logs> {
        wanted([self.call("logs_of_block")?.known_block(block)?], filter)
    }

    async fn receipts(&self, blocks: &[BlockId]) -> Result<Vec<BlockReceipts>> {
        let state = self.call("receipts")?;
        blocks.iter().map(|block| Ok(state.known_block(*block)?.receipts.clone())).collect()
    }
}
