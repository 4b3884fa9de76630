//! The reorganisations of [`crate::follow`]'s tests against a live anvil, compared with its receipts. The
//! short ones run always, the others with `make crash`. anvil cannot play the rest: it forgets orphans
//! at once, knows no second branch, and never lies.

use super::witness::{Witness, stored};
use super::*;

async fn indexed(slots_in_an_epoch: u64, blocks: u64) -> (Witness, Store, Indexer) {
    let mut witness = Witness::start(slots_in_an_epoch).await;
    witness.emit(blocks).await;
    let store = Store::in_memory().await.unwrap();
    let mut indexer = follower(&witness.chain, &store, Witness::followed());
    settle(&mut indexer).await;
    witness.check(&store).await;
    (witness, store, indexer)
}

#[tokio::test]
async fn r01_r02_live_tip_replaced() {
    let (mut witness, store, mut indexer) = indexed(4, 12).await;
    for more in [0, 1] {
        witness.chain.reorg(1).await.unwrap();
        witness.emit(more).await;
        assert_eq!(settle(&mut indexer).await.undone_blocks, 1);
        witness.check(&store).await;
        witness.emit(1).await;
        settle(&mut indexer).await;
    }
}

#[tokio::test]
#[ignore = "minutes; make crash runs it"]
async fn r03_live_deep() {
    let (mut witness, store, mut indexer) = indexed(140, 4).await;
    for depth in [2, 3, 8, 29, 31, 63, 65, 257] {
        witness.emit(depth.min(12)).await;
        witness.chain.mine(depth).await.unwrap();
        settle(&mut indexer).await;
        witness.chain.reorg(depth).await.unwrap();
        witness.emit(2).await;
        assert_eq!(settle(&mut indexer).await.undone_blocks, depth);
        witness.check(&store).await;
    }
}

#[tokio::test]
async fn r04_r06_live_shorter_fork_and_rollback() {
    let (mut witness, store, mut indexer) = indexed(8, 3).await;
    let snapshot = witness.snapshot().await;
    witness.emit(5).await;
    settle(&mut indexer).await;
    let hot = store.hot();
    witness.revert(snapshot).await;
    assert_eq!(settle(&mut indexer).await.undone_blocks, 0, "a rollback alone");
    assert_eq!(*store.hot(), *hot);
    // Another clock, or the blocks would be the same again.
    witness.chain.skip_time(100).await.unwrap();
    witness.emit(2).await;
    assert_eq!(settle(&mut indexer).await.undone_blocks, 5);
    witness.check(&store).await;
    witness.emit(10).await;
    assert_eq!(settle(&mut indexer).await.undone_blocks, 0);
    witness.check(&store).await;
}

/// anvil keeps one branch, and mines no block twice the same; but a whole chain can be saved and loaded.
#[tokio::test]
#[ignore = "make crash runs it"]
async fn r07_live_back_to_the_first_branch() {
    let (mut witness, store, mut indexer) = indexed(8, 6).await;
    let tip = |store: &Store| store.hot().blocks.last().unwrap().hash;
    witness.emit(3).await;
    settle(&mut indexer).await;
    let first = (witness.chain.control("anvil_dumpState", json!([])).await.unwrap(), tip(&store));
    witness.chain.reorg(3).await.unwrap();
    assert_eq!(settle(&mut indexer).await.undone_blocks, 3);
    witness.check(&store).await;
    let second = (witness.chain.control("anvil_dumpState", json!([])).await.unwrap(), tip(&store));
    assert_ne!(first.1, second.1);
    for (state, head) in [&first, &second, &first] {
        assert_eq!(witness.chain.control("anvil_loadState", json!([state])).await.unwrap(), json!(true));
        assert_eq!(settle(&mut indexer).await.undone_blocks, 3);
        assert_eq!(tip(&store), *head, "anvil came back with other blocks");
        witness.check(&store).await;
    }
}

#[tokio::test]
#[ignore = "make crash runs it"]
async fn r09_live_while_stopped() {
    let (mut witness, store, indexer) = indexed(8, 24).await;
    drop(indexer);
    witness.chain.reorg(14).await.unwrap();
    witness.emit(3).await;
    store.set_hot(store::Hot::default());
    settle(&mut follower(&witness.chain, &store, Witness::followed())).await;
    witness.check(&store).await;
}

#[tokio::test]
async fn r15_live_below_the_finalized_block() {
    let (witness, store, mut indexer) = indexed(2, 12).await;
    let before = stored(&store).await;
    witness.chain.reorg(8).await.unwrap();
    let error = indexer.step().await.unwrap_err();
    assert!(matches!(error, IndexerError::ReorgBelowFinalized { .. }), "{error}");
    assert_eq!(stored(&store).await, before);
}
