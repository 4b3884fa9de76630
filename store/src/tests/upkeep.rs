use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::sql::Snapshot;
use crate::{Effort, Retention, Upkept};

const DAY: Duration = Duration::from_hours(24);
const RETENTION: Retention = Retention { versions: 8, at_most: DAY, at_least: Duration::ZERO, orphans: DAY };

fn manifests(folder: &std::path::Path, table: &str) -> usize {
    std::fs::read_dir(folder.join(format!("tables/{table}.lance/_versions"))).unwrap().count()
}

/// Appended, deleted, inserted twice, put together and cleaned, in turns and over a restart: the same rows in the same order,
/// in few files. What was published stays as it was.
#[tokio::test]
async fn tables_stay_small_and_hold_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast);
    let mut store = Store::open(&config).await.unwrap();
    let id = datanet("published").datanet_id;
    let published = store.publish_members(id, 1, &[chunk(id, 1, "one", 0.0), chunk(id, 1, "two", 1.0)]).await.unwrap();
    let members = store.members(id, published).await.unwrap();
    let first = store.snapshot().await.unwrap();
    let (mut numbers, mut names, mut removed) = (Vec::new(), std::collections::BTreeSet::new(), 0);
    for n in 0..240 {
        store.append(&[block(n)]).await.unwrap();
        numbers.push(n);
        if n % 2 == 0 {
            let name = format!("d{}", n % 150);
            let is_new = names.insert(name.clone());
            assert_eq!(store.insert_new(&[datanet(&name)]).await.unwrap().rows, u64::from(is_new), "{name}");
        }
        if n % 31 == 30 {
            assert_eq!(store.delete_where::<BlockRow>(&format!("number = {}", n - 3)).await.unwrap(), 1);
            numbers.retain(|number| *number != n - 3);
        }
        if n % 20 == 19 {
            store.publish_members(id, n, &[chunk(id, 2, &n.to_string(), 0.5)]).await.unwrap();
            removed += store.upkeep(&RETENTION, Effort::Due).await.unwrap().iter().map(|(_, upkept)| upkept.versions_removed).sum::<u64>();
            for size in store.table_sizes() {
                assert!(size.fragments <= 64, "{size:?}");
            }
            assert!(manifests(folder.path(), "blocks") <= 16 + 4);
        }
        if n == 130 {
            drop(store);
            store = Store::open(&config).await.unwrap();
        }
    }
    assert!(removed > 200, "{removed}");
    let mut found = Vec::new();
    let mut take = |rows: Vec<BlockRow>| found.extend(rows.into_iter().map(|row| row.number));
    store
        .for_each_batch::<BlockRow>(|rows| {
            take(rows);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(found, numbers);
    let mut found: Vec<String> = store.scan::<DatanetRow>(None).await.unwrap().into_iter().map(|row| row.name).collect();
    found.sort();
    assert_eq!(found, names.into_iter().collect::<Vec<_>>());
    assert_eq!(store.members(id, published).await.unwrap(), members);

    let kept = store.snapshot().await.unwrap();
    store.insert_new(&[datanet("later")]).await.unwrap();
    store.upkeep(&RETENTION, Effort::Due).await.unwrap();
    let count = async |at| store.query("SELECT count(*) FROM datanets", &QueryLimits::default(), Some(at)).await;
    assert!(text_of(&count(&kept).await.unwrap().batches).contains("75"));
    let gone = count(&Snapshot { block: kept.block, ..first }).await.unwrap_err();
    assert!(matches!(&gone, StoreError::NotFound(problem) if problem.contains("not kept any more")), "{gone:?}");
}

/// What many small commits leave is written again once a size: a table's files, with all that were replaced, grow as its rows do.
#[tokio::test]
async fn a_row_is_written_again_a_few_times_only() {
    const COMMITS: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast)).await.unwrap();
    let everything = Retention { versions: 10_000, ..RETENTION };
    let mut rewritten = 0;
    for n in 0..COMMITS {
        store.append(&[block(n)]).await.unwrap();
        if n % 8 == 7 {
            let before = fragments(&store, "blocks");
            store.upkeep(&everything, Effort::Due).await.unwrap();
            let after = fragments(&store, "blocks");
            assert!(after.len() <= 32 + 8 + 8, "{after:?}");
            rewritten += after.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, rows)| rows).sum::<usize>();
        }
    }
    let rows = usize::try_from(COMMITS).unwrap();
    assert!(rewritten > rows / 2 && rewritten <= 2 * rows, "{rewritten} rows were written again for {rows}");
}

/// Rows of each, by id.
fn fragments(store: &Store, table: &str) -> BTreeMap<u64, usize> {
    let dataset = store.inner.tables[table].dataset();
    dataset.fragments().iter().map(|fragment| (fragment.id, fragment.num_rows().unwrap())).collect()
}

/// Nothing is done where nothing is to be done, and a version that somebody may be reading stays.
#[tokio::test]
async fn young_versions_and_small_tables_are_left_alone() {
    let store = Store::in_memory().await.unwrap();
    for n in 0..30 {
        store.append(&[block(n)]).await.unwrap();
    }
    let before = store.version::<BlockRow>().unwrap();
    let careful = Retention { at_least: Duration::from_mins(10), ..RETENTION };
    let done = store.upkeep(&careful, Effort::Due).await.unwrap();
    assert_eq!((done, store.version::<BlockRow>().unwrap()), (Vec::new(), before));
    assert_eq!(store.scan_at::<BlockRow>(2, None).await.unwrap(), [block(0)]);
}

/// What an upload that failed left goes when its time is over, and nothing that anybody names.
#[tokio::test]
async fn blobs_that_nothing_names_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast);
    let store = Store::open(&config).await.unwrap();
    let put = async |store: &Store, text: &'static str| store.put_blob(Bytes::from_static(text.as_bytes())).await.unwrap();
    let (of_document, of_record, left) = (put(&store, "one").await, put(&store, "two").await, put(&store, "three").await);
    store.insert_new(&[document(1, of_document)]).await.unwrap();
    store.put_record("uploads", "a", Bytes::from(format!("[\"{of_record}\"]"))).await.unwrap();
    let old = Retention { orphans: Duration::ZERO, ..RETENTION };
    assert_eq!(store.upkeep(&old, Effort::Everything).await.unwrap(), [], "they were given just now");
    drop(store);

    let store = Store::open(&config).await.unwrap();
    assert_eq!(store.explain_upkeep(&RETENTION).await.unwrap(), [], "they are young");
    let expected = Upkept { orphans_removed: 1, bytes_removed: 5, ..Upkept::default() };
    assert_eq!(store.explain_upkeep(&old).await.unwrap(), [("blobs".to_owned(), expected)]);
    // Given again, it is somebody's.
    put(&store, "three").await;
    assert_eq!(store.upkeep(&old, Effort::Everything).await.unwrap(), []);
    drop(store);

    let store = Store::open(&config).await.unwrap();
    assert_eq!(store.upkeep(&old, Effort::Due).await.unwrap(), [], "a search is due once a day");
    assert_eq!(store.upkeep(&old, Effort::Everything).await.unwrap(), [("blobs".to_owned(), expected)]);
    assert!(matches!(store.get_blob(left).await, Err(StoreError::NotFound(_))));
    for kept in [of_document, of_record] {
        store.get_blob(kept).await.unwrap();
    }
    store.remove_record("uploads", "a").await.unwrap();
    assert_eq!(store.upkeep(&old, Effort::Everything).await.unwrap().len(), 1);
    assert!(store.get_blob(of_document).await.is_ok() && store.get_blob(of_record).await.is_err());
}

/// A write that ended with its process leaves a file that is no object: it goes when nobody can be writing it any more.
#[tokio::test]
async fn what_was_never_written_whole_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::new(format!("file://{}", folder.path().display()), Durability::Fast);
    let store = Store::open(&config).await.unwrap();
    for name in ["a", "b#c", "#1x"] {
        store.put_record("uploads", name, Bytes::from_static(b"whole")).await.unwrap();
    }
    let left = ["records/uploads/a#1", "tables/blocks.lance/data/0.lance#12"].map(|path| folder.path().join(path));
    for path in &left {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "hal").unwrap();
    }
    assert_eq!(store.records("uploads").await.unwrap().len(), 3);
    let old = Retention { orphans: Duration::ZERO, ..RETENTION };
    assert_eq!(store.upkeep(&RETENTION, Effort::Everything).await.unwrap(), [], "they are young");
    let expected = [("unfinished files".to_owned(), Upkept { orphans_removed: 2, bytes_removed: 6, ..Upkept::default() })];
    assert_eq!(store.explain_upkeep(&old).await.unwrap(), expected);
    assert!(left.iter().all(|path| path.exists()));
    assert_eq!(store.upkeep(&old, Effort::Everything).await.unwrap(), expected);
    assert!(!left.iter().any(|path| path.exists()));
    assert_eq!(store.records("uploads").await.unwrap().len(), 3);
}

fn document(n: u64, blob: Sha256) -> DocumentRow {
    DocumentRow {
        document_id: DocumentId(B256::from(U256::from(n))),
        submission_id: SubmissionId::default(),
        datanet_id: DatanetId::default(),
        contributor: Address::ZERO,
        file_name: "a.txt".into(),
        media_type: "text/plain".into(),
        sha256: blob,
        size_bytes: 1,
        title: "a".into(),
        status: "chunked".into(),
        reason_code: None,
        reason: None,
        parser: "test/1".into(),
        chunk_count: 1,
        topic_similarity_ppm: 0,
    }
}

/// Not that of the faults, so that what is done does not depend on what fails.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

/// What was acknowledged, and what may have happened.
#[derive(Default)]
struct Model {
    published: Vec<(u64, u64, Vec<ChunkRow>)>,
    documents: BTreeMap<String, bool>,
    blocks: Vec<u64>,
    /// Those that a document, or a record that was not removed, names.
    blobs: Vec<Sha256>,
}

/// Publishing, inserting twice, appending, indexing, upkeep, failures of the storage and restarts, at random: every published
/// version's members and every acknowledged row are there afterwards, once. `SEEDS=a..b` for others.
#[tokio::test]
async fn whatever_happens_nothing_that_was_acknowledged_is_lost() {
    let range = std::env::var("SEEDS").unwrap_or_else(|_| "0..6".into());
    let (from, to) = range.split_once("..").unwrap();
    for seed in from.parse::<u64>().unwrap()..to.parse().unwrap() {
        check_history(seed).await;
    }
}

async fn check_history(seed: u64) {
    let faults = StorageFaults::default();
    faults.plan(seed, 30_000);
    let mut store = Store::in_memory_failing(&faults).await.unwrap();
    let everything = Retention { versions: 3, at_most: Duration::ZERO, at_least: Duration::ZERO, orphans: Duration::ZERO };
    let id = datanet("published").datanet_id;
    let (mut random, mut model, mut removed) = (seed, Model::default(), 0);
    for step in 0..60 {
        faults.set_active(draw(&mut random, 3) == 0);
        match draw(&mut random, 11) {
            0 | 1 => publish(&store, id, step, &mut random, &mut model).await,
            2 | 3 => insert(&store, step, &mut random, &mut model).await,
            4 => {
                // The indexer asks where it stands before it appends; so does this.
                let next = model.blocks.last().map_or(0, |last| last + 1);
                if store.append(&[block(next)]).await.is_ok() {
                    model.blocks.push(next);
                } else {
                    store = reopened(&store, &faults).await;
                    let stored = store.scan::<BlockRow>(Some(&format!("number = {next}"))).await.unwrap();
                    model.blocks.extend(stored.iter().map(|row| row.number));
                }
            }
            5 => drop(store.table::<DatanetRow>().unwrap().index_column("datanet_id").await),
            6 | 7 => {
                let done = store.upkeep(&everything, Effort::Everything).await;
                removed += done.iter().flatten().map(|(_, upkept)| upkept.versions_removed + upkept.orphans_removed).sum::<u64>();
            }
            8 | 9 => give_blobs(&store, &everything, step, &mut random, &mut model).await,
            _ => store = reopened(&store, &faults).await,
        }
    }
    let store = reopened(&store, &faults).await;
    store.upkeep(&everything, Effort::Everything).await.unwrap();
    assert_eq!(store.explain_upkeep(&everything).await.unwrap(), [], "seed {seed}: upkeep leaves nothing to be done");
    assert!(removed > 0, "seed {seed}");
    check_model(&store, id, &model, seed).await;
}

/// As after a crash.
async fn reopened(store: &Store, faults: &StorageFaults) -> Store {
    faults.set_active(false);
    store.opened_again().await.unwrap()
}

async fn publish(store: &Store, id: DatanetId, step: u64, random: &mut u64, model: &mut Model) {
    let chosen =
        |random: &mut u64| (0..8).filter(|_| draw(random, 2) == 0).map(|n| chunk(id, n, &format!("text {n}"), 0.1)).collect::<Vec<_>>();
    let mut members = chosen(random);
    members.push(chunk(id, 9, &format!("of {step}"), 0.2));
    members.sort_by_key(|row| (row.chunk_id, row.submission_id));
    let Ok(lance_version) = store.publish_members(id, step, &members).await else { return };
    if store.insert_new(&[version(id, step, lance_version)]).await.is_ok() {
        model.published.push((step, lance_version, members));
    }
}

async fn insert(store: &Store, step: u64, random: &mut u64, model: &mut Model) {
    let names = [format!("new {step}"), format!("new {}", draw(random, step + 1))];
    let inserted = store.insert_new(&names.iter().map(|name| datanet(name)).collect::<Vec<_>>()).await;
    for name in names {
        let is_acknowledged = model.documents.entry(name).or_default();
        *is_acknowledged |= inserted.is_ok();
    }
}

/// Gives a blob as an upload does: its record is written before its row, and removed after it. It may fail anywhere, and what it
/// leaves is given again by another.
async fn give_blobs(store: &Store, retention: &Retention, step: u64, random: &mut u64, model: &mut Model) {
    let text = draw(random, 4);
    let Ok(blob) = store.put_blob(Bytes::from(format!("blob {text}"))).await else { return };
    drop(store.upkeep(retention, Effort::Everything).await);
    let record = Bytes::from(format!("{{\"files\":[{{\"sha256\":\"0x{blob}\"}}]}}"));
    if store.put_record("uploads", &step.to_string(), record).await.is_err() {
        return;
    }
    model.blobs.push(blob);
    if draw(random, 2) == 0 && store.insert_new(&[document(step, blob)]).await.is_ok() {
        drop(store.remove_record("uploads", &step.to_string()).await);
    }
}

async fn check_model(store: &Store, id: DatanetId, model: &Model, seed: u64) {
    for (number, lance_version, members) in &model.published {
        let row = &store.scan::<VersionRow>(Some(&format!("version = {number}"))).await.unwrap()[0];
        assert_eq!(row.lance_version, *lance_version, "seed {seed}");
        assert_eq!(&store.members(id, *lance_version).await.unwrap(), members, "seed {seed}: version {number}");
    }
    let mut found: Vec<String> = store.scan::<DatanetRow>(None).await.unwrap().into_iter().map(|row| row.name).collect();
    found.sort();
    assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "seed {seed}: a key is there twice");
    for (name, is_acknowledged) in &model.documents {
        assert!(!is_acknowledged || found.contains(name), "seed {seed}: {name} is lost");
        let by_id = store.scan::<DatanetRow>(Some(&format!("datanet_id = '{}'", datanet(name).datanet_id))).await.unwrap();
        assert_eq!(by_id.len(), usize::from(found.contains(name)), "seed {seed}: {name}");
    }
    // A row whose commit was not acknowledged counts as well.
    for row in store.scan::<VersionRow>(None).await.unwrap() {
        assert!(!store.members(id, row.lance_version).await.unwrap().is_empty(), "seed {seed}");
    }
    for blob in &model.blobs {
        store.get_blob(*blob).await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    let mut blocks: Vec<u64> = store.scan::<BlockRow>(None).await.unwrap().into_iter().map(|row| row.number).collect();
    blocks.sort_unstable();
    assert_eq!(blocks, model.blocks, "seed {seed}");
}
