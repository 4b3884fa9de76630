//! The reorganisations that an indexer must survive, by the names of our list of them (R1 to R20), over
//! the scripted node: after each, tables, window and digests equal the oracle's.
//!
//! R11, the creation of a followed contract undone, belongs to the followed contracts of others.

use super::rig::{cut_short, next_number, numbered};
use super::*;
use crate::source::{FaultPlan, NodeFault, ScriptedNode, ScriptedTransaction};

type OnNode = (Rig, Arc<ScriptedNode>);

/// `blocks` blocks are indexed, the first 4 of them final.
async fn indexed(verify: Verify, blocks: u64) -> OnNode {
    let (mut rig, node) = Rig::on_node(verify, true, Store::in_memory().await.unwrap());
    rig.mine_numbered(0, blocks);
    rig.chain.finalize(4);
    rig.settle().await;
    rig.check().await;
    (rig, node)
}

/// Another branch replaces the newest `depth` blocks by `mined`.
fn replace(rig: &Rig, depth: usize, mined: u64) {
    rig.chain.rewind(depth);
    rig.mine_numbered(1, mined);
}

/// Both ways of reading, a reorganisation, and as much undone as it is deep.
async fn check_replaced(depth: usize, mined: u64) {
    for verify in [Verify::Full, Verify::Logs] {
        let (mut rig, _node) = indexed(verify, depth as u64 + 6).await;
        replace(&rig, depth, mined);
        assert_eq!(rig.settle().await.undone_blocks, depth as u64, "{verify:?}");
        rig.check().await;
    }
}

#[tokio::test]
async fn r01_tip_replaced_at_the_same_height() {
    check_replaced(1, 1).await;
}

#[tokio::test]
async fn r02_tip_replaced_and_one_more() {
    check_replaced(1, 2).await;
}

/// Transactions appear again on the new branch, in other blocks and at other places, or not at all.
#[tokio::test]
async fn r03_deep_with_transactions_at_other_places() {
    for depth in [2, 3, 8, 29, 31, 63, 65, 257] {
        let (mut rig, _node) = indexed(Verify::Full, 6).await;
        let first = next_number(&rig.chain);
        let transaction = |number| ScriptedTransaction::new(vec![numbered(number, 0)]);
        for number in first..first + depth {
            rig.chain.mine_transactions(0, &[transaction(number)]);
        }
        rig.settle().await;
        rig.chain.rewind(usize::try_from(depth).unwrap());
        // Two to a block, below an empty block and behind a transaction that was not there; the last one is gone.
        rig.chain.mine_transactions(1, &[]);
        let stranger = ScriptedTransaction::new(vec![log(OTHERS, 0, 0)]);
        let moved: Vec<_> = (first..first + depth - 1).map(transaction).collect();
        for pair in moved.chunks(2) {
            rig.chain.mine_transactions(1, &[&[stranger.clone()], pair].concat());
        }
        for _ in moved.len().div_ceil(2)..moved.len() {
            rig.chain.mine(1, &[]);
        }
        assert_eq!(rig.settle().await.undone_blocks, depth);
        rig.check().await;
        rig.chain.finalize(rig.head());
        rig.settle().await;
        rig.check().await;
    }
}

#[tokio::test]
async fn r04_shorter_fork_that_grows() {
    let (mut rig, _node) = indexed(Verify::Full, 7).await;
    rig.mine_numbered(0, 5);
    rig.settle().await;
    replace(&rig, 5, 2);
    assert_eq!(rig.settle().await.undone_blocks, 5);
    rig.check().await;
    rig.mine_numbered(1, 10);
    assert_eq!(rig.settle().await.undone_blocks, 0);
    rig.check().await;
}

#[tokio::test]
async fn r05_equally_long_fork() {
    check_replaced(5, 5).await;
}

/// Right is that nothing happens: a head that went back shows no other block.
#[tokio::test]
async fn r06_rollback_and_nothing_more() {
    let (mut rig, _node) = indexed(Verify::Full, 12).await;
    let hot = rig.store.hot();
    rig.chain.rewind(5);
    assert_eq!(rig.settle().await, Progress::default());
    assert_eq!(*rig.store.hot(), *hot);
    rig.mine_numbered(1, 1);
    assert_eq!(rig.settle().await.undone_blocks, 5);
    rig.check().await;
}

#[tokio::test]
async fn r07_back_to_the_first_branch() {
    for orphans_known in [true, false] {
        let (mut rig, _node) = indexed(Verify::Full, 12).await;
        rig.chain.set_orphans_known(orphans_known);
        let first = rig.chain.canonical().last().unwrap().hash;
        for mined in [6, 4, 2] {
            replace(&rig, 4, mined);
            assert_eq!(rig.settle().await.undone_blocks, 4);
            rig.check().await;
            rig.chain.switch_to(first);
            assert_eq!(rig.settle().await.undone_blocks, mined);
            rig.check().await;
        }
    }
}

/// One step, during which the chain changes after so many polls; whether it had ended before.
async fn changed_within_a_step(rig: &mut Rig, polls: u32, change: impl FnOnce(&ScriptedChain)) -> bool {
    let chain = rig.chain.clone();
    let mut step = std::pin::pin!(rig.indexer.step());
    let ended = cut_short(polls, step.as_mut()).await;
    change(&chain);
    let had_ended = ended.is_some();
    let outcome = match ended {
        Some(outcome) => outcome,
        None => step.await,
    };
    // A block may be gone before its logs were read, which is an error that time mends.
    assert!(outcome.as_ref().err().is_none_or(IndexerError::is_transient), "{outcome:?}");
    had_ended
}

/// The chain changes again at every point of the undoing at which something is waited for.
#[tokio::test]
async fn r08_second_reorganisation_while_the_first_is_undone() {
    for polls in 1.. {
        let (mut rig, _node) = indexed(Verify::Full, 9).await;
        replace(&rig, 4, 4);
        let had_ended = changed_within_a_step(&mut rig, polls, |chain| {
            chain.rewind(3);
            chain.mine(2, &[]);
            chain.mine(2, &[]);
        })
        .await;
        rig.settle().await;
        rig.chain.mine(2, &[]);
        rig.chain.mine(2, &[]);
        rig.settle().await;
        rig.check().await;
        if had_ended {
            return;
        }
    }
}

/// What was in memory is gone; what comes is another branch, down to the last final block.
#[tokio::test]
async fn r09_while_stopped() {
    for depth in [1, 3, 8] {
        let (mut rig, _node) = indexed(Verify::Full, 12).await;
        replace(&rig, depth, 10);
        rig.restart();
        rig.settle().await;
        rig.check().await;
    }
}

/// While final blocks are read in ranges, those above are replaced.
#[tokio::test]
async fn r10_while_history_is_handed_over_to_the_head() {
    for polls in 1.. {
        let (mut rig, _node) = Rig::on_node(Verify::Full, true, Store::in_memory().await.unwrap());
        rig.mine_numbered(0, 12);
        rig.chain.finalize(9);
        let had_ended = changed_within_a_step(&mut rig, polls, |chain| {
            chain.rewind(3);
            chain.mine(2, &[]);
            chain.finalize(10);
        })
        .await;
        rig.mine_numbered(2, 4);
        rig.settle().await;
        rig.check().await;
        if had_ended {
            return;
        }
    }
}

#[tokio::test]
async fn r12_events_on_one_branch_only() {
    for (ours_before, ours_after) in [(true, false), (false, true), (false, false)] {
        let (mut rig, _node) = indexed(Verify::Full, 6).await;
        for (salt, ours) in [(1, ours_before), (2, ours_after)] {
            for _ in 0..4 {
                if ours {
                    rig.mine_numbered(salt, 1);
                } else {
                    rig.chain.mine(salt, &[log(OTHERS, 1, salt)]);
                }
            }
            let undone = rig.settle().await.undone_blocks;
            assert_eq!(undone, if salt == 1 { 0 } else { 4 });
            rig.check().await;
            rig.chain.rewind(if salt == 1 { 4 } else { 0 });
        }
    }
}

/// On the new branch the same address is another contract: other events, other numbers.
#[tokio::test]
async fn r13_contract_deployed_anew() {
    let (mut rig, _node) = Rig::on_node(Verify::Full, true, Store::in_memory().await.unwrap());
    for _ in 0..6 {
        rig.chain.mine(0, &[]);
    }
    rig.chain.finalize(4);
    rig.mine_numbered(0, 3);
    rig.settle().await;
    rig.chain.rewind(3);
    let anonymous = ScriptedLog { topics: Vec::new(), ..numbered(77, 1) };
    rig.chain.mine(1, &[anonymous, numbered(1, 1), numbered(2, 1)]);
    rig.chain.mine(1, &[numbered(3, 1)]);
    assert_eq!(rig.settle().await.undone_blocks, 3);
    rig.check().await;
}

/// Right is that nothing happens.
#[tokio::test]
async fn r14_head_far_back_and_forward_again() {
    let (mut rig, _node) = indexed(Verify::Full, 110).await;
    let (hot, tip) = (rig.store.hot(), rig.chain.canonical().last().unwrap().hash);
    for depth in [100, 108] {
        rig.chain.rewind(depth);
        assert_eq!(rig.settle().await, Progress::default());
        rig.chain.switch_to(tip);
        assert_eq!(rig.settle().await, Progress::default());
        assert_eq!(*rig.store.hot(), *hot);
    }
    rig.check().await;
    assert_eq!(rig.indexer.status().borrow().reorgs, 0);
}

/// Right is to halt, with the data untouched.
#[tokio::test]
async fn r15_below_the_finalized_block() {
    for verify in [Verify::Full, Verify::Logs] {
        for restarts in [false, true] {
            let (mut rig, _node) = indexed(verify, 8).await;
            let before = (stored_blocks(&rig.store).await, stored_logs(&rig.store).await);
            replace(&rig, 6, 9);
            if restarts {
                rig.restart();
            }
            let error = rig.indexer.step().await.unwrap_err();
            assert!(matches!(error, IndexerError::ReorgBelowFinalized { .. }) && !error.is_transient(), "{error}");
            assert_eq!((stored_blocks(&rig.store).await, stored_logs(&rig.store).await), before);
        }
    }
}

/// Ended at every one of its waits, up to the last: in the undoing, and in the writing of what became final.
#[tokio::test]
async fn r16_killed_in_the_middle() {
    let mut ends = 0;
    for (restarts, depth, blocks) in [(true, 4, 6), (false, 4, 6), (true, 3, 9), (false, 3, 9)] {
        for polls in 1.. {
            let (mut rig, _node) = indexed(Verify::Full, 10).await;
            replace(&rig, depth, blocks);
            rig.chain.finalize(10);
            let ended = cut_short(polls, async {
                loop {
                    if rig.indexer.step().await.unwrap() == Progress::default() {
                        return;
                    }
                }
            });
            let is_done = ended.await.is_some();
            ends += 1;
            if restarts {
                rig.restart();
            }
            rig.settle().await;
            rig.check().await;
            if is_done {
                break;
            }
        }
    }
    assert!(ends >= 50, "{ends} ends");
}

#[tokio::test]
async fn r17_two_nodes_on_two_branches() {
    for verify in [Verify::Full, Verify::Logs] {
        let (mut rig, node) = indexed(verify, 10).await;
        replace(&rig, 4, 5);
        node.plan_faults(FaultPlan::new(17).with(NodeFault::OtherBranch, 500_000));
        for _ in 0..40 {
            if let Err(error) = rig.indexer.step().await {
                assert!(error.is_transient(), "{error}");
            }
        }
        assert!(node.struck()[&NodeFault::OtherBranch] > 5);
        node.plan_faults(FaultPlan::default());
        rig.mine_numbered(2, 1);
        rig.settle().await;
        rig.check().await;
    }
}

/// A node gives a log twice, in the window and in a range of final blocks. The events have no numbers that would show it.
#[tokio::test]
async fn r18_a_log_twice() {
    for blocks_final in [0, 3] {
        let store = Store::in_memory().await.unwrap();
        let (mut rig, node) = Rig::on_node_with(Verify::Logs, true, store, |_, followed| followed.numbered.clear());
        rig.mine_numbered(0, 8);
        rig.chain.finalize(4);
        rig.settle().await;
        rig.mine_numbered(0, 3);
        if blocks_final > 0 {
            rig.chain.finalize(8 + blocks_final - 1);
        }
        for _ in 0..3 {
            node.strike_next(NodeFault::LogRepeated);
            let error = rig.indexer.step().await.unwrap_err();
            assert!(matches!(error, IndexerError::Inconsistent { .. }), "{error}");
        }
        rig.settle().await;
        rig.check().await;
    }
}

/// Once, a block has no logs though its bloom filter has them. With proofs it is read again. Without, the
/// next event's number shows it, and the window is read again.
#[tokio::test]
async fn r18_no_logs_once() {
    for verify in [Verify::Full, Verify::Logs] {
        let (mut rig, node) = indexed(verify, 8).await;
        rig.mine_numbered(0, 2);
        node.strike_next(NodeFault::LogsEmptied);
        let error = rig.indexer.step().await.unwrap_err();
        match verify {
            Verify::Full => assert!(matches!(error, IndexerError::Inconsistent { .. }), "{error}"),
            Verify::Logs => assert!(matches!(error, IndexerError::EventsMissing { .. }), "{error}"),
        }
        assert_eq!(node.struck()[&NodeFault::LogsEmptied], 1);
        rig.settle().await;
        rig.check().await;
    }
}

/// In the window and in a range of final blocks.
#[tokio::test]
async fn r19_altered_log() {
    for blocks_final in [0, 3] {
        let (mut rig, node) = indexed(Verify::Full, 8).await;
        let hot = rig.store.hot();
        rig.mine_numbered(0, 3);
        if blocks_final > 0 {
            rig.chain.finalize(8 + blocks_final);
        }
        for _ in 0..12 {
            node.strike_next(NodeFault::LogAltered);
            let error = rig.indexer.step().await.unwrap_err();
            assert!(matches!(error, IndexerError::Inconsistent { .. }), "{error}");
        }
        assert!(blocks_final > 0 || rig.store.hot() == hot, "nothing of it is shown");
        rig.settle().await;
        rig.check().await;
    }
}

/// Headers with one field changed, also twice in the same way, are neither stored nor a reason to halt.
#[tokio::test]
async fn r19_altered_header() {
    let (mut rig, node) = indexed(Verify::Full, 8).await;
    for seed in 0..60 {
        rig.mine_numbered(seed, 1);
        rig.chain.finalize(rig.head() - 3);
        node.plan_faults(FaultPlan::new(seed).with(NodeFault::HeaderAltered, 500_000));
        for _ in 0..3 {
            if let Err(error) = rig.indexer.step().await {
                assert!(error.is_transient(), "{error}");
            }
        }
        node.plan_faults(FaultPlan::default());
        rig.settle().await;
        rig.check().await;
    }
}

/// Ten thousand logs in a block, one without topics, a deposit's event, receipt types in upper case.
#[tokio::test]
async fn r20_odd_blocks() {
    for verify in [Verify::Full, Verify::Logs] {
        let (mut rig, _node) = indexed(verify, 6).await;
        let first = next_number(&rig.chain);
        let many: Vec<_> = (first..first + 10_000).map(|number| numbered(number, 0)).collect();
        let silent = ScriptedLog { topics: Vec::new(), data: Vec::new().into(), ..numbered(0, 0) };
        let deposit = ScriptedTransaction { transaction_type: 0x7e, logs: vec![silent, log(OTHERS, 1, 1)] };
        rig.chain.mine_transactions(0, &[deposit, ScriptedTransaction::new(many)]);
        rig.settle().await;
        rig.check().await;
        rig.chain.rewind(1);
        rig.mine_numbered(1, 2);
        rig.chain.finalize(rig.head());
        rig.settle().await;
        rig.check().await;
    }
}
