//! Seeded random schedules of everything that can happen, each compared with the chain at the end
//! and checked for the invariants after every action. A failing seed is printed: name it as a test.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const SCHEDULES: u64 = 200;
const ACTIONS: u32 = 14;

struct Schedule {
    rig: Rig,
    random: StdRng,
    salt: u64,
    finalized: u64,
}

impl Schedule {
    fn head(&self) -> u64 {
        self.rig.chain.canonical().len() as u64 - 1
    }

    fn mine(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.salt += 1;
            let number = self.head() + 1;
            let logs: Vec<ScriptedLog> = (0..self.random.random_range(0..4u64))
                .map(|index| log(if self.random.random_bool(0.6) { OURS } else { OTHERS }, number, self.salt * 10 + index))
                .collect();
            self.rig.chain.mine(self.salt, &logs);
        }
    }

    async fn act(&mut self) {
        match self.random.random_range(0..10u32) {
            0..=2 => {
                let blocks = self.random.random_range(1..6);
                self.mine(blocks);
            }
            3 | 4 => self.fork(),
            5 => {
                self.finalized = self.random.random_range(self.finalized..=self.head());
                self.rig.chain.finalize(self.finalized);
            }
            6 => {
                let fault_ppm = [0, 50_000, 300_000][self.random.random_range(0..3)];
                self.rig.chain.fail_randomly(self.salt, fault_ppm);
            }
            7 => self.rig.chain.set_orphans_known(self.random.random_bool(0.5)),
            8 => self.rig.restart(),
            _ => self.crash_between_logs_and_blocks().await,
        }
        for _ in 0..self.random.random_range(0..5u32) {
            if let Err(error) = self.rig.indexer.step().await {
                assert!(error.is_transient(), "{error}");
            }
            self.check_invariants().await;
        }
    }

    /// Another branch from a block that is not final: shorter, as long, longer; or the old one again.
    fn fork(&mut self) {
        let depth = self.random.random_range(0..=self.head() - self.finalized);
        let old = self.rig.chain.canonical().last().unwrap().hash;
        self.rig.chain.rewind(usize::try_from(depth).unwrap());
        let blocks = self.random.random_range(0..=depth + 2);
        self.mine(blocks);
        if self.random.random_bool(0.25) {
            self.rig.chain.switch_to(old);
        }
    }

    async fn crash_between_logs_and_blocks(&mut self) {
        let next: Vec<LogRow> = self.rig.indexer.window.iter().take(2).flat_map(|block| block.logs.to_vec()).collect();
        if self.rig.indexer.resumed {
            self.rig.store.append(&next).await.unwrap();
            self.rig.restart();
        }
    }

    /// Blocks in tables and window form one hash-linked chain from the start block, and the window's
    /// logs are those of its blocks.
    async fn check_invariants(&self) {
        let mut blocks = stored_blocks(&self.rig.store).await;
        let canonical = self.rig.chain.canonical();
        for row in &blocks {
            assert_eq!(canonical[usize::try_from(row.number).unwrap()].hash, row.hash, "a final block changed");
        }
        let hot = self.rig.store.hot();
        blocks.extend(hot.blocks.iter().cloned());
        for (row, number) in blocks.iter().zip(START..) {
            assert_eq!(row.number, number, "a gap");
        }
        for pair in blocks.windows(2) {
            assert_eq!(pair[1].parent_hash, Some(pair[0].hash), "a broken link at {}", pair[1].number);
        }
        for block in &hot.blocks {
            assert_eq!(hot.logs().filter(|log| log.block_hash.0 == block.hash).count() as u64, block.log_count);
        }
    }
}

async fn run(seed: u64) {
    let mut schedule = Schedule { rig: Rig::new().await, random: StdRng::seed_from_u64(seed), salt: 0, finalized: 0 };
    let mut highest = 0;
    for _ in 0..ACTIONS {
        schedule.act().await;
        highest = highest.max(schedule.head());
    }
    // A head that went back is waited out, so the end is a block above all that was seen.
    schedule.rig.chain.fail_randomly(0, 0);
    while schedule.head() <= highest {
        schedule.mine(1);
    }
    schedule.rig.settle().await;
    schedule.check_invariants().await;
    schedule.rig.check().await;
}

#[tokio::test]
async fn random_schedules_end_in_the_canonical_chain() {
    for seed in 0..SCHEDULES {
        // Captured by the test harness, and shown when the seed fails.
        println!("seed {seed}");
        run(seed).await;
    }
}
