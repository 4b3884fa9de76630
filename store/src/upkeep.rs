//! Keeping tables small: every commit leaves a fragment and a manifest, and every manifest lists all fragments, so without this a
//! table costs the square of its commits.
//!
//! Columns by which rows are looked up are indexed (`indexes`). Small fragments are put together, a size at a time: then a row is written again once a size, however large the table grows.
//! Old versions are removed with the files that only they have. Lance keeps those that are tagged, and files that no
//! version names yet for a week. Published Datanets are left alone: their versions are named in `versions`.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lance::dataset::cleanup::CleanupPolicyBuilder;
use lance::dataset::optimize::{CompactionOptions, compact_files};

use crate::table::Table;
use crate::{Store, StoreError};

/// Fragments of so many rows are put together, with smaller ones, when there are more of them than this.
const SIZES: [(Range<usize>, usize); 3] = [(0..8 << 10, 64), (8 << 10..128 << 10, 16), (128 << 10..1 << 20, 16)];
/// Versions are removed when so many times those to be kept are there: it reads every manifest.
const SLACK: u64 = 2;

/// Which versions of a table stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many …
    pub versions: u64,
    /// … and all that are younger.
    pub at_least: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { versions: 1000, at_least: Duration::from_mins(10) }
    }
}

/// What was done to one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkept {
    pub fragments_before: usize,
    pub fragments_after: usize,
    pub versions_removed: u64,
    pub bytes_removed: u64,
}

/// How a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    pub name: &'static str,
    pub fragments: usize,
    pub version: u64,
}

/// What is known of a table's old versions.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Below this one versions are gone, as far as this process knows.
    from: AtomicU64,
}

impl Store {
    /// Puts together fragments and removes old versions of every table that has too many; what was done, for those where
    /// anything was. Others read and write meanwhile, but for writers of a table while its fragments are put together.
    ///
    /// # Errors
    /// Those of the storage; what was done before stays.
    pub async fn upkeep(&self, retention: &Retention) -> Result<Vec<(&'static str, Upkept)>, StoreError> {
        let mut done = Vec::new();
        for (name, table) in &self.inner.tables {
            let upkept = table.upkeep(retention).await?;
            if upkept.fragments_before > upkept.fragments_after || upkept.versions_removed > 0 {
                done.push((*name, upkept));
            }
        }
        Ok(done)
    }

    /// Every table, with what its manifest lists.
    pub fn table_sizes(&self) -> Vec<TableSize> {
        let size = |(name, table): (&&'static str, &Table)| {
            let dataset = table.dataset();
            TableSize { name, fragments: dataset.count_fragments(), version: dataset.version_id() }
        };
        self.inner.tables.iter().map(size).collect()
    }
}

impl Table {
    async fn upkeep(&self, retention: &Retention) -> Result<Upkept, StoreError> {
        let fragments_before = self.dataset().count_fragments();
        for (size, most) in SIZES {
            self.compact(size, most).await?;
        }
        self.index().await?;
        let mut upkept = Upkept { fragments_before, fragments_after: self.dataset().count_fragments(), ..Upkept::default() };
        let dataset = self.dataset();
        let version = dataset.version_id();
        let held = version.saturating_sub(self.kept.from.load(Ordering::Relaxed));
        if held > retention.versions.saturating_mul(SLACK) {
            let keep = usize::try_from(retention.versions.max(1)).unwrap_or(usize::MAX);
            let young = SystemTime::now().checked_sub(retention.at_least).unwrap_or(SystemTime::UNIX_EPOCH);
            let policy = CleanupPolicyBuilder::default()
                .retain_n_versions(&dataset, keep)
                .await?
                .before_timestamp(young.into())
                .error_if_tagged_old_versions(false)
                .build();
            let removed = dataset.cleanup_with_policy(policy).await?;
            // What was too young is looked at again when as many have come.
            self.kept.from.store(version.saturating_sub(retention.versions), Ordering::Relaxed);
            (upkept.versions_removed, upkept.bytes_removed) = (removed.old_versions, removed.bytes_removed);
        }
        Ok(upkept)
    }

    /// Puts together neighbouring fragments of fewer rows than `size` ends at, if more than `most` are of that size.
    async fn compact(&self, size: Range<usize>, most: usize) -> Result<(), StoreError> {
        let is_of_size = |rows: Option<usize>| size.contains(&rows.unwrap_or_default());
        if self.dataset().fragments().iter().filter(|fragment| is_of_size(fragment.num_rows())).count() <= most {
            return Ok(());
        }
        let options = CompactionOptions { target_rows_per_fragment: size.end, num_threads: Some(1), ..CompactionOptions::default() };
        self.rewrite(async |dataset| compact_files(dataset, options, None).await.map(drop)).await
    }
}
