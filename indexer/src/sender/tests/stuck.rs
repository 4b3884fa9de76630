//! Stuck transactions, gaps and reorganisations.

use super::*;

/// Mines blocks until `done`.
async fn mine_until(chain: &Chain, done: impl Fn(&chain::State) -> bool) {
    for _ in 0..10_000 {
        if done(&chain.state()) {
            return;
        }
        chain.state().mine(1);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it never came to that");
}

fn waiting_fee(state: &chain::State, nonce: u64) -> Option<u128> {
    use alloy_consensus::Transaction;
    state.pool.get(&nonce).map(Transaction::max_fee_per_gas)
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_and_either_version_counts() {
    for replacement_mined in [true, false] {
        let chain = Chain::start(key().address()).await;
        (chain.state().automine, chain.state().starve) = (false, true);
        let sender = sender(&chain, quick()).await;
        let script = async {
            mine_until(&chain, |state| state.pool.contains_key(&0)).await;
            let first = chain.state().pool[&0].clone();
            let fee = waiting_fee(&chain.state(), 0);
            mine_until(&chain, |state| waiting_fee(state, 0) > fee).await;
            let mut state = chain.state();
            if !replacement_mined {
                state.pool.insert(0, first.clone());
            }
            state.starve = false;
            state.mine(1);
            *first.tx_hash()
        };
        let (sent, first) = tokio::join!(sender.do_it(1), script);
        assert_eq!(sent.unwrap().hash != first, replacement_mined);
        assert!(sender.status().replaced >= 1);
        finish(&chain, &sender).await;
        assert_eq!(chain.state().story(), (vec![calldata(1)], vec![0]));
        assert_eq!(sender.status().sent, 1);
    }
}

#[tokio::test]
async fn a_base_fee_above_the_offer_is_outbid_up_to_the_cap() {
    let chain = Chain::start(key().address()).await;
    chain.state().automine = false;
    let policy = SpendingPolicy { max_fee_per_gas_wei: 2_000, ..SpendingPolicy::default() };
    let sender = sender(&chain, SenderConfig { policy, ..quick() }).await;
    chain.state().starve = true;
    let script = async {
        mine_until(&chain, |state| !state.pool.is_empty()).await;
        // It was offered at 208: no block takes it.
        (chain.state().base_fee, chain.state().starve) = (500, false);
        mine_until(&chain, |state| state.nonces() == [0]).await;
    };
    let (sent, ()) = tokio::join!(sender.do_it(1), script);
    sent.unwrap();
    assert!(sender.status().replaced >= 1);

    // Above the cap nothing is signed any more; the caller hears that it is on its way.
    chain.state().starve = true;
    let impatient = SenderConfig { receipt_timeout_ms: 300, ..sender.config.clone() };
    let sender = super::sender(&chain, impatient).await;
    let ended = std::sync::atomic::AtomicBool::new(false);
    let sending = async {
        let error = sender.do_it(2).await.unwrap_err();
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        error
    };
    let blocks = mine_until(&chain, |_| ended.load(std::sync::atomic::Ordering::SeqCst));
    let (error, ()) = tokio::join!(sending, blocks);
    assert!(matches!(error, IndexerError::TransactionUnknown { nonce: 1, .. }), "{error}");
    let highest = waiting_fee(&chain.state(), 1).unwrap();
    assert!((1_000..=2_000).contains(&highest), "{highest}");
    // Something else has to wait its turn; the same again is the same.
    let error = sender.do_it(3).await.unwrap_err();
    assert!(matches!(error, IndexerError::QueueBusy { .. }), "{error}");
    (chain.state().starve, chain.state().automine) = (false, true);
    chain.state().mine(1);
    sender.do_it(2).await.unwrap();
    sender.do_it(3).await.unwrap();
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2), calldata(3)]);
}

#[tokio::test]
async fn asking_again_waits_for_the_same_transaction() {
    let chain = Chain::start(key().address()).await;
    (chain.state().automine, chain.state().once) = (false, false);
    let sender = sender(&chain, SenderConfig { receipt_timeout_ms: 50, replace_after_ms: 60_000, ..quick() }).await;
    for _ in 0..3 {
        let error = sender.do_it(1).await.unwrap_err();
        assert!(matches!(error, IndexerError::TransactionUnknown { nonce: 0, .. }), "{error}");
    }
    let (sent, ()) = tokio::join!(sender.do_it(1), async { chain.state().mine(1) });
    sent.unwrap();
    assert_eq!((chain.state().effects().len(), sender.status().sent), (1, 1));
}

#[tokio::test]
async fn a_stuck_transaction_that_became_impossible_is_cancelled() {
    let chain = Chain::start(key().address()).await;
    let folder = tempfile::tempdir().unwrap();
    let sender = sender(&chain, stored_in(folder.path())).await;
    sender.do_it(1).await.unwrap();
    // The contract changes its mind about repetitions while the second one waits.
    (chain.state().automine, chain.state().starve, chain.state().once) = (false, true, false);
    let script = async {
        mine_until(&chain, |state| state.pool.contains_key(&1)).await;
        chain.state().once = true;
        mine_until(&chain, |state| state.pool.get(&1).is_some_and(|tx| alloy_consensus::Transaction::input(tx).is_empty())).await;
        chain.state().starve = false;
        chain.state().mine(1);
    };
    let (sent, ()) = tokio::join!(sender.do_it(1), script);
    let error = sent.unwrap_err();
    assert!(matches!(error, IndexerError::TransactionCancelled { nonce: 1, .. }), "{error}");
    chain.state().automine = true;
    sender.do_it(2).await.unwrap();
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
    assert_eq!(chain.state().nonces(), [0, 1, 2]);
}

#[tokio::test]
async fn what_was_reorganised_away_is_sent_again_until_it_is_final() {
    for (waiting_again, restart) in [(false, false), (false, true), (true, false), (true, true)] {
        let chain = Chain::start(key().address()).await;
        chain.state().finality_depth = 8;
        let folder = tempfile::tempdir().unwrap();
        let mut sender = sender(&chain, stored_in(folder.path())).await;
        for number in 1..=3 {
            sender.do_it(number).await.unwrap();
        }
        chain.state().automine = false;
        chain.state().reorg(2, waiting_again);
        assert_eq!(chain.state().effects(), [calldata(1)]);
        if restart {
            drop(sender);
            sender = super::sender(&chain, stored_in(folder.path())).await;
        }
        sender.tend().await.unwrap();
        assert_eq!(sender.status().reorged_out, 2);
        assert_eq!(chain.state().pool.len(), 2);
        chain.state().mine(1);
        // Once more, while it is watched.
        sender.tend().await.unwrap();
        chain.state().reorg(1, waiting_again);
        sender.tend().await.unwrap();
        chain.state().automine = true;
        sender.do_it(4).await.unwrap();
        finish(&chain, &sender).await;
        assert_eq!(chain.state().effects(), [1, 2, 3, 4].map(calldata));
        assert_eq!(chain.state().nonces(), [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn what_reverted_does_not_succeed_after_a_reorganisation() {
    let chain = Chain::start(key().address()).await;
    (chain.state().automine, chain.state().once) = (false, false);
    let sender = sender(&chain, quick()).await;
    let miner = async {
        while chain.state().pool.is_empty() {
            tokio::task::yield_now().await;
        }
        chain.state().mine(1);
    };
    let (sent, ()) = tokio::join!(sender.do_it(1), miner);
    sent.unwrap();
    // The contract takes it once from now on, but the estimate did not know.
    let miner = async {
        while chain.state().pool.is_empty() {
            tokio::task::yield_now().await;
        }
        chain.state().once = true;
        chain.state().mine(1);
    };
    let (sent, ()) = tokio::join!(sender.do_it(1), miner);
    let error = sent.unwrap_err();
    assert!(matches!(error, IndexerError::Reverted { .. }), "{error}");
    chain.state().reorg(1, false);
    for _ in 0..3 {
        sender.tend().await.unwrap();
        chain.state().mine(1);
    }
    assert!(chain.state().pool.is_empty());
    assert_eq!(chain.state().nonces(), [0]);
    // Its nonce is not lost.
    chain.state().automine = true;
    sender.do_it(2).await.unwrap();
    finish(&chain, &sender).await;
    assert_eq!(chain.state().nonces(), [0, 1]);
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
}

/// A development chain that was killed may lose blocks that it had called final.
#[tokio::test]
async fn a_gap_is_filled() {
    let chain = Chain::start(key().address()).await;
    chain.state().finality_depth = 0;
    let folder = tempfile::tempdir().unwrap();
    let sender = sender(&chain, stored_in(folder.path())).await;
    sender.do_it(1).await.unwrap();
    sender.do_it(2).await.unwrap();
    finish(&chain, &sender).await;
    chain.state().finality_depth = 10;
    sender.do_it(3).await.unwrap();
    let depth = chain.state().head();
    chain.state().reorg(depth, false);
    for _ in 0..100 {
        sender.tend().await.unwrap();
        chain.state().mine(1);
        if chain.state().nonces() == [0, 1, 2] {
            break;
        }
    }
    assert_eq!(chain.state().nonces(), [0, 1, 2]);
    assert_eq!(chain.state().effects(), [calldata(3)]);
    finish(&chain, &sender).await;
}
