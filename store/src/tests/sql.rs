//! What SQL sees of the store.

use schemas::alloy_primitives::LogData;

use super::*;

fn log(number: u64, index: u64, address: Address, data: LogData) -> LogRow {
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
    store.append(&[log(1, 0, at(1), committed.encode_log_data())]).await.unwrap();
    let logs = [log(2, 0, at(3), claimed.encode_log_data()), log(2, 0, at(2), claimed.encode_log_data())];
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
    for (query_of, advice) in
        [("SELECT * FROM nowhere", "there is no table nowhere; SHOW TABLES"), ("DELETE FROM datanets", "only read here")]
    {
        let error = query(&store, query_of).await.unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
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
