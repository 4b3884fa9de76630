use std::time::Duration;

use super::*;
use crate::Retention;
use crate::sql::Snapshot;

const RETENTION: Retention = Retention { versions: 8, at_least: Duration::ZERO };

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
            removed += store.upkeep(&RETENTION).await.unwrap().iter().map(|(_, upkept)| upkept.versions_removed).sum::<u64>();
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
    store.upkeep(&RETENTION).await.unwrap();
    let count = async |at| store.query("SELECT count(*) FROM datanets", &QueryLimits::default(), Some(at)).await;
    assert!(text_of(&count(&kept).await.unwrap().batches).contains("75"));
    let gone = count(&Snapshot { block: kept.block, ..first }).await.unwrap_err();
    assert!(matches!(&gone, StoreError::NotFound(problem) if problem.contains("not kept any more")), "{gone:?}");
}

/// Nothing is done where nothing is to be done, and a version that somebody may be reading stays.
#[tokio::test]
async fn young_versions_and_small_tables_are_left_alone() {
    let store = Store::in_memory().await.unwrap();
    for n in 0..60 {
        store.append(&[block(n)]).await.unwrap();
    }
    let before = store.version::<BlockRow>().unwrap();
    let done = store.upkeep(&Retention { versions: 8, at_least: Duration::from_mins(10) }).await.unwrap();
    assert_eq!((done, store.version::<BlockRow>().unwrap()), (Vec::new(), before));
    assert_eq!(store.scan_at::<BlockRow>(2, None).await.unwrap(), [block(0)]);
}
