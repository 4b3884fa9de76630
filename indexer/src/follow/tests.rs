//! The follower over a scripted chain and a store in memory, compared with the chain itself.

mod foreign;
mod reorganisations;
mod rig;
mod schedules;

use super::*;
use crate::source::{ScriptedChain, ScriptedLog};
use rig::{CHAIN_ID, OTHERS, OURS, Rig, START, TOPIC, cut_short, followed, log, stored_blocks, stored_logs};
use schemas::tables::Logs;
use store::{Finality, StorageFaults, StoreError};

#[tokio::test]
async fn final_blocks_go_to_the_tables_and_newer_ones_to_the_window() {
    let mut rig = Rig::new().await;
    assert_eq!(rig.settle().await, Progress::default(), "a chain below the start block");
    rig.mine(0, 12);
    rig.chain.finalize(9);
    let progress = rig.settle().await;
    assert_eq!((progress.finalized_blocks, progress.hot_blocks), (8, 3));
    rig.check().await;
    // Blocks move from the window to the tables, in part and beyond its end.
    rig.mine(0, 1);
    rig.chain.finalize(11);
    let progress = rig.settle().await;
    assert_eq!((progress.finalized_blocks, progress.hot_blocks), (2, 1), "what stays in the window is not read again");
    rig.check().await;
    rig.mine(0, 9);
    rig.chain.finalize(18);
    rig.settle().await;
    rig.check().await;
    let status = rig.indexer.status().borrow().clone();
    assert_eq!(status.lag_blocks, Some(0));
    assert_eq!(status.indexed_finalized.unwrap().number, 18);
    assert_eq!((status.reorgs, status.last_error), (0, None));
}

/// Each case: blocks to rewind, blocks to mine instead, blocks undone by it.
#[tokio::test]
async fn reorganisations_above_the_finalized_block_are_undone() {
    for (rewind, mine, undone) in [(1, 1, 1), (1, 2, 1), (3, 3, 3), (5, 6, 5), (5, 2, 5), (7, 7, 7)] {
        let mut rig = Rig::new().await;
        rig.mine(0, 12);
        rig.chain.finalize(5);
        rig.settle().await;
        rig.chain.rewind(rewind);
        rig.mine(1, mine);
        let progress = rig.settle().await;
        assert_eq!(progress.undone_blocks, undone, "{rewind} {mine}");
        rig.check().await;
        let status = rig.indexer.status().borrow().clone();
        assert_eq!((status.reorgs, status.deepest_reorg), (1, undone));
        // And it goes on from there.
        rig.mine(2, 6);
        rig.chain.finalize(9);
        rig.settle().await;
        rig.check().await;
    }
}

#[tokio::test]
async fn a_branch_can_come_back() {
    for orphans_known in [true, false] {
        let mut rig = Rig::new().await;
        rig.chain.set_orphans_known(orphans_known);
        rig.mine(0, 8);
        rig.chain.finalize(4);
        rig.settle().await;
        let first = rig.chain.canonical().last().unwrap().hash;
        rig.chain.rewind(3);
        rig.mine(1, 4);
        rig.settle().await;
        rig.check().await;
        rig.chain.switch_to(first);
        let progress = rig.settle().await;
        assert_eq!((progress.undone_blocks, progress.hot_blocks), (4, 3));
        rig.check().await;
    }
}

#[tokio::test]
async fn a_head_that_goes_back_is_not_a_reorganisation() {
    let mut rig = Rig::new().await;
    rig.mine(0, 12);
    rig.chain.finalize(8);
    rig.settle().await;
    let (hot, tip) = (rig.store.hot(), rig.chain.canonical().last().unwrap().hash);
    // Into the window, onto the finalized block, below it, below the start block.
    for depth in [2, 2, 3, 5] {
        rig.chain.rewind(depth);
        assert_eq!(rig.settle().await, Progress::default());
        assert_eq!(*rig.store.hot(), *hot);
    }
    rig.chain.switch_to(tip);
    assert_eq!(rig.settle().await, Progress::default());
    rig.check().await;
    assert_eq!(rig.indexer.status().borrow().reorgs, 0);
}

#[tokio::test]
async fn a_reorganisation_below_the_finalized_block_halts_with_the_data_untouched() {
    // The rival branch is shorter than what is final, ends at it, or goes beyond the window.
    for rival in [1, 3, 4, 9, 30] {
        for restart in [false, true] {
            let mut rig = Rig::new().await;
            rig.mine(0, 10);
            rig.chain.finalize(8);
            rig.settle().await;
            let (blocks, logs) = (stored_blocks(&rig.store).await, stored_logs(&rig.store).await);
            rig.chain.rewind(5);
            rig.mine(1, rival);
            rig.chain.finalize(6);
            if restart {
                rig.restart();
            }
            for _ in 0..2 {
                let error = rig.indexer.step().await.unwrap_err();
                assert!(matches!(error, IndexerError::ReorgBelowFinalized { .. }), "{rival}: {error}");
                assert!(!error.is_transient());
            }
            assert!(rig.indexer.status().borrow().last_error.as_ref().unwrap().contains("halted"));
            assert_eq!((stored_blocks(&rig.store).await, stored_logs(&rig.store).await), (blocks, logs));
        }
    }
}

/// A commit costs the same for one block and for many. Readers see no difference, and what is final stays so.
#[tokio::test]
async fn final_blocks_are_appended_together() {
    for is_resumed in [true, false] {
        let mut rig = Rig::new().await;
        rig.mine(0, 12);
        rig.chain.finalize(5);
        rig.settle().await;
        (rig.indexer.config.commit_interval_ms, rig.indexer.config.commit_blocks) = (u64::MAX, 4);
        let final_blocks = async |rig: &Rig| {
            let logs = rig.store.all_logs(OURS, TOPIC, Finality::Finalized).await.unwrap();
            (logs.len(), logs.last().map(|log| log.block_number))
        };
        for (finalized, stored) in [(6, 5), (8, 5), (9, 9), (11, 9)] {
            rig.chain.finalize(finalized);
            rig.settle().await;
            rig.check().await;
            let hot = rig.store.hot();
            assert_eq!((hot.stored_to, hot.finalized_to), (Some(stored), Some(finalized)));
            assert_eq!(rig.store.max::<BlockRow>("number").await.unwrap(), Some(stored));
            assert_eq!(final_blocks(&rig).await, ((finalized + 1 - START) as usize, Some(finalized)));
            assert_eq!(rig.indexer.status().borrow().indexed_finalized.unwrap().number, finalized);
        }
        // Blocks 10 and 11 are final, and in memory alone.
        rig.chain.rewind(3);
        rig.mine(1, 6);
        rig.indexer.resumed = is_resumed;
        let error = rig.indexer.step().await.unwrap_err();
        assert!(matches!(error, IndexerError::ReorgBelowFinalized { number: 11, .. }), "{error}");
        assert_eq!(rig.store.max::<BlockRow>("number").await.unwrap(), Some(9));
    }
}

/// Blocks that are final before they were seen, because the chain is faster than the steps, wait for the others too.
#[tokio::test]
async fn a_few_blocks_that_are_final_at_once_are_not_committed_at_once() {
    let mut rig = Rig::new().await;
    rig.mine(0, 12);
    rig.chain.finalize(5);
    rig.settle().await;
    (rig.indexer.config.commit_interval_ms, rig.indexer.config.commit_blocks) = (u64::MAX, 1000);
    for _ in 0..4 {
        rig.mine(0, 3);
        let head = rig.chain.canonical().last().unwrap().number;
        rig.chain.finalize(head);
        rig.settle().await;
        rig.check().await;
        assert_eq!(rig.store.hot().finalized_to, Some(head));
        assert_eq!(rig.store.max::<BlockRow>("number").await.unwrap(), Some(5));
    }
    // A long way is read in ranges.
    rig.mine(0, 9);
    let head = rig.chain.canonical().last().unwrap().number;
    rig.chain.finalize(head);
    rig.settle().await;
    rig.check().await;
    assert_eq!(rig.store.max::<BlockRow>("number").await.unwrap(), Some(head));
}

#[tokio::test]
async fn a_crash_between_logs_and_blocks_loses_and_doubles_nothing() {
    let mut rig = Rig::new().await;
    rig.mine(0, 14);
    rig.chain.finalize(6);
    rig.settle().await;
    rig.chain.finalize(11);
    // Append the logs of the next final blocks, and stop there.
    let logs: Vec<LogRow> = rig.indexer.window.iter().take(3).flat_map(|block| block.logs.to_vec()).collect();
    rig.store.append(&logs).await.unwrap();
    assert_eq!(stored_logs(&rig.store).await.len(), 8);
    rig.restart();
    rig.settle().await;
    rig.check().await;
    // The same after the very first logs, before any block.
    let mut rig = Rig::new().await;
    rig.mine(0, 14);
    rig.store.append(&logs).await.unwrap();
    rig.chain.finalize(11);
    rig.settle().await;
    rig.check().await;
}

/// The tables pass below the window's head on another branch: at every wait of that step the window continues them or is empty.
#[tokio::test]
async fn a_window_of_another_branch_is_dropped_when_the_tables_leave_it() {
    let (mut joined, mut polls, mut rounds) = (0, 0, 0);
    // how often a step waits is the storage's affair: rounds are played until enough of them stopped where it matters
    while joined <= 3 {
        assert!(rounds < 20, "stopped {joined} times with the tables below the window's head");
        polls += 1;
        let every_range = |config: &mut IndexerConfig, _: &mut Followed| (config.commit_bytes, config.initial_range_blocks) = (1, 1);
        let (mut rig, _node) = Rig::on_node_with(Verify::Full, true, Store::in_memory().await.unwrap(), every_range);
        rig.mine_numbered(0, 14);
        rig.chain.finalize(4);
        rig.settle().await;
        rig.chain.rewind(9);
        rig.mine_numbered(1, 12);
        rig.chain.finalize(16);
        let is_done = cut_short(polls, rig.indexer.step()).await.is_some();
        let stored = stored_blocks(&rig.store).await;
        joined += u64::from(stored.last().is_some_and(|block| (5..14).contains(&block.number)));
        rig.check_window(stored.last());
        rig.settle().await;
        rig.check().await;
        if is_done {
            (polls, rounds) = (0, rounds + 1);
        }
    }
}

/// A commit was done, and neither its end was seen nor can it be looked up: of the logs, or of the blocks.
#[tokio::test]
async fn a_write_of_unknown_end_is_not_repeated() {
    let storage = StorageFaults::default();
    let (mut rig, _node) = Rig::on_node(Verify::Full, true, Store::in_memory_failing(&storage).await.unwrap());
    for part in ["logs.lance/_versions", "blocks.lance/_versions"] {
        for follows in [true, false] {
            // Moved from the window, or read as final.
            if follows {
                rig.mine_numbered(0, 6);
                rig.settle().await;
            } else {
                rig.mine_numbered(0, 6);
            }
            rig.chain.finalize(rig.head() - 1);
            storage.silence_next(part);
            storage.set_active(true);
            let error = rig.indexer.step().await.unwrap_err();
            assert!(matches!(error, IndexerError::Store(StoreError::Unknown { .. })), "{error}");
            storage.set_active(false);
            rig.settle().await;
            rig.check().await;
        }
    }
}

/// Found by a schedule: the tables had passed the window on another branch, which a step noticed and then failed.
#[tokio::test]
async fn no_window_stays_beside_a_write_of_unknown_end() {
    for polls in 1.. {
        let storage = StorageFaults::default();
        let (mut rig, _node) = Rig::on_node(Verify::Full, true, Store::in_memory_failing(&storage).await.unwrap());
        rig.mine_numbered(0, 14);
        rig.chain.finalize(4);
        rig.settle().await;
        rig.chain.rewind(9);
        rig.mine_numbered(1, 12);
        rig.chain.finalize(15);
        storage.silence_next("blocks.lance/_versions");
        storage.set_active(true);
        let error = rig.indexer.step().await.unwrap_err();
        assert!(matches!(error, IndexerError::Store(StoreError::Unknown { .. })), "{error}");
        storage.set_active(false);
        cut_short(polls, rig.indexer.step()).await;
        rig.check_window(stored_blocks(&rig.store).await.last());
        let is_resumed = rig.indexer.cursor.is_some_and(|cursor| cursor.id.number == 15);
        rig.settle().await;
        rig.check().await;
        if is_resumed {
            return;
        }
    }
}

#[tokio::test]
async fn a_failing_node_is_waited_for() {
    let mut rig = Rig::new().await;
    rig.mine(0, 20);
    rig.chain.finalize(10);
    for failures in 1..30 {
        rig.chain.fail_next(failures);
        while let Err(error) = rig.indexer.step().await {
            assert!(error.is_transient(), "{error}");
        }
        rig.mine(failures, 1);
    }
    rig.settle().await;
    rig.check().await;
}

#[tokio::test]
async fn a_node_that_contradicts_itself_changes_nothing() {
    let mut rig = Rig::new().await;
    rig.mine(0, 9);
    rig.chain.finalize(5);
    let orphan = rig.chain.canonical().last().unwrap().hash;
    rig.chain.rewind(2);
    rig.mine(1, 3);
    rig.settle().await;
    // The finalized block is on another branch than the newest: inside the window, and beyond it.
    for head in [10, 8] {
        rig.chain.misplace_finalized(Some(orphan));
        assert_eq!(rig.chain.canonical().len(), head + 1);
        for _ in 0..3 {
            let error = rig.indexer.step().await.unwrap_err();
            assert!(matches!(error, IndexerError::Inconsistent { .. }), "{error}");
        }
        rig.chain.misplace_finalized(None);
        rig.settle().await;
        rig.check().await;
        rig.restart();
        rig.chain.rewind(2);
    }
}

#[tokio::test]
async fn the_wrong_chain_and_the_wrong_store_are_refused() {
    let mut rig = Rig::new().await;
    rig.mine(0, 6);
    rig.chain.finalize(6);
    rig.settle().await;
    let followed = Followed { chain_id: 8, ..followed() };
    let mut other = Indexer::new(Arc::new(rig.chain.clone()), rig.store.clone(), followed.clone(), IndexerConfig::default());
    assert!(matches!(other.step().await.unwrap_err(), IndexerError::WrongChain { expected: 8, found: 7 }));
    for start_block in [START - 1, START + 1] {
        let followed = Followed { chain_id: CHAIN_ID, start_block, ..followed.clone() };
        let mut other = Indexer::new(Arc::new(rig.chain.clone()), rig.store.clone(), followed, IndexerConfig::default());
        assert!(matches!(other.step().await.unwrap_err(), IndexerError::StoredChainBroken { .. }));
    }
}

#[tokio::test]
async fn a_full_window_waits_for_finality() {
    let mut rig = Rig::new().await;
    rig.mine(0, 100);
    while rig.indexer.step().await.unwrap().hot_blocks > 0 {}
    assert_eq!(rig.store.hot().blocks.len(), 40);
    rig.chain.finalize(90);
    rig.settle().await;
    rig.check().await;
}

#[tokio::test]
async fn run_follows_until_it_is_stopped() {
    let rig = Rig::new().await;
    rig.mine(0, 10);
    rig.chain.finalize(8);
    rig.chain.fail_next(3);
    let (stop, mut status) = (CancellationToken::new(), rig.indexer.status());
    let task = tokio::spawn(rig.indexer.run(None, stop.clone()));
    status.wait_for(|status| status.indexed_hot.is_some_and(|tip| tip.number == 10)).await.unwrap();
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(stored_blocks(&rig.store).await.len(), 7);
}
