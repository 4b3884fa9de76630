use std::collections::BTreeSet;

use schemas::B256;
use schemas::leaves::RewardLeaf;
use schemas::merkle;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, ReceiptRow, RewardRow, Wei};
use schemas::{Address, U256};

use super::world::{CHAIN_ID, World, account, cold_chain};
use crate::receipts::receipt_of;
use crate::{AskRequest, ClosingTerms, Collected, Collection, EpochInputs, Policy, Rag, RagError, Result, recompute_epoch};

const QUESTIONS: [&str; 3] = [
    "At what temperature range should most vaccines be stored in a refrigerator?",
    "At what temperature does dry ice sublimate?",
    "Who won the 1998 football World Cup?",
];
const PAYER: Address = Address::repeat_byte(0xbb);

pub(super) fn terms(block_number: u64) -> ClosingTerms {
    ClosingTerms { block_number, block_hash: B256::with_last_byte(1), data_bps: 7000, reserve_wei: Wei(0), policy: Policy::default() }
}

pub(super) async fn close(rag: &Rag, block_number: u64) -> Result<ClosingRow> {
    rag.close_epoch(terms(block_number), &BTreeSet::new()).await
}

/// What a vault says that took `amount` of what the payer was asked for.
pub(super) fn collected(amount_wei: u128, data_wei: u128, funded: u128) -> Collection {
    let taken = Collected { payer: PAYER, amount_wei: Wei(amount_wei), data_wei: Wei(data_wei) };
    Collection {
        chain_id: CHAIN_ID,
        distributor: account(0xdd),
        to_block: 9,
        to_block_hash: B256::with_last_byte(2),
        collected: if amount_wei == 0 { vec![] } else { vec![taken] },
        funded_wei: Wei(funded),
    }
}

async fn asked(world: &World, rag: &Rag) {
    for question in QUESTIONS {
        world.ask(rag, question).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_pays_what_was_collected() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    assert!(matches!(close(&rag, 5).await, Err(RagError::NothingToSettle { last_epoch: 0 })));
    assert!(matches!(rag.reward_proof(account(1)).await, Err(RagError::NotFound { .. })));
    asked(&world, &rag).await;
    let closing = close(&rag, 5).await.unwrap();
    assert_eq!((closing.epoch, closing.first_sequence, closing.last_sequence, closing.receipt_count), (1, 1, 3, 3));
    assert_eq!(closing.total_wei, Wei(2 * 1_000_003), "the declined answer costs nothing");
    assert!(matches!(rag.reward_proof(account(1)).await, Err(RagError::NotFound { .. })), "nobody has paid yet");
    let owed = rag.asked(closing.clone()).await.unwrap();
    assert_eq!((owed.len(), owed[0].payer, owed[0].amount_wei), (1, PAYER, closing.total_wei));
    let collection = collected(owed[0].amount_wei.0, owed[0].data_wei.0, owed[0].data_wei.0);
    let epoch = rag.settle_epoch(closing.clone(), collection.clone()).await.unwrap();
    assert_eq!((epoch.pool_wei, epoch.collected_wei, epoch.unpaid_wei), (owed[0].data_wei, closing.total_wei, Wei(0)));
    assert_eq!(rag.closing().await.unwrap(), None);
    let rewards: Vec<RewardRow> = world.store.scan(Some("epoch = 1")).await.unwrap();
    // A page at a time they are the same rows, in order.
    let (mut paged, mut after) = (Vec::new(), None);
    while let Some(row) = rag.rewards(1, after, 1).await.unwrap().pop() {
        after = Some(row.account);
        paged.push(row);
    }
    let mut in_order = rewards.clone();
    in_order.sort_by_key(|row| row.account);
    assert!(paged == in_order && paged.len() > 1, "{paged:?}");
    assert_eq!(rag.rewards(1, None, 2).await.unwrap(), in_order[..2]);
    assert_eq!(rag.debts(1, Some(PAYER), 9).await.unwrap(), []);
    assert_eq!(rag.debts(1, None, 9).await.unwrap()[0].payer, PAYER);
    for row in &rewards {
        let proof = rag.reward_proof(row.account).await.unwrap();
        let leaf = RewardLeaf {
            chain_id: CHAIN_ID,
            distributor: account(0xdd),
            account: row.account,
            cumulative_wei: U256::from(proof.cumulative_wei.0),
        };
        assert!(merkle::verify(epoch.reward_root, leaf.hash(), &proof.proof));
    }
    assert!(matches!(rag.reward_proof(Address::ZERO).await, Err(RagError::NotFound { .. })));
    assert!(matches!(close(&rag, 6).await, Err(RagError::NothingToSettle { last_epoch: 1 })));
    // a verifier with the tables and the vault's events
    let rows: Vec<ReceiptRow> = world.store.scan(None).await.unwrap();
    let bodies: Vec<_> = rows.iter().map(|row| receipt_of(row).unwrap().body).collect();
    let inputs = EpochInputs {
        closing: &closing,
        policy: Some(&Policy::default()),
        receipts: &bodies,
        debts: &[],
        rewards: &[],
        collection: &collection,
    };
    let recomputed = recompute_epoch(&inputs).unwrap();
    assert_eq!((recomputed.reward_root, recomputed.artifact_hash), (epoch.reward_root, epoch.artifact_hash));
}

/// What came short is in no reward, stays owed, and is paid with a later epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_debt_is_carried_until_it_is_paid() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    asked(&world, &rag).await;
    let closing = close(&rag, 5).await.unwrap();
    let owed = rag.asked(closing.clone()).await.unwrap()[0];
    let first = rag.settle_epoch(closing, collected(0, 0, 0)).await.unwrap();
    assert_eq!((first.pool_wei, first.unpaid_wei), (Wei(0), owed.amount_wei));
    // Without receipts an epoch is closed only for somebody who can pay.
    assert!(matches!(close(&rag, 6).await, Err(RagError::NothingToSettle { last_epoch: 1 })));
    let second = rag.close_epoch(terms(6), &BTreeSet::from([PAYER])).await.unwrap();
    assert_eq!((second.epoch, second.first_sequence, second.last_sequence, second.receipt_count), (2, 4, 3, 0));
    let again = rag.asked(second.clone()).await.unwrap()[0];
    assert_eq!((again.amount_wei, again.data_wei, again.is_new), (owed.amount_wei, owed.data_wei, false));
    let funded = again.data_wei.0;
    let paid = rag.settle_epoch(second, collected(again.amount_wei.0, funded, funded)).await.unwrap();
    assert_eq!((paid.pool_wei, paid.unpaid_wei), (again.data_wei, Wei(0)));
}

/// A crash after the closing, or between the rewards and the commit: more receipts come, other terms are configured; the epoch
/// is finished as it was begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_epoch_is_finished_as_begun() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    asked(&world, &rag).await;
    let begun = close(&rag, 5).await.unwrap();
    rag.ask(world.request("later", QUESTIONS[0])).await.unwrap();
    let again = rag.close_epoch(ClosingTerms { data_bps: 10, ..terms(99) }, &BTreeSet::new()).await.unwrap();
    assert_eq!(again, begun);
    let owed = rag.asked(begun.clone()).await.unwrap()[0];
    let collection = collected(owed.amount_wei.0, owed.data_wei.0, owed.data_wei.0);
    // The rewards and debts as an attempt left them that was killed before the commit.
    let rows: Vec<ReceiptRow> = world.store.scan(Some("sequence <= 3")).await.unwrap();
    let bodies: Vec<_> = rows.iter().map(|row| receipt_of(row).unwrap().body).collect();
    let inputs = EpochInputs {
        closing: &begun,
        policy: Some(&Policy::default()),
        receipts: &bodies,
        debts: &[],
        rewards: &[],
        collection: &collection,
    };
    let computed = recompute_epoch(&inputs).unwrap();
    world.store.insert_new::<RewardRow>(&computed.rewards).await.unwrap();
    world.store.insert_new::<DebtRow>(&computed.debts).await.unwrap();
    let epoch = rag.settle_epoch(begun, collection).await.unwrap();
    assert_eq!((epoch.last_sequence, epoch.artifact_hash), (3, computed.artifact_hash));
    let second = close(&rag, 99).await.unwrap();
    assert_eq!((second.first_sequence, second.last_sequence), (4, 4));
    assert_eq!(world.store.count::<EpochRow>(None).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_rewards_stop_the_epoch() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    asked(&world, &rag).await;
    let closing = close(&rag, 5).await.unwrap();
    let foreign = RewardRow { epoch: 1, account: account(1), amount_wei: Wei(1), cumulative_wei: Wei(1), leaf: B256::ZERO };
    world.store.insert_new(&[foreign]).await.unwrap();
    assert!(matches!(rag.settle_epoch(closing, collected(0, 0, 0)).await, Err(RagError::EpochConflict { epoch: 1, .. })));
    assert_eq!(world.store.count::<EpochRow>(None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_answers_are_not_settled() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    rag.ask(AskRequest { payer: None, fee_wei: Wei(0), ..world.request("free", QUESTIONS[0]) }).await.unwrap();
    assert!(matches!(close(&rag, 5).await, Err(RagError::NothingToSettle { .. })));
}
