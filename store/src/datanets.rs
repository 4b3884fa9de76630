//! Published Datanets: one Lance dataset each, whose tagged versions hold exactly the members of
//! the published versions. A dataset may be ahead of what is published; readers always pin the
//! Lance version that the `versions` row names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt;
use lance::Dataset;
use lance_index::vector::DIST_COL;
use lance_linalg::distance::MetricType;
use schemas::arrow::array::{AsArray, Float32Array};
use schemas::arrow::datatypes::Float32Type;
use schemas::ids::{ChunkId, DatanetId, SubmissionId};
use schemas::tables::{ChunkRow, Row, WriteMode};
use tokio::sync::Mutex;

use crate::table::{MemberChange, Table, rows};
use crate::{Store, StoreError};

/// Open datasets by Datanet.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<HashMap<DatanetId, Arc<Table>>>);

/// A chunk near a query vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    pub chunk_id: ChunkId,
    pub submission_id: SubmissionId,
    /// Cosine distance: 0 is the same direction, 2 the opposite.
    pub distance: f32,
}

/// Deletions name at most this many chunks each.
const DELETE_BATCH: usize = 500;

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
        let table = self.datanet_table(datanet).await?;
        let present: Vec<ChunkRow> = rows(&table.dataset(), None).await?;
        let lance_version = table.replace_members(member_change(&present, members)?).await?;
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

    /// The `k` members nearest to `query` (`[384]`, normalised) by cosine distance, nearest first,
    /// ties by chunk and submission id. Exact: no index is consulted.
    pub async fn nearest(&self, datanet: DatanetId, lance_version: u64, query: &[f32], k: usize) -> Result<Vec<Neighbour>, StoreError> {
        let dataset = self.datanet_at(datanet, lance_version).await?;
        let query = Float32Array::from(query.to_vec());
        let mut scan = dataset.scan();
        scan.nearest("embedding", &query, k)?.distance_metric(MetricType::Cosine);
        scan.project(&["chunk_id", "submission_id"])?;
        let mut found = Vec::with_capacity(k);
        let mut batches = scan.try_into_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            let text = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>().cloned());
            let distances = batch.column_by_name(DIST_COL).and_then(|column| column.as_primitive_opt::<Float32Type>().cloned());
            let (Some(chunks), Some(submissions), Some(distances)) = (text("chunk_id"), text("submission_id"), distances) else {
                return Err(StoreError::Storage("a vector search returned other columns than asked for".into()));
            };
            for row in 0..batch.num_rows() {
                found.push(Neighbour {
                    chunk_id: chunks.value(row).parse()?,
                    submission_id: submissions.value(row).parse()?,
                    distance: distances.value(row),
                });
            }
        }
        found.sort_by(|a, b| {
            a.distance.total_cmp(&b.distance).then(a.chunk_id.cmp(&b.chunk_id)).then(a.submission_id.cmp(&b.submission_id))
        });
        Ok(found)
    }
}

fn table_name(datanet: DatanetId) -> String {
    format!("chunks/{datanet}")
}

/// What to delete and insert so that `present` becomes `wanted`.
fn member_change(present: &[ChunkRow], wanted: &[ChunkRow]) -> Result<MemberChange, StoreError> {
    let key = |row: &ChunkRow| (row.chunk_id, row.submission_id);
    let wanted_rows: BTreeMap<_, &ChunkRow> = wanted.iter().map(|row| (key(row), row)).collect();
    let present_keys: HashSet<_> = present.iter().map(key).collect();
    let stale: Vec<&ChunkRow> = present.iter().filter(|row| wanted_rows.get(&key(row)) != Some(row)).collect();
    let stale_keys: HashSet<_> = stale.iter().map(|row| key(row)).collect();
    let insert: Vec<ChunkRow> = wanted_rows
        .into_iter()
        .filter(|(key, _)| !present_keys.contains(key) || stale_keys.contains(key))
        .map(|(_, row)| row.clone())
        .collect();
    let delete = stale
        .chunks(DELETE_BATCH)
        .map(|rows| {
            let one = |row: &&ChunkRow| format!("(chunk_id = '{}' AND submission_id = '{}')", row.chunk_id, row.submission_id);
            rows.iter().map(one).collect::<Vec<_>>().join(" OR ")
        })
        .collect();
    Ok(MemberChange { delete, insert: if insert.is_empty() { None } else { Some(ChunkRow::to_batch(&insert)?) } })
}
