//! A chain in memory that does what a test tells it: a tree of blocks with real headers, receipts and
//! hashes, one branch of which is canonical. It is a source itself, and [`ScriptedNode`] serves it over
//! JSON-RPC as nodes do, with the faults that nodes have.

mod block;
mod faults;
mod json;
mod node;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use schemas::B256;
use schemas::alloy_primitives::keccak256;
use schemas::tables::Logs;

use super::{BlockId, ChainSource, HeadTag, Header};
use crate::verify::{BlockReceipts, LogFilter};
use crate::{IndexerError, Result};
use block::Block;
pub use block::{ScriptedLog, ScriptedTransaction};
pub use faults::{FaultPlan, NodeFault};
pub use node::ScriptedNode;

#[derive(Debug, Clone)]
struct State {
    chain_id: u64,
    blocks: HashMap<B256, Arc<Block>>,
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
    /// Heads of branches that were canonical once.
    abandoned: Vec<B256>,
}

/// A scripted [`ChainSource`]; clones share the chain.
#[derive(Debug, Clone)]
pub struct ScriptedChain {
    state: Arc<Mutex<State>>,
}

impl ScriptedChain {
    /// A chain that holds block 0 only; nothing is final.
    pub fn new(chain_id: u64) -> Self {
        let genesis = Arc::new(Block::new(0, B256::ZERO, chain_id, &[]));
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
            abandoned: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Adds a block with these logs, one transaction each. The same content on the same parent with
    /// the same `salt` is the same block; another salt is a rival.
    pub fn mine(&self, salt: u64, logs: &[ScriptedLog]) -> Header {
        let transactions: Vec<_> = logs.iter().map(|log| ScriptedTransaction::new(vec![log.clone()])).collect();
        self.mine_transactions(salt, &transactions)
    }

    /// As [`Self::mine`], with these transactions.
    pub fn mine_transactions(&self, salt: u64, transactions: &[ScriptedTransaction]) -> Header {
        let mut state = self.lock();
        let parent = state.canonical.last().copied().unwrap_or_default();
        let block = Block::new(state.canonical.len() as u64, parent, salt, transactions);
        let header = block.header;
        state.blocks.insert(header.hash, Arc::new(block));
        state.canonical.push(header.hash);
        header
    }

    /// Takes the newest `depth` blocks off the canonical branch, genesis never. They stay in the tree.
    pub fn rewind(&self, depth: usize) {
        let mut state = self.lock();
        let keep = state.canonical.len().saturating_sub(depth).max(1);
        state.abandon(keep);
        state.canonical.truncate(keep);
    }

    /// Makes the branch that ends in `hash` canonical. Nothing happens for an unknown hash.
    pub fn switch_to(&self, hash: B256) {
        let mut state = self.lock();
        let branch = state.branch(hash);
        if !branch.is_empty() {
            state.abandon(0);
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
            let _ = logs.append(block.receipts.logs.clone());
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
        let dice = keccak256([state.fault_seed.to_be_bytes(), state.calls.to_be_bytes()].concat());
        let unlucky = dice.first_chunk::<8>().is_some_and(|word| u64::from_be_bytes(*word) % 1_000_000 < state.fault_ppm);
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
        self.blocks.get(self.canonical.get(index)?).map(AsRef::as_ref)
    }

    /// Hashes from genesis to `head`; none for an unknown block.
    fn branch(&self, head: B256) -> Vec<B256> {
        let mut branch = Vec::new();
        let mut next = self.blocks.get(&head);
        while let Some(block) = next {
            branch.push(block.header.hash);
            next = self.blocks.get(&block.header.parent_hash);
        }
        branch.reverse();
        branch
    }

    /// Remembers the canonical branch if it goes on after its first `keep` blocks.
    fn abandon(&mut self, keep: usize) {
        if let Some(head) = self.canonical.get(keep..).and_then(<[B256]>::last).copied() {
            self.abandoned.push(head);
        }
    }

    /// Height of the newest block.
    fn head(&self) -> u64 {
        (self.canonical.len() as u64).saturating_sub(1)
    }

    fn known(&self, hash: B256) -> Option<&Block> {
        let block = self.blocks.get(&hash)?.as_ref();
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

fn wanted<'a>(blocks: impl IntoIterator<Item = &'a Block>, filter: &LogFilter) -> Result<Logs> {
    let mut logs = Logs::default();
    for block in blocks {
        logs.append(block.receipts.logs.filtered(|log| filter.admits(log)))?;
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
            HeadTag::Latest => Some(state.head()),
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
