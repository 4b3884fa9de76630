use schemas::tables::{AnswerRow, AttributionRow, ReceiptRow};

use super::world::{World, cold_chain};
use crate::RagError;

/// Receipts survive the process, keep their numbers, and are drained once.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_survive_a_restart() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let first = world.ask(&rag, "What is the set point of a refrigerator for vaccines?").await;
    let second = world.ask(&rag, "At what temperature does dry ice sublimate?").await;
    drop(rag);
    let rag = world.rag().await;
    assert_eq!(rag.receipt(first.receipt.body.answer_id).await.unwrap(), first.receipt);
    assert_eq!(world.ask(&rag, "At what temperature does dry ice sublimate?").await, second);
    // a crash after the tables were written and before the log was emptied
    let log = std::fs::read(world.wal()).unwrap();
    rag.drain().await.unwrap();
    drop(rag);
    std::fs::write(world.wal(), log).unwrap();
    let rag = world.rag().await;
    assert_eq!(world.ask(&rag, "How is dry ice vented in air transport?").await.receipt.body.sequence, 3);
    assert_eq!(rag.drain().await.unwrap(), 3);
    drop(rag);
    let rag = world.rag().await;
    let mut sequences: Vec<u64> = world.store.scan::<ReceiptRow>(None).await.unwrap().iter().map(|row| row.sequence).collect();
    sequences.sort();
    assert_eq!(sequences, [1, 2, 3]);
    assert_eq!(world.store.count::<AnswerRow>(None).await.unwrap(), 3);
    assert!(world.store.count::<AttributionRow>(None).await.unwrap() >= 2);
    assert_eq!(world.ask(&rag, "What is a reefer?").await.receipt.body.sequence, 4, "numbers go on after the tables'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_not_opened() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for question in ["What is dry ice?", "What is a reefer?"] {
        world.ask(&rag, question).await;
    }
    drop(rag);
    let mut log = std::fs::read(world.wal()).unwrap();
    log[100] ^= 1;
    std::fs::write(world.wal(), log).unwrap();
    let error = world.open().await.unwrap_err();
    assert!(matches!(error, RagError::CorruptLog { offset: 8, .. }), "{error}");
}
