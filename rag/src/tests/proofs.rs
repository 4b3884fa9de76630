use super::settlement::{close, collected};
use super::world::{World, account, cold_chain};
use crate::{RagError, verify_inclusion};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";

/// Strangers may ask for them: the tree is built once for an epoch, and the rows are read once.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_read_once_per_epoch() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let mut receipts = Vec::new();
    for n in 0..5 {
        receipts.push(rag.ask(world.request(&format!("{n}"), RANGE)).await.unwrap().receipt);
    }
    assert_eq!(rag.inclusion(receipts[0].body.answer_id).await.unwrap(), None, "not closed yet");
    let closing = close(&rag, 5).await.unwrap();
    let owed = rag.asked(closing.clone()).await.unwrap()[0];
    rag.settle_epoch(closing, collected(owed.amount_wei.0, owed.data_wei.0, owed.data_wei.0)).await.unwrap();
    let (reads, first) = (|| world.store.reads(), receipts[0].body.answer_id);
    let cost = async || {
        let before = reads().rows;
        rag.inclusion(first).await.unwrap();
        reads().rows - before
    };
    let (cold, warm) = (cost().await, cost().await);
    assert_eq!(cold - warm, 5, "the epoch's receipts");
    for receipt in &receipts {
        let inclusion = rag.inclusion(receipt.body.answer_id).await.unwrap().unwrap();
        verify_inclusion(receipt, &inclusion).unwrap();
    }
    rag.reward_proof(account(1)).await.unwrap();
    let before = reads();
    rag.reward_proof(account(1)).await.unwrap();
    assert!(matches!(rag.reward_proof(account(99)).await, Err(RagError::NotFound { .. })));
    assert_eq!(reads(), before);
}
