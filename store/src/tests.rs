//! The store as its callers use it, in memory and in a folder.

mod commits;
mod indexes;
mod sql;
mod upkeep;

use std::time::Duration;

use bytes::Bytes;
use schemas::arrow::array::{AsArray, RecordBatch};
use schemas::arrow::datatypes::Int64Type;
use schemas::arrow::util::pretty::pretty_format_batches;
use schemas::hashing::{chunk_id, datanet_id, sha256};
use schemas::ids::{DatanetId, DocumentId, Sha256, SubmissionId};
use schemas::tables::{
    BlockRow, ChunkRow, CoverageRow, CuratorRow, DatanetRow, DocumentRow, Embedding, FollowedContractRow, LogRow, MemberRow, Millis,
    PassageRow, Raw, SubmissionRow, VersionRow,
};
use schemas::{Address, B256, U256};

use crate::sql::QueryLimits;
use crate::{Durability, Finality, Hot, StorageFaults, Store, StoreConfig, StoreError};

pub(crate) fn datanet(name: &str) -> DatanetRow {
    let owner = Address::repeat_byte(1);
    DatanetRow {
        datanet_id: datanet_id(owner, name),
        name: name.into(),
        title: name.into(),
        description: String::new(),
        topic: String::new(),
        owner,
        curators: vec![Address::repeat_byte(2)],
        metadata_hash: B256::ZERO,
        policy_hash: B256::ZERO,
        created_at: Millis(0),
    }
}

pub(crate) fn chunk(datanet: DatanetId, submission: u8, text: &str, angle: f32) -> ChunkRow {
    let mut embedding = vec![0.0; Embedding::DIMENSIONS];
    embedding[0] = angle.cos();
    embedding[1] = angle.sin();
    let hash = sha256(text.as_bytes());
    ChunkRow {
        chunk_id: chunk_id(hash, 0, text.len() as u64, text),
        submission_id: SubmissionId(B256::repeat_byte(submission)),
        document_id: B256::repeat_byte(submission).into(),
        datanet_id: datanet,
        contributor: Address::repeat_byte(submission),
        ordinal: 0,
        document_sha256: hash,
        byte_start: 0,
        byte_end: text.len() as u64,
        text: text.into(),
        text_sha256: hash,
        token_count: 1,
        cluster_id: chunk_id(hash, 0, text.len() as u64, text),
        duplicate_of: None,
        similarity_ppm: None,
        flags: vec![],
        registered: submission.into(),
        embedding: Embedding(embedding),
    }
}

pub(crate) fn submission(n: u8, datanet: DatanetId) -> SubmissionRow {
    SubmissionRow {
        submission_id: SubmissionId(B256::repeat_byte(n)),
        datanet_id: datanet,
        contributor: Address::repeat_byte(n),
        licence: "CC-BY-4.0".into(),
        note: String::new(),
        manifest_hash: B256::ZERO,
        document_count: 1,
        refused_count: 0,
        registered: n.into(),
        signature: "0x".into(),
        deadline: 0,
        received_at: Millis(1),
    }
}

pub(crate) fn version(datanet: DatanetId, version: u64, lance_version: u64) -> VersionRow {
    VersionRow {
        datanet_id: datanet,
        version,
        parent_root: B256::ZERO,
        root: B256::repeat_byte(version as u8),
        chunk_count: 1,
        document_count: 1,
        contributor_count: 1,
        manifest_hash: B256::ZERO,
        lance_version,
        publisher: Address::ZERO,
        signature: "0x".into(),
        published_at: Millis(2),
    }
}

fn block(number: u64) -> BlockRow {
    let hash = |number: u64| B256::from(schemas::U256::from(number + 1000));
    let parent_hash = Some(B256::from(schemas::U256::from(number + 999)));
    BlockRow { number, hash: hash(number), parent_hash, timestamp: number, log_count: 1, verified: 3, digest: B256::ZERO }
}

fn text_of(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

async fn query(store: &Store, sql: &str) -> Result<Vec<RecordBatch>, StoreError> {
    store.query(sql, &QueryLimits::default(), None).await.map(|result| result.batches)
}

#[tokio::test]
async fn inserting_is_idempotent_and_the_first_wins() {
    let store = Store::in_memory().await.unwrap();
    let first = datanet("a");
    assert_eq!(store.insert_new(&[first.clone(), first.clone(), datanet("b")]).await.unwrap().rows, 2);
    let mut second = first.clone();
    second.title = "other".into();
    assert_eq!(store.insert_new(&[second, datanet("c")]).await.unwrap().rows, 1);
    let found: Vec<DatanetRow> = store.scan(Some(&format!("datanet_id = '{}'", first.datanet_id))).await.unwrap();
    assert_eq!(found, [first]);
    assert_eq!(store.count::<DatanetRow>(None).await.unwrap(), 3);
    assert!(matches!(store.append(&[datanet("d")]).await, Err(StoreError::Misuse(_))));
    assert!(matches!(store.insert_new(&[block(1)]).await, Err(StoreError::Misuse(_))));
}

#[tokio::test]
async fn concurrent_insertions_neither_lose_nor_double() {
    let store = Store::in_memory().await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.insert_new(&[datanet("same"), datanet(&format!("own-{n}"))]).await.unwrap().rows })
        })
        .collect();
    let mut inserted = 0;
    for task in tasks {
        inserted += task.await.unwrap();
    }
    assert_eq!(inserted, 9);
    assert_eq!(store.count::<DatanetRow>(None).await.unwrap(), 9);
}

#[tokio::test]
async fn what_is_forgotten_can_be_inserted_again() {
    let store = Store::in_memory().await.unwrap();
    store.insert_new(&[datanet("a"), datanet("b")]).await.unwrap();
    for is_indexed in [false, true] {
        if is_indexed {
            store.table::<DatanetRow>().unwrap().index_column("datanet_id").await.unwrap();
        }
        assert_eq!(store.forget::<DatanetRow>(&format!("datanet_id = '{}'", datanet("a").datanet_id)).await.unwrap(), 1);
        assert_eq!(store.scan::<DatanetRow>(None).await.unwrap(), [datanet("b")]);
        assert_eq!(store.insert_new(&[datanet("a"), datanet("b")]).await.unwrap().rows, 1);
        assert_eq!(store.count::<DatanetRow>(None).await.unwrap(), 2);
    }
    assert!(matches!(store.forget::<BlockRow>("true").await, Err(StoreError::Misuse(_))));
    assert!(matches!(store.delete_where::<DatanetRow>("true").await, Err(StoreError::Misuse(_))));
}

#[tokio::test]
async fn a_folder_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fsync);
    let store = Store::open(&config).await.unwrap();
    store.insert_new(&[datanet("a")]).await.unwrap();
    store.append(&[block(1), block(2)]).await.unwrap();
    let blob = store.put_blob(Bytes::from_static(b"bytes")).await.unwrap();
    assert!(matches!(Store::open(&config).await, Err(StoreError::Locked { .. })));
    drop(store);

    let store = Store::open(&config).await.unwrap();
    assert_eq!(store.scan::<DatanetRow>(None).await.unwrap(), [datanet("a")]);
    assert_eq!(store.extent::<BlockRow>("number").await.unwrap(), Some(1..=2));
    assert_eq!(store.delete_where::<BlockRow>("number > 1").await.unwrap(), 1);
    assert_eq!(store.max::<BlockRow>("number").await.unwrap(), Some(1));
    assert_eq!(store.get_blob(blob).await.unwrap(), "bytes");
    let path = folder.path().join("blobs").join(&blob.to_string()[..2]).join(blob.to_string());
    std::fs::write(path, "other").unwrap();
    assert!(matches!(store.get_blob(blob).await, Err(StoreError::CorruptBlob { .. })));
    assert!(matches!(store.put_blob(Bytes::from_static(b"bytes")).await, Err(StoreError::CorruptBlob { .. })));
    assert!(matches!(store.get_blob(sha256(b"none")).await, Err(StoreError::NotFound(_))));
    drop(store);

    for entry in std::fs::read_dir(folder.path().join("tables/datanets.lance/_versions")).unwrap() {
        std::fs::write(entry.unwrap().path(), "").unwrap();
    }
    match Store::open(&config).await {
        Err(StoreError::Corrupt { table, .. }) => assert_eq!(table, "datanets"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_location_that_cannot_be_is_refused() {
    for url in ["", "data", "ftp://host/x", "file://relative"] {
        let config = StoreConfig::new(url, Durability::Fast);
        assert!(matches!(Store::open(&config).await, Err(StoreError::BadLocation { .. })), "{url}");
    }
}

#[tokio::test]
async fn published_versions_stay_as_they_were() {
    let store = Store::in_memory().await.unwrap();
    let id = datanet("a").datanet_id;
    let [one, two, three] = [chunk(id, 1, "one", 0.0), chunk(id, 2, "two", 0.5), chunk(id, 3, "three", 1.0)];
    let v1 = store.publish_members(id, 1, &[one.clone(), two.clone()]).await.unwrap();
    assert_eq!(store.publish_members(id, 1, &[two.clone(), one.clone()]).await.unwrap(), v1, "again is the same");
    let v2 = store.publish_members(id, 2, &[two.clone(), three.clone()]).await.unwrap();
    let texts = async |version| -> Vec<String> {
        let mut texts: Vec<String> = store.members(id, version).await.unwrap().into_iter().map(|row| row.text).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(v1).await, ["one", "two"]);
    assert_eq!(texts(v2).await, ["three", "two"]);

    let order: Vec<MemberRow> = store.members_in_part(id, v2).await.unwrap();
    let backwards: Vec<MemberRow> = store.members_at(id, v2, &[1, 0]).await.unwrap();
    assert_eq!(backwards, [order[1].clone(), order[0].clone()]);
    assert!(matches!(store.members_at::<PassageRow>(id, v2, &[0, 9]).await, Err(StoreError::NotFound(_))));
    let mut read: Vec<MemberRow> = Vec::new();
    let given = store.for_each_member(id, v2, |rows| {
        read.extend(rows);
        Ok(())
    });
    given.await.unwrap();
    assert_eq!(read, order);
    let of_two: Vec<PassageRow> = store.members_of(id, v1, &[two.chunk_id, three.chunk_id]).await.unwrap();
    assert_eq!(of_two.iter().map(|passage| passage.text.as_str()).collect::<Vec<_>>(), ["two"], "the first version has no third");
    assert!(matches!(store.members(id, 99).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn many_members_are_written_in_parts_and_published_in_one_commit() {
    let store = Store::in_memory().await.unwrap();
    let id = datanet("a").datanet_id;
    let chunks: Vec<ChunkRow> = (0..8).map(|n| chunk(id, n % 2, &format!("text {n}"), 0.5)).collect();
    store.insert_new(&chunks).await.unwrap();
    let members: Vec<MemberRow> = chunks.iter().map(MemberRow::of).collect();
    let published = store.publish_submitted(id, 1, &members, None).await.unwrap();
    let dataset = store.datanet_at(id, published).await.unwrap();
    assert_eq!((published, dataset.count_fragments()), (2, 1), "the first version is the empty dataset");
    let mut expected = chunks.clone();
    expected.sort_by_key(|row| (row.chunk_id, row.submission_id));
    assert_eq!(store.members(id, published).await.unwrap(), expected);

    let unknown = MemberRow::of(&chunk(id, 9, "never submitted", 0.5));
    let refused = store.publish_submitted(id, 2, &[members, vec![unknown]].concat(), None).await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })), "{refused:?}");
    assert_eq!(store.datanet_table(id).await.unwrap().version(), published);
}

#[tokio::test]
async fn a_write_whose_end_was_not_seen_is_found_again() {
    let faults = StorageFaults::default();
    let store = Store::in_memory_failing(&faults).await.unwrap();
    let count = || async { store.count::<BlockRow>(None).await.unwrap() };
    for number in [1, 11] {
        let before = count().await;
        faults.silence_next("blocks.lance/_versions");
        faults.set_active(true);
        let error = store.append(&[block(number)]).await.unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
        faults.set_active(false);
        assert_eq!(count().await, before, "not known yet");
        if number == 1 {
            store.reload::<BlockRow>().await.unwrap();
            assert_eq!(count().await, before + 1);
        }
        // A write finds it by itself.
        store.append(&[block(number + 1)]).await.unwrap();
        assert_eq!(count().await, before + 2);
    }
    // Nothing was written: nothing is found.
    faults.plan(3, 1_000_000);
    faults.set_active(true);
    store.append(&[block(20)]).await.unwrap_err();
    faults.set_active(false);
    store.append(&[block(21)]).await.unwrap();
    assert!(store.count::<BlockRow>(Some("number = 20")).await.unwrap() <= 1);
    assert_eq!(store.count::<BlockRow>(Some("number = 21")).await.unwrap(), 1);
}
