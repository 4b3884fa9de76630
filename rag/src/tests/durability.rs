use std::sync::Arc;

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

/// Waits in the second text that it is given: that of the statements to quote.
#[derive(Debug)]
struct Gated {
    inner: engine::HashingEmbedder,
    is_armed: std::sync::atomic::AtomicBool,
    reached: std::sync::Mutex<std::sync::mpsc::Sender<()>>,
    opened: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl engine::Embedder for Gated {
    fn info(&self) -> &engine::EmbedderInfo {
        self.inner.info()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, engine::EngineError> {
        if self.is_armed.swap(false, std::sync::atomic::Ordering::SeqCst) {
            self.reached.lock().unwrap().send(()).unwrap();
            self.opened.lock().unwrap().recv().unwrap();
        }
        self.inner.embed(texts)
    }

    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, engine::EngineError> {
        self.inner.embed_queries(texts)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, engine::EngineError> {
        self.inner.count_tokens(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, engine::EngineError> {
        self.inner.token_offsets(text)
    }
}

/// An answer that is made whoever waits for it holds what its caller gave along until its receipt is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_along_is_held_until_the_receipt_is_there() {
    let ((reached, at_gate), (open, opened)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let gated =
        Arc::new(Gated { inner: engine::HashingEmbedder::new(), is_armed: false.into(), reached: reached.into(), opened: opened.into() });
    let world = World::with(gated.clone(), &cold_chain()).await;
    let rag = Arc::new(world.open().await.unwrap());
    rag.ensure_index(world.datanet.datanet_id, 1).await.unwrap();
    gated.is_armed.store(true, std::sync::atomic::Ordering::SeqCst);

    let held = Arc::new(());
    let (asking, along, request) = (rag.clone(), held.clone(), world.request("gated", "How cold is dry ice?"));
    let task = tokio::spawn(async move { asking.ask_holding(request, Box::new(along), &mut |_| {}).await });
    tokio::task::block_in_place(|| at_gate.recv().unwrap());
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 2, "the answer is still being made");
    open.send(()).unwrap();
    // a retry finds the answer, and then nothing is held
    let answer = rag.ask(world.request("gated", "How cold is dry ice?")).await.unwrap();
    assert_eq!((answer.receipt.body.sequence, Arc::strong_count(&held)), (1, 1));
}
