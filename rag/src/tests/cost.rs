//! What a question costs in reads of tables, and that what its payer owes stays exact without them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemas::tables::{Millis, ReceiptRow, Wei};
use schemas::{Address, B256, U256};
use store::Reads;
use tokio::task::JoinSet;

use super::settlement::{close, collected, terms};
use super::world::{Counting, World, account, cold_chain};
use crate::{AskRequest, Dues, Rag, Receivable};

const RANGE: &str = "At what temperature range should most vaccines be stored in a refrigerator?";
const FEE: u128 = 1_000_003;

fn payer() -> Address {
    account(0xbb)
}

fn nothing() -> impl Iterator<Item = (schemas::ids::AnswerId, U256)> {
    std::iter::empty()
}

async fn owed(rag: &Rag) -> (Dues, Receivable) {
    let dues = rag.dues(payer()).await.unwrap();
    (dues, rag.receivable(payer(), &dues, nothing()).unwrap())
}

/// Receipts of earlier days in the tables, some of them this payer's.
async fn with_receipts(count: u64) -> World {
    let world = World::new(&cold_chain()).await;
    let row = |sequence: u64| ReceiptRow {
        answer_id: B256::from(U256::from(sequence)).into(),
        sequence,
        datanet_id: world.datanet.datanet_id,
        version: 1,
        fee_wei: Wei(1),
        payer: Some(if sequence.is_multiple_of(2) { payer() } else { account(0xcc) }),
        body: "{}".into(),
        body_hash: B256::from(U256::from(sequence)),
        signer: account(7),
        signature: String::new(),
        issued_at: Millis(0),
    };
    world.store.insert_new(&(1..=count).map(row).collect::<Vec<_>>()).await.unwrap();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reads_no_more_among_many_receipts() {
    let mut costs = Vec::new();
    for count in [10, 3_000] {
        let world = with_receipts(count).await;
        let rag = world.rag().await;
        rag.ask(world.request("first", RANGE)).await.unwrap();
        rag.caught_up().await;
        let before = world.store.reads();
        assert_eq!(owed(&rag).await.1.total_wei, U256::from(u128::from(count / 2) + FEE));
        rag.ask(world.request("second", RANGE)).await.unwrap();
        assert_eq!(owed(&rag).await.1.total_wei, U256::from(u128::from(count / 2) + 2 * FEE));
        let after = world.store.reads();
        costs.push(Reads { scans: after.scans - before.scans, rows: after.rows - before.rows });
    }
    assert_eq!(costs[0], costs[1]);
    // Whether there is an epoch at all, once. That the answer was not given before is known without a look.
    assert!(costs[0].scans <= 4 && costs[0].rows == 0, "{costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_survives_restarts_and_settlements() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    for (id, question) in [("a", RANGE), ("b", RANGE), ("c", "Who won the 1998 football World Cup?")] {
        rag.ask(world.request(id, question)).await.unwrap();
    }
    rag.ask(AskRequest { payer: None, fee_wei: Wei(0), ..world.request("free", RANGE) }).await.unwrap();
    let two = Receivable { total_wei: U256::from(2 * FEE), asked_wei: U256::ZERO };
    assert_eq!(owed(&rag).await, (Dues::default(), two), "in the log");
    drop(rag);
    let rag = world.rag().await;
    assert_eq!(owed(&rag).await.1, two, "read from the log again");
    let log = std::fs::read(world.wal()).unwrap();
    rag.drain().await.unwrap();
    assert_eq!(owed(&rag).await.1, two, "in the tables");
    drop(rag);
    std::fs::write(world.wal(), log).unwrap();
    let rag = world.rag().await;
    assert_eq!(owed(&rag).await.1, two, "in both");
    assert_eq!(rag.receivable(account(1), &Dues::default(), nothing()), Some(Receivable::default()));

    let closing = close(&rag, 5).await.unwrap();
    rag.ask(world.request("later", RANGE)).await.unwrap();
    let (before, receivable) = owed(&rag).await;
    assert_eq!((before.epoch, before.closing), (0, Some(1)));
    assert_eq!(receivable, Receivable { total_wei: U256::from(3 * FEE), asked_wei: U256::from(2 * FEE) });
    rag.settle_epoch(closing, collected(0, 0, 0)).await.unwrap();
    let (after, receivable) = owed(&rag).await;
    assert_eq!((after.epoch, after.closing, after.unpaid_wei), (1, None, Wei(2 * FEE)));
    assert_eq!(receivable, Receivable { total_wei: U256::from(FEE), asked_wei: U256::ZERO });
    assert_eq!(rag.receivable(payer(), &before, nothing()), None, "who knows of the epoch before only has to look again");
    drop(rag);
    let rag = world.rag().await;
    assert_eq!(owed(&rag).await, (after, receivable), "and so it stays");
    let second = rag.close_epoch(terms(6), &BTreeSet::new()).await.unwrap();
    rag.settle_epoch(second, collected(3 * FEE + 7, 0, 0)).await.unwrap();
    let (last, receivable) = owed(&rag).await;
    assert_eq!((last.unpaid_wei, last.credit_wei, receivable), (Wei(0), Wei(7), Receivable::default()));
}

/// Whether it was given by this process or by one before, drained or not, an answer is found again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_found_again() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    let first = rag.ask(world.request("first", RANGE)).await.unwrap().receipt;
    rag.drain().await.unwrap();
    let second = rag.ask(world.request("second", RANGE)).await.unwrap().receipt;
    let again = async |rag: &Rag| {
        for (request, receipt) in [("first", &first), ("second", &second)] {
            assert_eq!(rag.ask(world.request(request, RANGE)).await.unwrap().receipt, *receipt);
            assert_eq!(rag.receipt(receipt.body.answer_id).await.unwrap(), *receipt);
        }
        assert!(rag.receipt(B256::repeat_byte(9).into()).await.is_err());
    };
    again(&rag).await;
    rag.drain().await.unwrap();
    again(&rag).await;
    drop(rag);
    again(&world.rag().await).await;
}

/// Twelve readers at once and receipts that keep coming: all of them see what was issued before they asked.
#[tokio::test(flavor = "multi_thread")]
async fn readers_share_the_drains_that_they_wait_for() {
    let world = World::new(&cold_chain()).await;
    let rag = Arc::new(world.rag().await);
    let first = world.store.version::<ReceiptRow>().unwrap();
    rag.drained().await.unwrap();
    assert_eq!(world.store.version::<ReceiptRow>().unwrap(), first, "there is nothing to move");
    for round in 1..=2 {
        rag.ask(world.request(&format!("{round}"), RANGE)).await.unwrap();
        let mut readers = JoinSet::new();
        for _ in 0..12 {
            let (rag, store) = (rag.clone(), world.store.clone());
            readers.spawn(async move {
                rag.drained().await.unwrap();
                store.count::<ReceiptRow>(None).await.unwrap()
            });
        }
        assert_eq!(readers.join_all().await, [round; 12]);
        assert_eq!(world.store.version::<ReceiptRow>().unwrap(), first + round, "one commit for all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_files_come_with_the_version() {
    let world = World::new(&cold_chain()).await;
    let rag = world.rag().await;
    rag.ask(world.request("first", RANGE)).await.unwrap();
    rag.caught_up().await;
    let before = world.store.reads();
    let answer = rag.ask(world.request("other", "At what temperature does dry ice sublimate?")).await.unwrap();
    let names: Vec<Option<&str>> = answer.citations.iter().map(|citation| citation.file_name.as_deref()).collect();
    assert_eq!(names, [Some("dry-ice.md")]);
    assert_eq!(world.store.reads(), before, "no table is looked into for what the version has");
}

/// Whoever asks what was asked before is told the same, of the version that is newest then, and pays for an answer of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_asked_again_is_embedded_once() {
    let embedder = Arc::new(Counting::default());
    let world = World::with(embedder.clone(), &cold_chain()).await;
    let rag = world.rag().await;
    let embedded = || embedder.texts.load(Ordering::Relaxed);
    let first = rag.ask(world.request("first", RANGE)).await.unwrap().receipt;
    let before = embedded();
    let again = rag.ask(world.request("again", RANGE)).await.unwrap().receipt;
    assert_eq!(embedded(), before);
    assert_ne!(again.body.answer_id, first.body.answer_id);
    assert_eq!((&again.body.sources, &again.body.candidates), (&first.body.sources, &first.body.candidates));
    let evidence = rag.evidence(again.body.answer_id).await.unwrap();
    assert_eq!(rag.reexecute(&evidence).await.unwrap(), Vec::<String>::new());

    rag.ask(world.request("in other words", "How cold is dry ice?")).await.unwrap();
    assert!(embedded() > before);
    let mut files = cold_chain();
    files.pop();
    world.publish(2, &files).await;
    let before = embedded();
    let later = rag.ask(world.request("later", RANGE)).await.unwrap().receipt;
    assert_eq!(later.body.version, 2);
    assert!(embedded() > before, "what an earlier version held is not asked");
}
