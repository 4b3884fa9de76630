//! The books that money is decided by, over scripted chains: what they say, and what a node that lies makes of them.

use std::sync::Arc;

use schemas::alloy_sol_types::SolEvent;
use schemas::contracts::{Deployment, PaymentVault, RewardDistributor};
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::debits::{EpochDebits, Taken, last_batch};
use super::payers::{PayerBook, funders};
use super::roots::{RootBook, funded_at};
use super::{Place, Placed};
use crate::source::{ChainSource, QuorumSource, ScriptedChain, ScriptedLog};
use crate::{Followed, Indexer, IndexerConfig, IndexerError, Progress};

const CHAIN_ID: u64 = 7;
const PAYER: Address = Address::repeat_byte(0xbb);
const ROOT: B256 = B256::repeat_byte(0x11);

fn deployment() -> Deployment {
    let at = Address::repeat_byte;
    Deployment { chain_id: CHAIN_ID, registry: at(1), models: at(2), vault: at(3), distributor: at(4), token: at(5), start_block: 1 }
}

fn wei(amount: u64) -> U256 {
    U256::from(amount)
}

fn log(address: Address, event: &impl SolEvent) -> ScriptedLog {
    let encoded = event.encode_log_data();
    ScriptedLog { address, topics: encoded.topics().to_vec(), data: encoded.data.clone() }
}

fn vault(event: &impl SolEvent) -> ScriptedLog {
    log(deployment().vault, event)
}

fn pool(event: &impl SolEvent) -> ScriptedLog {
    log(deployment().distributor, event)
}

fn indexer(source: Arc<dyn ChainSource>, store: &Store) -> Indexer {
    Indexer::new(source, store.clone(), Followed::deployment(&deployment()).unwrap(), IndexerConfig::default())
}

async fn settle(indexer: &mut Indexer) -> Result<(), IndexerError> {
    while indexer.step().await? != Progress::default() {}
    Ok(())
}

fn debited(epoch: u64, part: u64, limit: u8, amount: u64, seq: u64) -> PaymentVault::Debited {
    let (data, model) = (wei(amount * 8 / 10), U256::ZERO);
    PaymentVault::Debited {
        payer: PAYER,
        epoch,
        limitHash: B256::repeat_byte(limit),
        part,
        amount: wei(amount),
        dataAmount: data,
        modelAmount: model,
        seq,
    }
}

fn batch(epoch: u64, part: u64, is_last: bool, seq: u64) -> PaymentVault::BatchDebited {
    let none = U256::ZERO;
    PaymentVault::BatchDebited {
        epoch,
        part,
        receiptsRoot: ROOT,
        isLast: is_last,
        prevRoot: B256::ZERO,
        owed: none,
        total: none,
        dataPool: none,
        modelPool: none,
        stakersAmount: none,
        platformAmount: none,
        seq,
    }
}

fn deposited(amount: u64, seq: u64) -> PaymentVault::Deposited {
    PaymentVault::Deposited { payer: PAYER, from: PAYER, amount: wei(amount), seq }
}

fn proposed(epoch: u64, root: B256, seq: u64) -> RewardDistributor::RootProposed {
    let zero = B256::ZERO;
    RewardDistributor::RootProposed {
        epoch,
        root,
        artifactHash: zero,
        totalCumulative: wei(1),
        toBlock: 1,
        toBlockHash: zero,
        indexDigest: zero,
        disputableUntil: 99,
        seq,
    }
}

fn accepted(epoch: u64, root: B256, seq: u64) -> RewardDistributor::RootAccepted {
    RewardDistributor::RootAccepted { epoch, root, totalCumulative: wei(1), seq }
}

fn funded(total: u64, seq: u64) -> RewardDistributor::Funded {
    RewardDistributor::Funded { from: PAYER, amount: wei(total), totalFunded: wei(total), seq }
}

/// A payer's deposits, debits and withdrawals, an epoch in two parts, and roots in every state.
#[tokio::test]
async fn books_follow_from_events() {
    let (chain, store, deployment) = (ScriptedChain::new(CHAIN_ID), Store::in_memory().await.unwrap(), deployment());
    let mut indexer = indexer(Arc::new(chain.clone()), &store);
    let short = PaymentVault::DebitShort {
        payer: Address::repeat_byte(0xcc),
        epoch: 1,
        limitHash: B256::ZERO,
        part: 2,
        owed: wei(5),
        taken: U256::ZERO,
        reason: PaymentVault::ShortReason::LimitExpired,
        seq: 6,
    };
    let requested = PaymentVault::WithdrawalRequested { payer: PAYER, amount: wei(70), availableAt: 9, seq: 8 };
    let cancelled = PaymentVault::LimitCancelled { payer: PAYER, nonce: wei(3), cancelledFrom: 77, seq: 9 };
    chain.mine(0, &[vault(&deposited(100, 1)), pool(&funded(24, 1)), pool(&proposed(1, ROOT, 2))]);
    chain.mine(0, &[vault(&debited(1, 1, 1, 20, 2)), vault(&debited(1, 1, 2, 10, 3)), vault(&batch(1, 1, false, 4))]);
    chain.mine(0, &[vault(&debited(1, 2, 1, 4, 5)), vault(&short), vault(&batch(1, 2, true, 7))]);
    chain.mine(0, &[vault(&requested), vault(&cancelled), vault(&deposited(7, 10))]);
    chain.finalize(2);
    settle(&mut indexer).await.unwrap();

    let book = PayerBook::read(&store, &deployment, PAYER).await.unwrap();
    assert_eq!((book.balance_wei, book.withdrawing_wei), (wei(66), wei(66)), "more is asked back than is left");
    assert_eq!(book.arriving_wei, wei(7), "a deposit that is not final backs nothing");
    assert_eq!((book.spent_wei(B256::repeat_byte(1)), book.spent_wei(B256::repeat_byte(2))), (wei(24), wei(10)));
    assert_eq!((book.debited_after_wei(0), book.debited_after_wei(1), book.asked_epoch()), (wei(34), U256::ZERO, Some(1)));
    assert_eq!((book.cancelled_from(wei(3)), book.cancelled_from(wei(4))), (Some(77), None));

    let fixed = EpochDebits::read(&store, &deployment, 1, Finality::Finalized).await.unwrap();
    assert_eq!((fixed.parts, fixed.completed, fixed.receipts_root), (1, None, Some(ROOT)));
    let seen = EpochDebits::read(&store, &deployment, 1, Finality::Any).await.unwrap();
    assert_eq!((seen.parts, seen.completed.unwrap().block_number, seen.asked.len()), (2, 3, 2));
    assert_eq!(seen.collected[&PAYER], Taken { amount_wei: wei(34), data_wei: wei(27) });
    assert_eq!(EpochDebits::read(&store, &deployment, 2, Finality::Any).await.unwrap(), EpochDebits::default());
    assert_eq!(last_batch(&store, &deployment, Finality::Any).await.unwrap().unwrap().part, 2);
    assert_eq!(funded_at(&store, &deployment, 1, Finality::Finalized).await.unwrap(), wei(24));
    assert_eq!(funded_at(&store, &deployment, 0, Finality::Finalized).await.unwrap(), U256::ZERO);

    let by = Address::repeat_byte(0xdd);
    let disputed = |seq| RewardDistributor::RootDisputed { epoch: 1, by, evidenceHash: ROOT, bond: wei(1), seq };
    let resolved = |valid, seq| RewardDistributor::DisputeResolved { epoch: 1, by, valid, seq };
    let book = async || RootBook::read(&store, &deployment, Finality::Any).await.unwrap();
    chain.mine(0, &[pool(&disputed(3))]);
    settle(&mut indexer).await.unwrap();
    assert_eq!(book().await.pending.unwrap().dispute, Some((by, ROOT)));
    chain.mine(0, &[pool(&resolved(false, 4))]);
    settle(&mut indexer).await.unwrap();
    assert_eq!(book().await.pending.map(|pending| (pending.root, pending.dispute)), Some((ROOT, None)));
    chain.mine(0, &[pool(&disputed(5)), pool(&resolved(true, 6))]);
    settle(&mut indexer).await.unwrap();
    assert_eq!(book().await, RootBook { accepted: None, pending: None, removed: Some((1, ROOT)) });
    chain.mine(0, &[pool(&proposed(1, ROOT, 7)), pool(&accepted(1, ROOT, 8))]);
    settle(&mut indexer).await.unwrap();
    assert_eq!((book().await.accepted_epoch(), book().await.pending), (1, None));
}

/// The first node invents what it likes: a deposit, a debit, a funded pool, a root in force.
fn lies() -> Vec<ScriptedLog> {
    vec![
        vault(&deposited(1_000_000, 2)),
        vault(&debited(1, 1, 1, 50, 3)),
        vault(&batch(1, 1, true, 4)),
        pool(&funded(1_000_000, 1)),
        pool(&proposed(1, ROOT, 2)),
        pool(&accepted(1, ROOT, 3)),
    ]
}

async fn check_truth(store: &Store) {
    let deployment = deployment();
    let roots = RootBook::read(store, &deployment, Finality::Finalized).await.unwrap();
    assert_eq!(roots, RootBook::default(), "no root is in force");
    assert_eq!(funded_at(store, &deployment, u64::MAX, Finality::Finalized).await.unwrap(), U256::ZERO);
    assert_eq!(EpochDebits::read(store, &deployment, 1, Finality::Finalized).await.unwrap(), EpochDebits::default());
    let book = PayerBook::read(store, &deployment, PAYER).await.unwrap();
    assert!(book.balance_wei <= wei(100), "an invented deposit backs no answer");
}

#[tokio::test]
async fn a_first_node_that_lies_decides_nothing_about_money() {
    for lies_about_final in [false, true] {
        let [liar, one, two] = [ScriptedChain::new(CHAIN_ID), ScriptedChain::new(CHAIN_ID), ScriptedChain::new(CHAIN_ID)];
        for chain in [&liar, &one, &two] {
            chain.mine(0, &[vault(&deposited(100, 1))]);
            chain.mine(0, &[]);
            chain.finalize(2);
        }
        liar.mine(1, &lies());
        for _ in 0..4 {
            for chain in [&liar, &one, &two] {
                chain.mine(0, &[]);
            }
        }
        if lies_about_final {
            for chain in [&liar, &one, &two] {
                chain.finalize(5);
            }
        }
        let named = [&liar, &one, &two].map(|chain| ("http://node".to_owned(), Arc::new(chain.clone()) as Arc<dyn ChainSource>));
        let store = Store::in_memory().await.unwrap();
        let mut indexer = indexer(Arc::new(QuorumSource::over(named.into()).unwrap()), &store);
        let settled = settle(&mut indexer).await;
        assert_eq!(matches!(settled, Err(IndexerError::NodesDisagree { .. })), lies_about_final, "{settled:?}");
        check_truth(&store).await;
    }
}

/// However many pay in a little, and whoever pays in later; a payer is no funder of its own.
#[test]
fn funders_are_those_who_paid_in_most() {
    let deposit = |block_number: u64, from: u8, amount: u64| {
        let event = PaymentVault::Deposited { payer: PAYER, from: Address::repeat_byte(from), amount: wei(amount), seq: 0 };
        Placed { event, place: Place { block_number, block_hash: B256::ZERO, block_timestamp: 0, tx_hash: B256::ZERO, log_index: 0 } }
    };
    let mut deposits = vec![deposit(1, 1, 60), deposit(2, PAYER[0], 1_000), deposit(3, 2, 40), deposit(5, 2, 30), deposit(9, 3, 500)];
    deposits.extend((10..40).map(|dust| deposit(4, dust, 1)));
    let named = |block: u64, most: usize| {
        let named = funders(&deposits, block, most).remove(&PAYER).unwrap_or_default();
        named.iter().map(|account| account[0]).collect::<Vec<u8>>()
    };
    assert_eq!((named(4, 1), named(5, 1), named(9, 1)), (vec![1], vec![2], vec![3]));
    assert_eq!((named(8, 2), named(8, 99).len(), named(0, 9)), (vec![1, 2], 32, vec![]));
}
