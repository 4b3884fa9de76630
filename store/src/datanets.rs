//! Published Datanets: one Lance dataset each, whose tagged versions hold exactly the members of
//! the published versions. A dataset may be ahead of what is published; readers always pin the
//! Lance version that the `versions` row names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use lance::Dataset;
use lance::dataset::ProjectionRequest;
use schemas::ids::{ChunkId, DatanetId, SubmissionId};
use schemas::tables::{ChunkRow, MemberRow, Row, WriteMode};
use tokio::sync::Mutex;

use crate::table::{MemberChange, Table, column_names, part_of, rows};
use crate::{Store, StoreError};

/// Open datasets by Datanet.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<DatanetId, Arc<Table>>>);

/// Deletions name at most this many chunks each.
const DELETE_BATCH: usize = 500;
/// Submissions that one scan looks for.
const SUBMISSIONS_PER_SCAN: usize = 500;

impl Store {
    async fn datanet_table(&self, datanet: DatanetId) -> Result<Arc<Table>, StoreError> {
        let mut open = self.inner.datanets.0.lock().await;
        if let Some(table) = open.get(&datanet) {
            return Ok(table.clone());
        }
        let name = table_name(datanet);
        let table = Arc::new(Table::open_or_create(&self.inner.location, &name, WriteMode::Append, &ChunkRow::schema()).await?);
        open.insert(datanet, table.clone());
        Ok(table)
    }

    /// A Datanet's dataset as of a Lance version, pinned.
    pub(crate) async fn datanet_at(&self, datanet: DatanetId, lance_version: u64) -> Result<Arc<Dataset>, StoreError> {
        if self.inner.is_pinned {
            let name = table_name(datanet);
            return Ok(Table::open_version(&self.inner.location, &name, lance_version).await?.dataset());
        }
        self.datanet_table(datanet).await?.at(lance_version).await
    }

    /// Makes the Datanet's dataset hold exactly `members`, tags that state `v{version}`, and
    /// returns its Lance version. Nobody sees it until a `versions` row names it, so a crash
    /// half-way leaves nothing but work to repeat.
    pub async fn publish_members(&self, datanet: DatanetId, version: u64, members: &[ChunkRow]) -> Result<u64, StoreError> {
        let parts: Vec<MemberRow> = members.iter().map(MemberRow::of).collect();
        self.publish(datanet, version, &parts, async |wanted| {
            let wanted: HashSet<Key> = wanted.iter().map(|row| row.key()).collect();
            Ok(members.iter().filter(|row| wanted.contains(&(row.chunk_id, row.submission_id))).cloned().collect())
        })
        .await
    }

    /// The same of chunks that were submitted: texts and vectors are read of those alone that the dataset lacks.
    pub async fn publish_submitted(&self, datanet: DatanetId, version: u64, members: &[MemberRow]) -> Result<u64, StoreError> {
        self.publish(datanet, version, members, async |wanted| {
            let by_key: HashMap<Key, &MemberRow> = wanted.iter().map(|row| (row.key(), *row)).collect();
            let submissions: BTreeSet<SubmissionId> = wanted.iter().map(|row| row.submission_id).collect();
            let mut rows = Vec::with_capacity(wanted.len());
            for batch in submissions.into_iter().collect::<Vec<_>>().chunks(SUBMISSIONS_PER_SCAN) {
                for mut row in self.scan::<ChunkRow>(Some(&any_of("submission_id", batch))).await? {
                    if let Some(member) = by_key.get(&(row.chunk_id, row.submission_id)) {
                        member.apply_to(&mut row);
                        rows.push(row);
                    }
                }
            }
            Ok(rows)
        })
        .await
    }

    async fn publish(
        &self,
        datanet: DatanetId,
        version: u64,
        members: &[MemberRow],
        load: impl AsyncFnOnce(&[&MemberRow]) -> Result<Vec<ChunkRow>, StoreError>,
    ) -> Result<u64, StoreError> {
        let table = self.datanet_table(datanet).await?;
        let present: Vec<MemberRow> = part_of(&table.dataset(), None).await?;
        let (delete, missing) = member_change(&present, members);
        let insert = if missing.is_empty() { Vec::new() } else { load(&missing).await? };
        if insert.len() != missing.len() {
            let problem = format!("{} chunks are to be published, and {} are there", missing.len(), insert.len());
            return Err(StoreError::Corrupt { table: ChunkRow::TABLE.name.into(), path: String::new(), problem });
        }
        let insert = if insert.is_empty() { None } else { Some(ChunkRow::to_batch(&insert)?) };
        let lance_version = table.replace_members(MemberChange { delete, insert }).await?;
        let dataset = table.dataset();
        let tag = format!("v{version}");
        match dataset.tags().get_version(&tag).await {
            Ok(tagged) if tagged == lance_version => {}
            // An attempt that never got its `versions` row.
            Ok(_) => dataset.tags().update(&tag, lance_version).await?,
            Err(_) => dataset.tags().create(&tag, lance_version).await?,
        }
        Ok(lance_version)
    }

    /// Every member as of a Lance version, ordered by (chunk id, submission id).
    pub async fn members(&self, datanet: DatanetId, lance_version: u64) -> Result<Vec<ChunkRow>, StoreError> {
        let dataset = self.datanet_at(datanet, lance_version).await?;
        let mut members: Vec<ChunkRow> = rows(&dataset, None).await?;
        members.sort_by_key(|row| (row.chunk_id, row.submission_id));
        Ok(members)
    }

    /// Columns of every member as of a Lance version, in the order of the rows.
    pub async fn members_in_part<P: Row>(&self, datanet: DatanetId, lance_version: u64) -> Result<Vec<P>, StoreError> {
        part_of(&*self.datanet_at(datanet, lance_version).await?, None).await
    }

    /// Columns of the members at these places in the order of [`Self::members_in_part`], as given.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a place beyond the last.
    pub async fn members_at<P: Row>(&self, datanet: DatanetId, lance_version: u64, places: &[u64]) -> Result<Vec<P>, StoreError> {
        let dataset = self.datanet_at(datanet, lance_version).await?;
        let projection = ProjectionRequest::from_columns(column_names::<P>(), dataset.schema());
        let found = P::from_batch(&dataset.take(places, projection).await?)?;
        if found.len() != places.len() {
            return Err(StoreError::NotFound(format!("{} of {} members of Datanet {datanet}", places.len() - found.len(), places.len())));
        }
        Ok(found)
    }
}

type Key = (ChunkId, SubmissionId);

fn table_name(datanet: DatanetId) -> String {
    format!("chunks/{datanet}")
}

/// `column IN (…)`.
fn any_of<T: std::fmt::Display>(column: &str, values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("{column} IN ({})", values.join(", "))
}

/// What to delete, and what to insert, so that `present` becomes `wanted`.
fn member_change<'a>(present: &[MemberRow], wanted: &'a [MemberRow]) -> (Vec<String>, Vec<&'a MemberRow>) {
    let mut missing: BTreeMap<Key, &MemberRow> = wanted.iter().map(|row| (row.key(), row)).collect();
    let mut stale = Vec::new();
    for row in present {
        if missing.get(&row.key()).is_some_and(|wanted| *wanted == row) {
            missing.remove(&row.key());
        } else {
            stale.push(row);
        }
    }
    let delete = stale
        .chunks(DELETE_BATCH)
        .map(|rows| {
            let one = |row: &&MemberRow| format!("(chunk_id = '{}' AND submission_id = '{}')", row.chunk_id, row.submission_id);
            rows.iter().map(one).collect::<Vec<_>>().join(" OR ")
        })
        .collect();
    (delete, missing.into_values().collect())
}
