//! Contracts that are followed beside our own: which of their logs are kept.
//!
//! A contract's logs from `live_from` on come with every block; those before are read afterwards
//! ([`super::history`]). Of a factory's children the events of their ABI are kept, from the block of the
//! creation event on: what a child's constructor logs comes before that event. A factory's history is read in full
//! before its children are followed, so that all of them are known. None of these logs enter the digest.
//!
//! A contract that is removed is read no further. Its logs stay in the tables: they are what the chain said. Added again, it
//! is read from its start, and what is in the tables already is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemas::events::Emitter;
use schemas::followed::FollowedContract;
use schemas::tables::{CoverageRow, FollowedContractRow, LogRef, LogRow};
use schemas::{Address, B256};
use store::{Finality, Store};

use super::fetch::Fetcher;
use crate::Result;
use crate::verify::LogFilter;

/// A place in the chain: block and log index.
type Position = (u64, u64);

/// All followed contracts that are not our own.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Version of `followed_contracts` that was read.
    version: Option<u64>,
    pub(super) contracts: Vec<Tracked>,
    /// Whether logs of a contract that was removed may be in the tables.
    pub(super) has_remains: bool,
    children: Children,
    /// Steps to let pass before history is read again, and failures in a row.
    pub(super) history_pause_steps: u32,
    pub(super) history_failures: u32,
}

/// A contract and how far its logs are in the tables.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) contract: FollowedContract,
    /// First block whose logs come with the block; `None` until it has taken effect.
    pub(super) live_from: Option<u64>,
    /// First block of history that is not read yet, and the hash of the one before it.
    pub(super) next: u64,
    pub(super) before: Option<B256>,
    /// Whether it is certain that no log of the next piece is in the tables already.
    pub(super) clean: bool,
    pub(super) fetcher: Option<Fetcher>,
}

impl Tracked {
    fn new(contract: FollowedContract, coverage: &[CoverageRow]) -> Self {
        // What was read before a contract was removed has a gap after it, and counts for nothing.
        let rows = || coverage.iter().filter(|row| row.name == contract.name && row.revision == contract.revision);
        let live_from = rows().filter(|row| row.to_block.is_none()).map(|row| row.from_block).min();
        let last = rows().filter(|row| row.to_block.is_some()).max_by_key(|row| row.to_block);
        let next = last.and_then(|row| row.to_block).map_or(contract.start_block, |to| to + 1);
        Self { next, before: last.and_then(|row| row.to_hash), contract, live_from, clean: false, fetcher: None }
    }

    /// The blocks of history that are left; `None` when nothing is.
    pub(super) fn history(&self) -> Option<(u64, u64)> {
        let last = self.live_from?.checked_sub(1)?;
        (self.next <= last).then_some((self.next, last))
    }

    pub(super) fn filter(&self) -> LogFilter {
        match self.contract.emitter {
            Emitter::Contract(address) => LogFilter::of_addresses(&[address]),
            Emitter::Children(_) => LogFilter::new([], self.contract.topics.iter().copied()),
        }
    }
}

impl Foreign {
    /// As the tables have it; children are those of blocks in the tables.
    pub(super) async fn restore(store: &Store, own: &[Address]) -> Result<Self> {
        let version = Some(store.version::<FollowedContractRow>()?);
        let rows = store.scan::<FollowedContractRow>(None).await?;
        if rows.is_empty() {
            return Ok(Self { version, ..Self::default() });
        }
        let coverage = store.scan::<CoverageRow>(None).await?;
        // What their tables are called is no matter here.
        let contracts = FollowedContract::all(&rows, &BTreeSet::new())?.into_iter();
        // Logs of our own contracts are there anyway.
        let contracts = contracts.filter(|contract| !matches!(contract.emitter, Emitter::Contract(address) if own.contains(&address)));
        let contracts = contracts.map(|contract| Tracked::new(contract, &coverage)).collect();
        let has_remains = rows.iter().any(|row| row.removed);
        let mut foreign = Self { version, contracts, has_remains, ..Self::default() };
        foreign.load_children(store).await?;
        Ok(foreign)
    }

    /// Whether contracts were added or removed since they were read.
    pub(super) fn is_outdated(&self, store: &Store) -> Result<bool> {
        Ok(self.version != Some(store.version::<FollowedContractRow>()?))
    }

    /// Takes from the tables which children there are.
    async fn load_children(&mut self, store: &Store) -> Result<()> {
        self.children = Children::default();
        for (index, tracked) in self.contracts.iter().enumerate() {
            let Emitter::Children(creation) = tracked.contract.emitter else { continue };
            for row in store.all_logs(creation.factory, creation.topic0, Finality::Stored).await? {
                if let Some(child) = as_ref(&row, |log| creation.child_of(&log)) {
                    self.children.add(index, child, (row.block_number, row.log_index));
                }
            }
        }
        Ok(())
    }

    /// Those that have not taken effect and can: a factory's children only once its own history is read.
    pub(super) fn startable(&self, own: &[Address]) -> Vec<usize> {
        let is_complete = |address: Address| {
            let is_read = |tracked: &Tracked| tracked.live_from.is_some() && tracked.history().is_none();
            own.contains(&address)
                || self.contracts.iter().any(|other| other.contract.emitter == Emitter::Contract(address) && is_read(other))
        };
        let can_start = |tracked: &Tracked| match tracked.contract.emitter {
            Emitter::Contract(_) => true,
            Emitter::Children(creation) => is_complete(creation.factory),
        };
        let waiting = self.contracts.iter().enumerate().filter(|(_, tracked)| tracked.live_from.is_none() && can_start(tracked));
        waiting.map(|(index, _)| index).collect()
    }

    /// Lets contracts take effect at a block; returns the rows that say so.
    pub(super) async fn start(&mut self, starting: &[usize], live_from: u64, store: &Store) -> Result<Vec<CoverageRow>> {
        let mut rows = Vec::with_capacity(starting.len());
        for (_, tracked) in self.contracts.iter_mut().enumerate().filter(|(index, _)| starting.contains(index)) {
            tracked.live_from = Some(live_from);
            let FollowedContract { name, revision, .. } = &tracked.contract;
            rows.push(CoverageRow { name: name.clone(), revision: *revision, from_block: live_from, to_block: None, to_hash: None });
        }
        if self.has_children() {
            self.load_children(store).await?;
        }
        Ok(rows)
    }

    pub(super) fn has_children(&self) -> bool {
        self.contracts.iter().any(|tracked| matches!(tracked.contract.emitter, Emitter::Children(_)))
    }

    /// Everything that comes with the blocks.
    pub(super) fn filter(&self, own: &[Address]) -> LogFilter {
        let mut addresses = own.to_vec();
        let mut topics = Vec::new();
        for tracked in self.contracts.iter().filter(|tracked| tracked.live_from.is_some()) {
            match tracked.contract.emitter {
                Emitter::Contract(address) => addresses.push(address),
                Emitter::Children(_) => topics.extend(tracked.contract.topics.iter().copied()),
            }
        }
        LogFilter::new(addresses, topics)
    }

    /// Takes note of the children that the next logs of the chain tell of. Whole blocks, and before any of their logs is asked
    /// about: a child may log before the event that tells of it.
    pub(super) fn note<'a>(&mut self, logs: impl IntoIterator<Item = LogRef<'a>>, own: &[Address]) {
        for log in logs {
            // Who tells of children is no child itself: whether its log is kept does not depend on what is noted here.
            let told = |(index, tracked): (usize, &Tracked)| match tracked.contract.emitter {
                Emitter::Children(creation) => creation.child_of(&log).map(|child| (index, child)),
                Emitter::Contract(_) => None,
            };
            let children: Vec<(usize, Address)> = self.contracts.iter().enumerate().filter_map(told).collect();
            if !children.is_empty() && self.admits(&log, own) {
                children.into_iter().for_each(|(index, child)| self.children.add(index, child, log.position()));
            }
        }
    }

    /// Whether a log of blocks that were noted is kept.
    pub(super) fn admits(&self, log: &LogRef<'_>, own: &[Address]) -> bool {
        let is_live = |index: &usize| self.contracts.get(*index).is_some_and(|tracked| tracked.live_from.is_some());
        own.contains(&log.address) || (0..self.contracts.len()).filter(is_live).any(|index| self.is_of(index, log))
    }

    /// Whether a log is one of the contract's, or of one of its children.
    pub(super) fn is_of(&self, index: usize, log: &LogRef<'_>) -> bool {
        let Some(tracked) = self.contracts.get(index).filter(|tracked| log.block_number >= tracked.contract.start_block) else {
            return false;
        };
        match tracked.contract.emitter {
            Emitter::Contract(address) => address == log.address,
            Emitter::Children(_) => {
                log.topic0().is_some_and(|topic| tracked.contract.topics.contains(&topic))
                    && self.children.is_known(index, log.address, log.block_number)
            }
        }
    }

    /// Of a block of the window, the logs that are kept. Takes note of the children they tell of.
    pub(super) fn kept(&mut self, logs: &Arc<[LogRow]>, own: &[Address]) -> Arc<[LogRow]> {
        logs.iter().for_each(|row| as_ref(row, |log| self.note([log], own)));
        let kept: Vec<bool> = logs.iter().map(|row| as_ref(row, |log| self.admits(&log, own))).collect();
        match kept.iter().all(|kept| *kept) {
            true => logs.clone(),
            false => logs.iter().zip(kept).filter(|(_, kept)| *kept).map(|(row, _)| row.clone()).collect(),
        }
    }

    /// Forgets children of blocks above `number`, or all.
    pub(super) fn undo_above(&mut self, number: Option<u64>) {
        self.children.undo_from(number.map_or(0, |number| number + 1));
    }
}

/// Children of factories, with the places of the events that told of them.
#[derive(Debug, Default)]
struct Children {
    /// By place; the index of the followed contract that they belong to.
    created: BTreeMap<(Position, usize), Address>,
    first: HashMap<(usize, Address), Vec<Position>>,
}

impl Children {
    fn add(&mut self, index: usize, child: Address, at: Position) {
        if self.created.insert((at, index), child).is_none() {
            self.first.entry((index, child)).or_default().push(at);
        }
    }

    /// Whether a child was told of in this block or before it.
    fn is_known(&self, index: usize, child: Address, block: u64) -> bool {
        self.first.get(&(index, child)).is_some_and(|created| created.iter().any(|(created, _)| *created <= block))
    }

    fn undo_from(&mut self, number: u64) {
        for ((at, index), child) in self.created.split_off(&((number, 0), 0)) {
            if let Some(created) = self.first.get_mut(&(index, child)) {
                created.retain(|created| *created != at);
                if created.is_empty() {
                    self.first.remove(&(index, child));
                }
            }
        }
    }
}

fn as_ref<T>(row: &LogRow, read: impl FnOnce(LogRef<'_>) -> T) -> T {
    let topics: Vec<B256> =
        [row.topic0, row.topic1, row.topic2, row.topic3].into_iter().map_while(|topic| topic.map(|raw| raw.0)).collect();
    read(LogRef {
        block_number: row.block_number,
        block_hash: row.block_hash.0,
        block_timestamp: row.block_timestamp,
        transaction_hash: row.transaction_hash.0,
        transaction_index: row.transaction_index,
        log_index: row.log_index,
        address: row.address.0,
        topics: &topics,
        data: &row.data,
    })
}
