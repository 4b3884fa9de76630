//! Published Datanets: one Lance dataset each, whose tagged versions hold exactly the members of
//! the published versions. A dataset may be ahead of what is published; readers always pin the
//! Lance version that the `versions` row names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use lance::Dataset;
use lance::dataset::ProjectionRequest;
use lance_table::format::Fragment;
use schemas::ids::{ChunkId, DatanetId, SubmissionId};
use schemas::tables::{ChunkRow, MemberRow, Row, TableSpec, WriteMode};
use tokio::sync::{Mutex, mpsc};

use crate::table::{MemberChange, Table, column_names, for_each_batch, rows, rows_where};
use crate::{Store, StoreError};

/// Open datasets by Datanet.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<DatanetId, Arc<Table>>>);

/// Submissions that one scan looks for.
const SUBMISSIONS_PER_SCAN: usize = 500;
/// Chunks that are read and written together: with vectors and text some kilobytes each.
const MEMBERS_AT_ONCE: usize = if cfg!(test) { 3 } else { 16_384 };

impl Store {
    pub(crate) async fn datanet_table(&self, datanet: DatanetId) -> Result<Arc<Table>, StoreError> {
        let mut open = self.inner.datanets.0.lock().await;
        if let Some(table) = open.get(&datanet) {
            return Ok(table.clone());
        }
        let name = table_name(datanet);
        let spec = TableSpec { mode: WriteMode::Append, indexed: &[], ..ChunkRow::TABLE };
        let table = Arc::new(Table::open_or_create_named(&self.inner.location, &name, spec, &ChunkRow::schema()).await?);
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

    /// Makes the Datanet's dataset hold exactly `members` in one commit, tags that, and returns its Lance version. Nobody
    /// sees it until a `versions` row names it, so a crash half-way leaves nothing but work to repeat. A member's text and
    /// vector follow from its key: what is there of it with the same columns otherwise stays.
    pub async fn publish_members(&self, datanet: DatanetId, version: u64, members: &[ChunkRow]) -> Result<u64, StoreError> {
        let parts: Vec<MemberRow> = members.iter().map(MemberRow::of).collect();
        self.publish(datanet, version, &parts, Chunks::Given(members), None).await
    }

    /// The same of chunks that were submitted: texts and vectors are read of those alone that the dataset lacks. Where it still
    /// is as it is `held` to be, nothing that it has is read.
    pub async fn publish_submitted(
        &self,
        datanet: DatanetId,
        version: u64,
        members: &[MemberRow],
        held: Option<Held>,
    ) -> Result<u64, StoreError> {
        self.publish(datanet, version, members, Chunks::Submitted, held).await
    }

    async fn publish(
        &self,
        datanet: DatanetId,
        version: u64,
        members: &[MemberRow],
        chunks: Chunks<'_>,
        held: Option<Held>,
    ) -> Result<u64, StoreError> {
        let table = self.datanet_table(datanet).await?;
        let lance_version = loop {
            table.reload().await?;
            let present = table.dataset();
            let later = held.filter(|held| held.lance_version == present.version_id()).and_then(|held| members.get(held.members..));
            let (stale, mut missing) = match later {
                Some(later) => (BTreeSet::new(), later.iter().collect()),
                None => member_change(&rows::<MemberRow>(&present, None).await?, members),
            };
            // so that a submission's chunks stand in one part, or in neighbours
            missing.sort_by_key(|member| member.submission_id);
            let insert = self.write_members(&table, &present, chunks, &missing).await?;
            let delete = (!stale.is_empty()).then(|| col("chunk_id").in_list(stale.iter().map(|id| lit(id.to_string())).collect(), false));
            match table.replace_members(&present, MemberChange { delete, insert }).await {
                // Another publication, or upkeep, came first; it is looked at.
                Err(StoreError::Stale { .. }) => {}
                done => break done?,
            }
        };
        // A name of its own for each attempt, and created if absent: no publisher takes another's tag, and none moves.
        let (dataset, tag) = (table.dataset(), format!("v{version}-{lance_version}"));
        match dataset.tags().create(&tag, lance_version).await {
            Ok(()) | Err(lance::Error::RefConflict { .. }) => Ok(lance_version),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes chunks beside those that are present. A part of them is in memory at once, and what a scan of their submissions finds
    /// beside; files are as large as Lance makes them.
    async fn write_members(
        &self,
        table: &Table,
        present: &Arc<Dataset>,
        chunks: Chunks<'_>,
        members: &[&MemberRow],
    ) -> Result<Vec<Fragment>, StoreError> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let (batches, mut read) = mpsc::channel(1);
        let reading = async move {
            for part in members.chunks(MEMBERS_AT_ONCE) {
                let rows = chunks.of(self, part).await?;
                if rows.len() != part.len() {
                    let problem = format!("{} chunks are to be published, and {} of them are there", part.len(), rows.len());
                    return Err(StoreError::Corrupt { table: ChunkRow::TABLE.name.into(), path: String::new(), problem });
                }
                let batch = ChunkRow::to_batch(&rows)?;
                drop(rows);
                // who writes says itself why it has stopped
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let stream = futures::stream::poll_fn(move |context| read.poll_recv(context).map(|batch| batch.map(Ok)));
        let writing = table.write_fragments(present, Box::pin(RecordBatchStreamAdapter::new(ChunkRow::schema(), stream)));
        let ((), written) = tokio::try_join!(reading, writing)?;
        Ok(written)
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
        rows(&*self.datanet_at(datanet, lance_version).await?, None).await
    }

    /// Gives columns of every member as of a Lance version to `each`, a batch at a time, in the order of the rows.
    ///
    /// # Errors
    /// What `each` says, and errors of the store.
    pub async fn for_each_member<P: Row>(
        &self,
        datanet: DatanetId,
        lance_version: u64,
        each: impl FnMut(Vec<P>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for_each_batch(&*self.datanet_at(datanet, lance_version).await?, each).await
    }

    /// Columns of the members at these places in the order of [`Self::members_in_part`], as given.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a place beyond the last.
    pub async fn members_at<P: Row>(&self, datanet: DatanetId, lance_version: u64, places: &[u64]) -> Result<Vec<P>, StoreError> {
        let dataset = self.datanet_at(datanet, lance_version).await?;
        let projection = ProjectionRequest::from_columns(column_names::<P>(), dataset.schema());
        let count = dataset.count_rows(None).await? as u64;
        if let Some(beyond) = places.iter().find(|place| **place >= count) {
            return Err(StoreError::NotFound(format!("member {beyond} of Datanet {datanet} (it has {count})")));
        }
        Ok(P::from_batch(&dataset.take(places, projection).await?)?)
    }

    /// Columns of the members with these chunk ids as of a Lance version, in any order.
    pub async fn members_of<P: Row>(&self, datanet: DatanetId, lance_version: u64, chunks: &[ChunkId]) -> Result<Vec<P>, StoreError> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let dataset = self.datanet_at(datanet, lance_version).await?;
        rows_where(&dataset, col("chunk_id").in_list(chunks.iter().map(|id| lit(id.to_string())).collect(), false)).await
    }
}

/// The first of a list of members, where a Datanet's dataset is known to hold exactly these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub lance_version: u64,
    /// How many.
    pub members: usize,
}

type Key = (ChunkId, SubmissionId);

/// Where the chunks that are published come from.
#[derive(Debug, Clone, Copy)]
enum Chunks<'a> {
    Given(&'a [ChunkRow]),
    /// The table of what was submitted.
    Submitted,
}

impl Chunks<'_> {
    /// The chunks of these members, as they state them.
    async fn of(self, store: &Store, members: &[&MemberRow]) -> Result<Vec<ChunkRow>, StoreError> {
        let by_key: HashMap<Key, &MemberRow> = members.iter().map(|member| (member.key(), *member)).collect();
        let is_wanted = |row: &ChunkRow| by_key.contains_key(&(row.chunk_id, row.submission_id));
        let mut rows = Vec::with_capacity(members.len());
        match self {
            Self::Given(chunks) => rows.extend(chunks.iter().filter(|row| is_wanted(row)).cloned()),
            Self::Submitted => {
                let submissions: Vec<SubmissionId> =
                    members.iter().map(|member| member.submission_id).collect::<BTreeSet<_>>().into_iter().collect();
                for batch in submissions.chunks(SUBMISSIONS_PER_SCAN) {
                    let found = store.scan::<ChunkRow>(Some(&any_of("submission_id", batch))).await?;
                    rows.extend(found.into_iter().filter(is_wanted));
                }
            }
        }
        for row in &mut rows {
            if let Some(member) = by_key.get(&(row.chunk_id, row.submission_id)) {
                member.apply_to(row);
            }
        }
        Ok(rows)
    }
}

pub(crate) fn table_name(datanet: DatanetId) -> String {
    format!("chunks/{datanet}")
}

/// `column IN (…)`.
fn any_of<T: std::fmt::Display>(column: &str, values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("{column} IN ({})", values.join(", "))
}

/// What to delete, and what to insert, so that `present` becomes `wanted`.
fn member_change<'a>(present: &[MemberRow], wanted: &'a [MemberRow]) -> (BTreeSet<ChunkId>, Vec<&'a MemberRow>) {
    let by_key: BTreeMap<Key, &MemberRow> = wanted.iter().map(|row| (row.key(), row)).collect();
    let (same, stale): (Vec<&MemberRow>, Vec<&MemberRow>) = present.iter().partition(|row| by_key.get(&row.key()) == Some(row));
    // Chunks are deleted whole, with what other submissions have of them; that is inserted again.
    let stale: BTreeSet<ChunkId> = stale.into_iter().map(|row| row.chunk_id).collect();
    let stays: HashSet<Key> = same.into_iter().filter(|row| !stale.contains(&row.chunk_id)).map(MemberRow::key).collect();
    (stale, by_key.into_iter().filter(|(key, _)| !stays.contains(key)).map(|(_, row)| row).collect())
}
