//! Contracts that are added late and children of factories, compared with a replay of the chain.

use std::collections::{HashMap, HashSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use schemas::followed::{NewContract, admit};
use schemas::tables::{CoverageRow, FollowedContractRow, Millis};
use serde_json::json;

use super::rig::{OURS, oracle};
use super::*;

const TOKEN: Address = Address::repeat_byte(3);
const FACTORY: Address = Address::repeat_byte(4);

fn created() -> B256 {
    schemas::alloy_primitives::keccak256("Created(address)")
}

fn moved() -> B256 {
    schemas::alloy_primitives::keccak256("Moved(uint256)")
}

fn child(n: u8) -> Address {
    Address::repeat_byte(0x40 + n)
}

fn birth(n: u8) -> ScriptedLog {
    ScriptedLog { address: FACTORY, topics: vec![created()], data: child(n).into_word().to_vec().into() }
}

fn movement(address: Address, salt: u64) -> ScriptedLog {
    ScriptedLog { address, topics: vec![moved()], data: B256::from(schemas::U256::from(salt)).to_vec().into() }
}

async fn add(store: &Store, name: &str, address: Option<Address>, start_block: u64, factory: Option<&str>) {
    let abi = json!([
        {"type": "event", "name": "Created", "inputs": [{"name": "child", "type": "address", "indexed": false}]},
        {"type": "event", "name": "Moved", "inputs": [{"name": "amount", "type": "uint256", "indexed": false}]},
    ]);
    let abi = if factory.is_some() { json!([abi[1]]) } else { abi };
    let new =
        NewContract { name: name.into(), abi, address, start_block: Some(start_block), factory: factory.map(str::to_owned), force: false };
    let rows = store.scan::<FollowedContractRow>(None).await.unwrap();
    let row = admit(&new, &rows, &Default::default(), 0, Millis(rows.len() as i64)).unwrap();
    store.insert_new(&[row]).await.unwrap();
}

async fn remove(store: &Store, name: &str) {
    let rows = store.scan::<FollowedContractRow>(None).await.unwrap();
    let row = schemas::followed::remove(name, &rows, Millis(rows.len() as i64)).unwrap();
    store.insert_new(&[row]).await.unwrap();
}

/// What the tables and the window must hold: our own logs from `START` on, the token's from `token_start`,
/// and if children are followed, the factory's and those of children from the block on that told of them.
fn expected(chain: &ScriptedChain, token_start: Option<u64>, children_from: Option<u64>) -> Vec<LogRow> {
    let all = chain.canonical_logs();
    let mut known: HashMap<Address, u64> = HashMap::new();
    for log in all.iter().filter(|log| log.address == FACTORY && log.topic0() == Some(created())) {
        if children_from.is_some_and(|start| log.block_number >= start) {
            known.entry(Address::from_slice(&log.data[12..32])).or_insert(log.block_number);
        }
    }
    let logs = all.filtered(|log| match log.address {
        OURS => log.block_number >= START,
        TOKEN => token_start.is_some_and(|start| log.block_number >= start),
        FACTORY => children_from.is_some_and(|start| log.block_number >= start),
        other => log.topic0() == Some(moved()) && known.get(&other).is_some_and(|created| *created <= log.block_number),
    });
    logs.rows()
}

impl Rig {
    async fn settle_history(&mut self) {
        for _ in 0..2_000 {
            let step = self.indexer.step().await.unwrap();
            let waits = self.indexer.foreign.contracts.iter().any(|tracked| tracked.live_from.is_none() || tracked.history().is_some());
            if step == Progress::default() && (!waits || self.indexer.cursor.is_none()) {
                return;
            }
        }
        panic!("the indexer does not come to rest")
    }

    async fn check_foreign(&self, token_start: Option<u64>, children_from: Option<u64>) {
        let finalized = self.indexer.cursor.map_or(START, |cursor| cursor.id.number + 1);
        let (cold, hot): (Vec<_>, Vec<_>) =
            expected(&self.chain, token_start, children_from).into_iter().partition(|log| log.block_number < finalized);
        assert_eq!(stored_logs(&self.store).await, cold, "logs in the tables");
        assert_eq!(self.store.hot().logs().cloned().collect::<Vec<_>>(), hot, "logs in the window");
        // Blocks and their digest are those of our own contracts alone.
        let (blocks, _) = oracle(&self.chain, Verify::Full);
        let plain = |rows: Vec<BlockRow>| rows.into_iter().map(|row| (row.number, row.hash, row.log_count, row.digest)).collect::<Vec<_>>();
        let mut held = stored_blocks(&self.store).await;
        held.extend(self.store.hot().blocks.iter().cloned());
        assert_eq!(plain(held), plain(blocks));
    }
}

async fn rig(blocks: u64, finalized: u64) -> Rig {
    let mut rig = Rig::new().await;
    for number in 1..=blocks {
        let logs = [log(OURS, number, 0), movement(TOKEN, number), log(OTHERS, number, 0), movement(TOKEN, 100 + number)];
        rig.chain.mine(0, &logs);
    }
    rig.chain.finalize(finalized);
    rig.settle().await;
    rig
}

#[tokio::test]
async fn a_contract_that_is_added_late_is_read_from_its_start() {
    for verify in [Verify::Full, Verify::Logs] {
        // Before our own start, at it, in the middle, above everything.
        for start in [0, START, 9, 40] {
            let mut rig = rig(30, 22).await;
            rig.indexer.config.verify = verify;
            add(&rig.store, "token", Some(TOKEN), start, None).await;
            rig.settle_history().await;
            if verify == Verify::Full {
                rig.check_foreign(Some(start), None).await;
            }
            rig.chain.rewind(4);
            rig.mine(1, 20);
            rig.chain.mine(1, &[movement(TOKEN, 7)]);
            rig.chain.finalize(40);
            rig.settle_history().await;
            rig.restart();
            rig.settle_history().await;
            let finalized = rig.indexer.cursor.unwrap().id.number + 1;
            let cold: Vec<_> = expected(&rig.chain, Some(start), None).into_iter().filter(|log| log.block_number < finalized).collect();
            assert_eq!(stored_logs(&rig.store).await, cold, "{verify:?} {start}");
        }
    }
}

#[tokio::test]
async fn one_of_our_own_contracts_is_not_read_twice() {
    let mut rig = rig(12, 8).await;
    add(&rig.store, "ours", Some(OURS), 0, None).await;
    rig.settle_history().await;
    rig.check().await;
}

/// A stop at every boundary of a backfill: after the contract's row, and after each piece's logs and row.
#[tokio::test]
async fn a_crash_in_a_backfill_loses_and_doubles_nothing() {
    for pieces in 0..4 {
        for logs_without_row in [false, true] {
            let mut rig = rig(40, 35).await;
            rig.indexer.config.max_ranges_in_flight = 3;
            add(&rig.store, "token", Some(TOKEN), 0, None).await;
            for _ in 0..pieces {
                assert!(rig.indexer.step().await.unwrap().history_blocks > 0);
            }
            if logs_without_row {
                // A piece is three ranges of three blocks.
                let next = rig.indexer.foreign.contracts.first().map_or(0, |tracked| tracked.next);
                let logs = rig.chain.canonical_logs().filtered(|log| log.address == TOKEN && (next..next + 9).contains(&log.block_number));
                rig.store.append(&logs.rows()).await.unwrap();
                if pieces == 0 {
                    rig.store
                        .append(&[CoverageRow { name: "token".into(), revision: 0, from_block: 36, to_block: None, to_hash: None }])
                        .await
                        .unwrap();
                }
            }
            rig.restart();
            rig.indexer.config.max_ranges_in_flight = 3;
            rig.settle_history().await;
            rig.check_foreign(Some(0), None).await;
        }
    }
}

/// Stopped at every wait: of taking effect, of each piece and of its row.
#[tokio::test]
async fn a_stop_anywhere_in_a_backfill_loses_and_doubles_nothing() {
    for polls in 1.. {
        let mut rig = rig(14, 11).await;
        rig.indexer.config.max_ranges_in_flight = 2;
        add(&rig.store, "token", Some(TOKEN), 0, None).await;
        let is_done = cut_short(polls, rig.settle_history()).await.is_some();
        rig.restart();
        rig.settle_history().await;
        rig.check_foreign(Some(0), None).await;
        if is_done {
            return;
        }
    }
}

impl Rig {
    async fn token_logs(&self) -> Vec<LogRow> {
        stored_logs(&self.store).await.into_iter().filter(|row| row.address.0 == TOKEN).collect()
    }
}

/// What was read stays; nothing more is read, in the window neither; our own blocks and their digest are as ever.
#[tokio::test]
async fn a_removed_contract_is_read_no_further() {
    for restarts in [false, true] {
        let mut rig = rig(30, 22).await;
        add(&rig.store, "token", Some(TOKEN), 0, None).await;
        rig.settle_history().await;
        let held = rig.token_logs().await;
        assert!(!held.is_empty() && rig.store.hot().logs().any(|log| log.address.0 == TOKEN));
        remove(&rig.store, "token").await;
        if restarts {
            rig.restart();
        }
        rig.settle_history().await;
        assert!(!rig.store.hot().logs().any(|log| log.address.0 == TOKEN));
        rig.chain.mine(0, &[log(OURS, 7, 7), movement(TOKEN, 7)]);
        rig.chain.finalize(31);
        rig.settle_history().await;
        assert_eq!(rig.token_logs().await, held);
        let (blocks, _) = oracle(&rig.chain, Verify::Full);
        let digest = |rows: &[BlockRow]| rows.last().map(|row| (row.number, row.digest));
        assert_eq!(digest(&stored_blocks(&rig.store).await), digest(&blocks));
    }
}

/// Added again it is as if it had been followed all the time, each log once: under its name or another, from another block,
/// and when the first history was not read to its end.
#[tokio::test]
async fn a_removed_contract_can_be_added_again() {
    for (pieces, name, start) in [(0, "token", 0), (2, "token", 0), (2_000, "token", 0), (2_000, "other", 0), (1, "token", 12)] {
        let mut rig = rig(30, 22).await;
        rig.indexer.config.max_ranges_in_flight = 1;
        add(&rig.store, "token", Some(TOKEN), start, None).await;
        for _ in 0..pieces {
            if rig.indexer.step().await.unwrap() == Progress::default() {
                break;
            }
        }
        remove(&rig.store, "token").await;
        for salt in 0..6 {
            rig.chain.mine(salt, &[log(OURS, salt, 3), movement(TOKEN, 1000 + salt)]);
        }
        rig.chain.finalize(28);
        rig.settle_history().await;
        add(&rig.store, name, Some(TOKEN), start, None).await;
        rig.settle_history().await;
        rig.check_foreign(Some(start), None).await;
        rig.restart();
        rig.chain.finalize(33);
        rig.settle_history().await;
        rig.check_foreign(Some(start), None).await;
    }
}

/// A node that serves another chain below the tables' last block than the one in them.
#[tokio::test]
async fn history_of_another_chain_is_refused() {
    let mut rig = rig(30, 25).await;
    add(&rig.store, "token", Some(TOKEN), 0, None).await;
    rig.indexer.start_contracts().await.unwrap();
    rig.chain.rewind(27);
    for number in 0..30 {
        rig.chain.mine(9, &[movement(TOKEN, number)]);
    }
    let before = stored_logs(&rig.store).await;
    assert_eq!(rig.indexer.read_history().await.unwrap(), 0);
    assert_eq!(rig.indexer.foreign.history_failures, 1);
    assert_eq!(stored_logs(&rig.store).await, before);
}

#[tokio::test]
async fn a_failing_history_does_not_hold_up_the_head() {
    let mut rig = rig(30, 25).await;
    add(&rig.store, "token", Some(TOKEN), 0, None).await;
    rig.chain.fail_randomly(3, 300_000);
    for number in 0..30 {
        rig.chain.mine(number, &[log(OURS, number, 3), movement(TOKEN, number)]);
        let _ = rig.indexer.step().await;
    }
    rig.chain.fail_randomly(0, 0);
    rig.settle_history().await;
    rig.check_foreign(Some(0), None).await;
}

#[tokio::test]
async fn children_are_followed_from_their_creation_on_and_vanish_with_it() {
    let mut rig = rig(4, 2).await;
    let mine = |rig: &Rig, salt: u64, logs: &[ScriptedLog]| rig.chain.mine(salt, logs);
    // Logs before the creation, in its block and after it; a stranger with the same event.
    mine(&rig, 0, &[movement(child(1), 1), birth(1), movement(child(1), 2), movement(child(9), 3)]);
    mine(&rig, 0, &[movement(child(1), 4), log(child(1), 6, 0)]);
    rig.chain.finalize(6);
    rig.settle().await;
    mine(&rig, 0, &[birth(2), movement(child(2), 5), movement(child(1), 6)]);
    rig.settle().await;
    add(&rig.store, "factory", Some(FACTORY), 0, None).await;
    add(&rig.store, "pool", None, 0, Some("factory:Created:child")).await;
    rig.settle_history().await;
    rig.check_foreign(None, Some(0)).await;
    // The creation of the second child is undone; it goes on logging and is not known any more.
    rig.chain.rewind(1);
    mine(&rig, 1, &[movement(child(2), 7), birth(3)]);
    mine(&rig, 1, &[movement(child(2), 8), movement(child(3), 9)]);
    rig.settle_history().await;
    rig.check_foreign(None, Some(0)).await;
    assert!(!rig.store.hot().logs().any(|log| log.address.0 == child(2)));
    // Also after a stop, and when the blocks become final.
    rig.restart();
    rig.settle_history().await;
    rig.check_foreign(None, Some(0)).await;
    mine(&rig, 1, &[birth(2), movement(child(2), 10)]);
    rig.chain.finalize(9);
    rig.settle_history().await;
    rig.check_foreign(None, Some(0)).await;
}

/// What a child logs in its constructor stands before the event that tells of it: below the cursor, in the window and after a
/// restart it is there, and nothing of blocks before.
#[tokio::test]
async fn what_a_child_logs_before_its_creation_in_the_same_block_is_kept() {
    let mut rig = rig(12, 8).await;
    let of_child =
        |rows: &[LogRow], n: u8| rows.iter().filter(|row| row.address.0 == child(n)).map(|row| row.log_index).collect::<Vec<_>>();
    add(&rig.store, "factory", Some(FACTORY), 0, None).await;
    add(&rig.store, "pool", None, 0, Some("factory:Created:child")).await;
    rig.settle_history().await;
    rig.chain.mine(0, &[movement(child(1), 1), movement(child(2), 1)]);
    rig.chain.mine(0, &[movement(child(1), 2), movement(child(2), 2), birth(1), movement(child(1), 3)]);
    rig.settle_history().await;
    let hot: Vec<LogRow> = rig.store.hot().logs().cloned().collect();
    assert_eq!((of_child(&hot, 1), of_child(&hot, 2)), (vec![0, 3], vec![]), "in the window");
    rig.restart();
    rig.chain.finalize(14);
    rig.settle_history().await;
    let rows = stored_logs(&rig.store).await.into_iter().chain(rig.store.hot().logs().cloned()).collect::<Vec<_>>();
    assert_eq!((of_child(&rows, 1), of_child(&rows, 2)), (vec![0, 3], vec![]), "final, after a restart");
    rig.check_foreign(None, Some(0)).await;
}

/// A factory's history comes in pieces, and the last of them tells of children.
#[tokio::test]
async fn children_wait_until_their_factory_is_read_in_full() {
    let mut rig = rig(20, 15).await;
    rig.indexer.config.max_ranges_in_flight = 1;
    for number in 1..4 {
        rig.chain.mine(0, &[birth(number), movement(child(number), 1)]);
    }
    rig.chain.finalize(23);
    rig.settle().await;
    rig.chain.mine(0, &[movement(child(3), 2)]);
    add(&rig.store, "factory", Some(FACTORY), 0, None).await;
    add(&rig.store, "pool", None, 0, Some("factory:Created:child")).await;
    rig.settle_history().await;
    rig.check_foreign(None, Some(0)).await;
}

/// Everything at once: forks, finality, stops, faults, contracts added and removed at any time.
async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rig = Rig::new().await;
    let (mut token, mut factory, mut pool, mut is_removed) = (None, None, false, false);
    let (mut salt, mut finalized) = (0, 0u64);
    for _ in 0..18 {
        let head = rig.chain.canonical().len() as u64 - 1;
        match random.random_range(0..11u32) {
            0..=3 => {
                for _ in 0..random.random_range(1..5u32) {
                    salt += 1;
                    let logs: Vec<ScriptedLog> = (0..random.random_range(0..6u64))
                        .map(|index| match random.random_range(0..5u32) {
                            0 => log(OURS, salt, index),
                            1 => movement(TOKEN, salt * 10 + index),
                            2 => birth(random.random_range(0..4)),
                            _ => movement(child(random.random_range(0..5)), salt * 10 + index),
                        })
                        .collect();
                    rig.chain.mine(salt, &logs);
                }
            }
            4 => rig.chain.rewind(random.random_range(0..=head - finalized) as usize),
            5 | 6 => {
                finalized = random.random_range(finalized..=head);
                rig.chain.finalize(finalized);
            }
            7 => rig.chain.fail_randomly(salt, [0, 50_000, 300_000][random.random_range(0..3)]),
            8 => rig.restart(),
            9 if token.is_some() => {
                match is_removed {
                    true => add(&rig.store, "token", Some(TOKEN), token.unwrap_or(0), None).await,
                    false => remove(&rig.store, "token").await,
                }
                is_removed = !is_removed;
            }
            _ if token.is_none() => {
                token = Some(random.random_range(0..6));
                add(&rig.store, "token", Some(TOKEN), token.unwrap_or(0), None).await;
            }
            _ if factory.is_none() => {
                factory = Some(0);
                add(&rig.store, "factory", Some(FACTORY), 0, None).await;
            }
            _ if !pool => {
                pool = true;
                add(&rig.store, "pool", None, 0, Some("factory:Created:child")).await;
            }
            _ => rig.chain.set_orphans_known(random.random_bool(0.5)),
        }
        for _ in 0..random.random_range(0..4u32) {
            if let Err(error) = rig.indexer.step().await {
                assert!(error.is_transient(), "{error}");
            }
        }
    }
    rig.chain.fail_randomly(0, 0);
    if is_removed {
        add(&rig.store, "token", Some(TOKEN), token.unwrap_or(0), None).await;
    }
    rig.chain.finalize(finalized.max(START));
    for _ in 0..120 {
        salt += 1;
        if rig.chain.canonical().len() < 60 {
            rig.chain.mine(salt, &[movement(child(1), salt)]);
        }
    }
    rig.chain.finalize(40);
    rig.settle_history().await;
    let mut rows = expected(&rig.chain, token, factory);
    if !pool {
        rows.retain(|row| [OURS, TOKEN, FACTORY].contains(&row.address.0));
    }
    let mut held = stored_logs(&rig.store).await;
    held.extend(rig.store.hot().logs().cloned());
    assert_eq!(held.iter().map(|row| (row.block_number, row.log_index)).collect::<HashSet<_>>().len(), held.len(), "a log twice");
    assert_eq!(held, rows);
}

#[tokio::test]
async fn random_schedules_with_foreign_contracts_end_in_the_canonical_chain() {
    for seed in 0..80 {
        // Captured by the test harness, and shown when the seed fails.
        println!("seed {seed}");
        run(seed).await;
    }
}
