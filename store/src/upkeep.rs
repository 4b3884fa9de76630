//! Keeping tables small: every commit leaves a fragment and a manifest, and every manifest lists all fragments, so without this a
//! table costs the square of its commits.
//!
//! Small fragments are put together, a size at a time, and what comes of them is of the next size: a row is written again once a
//! size, however large the table grows.
//! Columns by which rows are looked up are indexed (`indexes`), old versions are removed with the files that only they have, and
//! so is what crashes left of writes (`clean`). Every step is a commit of its own: what is interrupted goes on in the next round.
//!
//! What stays is listed, never what goes: the newest and the young versions, those with a tag, and those of published Datanets
//! that `versions` rows name. Nothing that one of them refers to is removed. Of blobs those stay that a document or a record
//! names, and those that were given lately (`blobs`). What was never written whole is nobody's (`unfinished`).

mod blobs;
mod clean;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures::TryStreamExt;
use lance::dataset::optimize::{CompactionOptions, compact_files};
use schemas::ids::DatanetId;
use schemas::tables::VersionRow;
use serde::{Deserialize, Serialize};

use crate::table::Table;
use crate::{Store, StoreError};
pub(crate) use blobs::Blobs;

/// Fragments of so many rows are put together, with smaller ones, when there are more of them than this. The least of them
/// together have the rows of the next size.
const SIZES: [(Range<usize>, usize); 6] =
    [(0..1 << 5, 32), (1 << 5..1 << 8, 8), (1 << 8..1 << 11, 8), (1 << 11..1 << 14, 8), (1 << 14..1 << 17, 8), (1 << 17..1 << 20, 8)];
/// Rows that are in memory at once while fragments are put together, and bytes of files that are read ahead: a receipt has tens of
/// kilobytes. What is read ahead must hold a batch.
const ROWS_AT_ONCE: usize = 256;
const READ_AHEAD_BYTES: u64 = 128 << 20;
/// Versions are removed when so many times those to be kept are there: it reads every manifest.
const SLACK: u64 = 2;
/// What needs every manifest and a list of all files is looked for so often, and first so long after the start.
const SEARCHED_EVERY: Duration = Duration::from_hours(24);
const FIRST_SEARCH_AFTER: Duration = Duration::from_hours(1);
/// All files are listed to see how many bytes they are.
const MEASURED_EVERY: Duration = Duration::from_mins(10);

/// What is said of beside tables.
const BLOBS: &str = "blobs";
const UNFINISHED: &str = "unfinished files";

/// Which versions of a table stay, beside those that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many …
    pub versions: u64,
    /// … but none that is older than this, except the newest …
    pub at_most: Duration,
    /// … and all that are younger than this: somebody may be reading them.
    pub at_least: Duration,
    /// A file that no version names, one that is not whole, and a blob that nothing names stay for so long: they may be of a write
    /// that is going on.
    pub orphans: Duration,
}

impl Retention {
    /// What was changed since then is let alone, whatever it is.
    fn orphans_before(&self) -> SystemTime {
        SystemTime::now().checked_sub(self.orphans).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { versions: 1000, at_most: 30 * day, at_least: Duration::from_mins(10), orphans: 7 * day }
    }
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What is due. Once a day that is everything.
    Due,
    Everything,
}

/// What was done to one table, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Upkept {
    pub fragments_before: usize,
    pub fragments_after: usize,
    pub columns_indexed: usize,
    pub versions_removed: u64,
    /// Files that no version named or that were not whole, or blobs that nothing named.
    pub orphans_removed: u64,
    pub bytes_removed: u64,
}

impl Upkept {
    fn is_something(&self) -> bool {
        let Self { fragments_before, fragments_after, columns_indexed, versions_removed, orphans_removed, .. } = *self;
        fragments_before > fragments_after || columns_indexed > 0 || versions_removed > 0 || orphans_removed > 0
    }
}

/// How a table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    pub name: String,
    pub fragments: usize,
    pub version: u64,
    /// Bytes of the newest version's rows.
    pub bytes: u64,
}

/// The last time that everything due was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUpkeep {
    pub at: SystemTime,
    pub took: Duration,
    /// What the store takes, with all that is kept of the past, as of some minutes ago.
    pub bytes: u64,
    measured: Instant,
}

/// What is known of the old versions of a table, or of what stands beside all tables.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Below this one versions are gone, as far as this process knows.
    from: AtomicU64,
    search_at: Mutex<Instant>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { from: AtomicU64::new(0), search_at: Mutex::new(Instant::now() + FIRST_SEARCH_AFTER) }
    }
}

impl Kept {
    /// Whether a search is due; if so, the next one is a day later.
    fn take_search(&self, effort: Effort) -> bool {
        let mut search_at = self.search_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = effort == Effort::Everything || *search_at <= Instant::now();
        if is_due {
            *search_at = Instant::now() + SEARCHED_EVERY;
        }
        is_due
    }
}

impl Store {
    /// Puts together fragments, indexes, and removes old versions and leftovers of every table and every published Datanet
    /// that has too much of them; what was done, for those where anything was. Others read and write meanwhile.
    ///
    /// # Errors
    /// Those of the storage; what was done before stays.
    pub async fn upkeep(&self, retention: &Retention, effort: Effort) -> Result<Vec<(String, Upkept)>, StoreError> {
        // One round at a time: two would remove the same files.
        let _alone = self.inner.upkeeping.lock().await;
        let started = Instant::now();
        let mut done = Vec::new();
        for (name, table, published) in self.kept_tables().await? {
            let upkept = self.put_in_order(&table, &published, retention, effort).await?;
            if upkept.is_something() {
                done.push((name, upkept));
            }
        }
        if self.inner.kept.take_search(effort) {
            for (name, upkept) in [(BLOBS, self.remove_blobs(retention).await?), (UNFINISHED, self.remove_unfinished(retention).await?)] {
                if upkept.is_something() {
                    done.push((name.to_owned(), upkept));
                }
            }
        }
        let (bytes, measured) = match self.last_upkeep().filter(|last| last.measured.elapsed() < MEASURED_EVERY) {
            Some(last) => (last.bytes, last.measured),
            None => (self.bytes_stored().await?, Instant::now()),
        };
        let last = LastUpkeep { at: SystemTime::now(), took: started.elapsed(), bytes, measured };
        *self.inner.last_upkeep.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        Ok(done)
    }

    /// What [`Store::upkeep`] would do to each table now, if it looked at everything. Nothing is changed; bytes are those of
    /// versions and leftovers.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn explain_upkeep(&self, retention: &Retention) -> Result<Vec<(String, Upkept)>, StoreError> {
        let mut planned = Vec::new();
        for (name, table, published) in self.kept_tables().await? {
            let mut plan = clean::plan(&self.inner.location, &table, &published, retention).await?;
            plan.fragments_before = table.dataset().count_fragments();
            plan.fragments_after = plan.fragments_before;
            for (size, most) in SIZES {
                let (fragments, rows) = table.small_fragments(&size, most);
                plan.fragments_after -= fragments.saturating_sub((rows / size.end).max(1));
            }
            plan.columns_indexed = table.columns_to_index().await?.len();
            if plan.is_something() {
                planned.push((name, plan));
            }
        }
        for (name, plan) in [(BLOBS, self.plan_blobs(retention).await?), (UNFINISHED, self.plan_unfinished(retention).await?)] {
            if plan.is_something() {
                planned.push((name.to_owned(), plan));
            }
        }
        Ok(planned)
    }

    /// When the last round of upkeep ended, in this process.
    pub fn last_upkeep(&self) -> Option<LastUpkeep> {
        *self.inner.last_upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in the caches that all tables share, by cache.
    pub async fn cache_sizes(&self) -> [(&'static str, usize); 2] {
        let session = &self.inner.location.session();
        [("metadata", session.metadata_cache_stats().await.size_bytes), ("index", session.index_cache_stats().await.size_bytes)]
    }

    /// Every table, with what its manifest lists.
    pub fn table_sizes(&self) -> Vec<TableSize> {
        self.inner.tables.iter().map(|(name, table)| size_of(name, table)).collect()
    }

    /// The same of the published Datanets.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn datanet_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        let mut sizes = Vec::new();
        for datanet in self.datanets_on_storage().await? {
            let table = self.datanet_table(datanet).await?;
            sizes.push(size_of(table.name(), &table));
        }
        Ok(sizes)
    }

    /// How many bytes the store takes, with everything that is kept of the past. Lists all files.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn bytes_stored(&self) -> Result<u64, StoreError> {
        let prefix = self.inner.location.object_path("");
        let files = self.inner.location.objects().list(Some(&prefix));
        Ok(files.try_fold(0, |bytes, file| std::future::ready(Ok(bytes + file.size))).await?)
    }

    /// What upkeep looks at, with the versions of it that are published.
    async fn kept_tables(&self) -> Result<Vec<(String, Arc<Table>, BTreeSet<u64>)>, StoreError> {
        let tables = self.inner.tables.iter().map(|(name, table)| ((*name).to_owned(), table.clone(), BTreeSet::new()));
        let mut tables: Vec<_> = tables.collect();
        for datanet in self.datanets_on_storage().await? {
            let table = self.datanet_table(datanet).await?;
            tables.push((table.name().to_owned(), table, BTreeSet::new()));
        }
        // Read after the Datanets were opened, so that no version of them is older than a row that names it.
        let mut published = self.published().await?;
        for (name, _, versions) in &mut tables {
            *versions = published.remove(name.as_str()).unwrap_or_default();
        }
        Ok(tables)
    }

    /// The Lance versions that `versions` rows name, by Datanet's table.
    async fn published(&self) -> Result<BTreeMap<String, BTreeSet<u64>>, StoreError> {
        self.reload::<VersionRow>().await?;
        let mut published: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for row in self.scan::<VersionRow>(None).await? {
            published.entry(crate::datanets::table_name(row.datanet_id)).or_default().insert(row.lance_version);
        }
        Ok(published)
    }

    async fn datanets_on_storage(&self) -> Result<Vec<DatanetId>, StoreError> {
        let folder = self.inner.location.object_path("tables/chunks");
        let listed = self.inner.location.objects().list_with_delimiter(Some(&folder)).await?;
        let id = |folder: &object_store::path::Path| folder.filename()?.strip_suffix(".lance")?.parse().ok();
        Ok(listed.common_prefixes.iter().filter_map(id).collect())
    }

    async fn put_in_order(
        &self,
        table: &Table,
        published: &BTreeSet<u64>,
        retention: &Retention,
        effort: Effort,
    ) -> Result<Upkept, StoreError> {
        let fragments_before = table.dataset().count_fragments();
        for (size, most) in SIZES {
            table.compact(size, most).await?;
        }
        let columns_indexed = table.index().await?.len();
        let mut upkept =
            Upkept { fragments_before, fragments_after: table.dataset().count_fragments(), columns_indexed, ..Upkept::default() };
        let version = table.version();
        let held = version.saturating_sub(table.kept.from.load(Ordering::Relaxed));
        let is_searched = table.kept.take_search(effort);
        if is_searched || held > retention.versions.saturating_mul(SLACK) {
            clean::remove_versions(table, published, retention, is_searched, &mut upkept).await?;
            // What was too young is looked at again when as many have come.
            table.kept.from.store(version.saturating_sub(retention.versions), Ordering::Relaxed);
        }
        if is_searched {
            clean::remove_orphans(&self.inner.location, table, retention, &mut upkept).await?;
        }
        Ok(upkept)
    }
}

fn size_of(name: &str, table: &Table) -> TableSize {
    let dataset = table.dataset();
    let files = dataset.fragments().iter().flat_map(|fragment| &fragment.files);
    let bytes = files.filter_map(|file| file.file_size_bytes.get()).map(u64::from).sum();
    TableSize { name: name.to_owned(), fragments: dataset.count_fragments(), version: dataset.version_id(), bytes }
}

impl Table {
    /// Puts together neighbouring fragments of fewer rows than `size` ends at, if more than `most` are of that size.
    async fn compact(&self, size: Range<usize>, most: usize) -> Result<(), StoreError> {
        if self.small_fragments(&size, most).0 == 0 {
            return Ok(());
        }
        let options = CompactionOptions {
            target_rows_per_fragment: size.end,
            num_threads: Some(1),
            batch_size: Some(ROWS_AT_ONCE),
            io_buffer_size: Some(READ_AHEAD_BYTES),
            ..CompactionOptions::default()
        };
        self.rewrite(async |dataset| compact_files(dataset, options, None).await.map(drop)).await
    }

    /// How many fragments are of a size, if there are too many, and their rows.
    fn small_fragments(&self, size: &Range<usize>, most: usize) -> (usize, usize) {
        let dataset = self.dataset();
        let rows = dataset.fragments().iter().map(|fragment| fragment.num_rows().unwrap_or_default());
        let (fragments, rows) = rows.filter(|rows| size.contains(rows)).fold((0, 0), |(fragments, all), rows| (fragments + 1, all + rows));
        if fragments > most { (fragments, rows) } else { (0, 0) }
    }
}
