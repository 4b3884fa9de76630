//! The store as its callers use it, in memory and in a folder.

mod commits;
mod indexes;
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
    let passages: Vec<PassageRow> = store.members_at(id, v2, &[1, 0]).await.unwrap();
    assert_eq!(passages.iter().map(|passage| passage.chunk_id).collect::<Vec<_>>(), [order[1].chunk_id, order[0].chunk_id]);
    assert_eq!(passages.iter().map(|passage| passage.text.len()).sum::<usize>(), "two".len() + "three".len());
    assert!(matches!(store.members_at::<PassageRow>(id, v2, &[0, 9]).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.members(id, 99).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn sql_sees_versions_and_only_acknowledged_uploads() {
    let store = Store::in_memory().await.unwrap();
    let row = datanet("a");
    let id = row.datanet_id;
    assert_eq!(query(&store, "SELECT * FROM chunks").await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    store.insert_new(&[row]).await.unwrap();
    let [one, two] = [chunk(id, 1, "one", 0.0), chunk(id, 2, "two", 0.5)];
    store.insert_new(&[one.clone(), two.clone()]).await.unwrap();
    store.insert_new(&[submission(1, id)]).await.unwrap();
    let text = text_of(&query(&store, "SELECT text FROM submitted_chunks").await.unwrap());
    assert!(text.contains("one") && !text.contains("two"), "a chunk without its submission is not there: {text}");

    let v1 = store.publish_members(id, 1, &[one.clone()]).await.unwrap();
    assert!(!text_of(&query(&store, "SELECT text FROM chunks").await.unwrap()).contains("one"), "not published before its row");
    store.insert_new(&[version(id, 1, v1)]).await.unwrap();
    let v2 = store.publish_members(id, 2, &[one, two]).await.unwrap();
    store.insert_new(&[version(id, 2, v2)]).await.unwrap();
    let counts = query(
        &store,
        "SELECT (SELECT count(*) FROM chunks_at('a', 1)) AS v1, (SELECT count(*) FROM chunks WHERE version = 2 AND datanet = 'a') AS v2",
    )
    .await;
    let counts = counts.unwrap();
    let count = |column: usize| counts[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((count(0), count(1)), (1, 2));
    for (sql, words) in [("SELECT * FROM chunks_at('a', 3)", "no published version"), ("SELECT * FROM chunks_at('x', 1)", "no Datanet")] {
        assert!(query(&store, sql).await.unwrap_err().to_string().contains(words), "{sql}");
    }
}

#[tokio::test]
async fn a_snapshot_gives_the_same_rows_again() {
    let store = Store::in_memory().await.unwrap();
    store.insert_new(&[datanet("a")]).await.unwrap();
    store.append(&[block(1), block(2)]).await.unwrap();
    store.set_hot(Hot { blocks: vec![block(3)], logs: vec![], ..Hot::default() });
    let sql = "SELECT (SELECT count(*) FROM datanets) AS d, (SELECT count(*) FROM blocks) AS b, (SELECT max(number) FROM blocks WHERE finalized) AS f";
    let before = store.query(sql, &QueryLimits::default(), None).await.unwrap();
    store.insert_new(&[datanet("b")]).await.unwrap();
    store.append(&[block(3)]).await.unwrap();
    store.set_hot(Hot { blocks: vec![block(4)], logs: vec![], ..Hot::default() });
    let again = store
        .query(
            "SELECT (SELECT count(*) FROM datanets) AS d, (SELECT count(*) FROM blocks) AS b",
            &QueryLimits::default(),
            Some(&before.snapshot),
        )
        .await;
    let again = again.unwrap();
    let count = |batches: &[RecordBatch], column: usize| batches[0].column(column).as_primitive::<Int64Type>().value(0);
    assert_eq!((count(&before.batches, 0), count(&before.batches, 1), count(&before.batches, 2)), (1, 3, 2));
    assert_eq!((count(&again.batches, 0), count(&again.batches, 1)), (1, 3));
    assert_eq!(again.snapshot, before.snapshot);
    let mut reorganised = before.snapshot.clone();
    reorganised.block.as_mut().unwrap().hash = B256::ZERO;
    assert!(matches!(store.query(sql, &QueryLimits::default(), Some(&reorganised)).await, Err(StoreError::NotFound(_))));
}

#[tokio::test]
async fn events_are_decoded_in_finalized_and_hot_blocks() {
    use schemas::alloy_sol_types::SolEvent;
    use schemas::contracts::{DatanetRegistry::VersionCommitted, Deployment, RewardDistributor::Claimed};
    let store = Store::in_memory().await.unwrap();
    let at = Address::repeat_byte;
    let deployment =
        Deployment { chain_id: 1, registry: at(1), models: at(5), vault: at(2), distributor: at(3), token: at(4), start_block: 0 };
    store.set_event_tables(schemas::events::event_tables(&deployment).unwrap());
    let log = |number: u64, address: Address, data: schemas::alloy_primitives::LogData| {
        let topic = |index: usize| data.topics().get(index).copied().map(Raw);
        LogRow {
            block_number: number,
            block_hash: Raw(block(number).hash),
            block_timestamp: number,
            transaction_hash: Raw(B256::repeat_byte(7)),
            transaction_index: 0,
            log_index: 0,
            address: Raw(address),
            topic0: topic(0),
            topic1: topic(1),
            topic2: topic(2),
            topic3: topic(3),
            data: data.data,
        }
    };
    let committed = VersionCommitted {
        datanetId: B256::repeat_byte(0xd),
        version: 7,
        root: B256::repeat_byte(0xe),
        parentRoot: B256::ZERO,
        chunkCount: 70,
        manifestHash: B256::repeat_byte(0xf),
        committer: at(9),
        seq: 3,
    };
    let wei = schemas::U256::from(10).pow(schemas::U256::from(30));
    let claimed = Claimed { account: at(8), epoch: 1, amount: wei, cumulative: wei, seq: 4 };
    store.append(&[block(1)]).await.unwrap();
    store.append(&[log(1, at(1), committed.encode_log_data())]).await.unwrap();
    let logs = [log(2, at(3), claimed.encode_log_data()), log(2, at(2), claimed.encode_log_data())];
    store.set_hot(Hot { blocks: vec![block(2)], logs: vec![logs.into()], ..Hot::default() });
    let rows = query(&store, "SELECT datanet_id, version, chunk_count, committer, seq, finalized FROM version_committed").await.unwrap();
    let text = text_of(&rows);
    assert!(text.contains("| 7       | 70          | 0x0909090909090909090909090909090909090909 | 3   | true"), "{text}");
    let text = text_of(&query(&store, "SELECT account, amount, finalized FROM claimed").await.unwrap());
    assert!(text.contains("1000000000000000000000000000000 | false"), "{text}");
    assert_eq!(text.matches("0x0808").count(), 1, "only our own contract's events: {text}");
    assert_eq!(store.all_logs(at(3), Claimed::SIGNATURE_HASH, Finality::Any).await.unwrap().len(), 1);
    assert_eq!(store.all_logs(at(3), Claimed::SIGNATURE_HASH, Finality::Finalized).await.unwrap().len(), 0);
}

#[tokio::test]
async fn sql_only_reads_our_tables() {
    let store = Store::in_memory().await.unwrap();
    for attack in [
        "DROP TABLE datanets",
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO datanets SELECT * FROM datanets",
        "DELETE FROM datanets",
        "UPDATE datanets SET name = 'x'",
        "COPY datanets TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; DROP TABLE datanets",
        "EXPLAIN ANALYZE INSERT INTO datanets SELECT * FROM datanets",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM 'file:///etc/passwd.csv'",
        "SELECT * FROM api_keys",
        "SELECT repeat('x', 2147483647)",
        "SELECT * FROM generate_series(1, 100000000000)",
        "SELECT * FROM nowhere",
        "SELEC 1",
        "",
    ] {
        let error = query(&store, attack).await.expect_err(attack);
        assert!(matches!(error, StoreError::Query(_) | StoreError::QueryLimit(_)), "{attack}: {error:?}");
    }
    let nested = format!("SELECT {}1{}", "(".repeat(100), ")".repeat(100));
    assert!(matches!(query(&store, &nested).await, Err(StoreError::QueryLimit(_))));
    let tables = text_of(&query(&store, "SHOW TABLES").await.unwrap());
    let place = |name: &str| tables.find(&format!(" {name} ")).unwrap();
    assert!(place("answers") < place("attributions") && place("versions") < place("information_schema"), "{tables}");
}

#[tokio::test]
async fn sql_knows_who_curates_now_and_finds_addresses_in_any_case() {
    let store = Store::in_memory().await.unwrap();
    let row = DatanetRow { curators: vec![Address::repeat_byte(0xa1), Address::repeat_byte(0xa2)], ..datanet("a") };
    let change = |sequence, curator, allowed| CuratorRow {
        datanet_id: row.datanet_id,
        sequence,
        curator: Address::repeat_byte(curator),
        allowed,
        signature: String::new(),
        changed_at: Millis(0),
    };
    store.insert_new(&[change(1, 0xa1, false), change(2, 0xa3, true), change(3, 0xa4, true), change(4, 0xa4, false)]).await.unwrap();
    store.insert_new(&[row.clone()]).await.unwrap();
    for (expected, condition) in [
        (vec!["a2", "a3"], String::new()),
        (vec!["a3"], format!("WHERE curator = '0x{}'", "A3".repeat(20))),
        (vec!["a2"], format!("WHERE curator <> '0x{}'", "A3".repeat(20))),
    ] {
        let shown = text_of(&query(&store, &format!("SELECT datanet, curator FROM current_curators {condition}")).await.unwrap());
        let found: Vec<&str> = ["a1", "a2", "a3", "a4"].into_iter().filter(|digits| shown.contains(&digits.repeat(20))).collect();
        assert_eq!(found, expected, "{shown}");
    }
}

#[tokio::test]
async fn sql_shows_what_is_followed_and_how_far() {
    let store = Store::in_memory().await.unwrap();
    let contract = FollowedContractRow {
        name: "pool".into(),
        revision: 0,
        removed: false,
        address: Some(Address::repeat_byte(7)),
        abi: "[]".into(),
        abi_sha256: sha256(b"[]"),
        start_block: 3,
        factory: None,
        factory_event: None,
        factory_parameter: None,
        changed_at: Millis(0),
    };
    store.insert_new(&[contract]).await.unwrap();
    let covered = |from_block, to_block| CoverageRow { name: "pool".into(), revision: 0, from_block, to_block, to_hash: None };
    store.append(&[covered(3, Some(5)), covered(6, Some(9)), covered(20, None)]).await.unwrap();
    let sql = "SELECT name, start_block, max(to_block) AS covered_to FROM followed_contracts
               JOIN coverage USING (name) GROUP BY name, start_block";
    let shown = text_of(&query(&store, sql).await.unwrap());
    assert!(shown.contains("| pool | 3           | 9          |"), "{shown}");
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

#[tokio::test]
async fn sql_stays_within_its_limits() {
    let store = Store::in_memory().await.unwrap();
    let blocks: Vec<BlockRow> = (0..3000).map(block).collect();
    store.append(&blocks).await.unwrap();
    let limits = QueryLimits { max_rows: 10, ..QueryLimits::default() };
    let result = store.query("SELECT * FROM blocks", &limits, None).await.unwrap();
    assert!(result.truncated);
    assert_eq!(result.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    let limits = QueryLimits { max_result_bytes: 1000, ..QueryLimits::default() };
    assert!(matches!(store.query("SELECT * FROM blocks", &limits, None).await, Err(StoreError::QueryLimit(_))));
    let limits = QueryLimits { timeout: Duration::from_millis(200), ..QueryLimits::default() };
    let endless = "SELECT count(*) FROM blocks a, blocks b, blocks c, blocks d WHERE a.number + b.number + c.number > d.number";
    assert!(matches!(store.query(endless, &limits, None).await, Err(StoreError::QueryLimit(_))));
    let limits = QueryLimits { max_memory_bytes: 1 << 16, ..QueryLimits::default() };
    let sorted = "SELECT hash, row_number() OVER (ORDER BY hash) FROM blocks ORDER BY parent_hash";
    assert!(matches!(store.query(sorted, &limits, None).await, Err(StoreError::QueryLimit(_))));
}

/// A foreign contract, its children, values of every form, and a child whose creation is undone.
#[tokio::test]
async fn events_of_foreign_contracts_are_decoded() {
    use schemas::alloy_sol_types::{SolEvent, sol};
    use schemas::events::{Abi, Creation, Emitter, Place, WordType, contract_tables};
    sol! {
        #![sol(alloy_sol_types = schemas::alloy_sol_types)]
        event Created(address indexed creator, address child, string label);
        event Moved(bytes4 indexed kind, int24 tick, int256 change, uint8[] steps, bool up);
    }
    let abi = |name: &str, inputs: &[(&str, &str, bool)]| {
        let inputs: Vec<String> =
            inputs.iter().map(|(name, ty, indexed)| format!(r#"{{"name":"{name}","type":"{ty}","indexed":{indexed}}}"#)).collect();
        Abi::parse(&format!(r#"[{{"type":"event","name":"{name}","inputs":[{}]}}]"#, inputs.join(","))).unwrap()
    };
    let created = abi("Created", &[("creator", "address", true), ("child", "address", false), ("label", "string", false)]);
    let moved = [
        ("kind", "bytes4", true),
        ("tick", "int24", false),
        ("change", "int256", false),
        ("steps", "uint8[]", false),
        ("up", "bool", false),
    ];
    let at = Address::repeat_byte;
    let child = Place::Data(0, WordType::Address);
    let children = Emitter::Children(Creation { factory: at(1), topic0: Created::SIGNATURE_HASH, child });
    let mut tables = contract_tables("factory", &created, Emitter::Contract(at(1)), &Default::default());
    tables.extend(contract_tables("pool", &abi("Moved", &moved), children, &Default::default()));
    let store = Store::in_memory().await.unwrap();
    store.set_event_tables(tables);
    let log = |number: u64, index: u64, address: Address, data: schemas::alloy_primitives::LogData| {
        let topic = |index: usize| data.topics().get(index).copied().map(Raw);
        LogRow {
            block_number: number,
            block_hash: Raw(block(number).hash),
            block_timestamp: number,
            transaction_hash: Raw(B256::repeat_byte(7)),
            transaction_index: 0,
            log_index: index,
            address: Raw(address),
            topic0: topic(0),
            topic1: topic(1),
            topic2: topic(2),
            topic3: topic(3),
            data: data.data,
        }
    };
    let birth = |child: Address, label: &str| Created { creator: at(9), child, label: label.into() }.encode_log_data();
    let movement = |tick: i32, change: schemas::alloy_primitives::I256| {
        let tick = schemas::alloy_primitives::aliases::I24::try_from(tick).unwrap();
        Moved { kind: [1, 2, 3, 4].into(), tick, change, steps: vec![7, 8], up: true }.encode_log_data()
    };
    let minus_one = schemas::alloy_primitives::I256::MINUS_ONE;
    store.append(&[block(1)]).await.unwrap();
    store.append(&[log(1, 0, at(1), birth(at(5), "Größe")), log(1, 1, at(5), movement(-3, minus_one))]).await.unwrap();
    let undone = [log(2, 0, at(1), birth(at(6), "")), log(2, 1, at(6), movement(4, schemas::alloy_primitives::I256::MAX))];
    // Of a contract that nobody created.
    let strange = log(2, 2, at(7), movement(5, minus_one));
    store.set_hot(Hot { blocks: vec![block(2)], logs: vec![undone.to_vec().into(), vec![strange].into()], ..Hot::default() });
    let text = text_of(&query(&store, "SELECT creator, child, label FROM factory_created ORDER BY child").await.unwrap());
    assert!(text.contains("| Größe |") && text.contains("0x0606060606060606060606060606060606060606"), "{text}");
    let moves = "SELECT contract, kind, tick, change, steps, up, finalized FROM pool_moved ORDER BY tick";
    let text = text_of(&query(&store, moves).await.unwrap());
    let shown = r#"|0x0505050505050505050505050505050505050505|0x01020304|-3|-1|["7","8"]|true|true|"#;
    assert!(text.replace(' ', "").contains(shown), "{text}");
    assert!(text.contains(&format!("| 4    | {} ", schemas::alloy_primitives::I256::MAX)), "{text}");
    assert!(!text.contains("0x0707"), "{text}");
    store.set_hot(Hot::default());
    let text = text_of(&query(&store, "SELECT count(*) AS n FROM pool_moved").await.unwrap());
    assert!(text.contains("| 1 |"), "the creation was undone: {text}");
}
