//! One Lance table: opening, creating, the ways of writing.

mod read;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
use lance::Dataset;
use lance::dataset::transaction::{Operation, UpdateMode};
use lance::dataset::{DeleteBuilder, InsertBuilder, WriteParams};
use lance_table::format::Fragment;
use schemas::arrow::array::RecordBatch;
use schemas::arrow::datatypes::{DataType, Schema, SchemaRef};
use schemas::tables::{TableSpec, WriteMode};
use tokio::sync::Mutex;

use crate::commit::{commit_following, is_stale};
use crate::location::Location;
use crate::upkeep::Kept;
use crate::{Inserted, StoreError, keys};

pub(crate) use read::{column_names, count, for_each_batch, has_no_rows, map_batches, rows, rows_where};

/// Marks a key column, for other programs that write by Lance's `merge_insert`: then it sees two of one key as a conflict.
const PRIMARY_KEY: &str = "lance-schema:unenforced-primary-key";

/// Names a column's compression. Hashes of blocks and transactions repeat from log to log and words are
/// mostly zeros: with it a table of logs takes a quarter of the space, and less time to write.
const COMPRESSION: &str = "lance-encoding:compression";

/// No write mode fits a table that is only read: a keyed one refuses appends, and no key refuses inserts.
const READ_ONLY: WriteMode = WriteMode::Keyed(&[]);

/// An insertion looks again so often when others commit first. One of them succeeds each time.
const ATTEMPTS: u32 = 64;

/// A table and its newest version.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    mode: WriteMode,
    pub(crate) indexed: &'static [&'static str],
    /// Serialises writers of this process.
    writer: Mutex<()>,
    newest: RwLock<Arc<Dataset>>,
    /// A write has begun of which no good end was seen: there may be a version above `newest`.
    is_unsure: AtomicBool,
    params: WriteParams,
    pub(crate) kept: Kept,
}

impl Table {
    pub(crate) async fn open_or_create(location: &Location, spec: TableSpec, schema: &SchemaRef) -> Result<Self, StoreError> {
        Self::open_or_create_named(location, spec.name, spec, schema).await
    }

    /// One of many tables with the same columns.
    pub(crate) async fn open_or_create_named(
        location: &Location,
        name: &str,
        spec: TableSpec,
        schema: &SchemaRef,
    ) -> Result<Self, StoreError> {
        let uri = location.dataset_uri(name);
        let dataset = match open(location, &uri).await {
            Ok(dataset) => dataset,
            Err(lance::Error::DatasetNotFound { .. } | lance::Error::NotFound { .. }) => {
                create(&uri, spec.mode, schema, &location.write_params()).await?
            }
            Err(error) => {
                return Err(StoreError::Corrupt { table: name.into(), path: format!("tables/{name}.lance"), problem: error.to_string() });
            }
        };
        let table = Self { indexed: spec.indexed, ..Self::over(location, name, spec.mode, dataset) };
        table.check_schema(schema)?;
        Ok(table)
    }

    /// A table that is only read.
    pub(crate) async fn open_to_read(location: &Location, spec: TableSpec, schema: &SchemaRef) -> Result<Self, StoreError> {
        let name = spec.name;
        let dataset = open(location, &location.dataset_uri(name)).await.map_err(|error| StoreError::Corrupt {
            table: name.into(),
            path: format!("tables/{name}.lance"),
            problem: error.to_string(),
        })?;
        let table = Self { indexed: spec.indexed, ..Self::over(location, name, READ_ONLY, dataset) };
        table.check_schema(schema)?;
        Ok(table)
    }

    /// A table as of one version, which is only read.
    pub(crate) async fn open_version(location: &Location, name: &str, version: u64) -> Result<Self, StoreError> {
        let builder = location.open_dataset(&location.dataset_uri(name));
        let dataset = builder.with_version(version).load().await.map_err(|error| no_version(name, version, error))?;
        Ok(Self::over(location, name, READ_ONLY, dataset))
    }

    fn over(location: &Location, name: &str, mode: WriteMode, dataset: Dataset) -> Self {
        Self {
            name: name.into(),
            mode,
            indexed: &[],
            writer: Mutex::default(),
            newest: RwLock::new(Arc::new(dataset)),
            is_unsure: AtomicBool::new(false),
            params: location.write_params(),
            kept: Kept::default(),
        }
    }

    fn check_schema(&self, expected: &SchemaRef) -> Result<(), StoreError> {
        let found = Schema::from(self.dataset().schema());
        for field in expected.fields() {
            let problem = match found.field_with_name(field.name()) {
                Ok(there) if there.data_type() == field.data_type() => continue,
                Ok(there) => format!("column {} is {} instead of {}", field.name(), there.data_type(), field.data_type()),
                Err(_) => format!("column {} is missing", field.name()),
            };
            return Err(StoreError::WrongSchema { table: self.name.clone(), problem });
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn mode(&self) -> WriteMode {
        self.mode
    }

    /// The newest version, pinned.
    pub(crate) fn dataset(&self) -> Arc<Dataset> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn version(&self) -> u64 {
        self.dataset().version_id()
    }

    /// An earlier version, pinned.
    pub(crate) async fn at(&self, version: u64) -> Result<Arc<Dataset>, StoreError> {
        let newest = self.dataset();
        if newest.version_id() == version {
            return Ok(newest);
        }
        if version > newest.version_id() || version == 0 {
            return Err(StoreError::NotFound(format!("version {version} of table {} (it is at {})", self.name, newest.version_id())));
        }
        Ok(Arc::new(newest.checkout_version(version).await.map_err(|error| no_version(&self.name, version, error))?))
    }

    /// Looks for a version that a write made without our knowing; whether there was one.
    pub(crate) async fn reload(&self) -> Result<bool, StoreError> {
        let _writer = self.writer.lock().await;
        self.reload_locked().await
    }

    async fn reload_locked(&self) -> Result<bool, StoreError> {
        match self.is_unsure.load(Ordering::Acquire) {
            true => self.refresh_locked().await,
            false => Ok(false),
        }
    }

    async fn refresh_locked(&self) -> Result<bool, StoreError> {
        let known = self.dataset();
        let mut dataset = (*known).clone();
        dataset.checkout_latest().await?;
        Ok(self.set(Arc::new(dataset)) != known.version_id())
    }

    /// Before a write: whatever becomes of it, also if it is dropped, is noticed.
    async fn begin_locked(&self) -> Result<(), StoreError> {
        self.reload_locked().await?;
        self.is_unsure.store(true, Ordering::Release);
        Ok(())
    }

    /// After a write, or a reading of what is newest.
    fn set(&self, dataset: Arc<Dataset>) -> u64 {
        self.is_unsure.store(false, Ordering::Release);
        let version = dataset.version_id();
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = dataset;
        version
    }

    /// Inserts the rows whose key is not there. It is looked for in the very version that the commit follows.
    pub(crate) async fn insert_new(&self, batch: &RecordBatch) -> Result<Inserted, StoreError> {
        let _writer = self.writer.lock().await;
        for _ in 0..ATTEMPTS {
            self.reload_locked().await?;
            match self.insert_following(&self.dataset(), batch).await {
                // The next attempt reads what is newest.
                Err(StoreError::Stale { .. }) => {}
                done => return done,
            }
        }
        Err(StoreError::Conflict(format!("others wrote to table {} first, {ATTEMPTS} times", self.name)))
    }

    /// The same, but only if `read` is still the newest version.
    pub(crate) async fn insert_upon(&self, read: &Arc<Dataset>, batch: &RecordBatch) -> Result<Inserted, StoreError> {
        let _writer = self.writer.lock().await;
        self.insert_following(read, batch).await
    }

    async fn insert_following(&self, read: &Arc<Dataset>, batch: &RecordBatch) -> Result<Inserted, StoreError> {
        let new = keys::missing(read, self.keys()?, batch).await?;
        let rows = new.num_rows() as u64;
        if rows == 0 {
            return Ok(Inserted { rows, version: read.version_id() });
        }
        let appended = InsertBuilder::new(read.clone()).with_params(&self.append_params()).execute_uncommitted(vec![new]).await?;
        let version = self.commit_locked(read, appended.operation).await?;
        Ok(Inserted { rows, version })
    }

    fn keys(&self) -> Result<&'static [&'static str], StoreError> {
        match self.mode {
            WriteMode::Keyed([]) => Err(StoreError::Misuse(format!("table {} was opened to read", self.name))),
            WriteMode::Keyed(keys) => Ok(keys),
            WriteMode::Append => Err(StoreError::Misuse(format!("table {} is appended to; it has no key to insert by", self.name))),
        }
    }

    /// Commits a change that follows from what was read, upon that version or not at all.
    async fn commit_locked(&self, read: &Arc<Dataset>, change: Operation) -> Result<u64, StoreError> {
        self.is_unsure.store(true, Ordering::Release);
        match commit_following(read, change).await {
            Ok(dataset) => Ok(self.set(Arc::new(dataset))),
            // It stays unsure: what came first is to be read.
            Err(error) if is_stale(&error) => Err(StoreError::Stale { table: self.name.clone(), version: read.version_id() }),
            Err(error) => Err(self.write_error(error)),
        }
    }

    fn append_params(&self) -> WriteParams {
        WriteParams { mode: lance::dataset::WriteMode::Append, ..self.params.clone() }
    }

    pub(crate) async fn append(&self, batches: Vec<RecordBatch>) -> Result<u64, StoreError> {
        if self.mode != WriteMode::Append {
            return Err(StoreError::Misuse(format!("table {} is keyed; appending could double its rows", self.name)));
        }
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(self.version());
        }
        let _writer = self.writer.lock().await;
        self.begin_locked().await?;
        let params = self.append_params();
        let dataset =
            InsertBuilder::new(self.dataset()).with_params(&params).execute(batches).await.map_err(|error| self.write_error(error))?;
        Ok(self.set(Arc::new(dataset)))
    }

    pub(crate) async fn delete_where(&self, predicate: &str) -> Result<u64, StoreError> {
        if self.mode != WriteMode::Append {
            return Err(StoreError::Misuse(format!("table {} is keyed; its rows are not deleted but forgotten", self.name)));
        }
        self.delete(predicate).await
    }

    /// Removes rows of a keyed table that are to be known no more.
    pub(crate) async fn forget(&self, predicate: &str) -> Result<u64, StoreError> {
        self.keys()?;
        self.delete(predicate).await
    }

    async fn delete(&self, predicate: &str) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        self.begin_locked().await?;
        let mut dataset = (*self.dataset()).clone();
        let deleted = dataset.delete(predicate).await.map_err(|error| self.write_error(error))?;
        self.set(Arc::new(dataset));
        Ok(deleted.num_deleted_rows)
    }

    /// Changes how rows are stored, and no row. Others write meanwhile: Lance carries such a change over to what they
    /// committed, and where it cannot, nothing is changed.
    pub(crate) async fn rewrite(&self, change: impl AsyncFnOnce(&mut Dataset) -> lance::Result<()>) -> Result<(), StoreError> {
        let mut dataset = (*self.dataset()).clone();
        self.is_unsure.store(true, Ordering::Release);
        let changed = change(&mut dataset).await;
        let _writer = self.writer.lock().await;
        self.refresh_locked().await?;
        match changed {
            Err(error) if !is_stale(&error) => Err(self.write_error(error)),
            _ => Ok(()),
        }
    }

    /// Writes rows beside those of `read`, where nobody finds them until [`Self::replace_members`].
    pub(crate) async fn write_fragments(
        &self,
        read: &Arc<Dataset>,
        batches: SendableRecordBatchStream,
    ) -> Result<Vec<Fragment>, StoreError> {
        let builder = InsertBuilder::new(read.clone());
        let appended = builder.with_params(&self.append_params()).execute_uncommitted_stream(batches).await?;
        match appended.operation {
            Operation::Append { fragments } => Ok(fragments),
            other => Err(StoreError::Misuse(format!("rows were appended by {}", other.name()))),
        }
    }

    /// Makes the table hold other rows than those of `read`, in one commit that follows it; the version at which it does.
    /// Only for datasets that are read at a pinned version.
    pub(crate) async fn replace_members(&self, read: &Arc<Dataset>, change: MemberChange) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        let (mut updated_fragments, mut removed_fragment_ids) = (Vec::new(), Vec::new());
        if let Some(which) = change.delete {
            let deleted = DeleteBuilder::from_expr(read.clone(), which).execute_uncommitted().await?;
            if let Operation::Delete { updated_fragments: updated, deleted_fragment_ids, .. } = deleted.transaction.operation {
                (updated_fragments, removed_fragment_ids) = (updated, deleted_fragment_ids);
            }
        }
        let new_fragments = change.insert;
        if updated_fragments.is_empty() && removed_fragment_ids.is_empty() && new_fragments.is_empty() {
            return Ok(read.version_id());
        }
        let change = Operation::Update {
            removed_fragment_ids,
            updated_fragments,
            new_fragments,
            fields_modified: Vec::new(),
            compacted_sstables: Vec::new(),
            fields_for_preserving_frag_bitmap: Vec::new(),
            update_mode: Some(UpdateMode::RewriteRows),
            inserted_rows_filter: None,
            updated_fragment_offsets: None,
        };
        self.commit_locked(read, change).await
    }

    /// A commit that timed out may have happened; everything else did not.
    fn write_error(&self, error: lance::Error) -> StoreError {
        if matches!(error, lance::Error::Timeout { .. }) || error.is_commit_status_unknown() {
            return StoreError::Unknown { table: self.name.clone(), problem: error.to_string() };
        }
        error.into()
    }
}

/// A version that is gone is nobody's fault.
fn no_version(table: &str, version: u64, error: lance::Error) -> StoreError {
    match error {
        lance::Error::NotFound { .. } | lance::Error::DatasetNotFound { .. } | lance::Error::VersionNotFound { .. } => {
            StoreError::NotFound(format!("version {version} of table {table}: it is not kept any more"))
        }
        error => error.into(),
    }
}

/// How to turn the rows of a pinned dataset into others.
#[derive(Debug, Default)]
pub(crate) struct MemberChange {
    pub(crate) delete: Option<Expr>,
    /// Written by [`Table::write_fragments`].
    pub(crate) insert: Vec<Fragment>,
}

async fn open(location: &Location, uri: &str) -> lance::Result<Dataset> {
    location.open_dataset(uri).load().await
}

async fn create(uri: &str, mode: WriteMode, schema: &SchemaRef, params: &WriteParams) -> Result<Dataset, StoreError> {
    let keys: &[&str] = match mode {
        WriteMode::Keyed(keys) => keys,
        WriteMode::Append => &[],
    };
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = HashMap::new();
            if keys.contains(&field.name().as_str()) {
                metadata.insert(PRIMARY_KEY.to_owned(), "true".to_owned());
            }
            if matches!(field.data_type(), DataType::FixedSizeBinary(_) | DataType::Binary) {
                metadata.insert(COMPRESSION.to_owned(), "lz4".to_owned());
            }
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    let empty = RecordBatch::new_empty(Arc::new(Schema::new(fields)));
    Ok(InsertBuilder::new(uri).with_params(params).execute(vec![empty]).await?)
}
