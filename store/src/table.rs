//! One Lance table: opening, creating, the two ways of writing, reading.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use datafusion::logical_expr::Expr;
use futures::TryStreamExt;
use lance::Dataset;
use lance::dataset::scanner::Scanner;
use lance::dataset::write::merge_insert::SourceDedupeBehavior;
use lance::dataset::{InsertBuilder, MergeInsertBuilder, WhenMatched, WhenNotMatched, WriteParams};
use schemas::arrow::array::{AsArray, RecordBatch};
use schemas::arrow::compute::{max, min};
use schemas::arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use schemas::tables::{Row, WriteMode};
use tokio::sync::Mutex;

use crate::location::Location;
use crate::upkeep::Kept;
use crate::{Inserted, StoreError};

/// Marks a key column, so that Lance sees two concurrent merges of one key as a conflict.
const PRIMARY_KEY: &str = "lance-schema:unenforced-primary-key";

/// Names a column's compression. Hashes of blocks and transactions repeat from log to log and words are
/// mostly zeros: with it a table of logs takes a quarter of the space, and less time to write.
const COMPRESSION: &str = "lance-encoding:compression";

/// A table and its newest version.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    mode: WriteMode,
    /// Serialises writers of this process.
    writer: Mutex<()>,
    newest: RwLock<Arc<Dataset>>,
    /// A write has begun of which no good end was seen: there may be a version above `newest`.
    is_unsure: AtomicBool,
    params: WriteParams,
    pub(crate) kept: Kept,
}

impl Table {
    pub(crate) async fn open_or_create(location: &Location, name: &str, mode: WriteMode, schema: &SchemaRef) -> Result<Self, StoreError> {
        let uri = location.dataset_uri(name);
        let params = location.write_params();
        let dataset = match open(location, &uri).await {
            Ok(dataset) => dataset,
            Err(lance::Error::DatasetNotFound { .. } | lance::Error::NotFound { .. }) => create(&uri, mode, schema, &params).await?,
            Err(error) => {
                return Err(StoreError::Corrupt { table: name.into(), path: format!("tables/{name}.lance"), problem: error.to_string() });
            }
        };
        let newest = RwLock::new(Arc::new(dataset));
        let table = Self {
            name: name.into(),
            mode,
            writer: Mutex::default(),
            newest,
            is_unsure: AtomicBool::new(false),
            params,
            kept: Kept::default(),
        };
        table.check_schema(schema)?;
        Ok(table)
    }

    /// A table that is only read.
    pub(crate) async fn open_to_read(location: &Location, name: &str, schema: &SchemaRef) -> Result<Self, StoreError> {
        let dataset = open(location, &location.dataset_uri(name)).await.map_err(|error| StoreError::Corrupt {
            table: name.into(),
            path: format!("tables/{name}.lance"),
            problem: error.to_string(),
        })?;
        // No write mode fits: a keyed table refuses appends, and no key refuses inserts.
        let params = location.write_params();
        let newest = RwLock::new(Arc::new(dataset));
        let (mode, is_unsure) = (WriteMode::Keyed(&[]), AtomicBool::new(false));
        let table = Self { name: name.into(), mode, writer: Mutex::default(), newest, is_unsure, params, kept: Kept::default() };
        table.check_schema(schema)?;
        Ok(table)
    }

    /// A table as of one version, which is only read.
    pub(crate) async fn open_version(location: &Location, name: &str, version: u64) -> Result<Self, StoreError> {
        let builder = location.open_dataset(&location.dataset_uri(name));
        let dataset = builder.with_version(version).load().await.map_err(|error| no_version(name, version, error))?;
        let newest = RwLock::new(Arc::new(dataset));
        let (mode, is_unsure, params) = (WriteMode::Keyed(&[]), AtomicBool::new(false), location.write_params());
        Ok(Self { name: name.into(), mode, writer: Mutex::default(), newest, is_unsure, params, kept: Kept::default() })
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
        if !self.is_unsure.load(Ordering::Acquire) {
            return Ok(false);
        }
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

    pub(crate) async fn insert_new(&self, batch: RecordBatch) -> Result<Inserted, StoreError> {
        let WriteMode::Keyed(keys) = self.mode else {
            return Err(StoreError::Misuse(format!("table {} is appended to; it has no key to insert by", self.name)));
        };
        if keys.is_empty() {
            return Err(StoreError::Misuse(format!("table {} was opened to read", self.name)));
        }
        let _writer = self.writer.lock().await;
        self.begin_locked().await?;
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let mut builder = MergeInsertBuilder::try_new(self.dataset(), keys)?;
        builder
            .when_matched(WhenMatched::DoNothing)
            .when_not_matched(WhenNotMatched::InsertAll)
            .source_dedupe_behavior(SourceDedupeBehavior::FirstSeen);
        let (dataset, stats) = builder.try_build()?.execute_batches(vec![batch]).await.map_err(|error| self.write_error(error))?;
        Ok(Inserted { rows: stats.num_inserted_rows, version: self.set(dataset) })
    }

    pub(crate) async fn append(&self, batches: Vec<RecordBatch>) -> Result<u64, StoreError> {
        if self.mode != WriteMode::Append {
            return Err(StoreError::Misuse(format!("table {} is keyed; appending could double its rows", self.name)));
        }
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(self.version());
        }
        let _writer = self.writer.lock().await;
        self.append_locked(batches).await
    }

    async fn append_locked(&self, batches: Vec<RecordBatch>) -> Result<u64, StoreError> {
        self.begin_locked().await?;
        let mut params = self.params.clone();
        params.mode = lance::dataset::WriteMode::Append;
        let dataset =
            InsertBuilder::new(self.dataset()).with_params(&params).execute(batches).await.map_err(|error| self.write_error(error))?;
        Ok(self.set(Arc::new(dataset)))
    }

    pub(crate) async fn delete_where(&self, predicate: &str) -> Result<u64, StoreError> {
        if self.mode != WriteMode::Append {
            return Err(StoreError::Misuse(format!("table {} is keyed; its rows are never deleted", self.name)));
        }
        let _writer = self.writer.lock().await;
        self.delete_locked(predicate).await
    }

    async fn delete_locked(&self, predicate: &str) -> Result<u64, StoreError> {
        self.begin_locked().await?;
        let mut dataset = (*self.dataset()).clone();
        let deleted = dataset.delete(predicate).await.map_err(|error| self.write_error(error))?;
        self.set(Arc::new(dataset));
        Ok(deleted.num_deleted_rows)
    }

    /// Changes how rows are stored, and no row.
    pub(crate) async fn rewrite(&self, change: impl AsyncFnOnce(&mut Dataset) -> lance::Result<()>) -> Result<(), StoreError> {
        let _writer = self.writer.lock().await;
        self.begin_locked().await?;
        let mut dataset = (*self.dataset()).clone();
        change(&mut dataset).await.map_err(|error| self.write_error(error))?;
        self.set(Arc::new(dataset));
        Ok(())
    }

    /// Makes the table hold exactly the rows of `batch`, found by the text columns `keys`; returns
    /// the version at which it does. Only for datasets that are read at a pinned version.
    pub(crate) async fn replace_members(&self, rows: MemberChange) -> Result<u64, StoreError> {
        let _writer = self.writer.lock().await;
        for predicate in &rows.delete {
            self.delete_locked(predicate).await?;
        }
        match rows.insert {
            Some(batch) => self.append_locked(vec![batch]).await,
            None => Ok(self.version()),
        }
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

/// The smallest and the largest value of an integer column; `None` when there is no row.
pub(crate) async fn extent_of(dataset: &Dataset, column: &str) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(None);
    }
    let mut scan = dataset.scan();
    scan.project(&[column])?;
    let mut batches = scan.try_into_stream().await?;
    let mut extent: Option<(i64, i64)> = None;
    while let Some(batch) = batches.try_next().await? {
        let values = batch
            .column(0)
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| StoreError::Misuse(format!("column {column} is not an integer")))?;
        if let (Some(low), Some(high)) = (min(values), max(values)) {
            extent = Some(extent.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
        }
    }
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| StoreError::Misuse(format!("column {column} holds a negative number")));
    extent.map(|(low, high)| Ok(unsigned(low)?..=unsigned(high)?)).transpose()
}

/// Whether nothing was ever appended, or all of it is gone: then no query has to be planned.
fn has_no_rows(dataset: &Dataset) -> bool {
    dataset.count_fragments() == 0
}

/// How many rows of a pinned dataset satisfy a filter.
pub(crate) async fn count(dataset: &Dataset, filter: Option<&str>) -> Result<u64, StoreError> {
    if has_no_rows(dataset) {
        return Ok(0);
    }
    Ok(dataset.count_rows(filter.map(str::to_owned)).await? as u64)
}

/// How to turn the rows of a pinned dataset into others.
#[derive(Debug, Default)]
pub(crate) struct MemberChange {
    pub(crate) delete: Vec<String>,
    pub(crate) insert: Option<RecordBatch>,
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

/// Rows of a pinned dataset.
pub(crate) async fn rows<R: Row>(dataset: &Dataset, filter: Option<&str>) -> Result<Vec<R>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(Vec::new());
    }
    let mut scan = dataset.scan();
    if let Some(filter) = filter {
        scan.filter(filter)?;
    }
    read(&scan).await
}

/// The columns that a row type reads.
pub(crate) fn column_names<P: Row>() -> Vec<String> {
    P::schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// Rows of a pinned dataset in the order they were written in, of which only the columns are read that `P` has.
pub(crate) async fn part_of<P: Row>(dataset: &Dataset, filter: Option<&str>) -> Result<Vec<P>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(Vec::new());
    }
    let mut scan = dataset.scan();
    scan.project(&column_names::<P>())?.scan_in_order(true);
    if let Some(filter) = filter {
        scan.filter(filter)?;
    }
    read(&scan).await
}

/// Rows of a pinned dataset for which an expression holds.
pub(crate) async fn rows_where<R: Row>(dataset: &Dataset, filter: Expr) -> Result<Vec<R>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(Vec::new());
    }
    let mut scan = dataset.scan();
    scan.filter_expr(filter);
    read(&scan).await
}

async fn read<R: Row>(scan: &Scanner) -> Result<Vec<R>, StoreError> {
    let batches: Vec<RecordBatch> = scan.try_into_stream().await?.try_collect().await?;
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in &batches {
        rows.extend(R::from_batch(batch)?);
    }
    Ok(rows)
}

/// Gives all rows of a pinned dataset to `each`, a batch at a time.
pub(crate) async fn for_each_batch<R: Row>(
    dataset: &Dataset,
    mut each: impl FnMut(Vec<R>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut scan = dataset.scan();
    scan.scan_in_order(true);
    let mut batches = scan.try_into_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        each(R::from_batch(&batch)?)?;
    }
    Ok(())
}
