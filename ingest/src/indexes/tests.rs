use std::path::Path;
use std::task::Poll;

use engine::HashingEmbedder;
use schemas::tables::DatanetRow;
use store::Store;

use super::*;
use crate::test_support::*;
use crate::{IngestConfig, NewDatanet, QueueItem};

fn service_with(store: &Store, folder: &Path) -> Ingest {
    let config = IngestConfig { duplicates_dir: Some(folder.to_owned()), ..config() };
    Ingest::new(store.clone(), Arc::new(HashingEmbedder::new()), config)
}

/// Two Datanets, and a text that is the same in three uploads to the first.
async fn prepared(folder: &Path) -> (Ingest, DatanetRow, DatanetRow) {
    let ingest = service_with(&Store::in_memory().await.unwrap(), folder);
    let first = ingest.create_datanet(cold_chain()).await.unwrap();
    let second = ingest.create_datanet(NewDatanet { name: "other".into(), ..cold_chain() }).await.unwrap();
    let text = prose(1, 30);
    for n in [ALICE, BOB, 9] {
        submit(&ingest, n, first.datanet_id, &[("a.txt", &text), ("b.txt", &prose(n.into(), 20))]).await;
    }
    submit(&ingest, ALICE, second.datanet_id, &[("a.txt", &text)]).await;
    (ingest, first, second)
}

fn file(folder: &Path, datanet: DatanetId) -> PathBuf {
    folder.join(format!("{datanet}.fingerprints"))
}

async fn queue(ingest: &Ingest, datanet: DatanetId) -> Vec<QueueItem> {
    ingest.queue(datanet, None, usize::MAX).await.unwrap()
}

/// Of the chunk table nothing is needed where the file has it: with another text there, the index stays as it was.
#[tokio::test]
async fn a_start_reads_fingerprints_and_builds_what_is_missing_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, datanet, _) = prepared(folder.path()).await;
    let id = datanet.datanet_id;
    let expected = queue(&ingest, id).await;
    assert!(expected.iter().filter(|item| item.duplicate_chunks > 0).count() == 2);
    let path = file(folder.path(), id);
    let whole = std::fs::read(&path).unwrap();
    let damages: [&dyn Fn(); 5] = [
        &|| {},
        &|| std::fs::write(&path, &whole[..whole.len() - 5]).unwrap(),
        &|| std::fs::write(&path, "nothing of ours").unwrap(),
        &|| std::fs::remove_file(&path).unwrap(),
        // of which no file can be made
        &|| {
            std::fs::remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        },
    ];
    for (n, damage) in damages.iter().enumerate() {
        damage();
        let again = service_with(ingest.store(), folder.path());
        assert_eq!(queue(&again, id).await, expected, "{n}");
        if n < 4 {
            assert!(std::fs::read(&path).unwrap() == whole, "{n}: the file is whole again");
        }
    }
}

#[tokio::test]
async fn a_crash_before_fingerprints_are_kept_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, datanet, _) = prepared(folder.path()).await;
    let id = datanet.datanet_id;
    let text = prose(77, 30);
    crash_at(&ingest, crate::service::Step::SubmissionCommitted);
    ingest.submit(upload(ALICE, id, &[("late.txt", text.as_bytes())])).await.unwrap_err();
    for ingest in [ingest.clone(), service_with(ingest.store(), folder.path())] {
        assert_eq!(queue(&ingest, id).await.len(), 7);
    }
    let copy = submit(&ingest, BOB, id, &[("copy.txt", &text)]).await;
    assert_eq!(copy.documents[0].duplicate_chunks, copy.documents[0].chunk_count);
    // What was placed and never committed is forgotten.
    crash_at(&ingest, crate::service::Step::ChunksInserted);
    let unsaid = prose(78, 30);
    ingest.submit(upload(ALICE, id, &[("unsaid.txt", unsaid.as_bytes())])).await.unwrap_err();
    assert_eq!(submit(&ingest, BOB, id, &[("first.txt", &unsaid)]).await.documents[0].duplicate_chunks, 0);
}

/// Whatever is done to one Datanet's index, and for however long, the others are read and written; and a client that hangs
/// up takes no index with it.
#[tokio::test]
async fn one_datanet_waits_for_no_other_and_who_hangs_up_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (ingest, first, second) = prepared(folder.path()).await;
    let held = ingest.duplicates_alone(first.datanet_id).await.unwrap();
    assert_eq!(queue(&ingest, second.datanet_id).await.len(), 1);
    submit(&ingest, BOB, second.datanet_id, &[("b.txt", &prose(5, 20))]).await;
    // It is waited for, and given up.
    for _ in 0..3 {
        let mut queue = Box::pin(ingest.queue(first.datanet_id, None, usize::MAX));
        for _ in 0..3 {
            assert!(std::future::poll_fn(|context| Poll::Ready(queue.as_mut().poll(context).is_pending())).await);
            tokio::task::yield_now().await;
        }
    }
    drop(held);
    // Given up at every point where it waits for something.
    for polls in 0.. {
        let ingest = service_with(ingest.store(), folder.path());
        let mut queue = Box::pin(ingest.queue(first.datanet_id, None, usize::MAX));
        let mut left = polls;
        let ended = std::future::poll_fn(|context| match queue.as_mut().poll(context) {
            Poll::Pending if left > 0 => {
                left -= 1;
                Poll::Pending
            }
            polled => Poll::Ready(polled.is_ready()),
        })
        .await;
        drop(queue);
        assert_eq!(self::queue(&ingest, first.datanet_id).await.len(), 6, "after {polls} polls");
        if ended {
            break;
        }
    }
    assert!(ingest.duplicates(first.datanet_id).await.unwrap().through > 0);
}
