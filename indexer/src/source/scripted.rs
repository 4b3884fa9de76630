//! A chain in memory that does what a test tells it: a tree of blocks with real hashes, one branch
//! of which is canonical. It behaves as a node would, faults included.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schemas::alloy_primitives::{Bytes, Keccak256};
use schemas::{Address, B256};

use super::{ChainSource, HeadTag, Header, Log};
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
    logs: Vec<Log>,
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
        let genesis = Block { header: header(0, B256::ZERO, chain_id, &[]), logs: Vec::new() };
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
        let header = header(number, parent, salt, logs);
        let logs = logs.iter().zip(0..).map(|(log, index)| placed(log, &header, index)).collect();
        state.blocks.insert(header.hash, Block { header, logs });
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
    pub fn canonical_logs(&self) -> Vec<Log> {
        let state = self.lock();
        state.canonical.iter().filter_map(|hash| state.blocks.get(hash)).flat_map(|block| block.logs.clone()).collect()
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

    fn range(&self, from: u64, to: u64) -> Result<Vec<&Block>> {
        (from..=to).map(|number| self.at(number).ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })).collect()
    }
}

/// A header whose hash covers everything in the block.
fn header(number: u64, parent_hash: B256, salt: u64, logs: &[ScriptedLog]) -> Header {
    let timestamp = 1_700_000_000 + 2 * number;
    let mut hasher = Keccak256::new();
    hasher.update(number.to_be_bytes());
    hasher.update(parent_hash);
    hasher.update(timestamp.to_be_bytes());
    hasher.update(salt.to_be_bytes());
    for log in logs {
        hasher.update(log.address);
        hasher.update((log.topics.len() as u64).to_be_bytes());
        for topic in &log.topics {
            hasher.update(topic);
        }
        hasher.update((log.data.len() as u64).to_be_bytes());
        hasher.update(&log.data);
    }
    Header { number, hash: hasher.finalize(), parent_hash, timestamp }
}

fn placed(log: &ScriptedLog, header: &Header, index: u64) -> Log {
    let mut hasher = Keccak256::new();
    hasher.update(log.address);
    hasher.update(&log.data);
    hasher.update(index.to_be_bytes());
    Log {
        block_number: header.number,
        block_hash: header.hash,
        transaction_hash: hasher.finalize(),
        transaction_index: index,
        log_index: index,
        address: log.address,
        topics: log.topics.clone(),
        data: log.data.clone(),
    }
}

fn of<'a>(blocks: impl IntoIterator<Item = &'a Block>, addresses: &[Address]) -> Vec<Log> {
    blocks.into_iter().flat_map(|block| &block.logs).filter(|log| addresses.contains(&log.address)).cloned().collect()
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

    async fn headers_in_range(&self, from: u64, to: u64) -> Result<Vec<Header>> {
        let state = self.call("headers_in_range")?;
        Ok(state.range(from, to)?.iter().map(|block| block.header).collect())
    }

    async fn logs_in_range(&self, from: u64, to: u64, addresses: &[Address]) -> Result<Vec<Log>> {
        let state = self.call("logs_in_range")?;
        Ok(of(state.range(from, to)?, addresses))
    }

    async fn logs_of_block(&self, hash: B256, addresses: &[Address]) -> Result<Vec<Log>> {
        let state = self.call("logs_of_block")?;
        match state.known(hash) {
            Some(block) => Ok(of([block], addresses)),
            None => Err(IndexerError::BlockUnknown { block: format!("{hash:#x}") }),
        }
    }
}
