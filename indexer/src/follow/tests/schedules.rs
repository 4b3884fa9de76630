//! Seeded random schedules of everything that can happen to the chain, the node, the process and its
//! memory, each compared with the oracle at the end and checked for the invariants after every step.
//!
//! `HEADWATER_SIMULATE=n` runs n of them, `HEADWATER_SEED=s` begins at seed s. A seed repeats: a failing
//! one is printed, to be named as a test of its own.

mod report;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::rig::{cut_short, next_number, numbered};
use super::*;
use crate::source::{FaultPlan, NodeFault, ScriptedNode, ScriptedTransaction};
use report::{Report, Tally};
use store::{StorageFailures, StorageFaults};

const ACTIONS: u32 = 12;

/// How the node may fail, and what is promised then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Every fault and every lie; the tables equal the oracle.
    Proven,
    /// Every fault but lies; the tables equal the oracle.
    Believed,
    /// Also lost logs; no gap in the events' numbers is ever stored, and one is noticed.
    Lossy,
}

impl Mode {
    fn of_seed(seed: u64) -> Self {
        match seed % 8 {
            0..=4 => Self::Proven,
            5 | 6 => Self::Believed,
            _ => Self::Lossy,
        }
    }

    fn verify(self) -> Verify {
        if self == Self::Proven { Verify::Full } else { Verify::Logs }
    }

    fn allows(self, fault: NodeFault) -> bool {
        match self {
            Self::Proven => true,
            Self::Believed => !fault.is_lie(),
            Self::Lossy => !fault.is_lie() || matches!(fault, NodeFault::LogDropped | NodeFault::LogsEmptied),
        }
    }
}

struct Schedule {
    mode: Mode,
    rig: Rig,
    node: Arc<ScriptedNode>,
    /// Active only while the indexer works.
    storage: StorageFaults,
    random: StdRng,
    salt: u64,
    finalized: u64,
    /// The tables' rows as they were when their versions were these.
    stored: (Option<[u64; 2]>, Vec<BlockRow>),
    tally: Tally,
}

impl Schedule {
    async fn new(seed: u64) -> Self {
        let mode = Mode::of_seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let storage = StorageFaults::default();
        let store = Store::in_memory_failing(&storage).await.unwrap();
        let (is_timed, commits_often) = (random.random_bool(0.5), random.random_bool(0.5));
        let waits_for = random.random_bool(0.5).then(|| random.random_range(2..8));
        let (rig, node) = Rig::on_node_with(mode.verify(), is_timed, store, |config, _| {
            if commits_often {
                config.commit_bytes = 1;
            }
            if let Some(blocks) = waits_for {
                (config.commit_interval_ms, config.commit_blocks) = (u64::MAX, blocks);
            }
        });
        Self { mode, rig, node, storage, random, salt: 0, finalized: 0, stored: (None, Vec::new()), tally: Tally::default() }
    }

    /// Blocks below this height stay: they are final, or were said to be.
    fn floor(&self) -> u64 {
        self.finalized.max(self.node.announced_finalized())
    }

    fn mine(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.salt += 1;
            let mut next = next_number(&self.rig.chain);
            let starts = self.rig.head() + 1 < START;
            let mut transactions = Vec::new();
            for _ in 0..self.random.random_range(0..4u32) {
                let mut logs = Vec::new();
                for _ in 0..self.random.random_range(0..3u32) {
                    if starts || self.random.random_bool(0.4) {
                        logs.push(log(OTHERS, next, self.salt));
                    } else {
                        logs.push(numbered(next, self.salt));
                        next += 1;
                    }
                }
                transactions.push(ScriptedTransaction { transaction_type: [0, 2, 0x7e][self.random.random_range(0..3)], logs });
            }
            self.rig.chain.mine_transactions(self.salt, &transactions);
        }
    }

    async fn act(&mut self) {
        match self.random.random_range(0..12u32) {
            0..=2 => {
                let blocks = self.random.random_range(1..6);
                self.mine(blocks);
            }
            3..=5 => self.fork(),
            6 => {
                self.finalized = self.random.random_range(self.finalized..=self.rig.head().max(self.finalized));
                self.rig.chain.finalize(self.finalized);
            }
            7 => {
                self.plan_faults();
                self.plan_storage();
            }
            8 => self.rig.chain.set_orphans_known(self.random.random_bool(0.5)),
            9 => self.restart(),
            10 => self.stop_in_the_middle().await,
            _ => self.crash_between_logs_and_blocks().await,
        }
        for _ in 0..self.random.random_range(0..5u32) {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let before = self.rig.indexer.status().borrow().reorgs;
        self.storage.set_active(true);
        let step = self.rig.indexer.step().await;
        self.storage.set_active(false);
        self.tally.steps += 1;
        if let Err(error) = &step {
            assert!(error.is_transient(), "{error}");
            self.tally.failed_steps += 1;
            self.tally.events_missing += u64::from(matches!(error, IndexerError::EventsMissing { .. }));
        }
        let undone = step.map_or(0, |progress| progress.undone_blocks);
        if self.rig.indexer.status().borrow().reorgs > before {
            self.tally.undone(undone);
        }
        self.check_invariants().await;
    }

    /// Another branch from a block that is not final: shorter, as long, longer; or the old one again.
    fn fork(&mut self) {
        let depth = self.random.random_range(0..=self.rig.head().saturating_sub(self.floor()));
        let old = self.rig.chain.canonical().last().unwrap().hash;
        self.rig.chain.rewind(usize::try_from(depth).unwrap());
        let blocks = self.random.random_range(0..=depth + 2);
        self.mine(blocks);
        if self.random.random_bool(0.25) {
            self.rig.chain.switch_to(old);
        }
    }

    fn plan_faults(&mut self) {
        let mut plan = FaultPlan::new(self.salt);
        for fault in NodeFault::ALL.into_iter().filter(|fault| self.mode.allows(*fault)) {
            // What needs a log to strike at gets few chances.
            let most_ppm = if fault >= NodeFault::LogsShuffled { 400_000 } else { 80_000 };
            let rate_ppm = [0, 0, most_ppm / 20, most_ppm][self.random.random_range(0..4)];
            plan = plan.with(fault, rate_ppm);
        }
        self.node.plan_faults(plan);
    }

    /// The storage is used a few times in a step at most.
    fn plan_storage(&mut self) {
        let rate_ppm = [0, 50_000, 200_000, 500_000][self.random.random_range(0..4)];
        self.storage.plan(self.random.random(), rate_ppm);
    }

    fn restart(&mut self) {
        self.tally.restarts += 1;
        self.rig.restart();
    }

    /// The process ends at any point at which it waits; or only the step does, and the next one follows.
    async fn stop_in_the_middle(&mut self) {
        let most = [4, 12, 60][self.random.random_range(0..3)];
        let polls = self.random.random_range(1..most);
        let restarts = self.random.random_bool(0.5);
        self.storage.set_active(true);
        if cut_short(polls, self.rig.indexer.step()).await.is_none() {
            self.tally.stopped_steps += 1;
        }
        self.storage.set_active(false);
        if restarts {
            self.restart();
        }
    }

    async fn crash_between_logs_and_blocks(&mut self) {
        let next: Vec<LogRow> = self.rig.indexer.window.iter().take(2).flat_map(|block| block.logs.to_vec()).collect();
        if self.rig.indexer.resumed {
            self.rig.store.append(&next).await.unwrap();
            self.restart();
        }
    }

    /// Blocks in tables and window form one hash-linked chain from the start block, and the window's
    /// logs are those of its blocks.
    async fn check_invariants(&mut self) {
        let versions = [self.rig.store.version::<BlockRow>().unwrap(), self.rig.store.version::<LogRow>().unwrap()];
        if self.stored.0 != Some(versions) {
            self.stored = (Some(versions), stored_blocks(&self.rig.store).await);
            self.check_tables();
        }
        self.rig.check_window(self.stored.1.last());
    }

    fn check_tables(&self) {
        let canonical = self.rig.chain.canonical();
        for (row, number) in self.stored.1.iter().zip(START..) {
            if let Some(header) = canonical.get(usize::try_from(row.number).unwrap()) {
                assert_eq!(header.hash, row.hash, "a final block changed");
            }
            assert!(row.number == number || self.mode != Mode::Proven, "a gap in the tables at {number}");
        }
    }

    /// Without faults, everything comes right: a head above all that was seen, and most of it final.
    async fn end(&mut self, highest: u64) {
        self.node.plan_faults(FaultPlan::default());
        self.storage.plan(0, 0);
        while self.rig.head() <= highest {
            self.mine(1);
        }
        let last = numbered(next_number(&self.rig.chain), self.salt);
        self.rig.chain.mine(self.salt, &[last]);
        self.finalized = self.floor().max(self.rig.head().saturating_sub(3));
        self.rig.chain.finalize(self.finalized);
        if self.mode != Mode::Lossy {
            self.rig.settle().await;
            self.check_invariants().await;
            return self.rig.check().await;
        }
        let missing_before = self.tally.events_missing;
        for _ in 0..30 {
            self.step().await;
        }
        let mut numbers: Vec<u64> =
            stored_logs(&self.rig.store).await.iter().map(|log| u64::from(log.data[31]) + 256 * u64::from(log.data[30])).collect();
        numbers.extend(self.rig.store.hot().logs().map(|log| u64::from(log.data[31]) + 256 * u64::from(log.data[30])));
        assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "a gap in the numbers was stored: {numbers:?}");
        if self.tally.events_missing == missing_before {
            self.rig.check().await;
        }
    }
}

async fn run(seed: u64) -> Tally {
    let mut schedule = Schedule::new(seed).await;
    schedule.plan_storage();
    let mut highest = 0;
    for _ in 0..ACTIONS {
        schedule.act().await;
        highest = highest.max(schedule.rig.head());
    }
    schedule.end(highest).await;
    schedule.tally.faults = schedule.node.struck();
    schedule.tally.storage = schedule.storage.struck();
    schedule.tally
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn random_schedules_end_in_the_canonical_chain() {
    let (first, count) = (setting("HEADWATER_SEED").unwrap_or(0), setting("HEADWATER_SIMULATE").unwrap_or(500));
    let report = Report::of(first..first + count, run);
    println!("{report}");
    assert!(report.failures.is_empty(), "{report}");
    // A harness whose faults never strike proves nothing.
    if count >= 500 {
        let idle: Vec<NodeFault> = NodeFault::ALL.into_iter().filter(|fault| !report.tally.faults.contains_key(fault)).collect();
        assert!(idle.is_empty() && report.tally.stopped_steps > 0 && report.tally.events_missing > 0, "{idle:?}: {report}");
        let StorageFailures { reads, writes_refused, writes_unconfirmed } = report.tally.storage;
        assert!(reads > 0 && writes_refused > 0 && writes_unconfirmed > 0, "the storage never failed: {report}");
    }
}
