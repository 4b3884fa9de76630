//! What two processes over one storage do at once.

use std::collections::BTreeSet;

use super::*;
use crate::seen::Seen;

async fn two_processes() -> (Store, Store) {
    let store = Store::in_memory().await.unwrap();
    let other = store.opened_again().await.unwrap();
    (store, other)
}

/// Lance's own insertion by key doubles here from the moment that the key columns have an index.
#[tokio::test]
async fn a_key_is_inserted_once_with_and_without_an_index() {
    let (ours, theirs) = two_processes().await;
    let mut expected = 0;
    for round in 0..24 {
        if round == 8 {
            ours.table::<DatanetRow>().unwrap().index_column("datanet_id").await.unwrap();
        }
        // One that both insert, one of each, and one that is there.
        let shared = datanet(&format!("shared {round}"));
        let our_rows = [shared.clone(), datanet(&format!("ours {round}")), datanet("old")];
        let their_rows = [datanet(&format!("theirs {round}")), shared, datanet("old")];
        let (inserted, beside) = tokio::join!(ours.insert_new(&our_rows), theirs.insert_new(&their_rows));
        let rows = inserted.unwrap().rows + beside.unwrap().rows;
        assert_eq!(rows, if round == 0 { 4 } else { 3 }, "round {round}");
        expected += rows;
        assert_eq!(theirs.insert_new(&our_rows).await.unwrap().rows, 0);
        assert_eq!(ours.insert_new(&their_rows).await.unwrap().rows, 0);
    }
    for store in [ours, theirs] {
        let ids: Vec<DatanetId> = store.scan::<DatanetRow>(None).await.unwrap().into_iter().map(|row| row.datanet_id).collect();
        assert_eq!(ids.len() as u64, expected);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, expected);
    }
}

/// A row numbered one more than the largest that was seen.
async fn next(seen: &Seen<SubmissionRow>, id: u8) -> SubmissionRow {
    let registered = seen.max("registered").await.unwrap().unwrap_or(0) + 1;
    SubmissionRow { registered, ..submission(id, DatanetId(B256::ZERO)) }
}

#[tokio::test]
async fn what_follows_from_an_older_version_is_refused() {
    let (ours, theirs) = two_processes().await;
    let seen = ours.seen::<SubmissionRow>().await.unwrap();
    let number = next(&seen, 1).await;
    theirs.insert_new(&[submission(2, DatanetId(B256::ZERO))]).await.unwrap();
    let error = ours.insert_upon(&seen, &[number]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Stale { table, .. } if table == "submissions"), "{error:?}");
    let seen = ours.seen::<SubmissionRow>().await.unwrap();
    assert_eq!(seen.scan(None).await.unwrap().len(), 1, "what is newest is read after a refusal, and nothing was written");
    let number = next(&seen, 1).await;
    assert_eq!((number.registered, ours.insert_upon(&seen, &[number]).await.unwrap().rows), (3, 1));
}

#[tokio::test]
async fn a_number_is_given_once() {
    let (ours, theirs) = two_processes().await;
    let number = async |store: &Store, ids: std::ops::Range<u8>| {
        for id in ids {
            loop {
                let seen = store.seen::<SubmissionRow>().await.unwrap();
                let row = next(&seen, id).await;
                match store.insert_upon(&seen, &[row]).await {
                    Err(StoreError::Stale { .. }) => {}
                    done => break assert_eq!(done.unwrap().rows, 1),
                }
            }
        }
    };
    tokio::join!(number(&ours, 0..20), number(&theirs, 20..40));
    let rows = ours.opened_again().await.unwrap().scan::<SubmissionRow>(None).await.unwrap();
    let numbers: BTreeSet<u64> = rows.iter().map(|row| row.registered).collect();
    assert_eq!((rows.len(), numbers), (40, (1..=40).collect()));
}

/// Each publisher's version holds its own members and has a tag of its own, whoever came first.
#[tokio::test]
async fn publishers_do_not_mix_their_members() {
    let (ours, theirs) = two_processes().await;
    let id = datanet("published").datanet_id;
    ours.publish_members(id, 1, &[chunk(id, 1, "one", 0.0), chunk(id, 2, "one", 0.0), chunk(id, 1, "two", 1.0)]).await.unwrap();
    for version in 2..12 {
        let text = format!("text {version}");
        let our_members = [ChunkRow { registered: version, ..chunk(id, 2, "one", 0.0) }, chunk(id, 3, &text, 0.1)];
        let their_members = [chunk(id, 1, "one", 0.0), chunk(id, 2, "one", 0.0), chunk(id, 4, &text, 0.2)];
        let (published, beside) =
            tokio::join!(ours.publish_members(id, version, &our_members), theirs.publish_members(id, version, &their_members));
        for (lance_version, members) in [(published.unwrap(), &our_members[..]), (beside.unwrap(), &their_members[..])] {
            let mut members = members.to_vec();
            members.sort_by_key(|row| (row.chunk_id, row.submission_id));
            assert_eq!(theirs.opened_again().await.unwrap().members(id, lance_version).await.unwrap(), members);
            let dataset = ours.datanet_at(id, 1).await.unwrap();
            assert_eq!(dataset.tags().get_version(&format!("v{version}-{lance_version}")).await.unwrap(), lance_version);
        }
    }
}
