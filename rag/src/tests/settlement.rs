use schemas::B256;
use schemas::leaves::RewardLeaf;
use schemas::merkle;
use schemas::tables::{EpochRow, RewardRow, Wei};
use schemas::{Address, U256};

use super::world::{CHAIN_ID, World, account, cold_chain};
use crate::{AskRequest, EpochCut, Rag, RagError, recompute_epoch};

const QUESTIONS: [&str; 3] = [
    "At what temperature range should most vaccines be stored in a refrigerator?",
    "At what temperature does dry ice sublimate?",
    "Who won the 1998 football World Cup?",
];

pub(super) fn cut(to_block: u64) -> EpochCut {
    EpochCut { chain_id: CHAIN_ID, distributor: account(0xdd), to_block, to_block_hash: B256::with_last_byte(1), data_bps: 7000 }
}

async fn asked(world: &World, rag: &Rag) {
    for question in QUESTIONS {
        world.ask(rag, question).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_pays_what_the_receipts_say() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    assert!(matches!(rag.close_epoch(cut(5)).await, Err(RagError::NothingToSettle { last_epoch: 0 })));
    assert!(matches!(rag.reward_proof(account(1)).await, Err(RagError::NotFound { .. })));
    asked(&world, &rag).await;
    let closed = rag.close_epoch(cut(5)).await.unwrap();
    assert_eq!((closed.row.epoch, closed.row.first_sequence, closed.row.last_sequence, closed.row.receipt_count), (1, 1, 3, 3));
    assert_eq!(closed.row.total_wei, Wei(2 * 1_000_003), "the declined answer costs nothing");
    assert_eq!(closed.row.pool_wei.0 + closed.row.platform_wei.0, closed.row.total_wei.0);
    assert_eq!((closed.debits[0].payer, closed.debits[0].amount_wei), (account(0xbb), closed.row.total_wei));
    assert_eq!(rag.closed_epoch(1).await.unwrap(), closed);
    for row in &closed.rewards {
        let proof = rag.reward_proof(row.account).await.unwrap();
        let leaf = RewardLeaf {
            chain_id: CHAIN_ID,
            distributor: account(0xdd),
            account: row.account,
            cumulative_wei: U256::from(proof.cumulative_wei.0),
        };
        assert!(merkle::verify(closed.row.reward_root, leaf.hash(), &proof.proof));
    }
    assert!(matches!(rag.reward_proof(Address::ZERO).await, Err(RagError::NotFound { .. })));
    assert!(matches!(rag.close_epoch(cut(6)).await, Err(RagError::NothingToSettle { last_epoch: 1 })));
    // a verifier with the tables alone
    let mut bodies = Vec::new();
    for question in QUESTIONS {
        bodies.push(world.ask(&rag, question).await.receipt.body);
    }
    let recomputed = recompute_epoch(&bodies, &[], &cut(5)).unwrap();
    assert_eq!((recomputed.reward_root, recomputed.artifact_hash), (closed.row.reward_root, closed.row.artifact_hash));
    // the next epoch adds up
    rag.ask(world.request("again", QUESTIONS[0])).await.unwrap();
    let second = rag.close_epoch(cut(9)).await.unwrap();
    assert_eq!((second.row.epoch, second.row.first_sequence), (2, 4));
    for row in &closed.rewards {
        let now = second.rewards.iter().find(|now| now.account == row.account).unwrap();
        assert_eq!(now.cumulative_wei.0, row.cumulative_wei.0 + now.amount_wei.0);
    }
}

/// A crash between the rewards and the commit: more receipts come, another block is final, another
/// data part is configured; the epoch is finished as it was begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_epoch_is_finished_as_begun() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    asked(&world, &rag).await;
    rag.drain().await.unwrap();
    let mut bodies = Vec::new();
    for question in QUESTIONS {
        bodies.push(world.ask(&rag, question).await.receipt.body);
    }
    let begun = recompute_epoch(&bodies, &[], &cut(5)).unwrap();
    world.store.insert_new::<RewardRow>(&begun.rewards).await.unwrap();
    let plan = format!(r#"{{"cut":{},"epoch":1,"last_sequence":3}}"#, serde_json::to_string(&cut(5)).unwrap());
    std::fs::write(world.dir.path().join("wal/epoch.plan.json"), plan).unwrap();
    rag.ask(world.request("later", QUESTIONS[0])).await.unwrap();
    let closed = rag.close_epoch(EpochCut { data_bps: 10, ..cut(99) }).await.unwrap();
    assert_eq!((closed.row.last_sequence, closed.row.to_block, closed.row.artifact_hash), (3, 5, begun.artifact_hash));
    assert_eq!(closed.rewards, begun.rewards);
    let second = rag.close_epoch(cut(99)).await.unwrap();
    assert_eq!((second.row.first_sequence, second.row.last_sequence), (4, 4));
    assert_eq!(world.store.count::<EpochRow>(None).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_rewards_stop_the_epoch() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    asked(&world, &rag).await;
    let foreign = RewardRow { epoch: 1, account: account(1), amount_wei: Wei(1), cumulative_wei: Wei(1), leaf: B256::ZERO };
    world.store.insert_new(&[foreign]).await.unwrap();
    assert!(matches!(rag.close_epoch(cut(5)).await, Err(RagError::EpochConflict { epoch: 1, .. })));
    assert_eq!(world.store.count::<EpochRow>(None).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn free_answers_are_not_settled() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    rag.ask(AskRequest { payer: None, fee_wei: Wei(0), ..world.request("free", QUESTIONS[0]) }).await.unwrap();
    assert!(matches!(rag.close_epoch(cut(5)).await, Err(RagError::NothingToSettle { .. })));
}
