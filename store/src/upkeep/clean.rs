//! Removing versions and leftovers.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::cleanup::{CleanupPolicy, CleanupPolicyBuilder};
use lance::index::DatasetIndexExt;
use lance_table::io::deletion::relative_deletion_file_path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::{Retention, Upkept};
use crate::StoreError;
use crate::location::Location;
use crate::table::Table;

/// Files removed in a second: others use the disk too.
const DELETIONS_PER_SECOND: u64 = 500;
/// What a table's files stand in, but for manifests and tags.
const FOLDERS: [&str; 4] = ["data", "_deletions", "_indices", "_transactions"];

/// What removing would do.
pub(super) async fn plan(
    location: &Location,
    table: &Table,
    published: &BTreeSet<u64>,
    retention: &Retention,
) -> Result<Upkept, StoreError> {
    let dataset = table.dataset();
    let mut plan = Upkept::default();
    let policies = policies(&dataset, published, retention, true).await?;
    for policy in policies {
        let removed = dataset.cleanup(policy).explain().await?.stats;
        // What is beyond the newest and what is too old are largely the same.
        plan.versions_removed = plan.versions_removed.max(removed.old_versions);
        plan.bytes_removed = plan.bytes_removed.max(removed.bytes_removed);
    }
    for orphan in orphans(location, table, retention).await? {
        plan.orphans_removed += 1;
        plan.bytes_removed += orphan.size;
    }
    Ok(plan)
}

/// Removes the versions that are not to be kept, with the files that only they have.
pub(super) async fn remove_versions(
    table: &Table,
    published: &BTreeSet<u64>,
    retention: &Retention,
    by_age: bool,
    upkept: &mut Upkept,
) -> Result<(), StoreError> {
    let dataset = table.dataset();
    for policy in policies(&dataset, published, retention, by_age).await? {
        if !published.is_empty() {
            check_published(&dataset, published, &policy).await?;
        }
        let removed = dataset.cleanup(policy).with_delete_rate_limit(DELETIONS_PER_SECOND)?.execute().await?;
        upkept.versions_removed += removed.old_versions;
        upkept.bytes_removed += removed.bytes_removed;
    }
    Ok(())
}

/// Which versions go, each by its number: those beyond the newest, and, if asked for, those that are too old.
async fn policies(
    dataset: &Dataset,
    published: &BTreeSet<u64>,
    retention: &Retention,
    by_age: bool,
) -> Result<Vec<CleanupPolicy>, StoreError> {
    let tagged: BTreeSet<u64> = dataset.tags().list().await?.into_values().map(|tag| tag.version).collect();
    let mut versions: Vec<u64> = dataset.version_refs().await?.into_iter().map(|reference| reference.version).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let newest = usize::try_from(retention.versions.max(1)).unwrap_or(usize::MAX);
    let limits = [(newest, retention.at_least), (1, retention.at_most.max(retention.at_least))];
    let mut policies = Vec::new();
    for (kept, age) in limits.into_iter().take(if by_age { 2 } else { 1 }) {
        let is_kept = |version: &u64| published.contains(version) || tagged.contains(version) || *version >= dataset.version_id();
        let removed: Vec<u64> = versions.iter().skip(kept).copied().filter(|version| !is_kept(version)).collect();
        if removed.is_empty() {
            continue;
        }
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        // A tag that came meanwhile makes it an error, and the next round keeps that version.
        let policy = CleanupPolicyBuilder::default().versions(removed)?.before_timestamp(before.into());
        policies.push(policy.error_if_tagged_old_versions(true).build());
    }
    Ok(policies)
}

/// Whether a clean-up leaves everything that published versions consist of. Lance is trusted with that; published versions are
/// what this service promises, so it is looked at before anything is removed.
async fn check_published(dataset: &Dataset, published: &BTreeSet<u64>, policy: &CleanupPolicy) -> Result<(), StoreError> {
    let explanation = dataset.cleanup(policy.clone()).with_max_candidate_files(usize::MAX).explain().await?;
    let mut promised = HashSet::new();
    for version in published {
        promised.extend(files_of(&dataset.checkout_version(*version).await?).await?);
    }
    match explanation.candidate_files.iter().find(|file| is_named(&file.path, &promised)) {
        None => Ok(()),
        Some(file) => Err(StoreError::Misuse(format!("a clean-up would remove {}, which a published version consists of", file.path))),
    }
}

/// Removes files that no version names.
pub(super) async fn remove_orphans(
    location: &Location,
    table: &Table,
    retention: &Retention,
    upkept: &mut Upkept,
) -> Result<(), StoreError> {
    for orphan in orphans(location, table, retention).await? {
        location.objects().delete(&orphan.location).await?;
        upkept.orphans_removed += 1;
        upkept.bytes_removed += orphan.size;
        pause().await;
    }
    Ok(())
}

/// To be waited for after each file that is removed.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_secs(1) / u32::try_from(DELETIONS_PER_SECOND).unwrap_or(u32::MAX)).await;
}

/// Files that are old enough to belong to no write that is going on, and that no version names: what a crash left. Lance looks
/// for them too, but not for those that are younger than the oldest version that stays (lance#8945).
async fn orphans(location: &Location, table: &Table, retention: &Retention) -> Result<Vec<ObjectMeta>, StoreError> {
    let before = retention.orphans_before();
    let mut found = Vec::new();
    for folder in FOLDERS {
        let folder = location.object_path(&format!("tables/{}.lance/{folder}", table.name()));
        let files: Vec<ObjectMeta> = location.objects().list(Some(&folder)).try_collect().await?;
        found.extend(files.into_iter().filter(|file| SystemTime::from(file.last_modified) <= before));
    }
    // Versions are listed after files: one that was committed meanwhile names its own.
    let mut newest = (*table.dataset()).clone();
    newest.checkout_latest().await?;
    keep_unnamed(&mut found, &newest).await?;
    for reference in newest.version_refs().await? {
        if found.is_empty() {
            break;
        }
        if reference.version != newest.version_id() {
            keep_unnamed(&mut found, &newest.checkout_version(reference.version).await?).await?;
        }
    }
    Ok(found)
}

/// Leaves those files of which a version does not consist.
async fn keep_unnamed(files: &mut Vec<ObjectMeta>, version: &Dataset) -> Result<(), StoreError> {
    let named = files_of(version).await?;
    files.retain(|file| !is_named(file.location.as_ref(), &named));
    Ok(())
}

/// Whether a file is one of those of [`files_of`]. An index is a folder of them.
fn is_named(path: &str, named: &HashSet<String>) -> bool {
    let mut ends = path.rsplit('/');
    let (name, folder, above) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
    named.contains(&format!("{folder}/{name}")) || named.contains(&format!("{above}/{folder}"))
}

/// Folder and name of everything that a version consists of; of an index, the folder alone.
async fn files_of(version: &Dataset) -> Result<HashSet<String>, StoreError> {
    let mut files = HashSet::new();
    for fragment in version.fragments().iter() {
        files.extend(fragment.files.iter().map(|file| format!("data/{}", file.path)));
        if let Some(deletions) = &fragment.deletion_file {
            files.insert(relative_deletion_file_path(fragment.id, deletions));
        }
    }
    files.extend(version.load_indices().await?.iter().map(|index| format!("_indices/{}", index.uuid)));
    files.extend(version.manifest().transaction_file.iter().map(|file| format!("_transactions/{file}")));
    Ok(files)
}
