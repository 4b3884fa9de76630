//! Follows the chain into the `blocks` and `logs` tables.
//!
//! Two regimes. Up to the finalized block: ranges by number, hash-linked, appended for good
//! ([`cold`]). Above it: a window in memory, read only by hash, published after every change and
//! undone when the chain is reorganised ([`hot`]). A block that is final stays where it is until there are
//! enough to be moved to the tables in one commit. The cursor is the highest row of `blocks`; logs are written before their blocks, and
//! logs above the cursor are deleted at start, so a crash at any instruction loses and doubles nothing.
//!
//! What is in the tables is never changed: a reorganisation below it halts the indexer.

pub mod audit;
mod cold;
mod fetch;
mod foreign;
mod history;
mod hot;
mod ranges;
mod sequences;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::contracts::Deployment;
use schemas::events::{Emitter, Place, event_tables};
use schemas::tables::{BlockRow, LogRow};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::source::{BlockId, ChainSource, Header, Heads};
use crate::verify::LogFilter;
use crate::wake::HeadWaker;
use crate::{IndexerError, Result};
use foreign::Foreign;
use hot::HotBlock;
use sequences::Sequences;
pub use status::IndexerStatus;

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    pub chain_id: u64,
    /// Contracts whose logs are kept.
    pub addresses: Vec<Address>,
    /// Of those that are named here, first topics of the logs that are kept; of the others, all are.
    pub events: BTreeMap<Address, BTreeSet<B256>>,
    /// First block that is kept.
    pub start_block: u64,
    /// Events that carry a number of their contract.
    pub numbered: Vec<NumberedEvent>,
}

/// An event whose number is one above that of its contract's event before it. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedEvent {
    pub address: Address,
    pub topic0: B256,
    /// Which 32-byte word of the data holds the number, from 0.
    pub word: usize,
}

impl Followed {
    /// Which logs are kept.
    pub fn filter(&self) -> LogFilter {
        let restrict =
            |filter: LogFilter, (address, events): (&Address, &BTreeSet<B256>)| filter.only_events_of(*address, events.iter().copied());
        self.events.iter().fold(LogFilter::of_addresses(&self.addresses), restrict)
    }

    /// Our own contracts.
    ///
    /// # Errors
    /// [`IndexerError::Schema`] never with the contracts that are checked in.
    pub fn deployment(deployment: &Deployment) -> Result<Self> {
        let mut numbered = Vec::new();
        for table in event_tables(deployment)? {
            for column in table.columns.iter().filter(|column| column.name == "seq") {
                if let (Emitter::Contract(address), Place::Data(word, _)) = (table.emitter, column.place) {
                    numbered.push(NumberedEvent { address, topic0: table.topic0, word });
                }
            }
        }
        Ok(Self {
            chain_id: deployment.chain_id,
            addresses: deployment.addresses().to_vec(),
            events: BTreeMap::new(),
            start_block: deployment.start_block,
            numbered,
        })
    }
}

/// How far the node's word is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Every header is hashed and linked; logs are those of receipts that hash to the header's root.
    #[default]
    Full,
    /// Logs are taken as the node gives them; the events' own numbers still show gaps.
    Logs,
}

/// Limits of the indexer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexerConfig {
    pub verify: Verify,
    /// Pause between two looks at the head.
    pub poll_interval_ms: u64,
    /// Pause after repeated failures, at most.
    pub max_backoff_ms: u64,
    /// Blocks in the first range below the finalized block; later ones follow what replies hold.
    pub initial_range_blocks: u64,
    pub max_range_blocks: u64,
    /// Logs that a range is sized for.
    pub target_range_logs: u64,
    /// Ranges that are read at the same time.
    pub max_ranges_in_flight: usize,
    /// Memory of logs and blocks that are appended in one commit; twice as much is held at most.
    pub commit_bytes: usize,
    /// Final blocks stay in the window for so long, or until there are `commit_blocks` or `commit_bytes` of them, and are appended
    /// together: every commit costs a file and a manifest.
    pub commit_interval_ms: u64,
    pub commit_blocks: usize,
    /// Blocks held in memory above the finalized block; beyond them the indexer waits for finality.
    pub max_hot_blocks: u64,
    /// Nothing beyond this block is read, and nothing that is not final.
    pub last_block: Option<u64>,
    /// An undo deeper than this many blocks is done only when a second reading agrees.
    pub confirm_undo_blocks: u64,
}

impl Default for IndexerConfig {
    fn default() -> Self {
        Self {
            verify: Verify::Full,
            poll_interval_ms: 400,
            max_backoff_ms: 10_000,
            initial_range_blocks: 20,
            max_range_blocks: 1_000,
            target_range_logs: 800,
            max_ranges_in_flight: 4,
            commit_bytes: 32 << 20,
            commit_interval_ms: 60_000,
            commit_blocks: 1_000,
            max_hot_blocks: 50_000,
            last_block: None,
            confirm_undo_blocks: 5,
        }
    }
}

/// The last block in the tables, and the digest up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Checkpoint {
    id: BlockId,
    digest: B256,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Blocks appended to the tables.
    pub finalized_blocks: u64,
    /// Blocks added to the window.
    pub hot_blocks: u64,
    /// Blocks taken out of the window by a reorganisation.
    pub undone_blocks: u64,
    /// Blocks of history read for contracts that were added later.
    pub history_blocks: u64,
    /// More can be done at once.
    pub more: bool,
}

/// The follower of one chain. Only one may write to a store.
#[derive(Debug)]
pub struct Indexer {
    source: Arc<dyn ChainSource>,
    store: Store,
    followed: Followed,
    config: IndexerConfig,
    filter: Arc<LogFilter>,
    /// The highest block in the tables.
    cursor: Option<Checkpoint>,
    /// As of the cursor.
    sequences: Sequences,
    /// What is followed beside our own contracts, as `followed_contracts` has it.
    foreign: Foreign,
    /// Blocks above the cursor, lowest first, hash-linked.
    window: Vec<HotBlock>,
    /// The highest block that was seen to be final: in the window, or at or below the cursor.
    settled: Option<BlockId>,
    /// Since when a final block waits in the window to be appended.
    waiting_since: Option<Instant>,
    /// Whether `cursor` and `window` are known to agree with the tables.
    resumed: bool,
    status: watch::Sender<IndexerStatus>,
}

impl Indexer {
    /// Nothing is read or written before the first step.
    pub fn new(source: Arc<dyn ChainSource>, store: Store, followed: Followed, config: IndexerConfig) -> Self {
        let status = IndexerStatus { chain_id: followed.chain_id, verify: config.verify, ..IndexerStatus::default() };
        Self {
            filter: Arc::new(followed.filter()),
            sequences: Sequences::new(&followed.numbered),
            foreign: Foreign::default(),
            status: watch::Sender::new(status),
            source,
            store,
            followed,
            config,
            cursor: None,
            window: Vec::new(),
            settled: None,
            waiting_since: None,
            resumed: false,
        }
    }

    /// Where the indexer stands, always current.
    pub fn status(&self) -> watch::Receiver<IndexerStatus> {
        self.status.subscribe()
    }

    /// Follows until the token is cancelled. Transient failures are waited out; it may be dropped at any
    /// point. With a waker it also looks for new blocks when the node announces one.
    ///
    /// # Errors
    /// [`IndexerError::ReorgBelowFinalized`], [`IndexerError::WrongChain`],
    /// [`IndexerError::StoredChainBroken`] and errors of the store that time does not mend.
    pub async fn run(mut self, mut waker: Option<HeadWaker>, stop: CancellationToken) -> Result<()> {
        let mut failures = 0u32;
        loop {
            let step = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                step = self.step() => step,
            };
            let pause_ms = match step {
                Ok(progress) => {
                    failures = 0;
                    if progress.more { 0 } else { self.config.poll_interval_ms }
                }
                Err(error) if error.is_transient() => {
                    failures = failures.saturating_add(1);
                    let pause_ms = self.config.poll_interval_ms.saturating_mul(1 << failures.min(16)).min(self.config.max_backoff_ms);
                    tracing::warn!(%error, failures, pause_ms, "indexing step failed and will be tried again");
                    pause_ms
                }
                Err(error) => {
                    tracing::error!(%error, "indexing halted");
                    return Err(error);
                }
            };
            // After a failure the pause is kept: an announcement does not mend the node.
            let announced = async {
                match &mut waker {
                    Some(waker) if failures == 0 => waker.wait().await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = announced => {}
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
            }
        }
    }

    /// Does the next bounded piece of work. After an error, and when it was dropped before its end, the
    /// next step derives its position from the tables again.
    ///
    /// # Errors
    /// As [`Indexer::run`], and the transient ones (see [`IndexerError::is_transient`]).
    pub async fn step(&mut self) -> Result<Progress> {
        let outcome = self.try_step().await;
        self.resumed = outcome.is_ok();
        if let (Err(IndexerError::EventsMissing { .. }), Verify::Logs) = (&outcome, self.config.verify) {
            // The node may have left a log out once: what it said of blocks that can still be undone is asked again.
            self.window.clear();
        }
        let (last_final, tip) = (self.last_final(), self.tip());
        self.status.send_modify(|status| status.stepped(last_final, tip, outcome.as_ref().err()));
        outcome
    }

    async fn try_step(&mut self) -> Result<Progress> {
        // Until the step has ended, what is held and what is in the tables may differ.
        if !std::mem::replace(&mut self.resumed, false) {
            self.resume().await?;
        }
        self.start_contracts().await?;
        let Heads { latest, safe, finalized } = self.source.heads().await?;
        let Some(head) = latest else { return Ok(Progress::default()) };
        self.status.send_modify(|status| status.saw_heads(head, safe, finalized));
        if self.head_is_below_final(&head).await? {
            return Ok(Progress::default());
        }
        let mut progress = self.follow_chain(head, finalized).await?;
        if !progress.more {
            progress.history_blocks = self.read_history().await?;
            progress.more = progress.history_blocks > 0;
        }
        Ok(progress)
    }

    async fn follow_chain(&mut self, head: Header, finalized: Option<Header>) -> Result<Progress> {
        if let Some(last) = self.config.last_block {
            let target = if finalized.is_some_and(|block| block.number >= last) { self.source.header_by_number(last).await? } else { None };
            let target = target.filter(|block| block.number >= self.first_above_cursor());
            return match target {
                Some(target) => self.backfill(&target).await,
                None => Ok(Progress::default()),
            };
        }
        let finalized = finalized.filter(|block| block.number >= self.first_above_cursor());
        if let Some(target) =
            finalized.filter(|block| self.tip().is_none_or(|tip| block.number > tip.number.saturating_add(self.few_blocks())))
        {
            return self.backfill(&target).await;
        }
        let mut progress = self.follow_head(&head).await?;
        if let Some(finalized) = finalized {
            progress.finalized_blocks = self.finalize_window(&finalized).await?;
        }
        Ok(progress)
    }

    /// So many blocks are read one by one into the window, also where they are final already: reading a range commits it, and a
    /// chain that is faster than the steps would be one commit for each.
    fn few_blocks(&self) -> u64 {
        self.config.initial_range_blocks.min(self.config.max_range_blocks)
    }

    /// Derives the position from the tables, undoes what a crash left, and checks that the chain
    /// still holds the last final block.
    async fn resume(&mut self) -> Result<()> {
        let found = self.source.chain_id().await?;
        if found != self.followed.chain_id {
            return Err(IndexerError::WrongChain { expected: self.followed.chain_id, found });
        }
        // A write that failed, or was dropped, may have been done.
        self.store.reload::<LogRow>().await?;
        if self.store.reload::<BlockRow>().await? {
            // The tables have moved under the window, and what follows can fail: readers must not see both.
            self.window.clear();
            self.cursor = None;
            self.publish();
        }
        let cursor = self.stored_cursor().await?;
        let orphans = format!("block_number >= {}", cursor.map_or(self.followed.start_block, |cursor| cursor.id.number + 1));
        if self.store.count::<LogRow>(Some(&orphans)).await? > 0 {
            let logs = self.store.delete_where::<LogRow>(&orphans).await?;
            tracing::info!(logs, ?cursor, "deleted logs whose blocks were not written before a stop");
        }
        if cursor != self.cursor || cursor.is_none() {
            // After the deletion: logs that do not count have numbers too.
            self.sequences.restore(&self.store).await?;
        }
        self.cursor = cursor;
        if let Some(cursor) = self.cursor
            && let Some(header) = self.source.header_by_number(cursor.id.number).await?
        {
            self.expect_final(cursor.id, header.hash).await?;
        }
        if let Some(settled) = self.settled.filter(|settled| settled.number >= self.first_above_cursor())
            && let Some(header) = self.source.header_by_number(settled.number).await?
        {
            self.expect_final(settled, header.hash).await?;
        }
        self.realign_window();
        self.restore_foreign().await?;
        tracing::debug!(cursor = ?self.cursor, hot_blocks = self.window.len(), "indexer position derived from the tables");
        Ok(())
    }

    async fn stored_cursor(&self) -> Result<Option<Checkpoint>> {
        let Some(numbers) = self.store.extent::<BlockRow>("number").await? else { return Ok(None) };
        let start = self.followed.start_block;
        if *numbers.start() != start {
            return Err(IndexerError::StoredChainBroken { problem: format!("they do not begin at the configured start block {start}") });
        }
        self.stored_block(*numbers.end()).await
    }

    /// The stored block at a height; `None` when there is none.
    async fn stored_block(&self, number: u64) -> Result<Option<Checkpoint>> {
        let rows = self.store.scan::<BlockRow>(Some(&format!("number = {number}"))).await?;
        match rows.as_slice() {
            [] => Ok(None),
            [row] => Ok(Some(Checkpoint { id: BlockId { number: row.number, hash: row.hash }, digest: row.digest })),
            _ => Err(IndexerError::StoredChainBroken { problem: format!("block {number} is stored {} times", rows.len()) }),
        }
    }

    /// Whether the node is behind what is final here. Its blocks must then be ours.
    async fn head_is_below_final(&self, head: &Header) -> Result<bool> {
        let Some(last) = self.last_final().filter(|last| head.number < last.id.number) else { return Ok(false) };
        let held = match self.window.iter().find(|block| block.header.number == head.number) {
            Some(block) => Some(block.header.id()),
            None => self.stored_block(head.number).await?.map(|stored| stored.id),
        };
        if let Some(held) = held {
            self.expect_final(held, head.hash).await?;
        }
        tracing::debug!(head = head.number, last_final = last.id.number, "the node is behind the last final block; waiting");
        Ok(true)
    }

    /// Halts if the chain holds another block where `stored` was final. A second reading must agree,
    /// because nodes behind one address can disagree for a moment.
    async fn expect_final(&self, stored: BlockId, found: B256) -> Result<()> {
        if found == stored.hash {
            return Ok(());
        }
        match self.source.header_by_number(stored.number).await? {
            // A header that does not hash to its hash proves nothing.
            Some(again) if again.hash == found && (again.sealed || self.config.verify == Verify::Logs) => {
                Err(IndexerError::ReorgBelowFinalized { number: stored.number, stored: stored.hash, found })
            }
            _ => Err(IndexerError::Inconsistent { block: stored.number, problem: "two readings of a final block differ".into() }),
        }
    }

    fn first_above_cursor(&self) -> u64 {
        self.cursor.map_or(self.followed.start_block, |cursor| cursor.id.number + 1)
    }

    /// How many blocks of the window, the lowest, are final.
    fn settled_len(&self) -> usize {
        self.window.partition_point(|block| self.settled.is_some_and(|settled| block.header.number <= settled.number))
    }

    /// The highest final block that is held.
    fn last_final(&self) -> Option<Checkpoint> {
        let in_window = self.window.get(..self.settled_len()).and_then(<[HotBlock]>::last);
        in_window.map(|block| Checkpoint { id: block.header.id(), digest: block.row.digest }).or(self.cursor)
    }

    fn first_above_final(&self) -> u64 {
        self.last_final().map_or(self.followed.start_block, |last| last.id.number + 1)
    }

    /// The newest block held.
    fn tip(&self) -> Option<BlockId> {
        self.window.last().map(|block| block.header.id()).or(self.cursor.map(|cursor| cursor.id))
    }
}

#[cfg(test)]
mod tests;
