//! Real processes: this test binary is also the worker (see [`a_worker`]).

use std::collections::BTreeSet;

use schemas::B256;
use schemas::arrow::array::AsArray;
use schemas::arrow::datatypes::Int64Type;
use schemas::tables::BlockRow;

use super::*;
use crate::{Durability, Hot, StoreConfig};

/// What the workers of these tests run; alone it does nothing.
#[test]
#[ignore = "is run by other tests, as their child process"]
fn a_worker() {
    if std::env::args().any(|argument| argument == "--exact") {
        serve().unwrap();
    }
}

fn workers(warm: usize) -> QueryWorkers {
    let arguments = ["--ignored", "--exact", "workers::tests::a_worker", "--nocapture", "--test-threads=1"];
    QueryWorkers::new(std::env::current_exe().unwrap(), arguments.map(OsString::from).to_vec(), warm)
}

fn block(number: u64) -> BlockRow {
    let hash = |number: u64| B256::from(schemas::U256::from(number + 1000));
    BlockRow { number, hash: hash(number), parent_hash: None, timestamp: number, log_count: 0, verified: 3, digest: B256::ZERO }
}

async fn folder() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast);
    let store = Store::open(&config).await.unwrap();
    store.append(&(0..3000).map(block).collect::<Vec<_>>()).await.unwrap();
    (folder, store)
}

async fn ask(workers: &QueryWorkers, store: &Store, sql: &str) -> Result<QueryResult, StoreError> {
    workers.query(store, Viewer::Everything, sql, &QueryLimits::default(), None).await
}

fn number(result: &QueryResult) -> i64 {
    result.batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Processes whose parent we are.
fn children() -> BTreeSet<u32> {
    let own = std::process::id();
    let text = std::fs::read_dir(format!("/proc/{own}/task"))
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    text.flat_map(|children| children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

fn is_alive(id: u32) -> bool {
    // A process that ended and was not waited for yet is a zombie.
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Asks until `holds` does; a test that waits for ever has found a hang.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_worker_answers_as_the_store_itself_does() {
    let (_folder, store) = folder().await;
    let workers = workers(1);
    store.set_hot(Hot { blocks: vec![block(3000)], logs: vec![], ..Hot::default() });
    for sql in [
        "SELECT count(*) FROM blocks",
        "SELECT number, hash, finalized FROM blocks WHERE number > 2990 ORDER BY number",
        "SELECT * FROM datanets",
        "SELECT table_name FROM information_schema.tables ORDER BY 1",
        "SELECT a.x, b.x, [1.5, NULL], named_struct('a', 1) FROM (SELECT 1 AS x) a, (SELECT 2 AS x) b",
    ] {
        let inside = store.query(sql, &QueryLimits::default(), None).await;
        let outside = ask(&workers, &store, sql).await;
        match (inside, outside) {
            (Ok(inside), Ok(outside)) => {
                assert_eq!((inside.schema.fields(), inside.batches), (outside.schema.fields(), outside.batches), "{sql}");
                assert_eq!((inside.truncated, inside.snapshot), (outside.truncated, outside.snapshot), "{sql}");
            }
            (inside, outside) => panic!("{sql}: {inside:?} {outside:?}"),
        }
    }
    for sql in ["SELEC 1", "SELECT * FROM nowhere", "DROP TABLE blocks", "SELECT version()", "SELECT 9223372036854775807 + 1", ""] {
        let (inside, outside) =
            (store.query(sql, &QueryLimits::default(), None).await.unwrap_err(), ask(&workers, &store, sql).await.unwrap_err());
        assert_eq!(inside.to_string(), outside.to_string());
    }
    // What is committed after a snapshot is not seen at it.
    let before = ask(&workers, &store, "SELECT count(*) FROM blocks").await.unwrap();
    store.append(&[block(3000)]).await.unwrap();
    let again =
        workers.query(&store, Viewer::Everything, "SELECT count(*) FROM blocks", &QueryLimits::default(), Some(&before.snapshot)).await;
    assert_eq!((number(&before), number(&again.unwrap())), (3001, 3001));
}

/// Whatever is asked, it is answered or refused, and this process lives on.
#[tokio::test]
async fn attacks_end_as_typed_errors() {
    let (_folder, store) = folder().await;
    let workers = workers(2);
    let limits = QueryLimits { timeout: Duration::from_secs(20), max_memory_bytes: 64 << 20, ..QueryLimits::default() };
    let doubled = (0..30).fold("'xxxxxxxxxx'".to_owned(), |inner, _| format!("replace({inner}, 'x', 'xxxxxxxxxx')"));
    let concatenated = (0..40).fold("SELECT 'xxxxxxxxxx' AS s".to_owned(), |inner, _| format!("SELECT s || s AS s FROM ({inner})"));
    let arrays = (0..40).fold("SELECT [1] AS s".to_owned(), |inner, _| format!("SELECT array_concat(s, s) AS s FROM ({inner})"));
    let columns: Vec<String> = (0..100).map(|n| format!("replace(repeat('x', 20000000), 'x', 'y{n}')")).collect();
    for sql in [
        format!("SELECT 1{}", "+1".repeat(7_000)),
        doubled,
        concatenated,
        arrays,
        format!("SELECT {}", columns.join(", ")),
        "SELECT repeat('x', 2147483647)".into(),
        "SELECT lpad('x', 2147483647, 'y')".into(),
        "SELECT array_to_string(string_to_array(repeat('x,', 1000000), ','), repeat('y', 1000000))".into(),
        "SELECT regexp_replace(repeat('x', 1000000), 'x', repeat('y', 1000000), 'g')".into(),
        "SELECT to_char(now(), repeat('%Y', 100000000))".into(),
        "SELECT string_agg(a.hash || b.hash, ',') FROM blocks a, blocks b".into(),
        "SELECT array_agg(a.hash) FROM blocks a, blocks b, blocks c".into(),
        "SELECT unnest(string_to_array(repeat('x,', 1000000), ',')), repeat('y', 10000000)".into(),
        "SELECT a.hash, array_agg(a.hash) OVER (ORDER BY a.number) FROM blocks a, blocks b LIMIT 1".into(),
        "SELECT arrow_cast('x', 'FixedSizeBinary(1000000000)')".into(),
    ] {
        let shown: String = sql.chars().take(80).collect();
        let error = workers.query(&store, Viewer::Everything, &sql, &limits, None).await.expect_err(&shown);
        assert!(matches!(error, StoreError::QueryLimit(_) | StoreError::Query(_)), "{shown}: {error:?}");
    }
    assert_eq!(number(&ask(&workers, &store, "SELECT count(*) FROM blocks").await.unwrap()), 3000);
}

const ENDLESS: &str = "SELECT count(*) FROM blocks a, blocks b, blocks c, blocks d WHERE a.number + b.number + c.number > d.number";

#[tokio::test]
async fn a_query_ends_with_its_time_and_with_its_caller() {
    let (_folder, store) = folder().await;
    let workers = workers(0);
    let limits = QueryLimits { timeout: Duration::from_secs(1), ..QueryLimits::default() };
    let error = workers.query(&store, Viewer::Everything, ENDLESS, &limits, None).await.unwrap_err();
    assert!(matches!(error, StoreError::QueryLimit(_)), "{error:?}");
    // A stranger hangs up: the future is dropped in the middle.
    let before = children();
    let mut asking = Box::pin(ask(&workers, &store, ENDLESS));
    let mut started = BTreeSet::new();
    while started.is_empty() {
        drop(tokio::time::timeout(Duration::from_millis(20), &mut asking).await);
        started = children().difference(&before).copied().filter(|id| is_alive(*id)).collect();
    }
    drop(asking);
    until(|| started.iter().all(|id| !is_alive(*id))).await;
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_none_outlives_the_pool() {
    let (_folder, store) = folder().await;
    let workers = workers(1);
    ask(&workers, &store, "SELECT 1").await.unwrap();
    let id = {
        let mut idle = workers.idle.lock().unwrap();
        let worker = idle.first_mut().unwrap();
        worker.child.start_kill().unwrap();
        worker.child.id().unwrap()
    };
    until(|| !is_alive(id)).await;
    ask(&workers, &store, "SELECT 1").await.unwrap();
    let id = workers.idle.lock().unwrap().first().unwrap().child.id().unwrap();
    assert!(is_alive(id));
    drop(workers);
    until(|| !is_alive(id)).await;
}

/// A worker sees neither our environment nor our files.
#[tokio::test]
async fn a_worker_inherits_no_secret() {
    let (folder, _store) = folder().await;
    let workers = workers(0);
    // As a shell leaves one to what it starts.
    let inherited = std::fs::File::create(folder.path().join("lock")).unwrap();
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let worker = workers.take().await.unwrap();
    let id = worker.child.id().unwrap();
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&environment).trim_end_matches('\0'),
        format!("MALLOC_ARENA_MAX=1\0_RJEM_MALLOC_CONF={MEMORY_OF_WORKERS}")
    );
    let open: Vec<String> = std::fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .collect();
    assert!(open.iter().all(|file| file.starts_with("pipe:") || file == "/dev/null"), "{open:?}");
}
