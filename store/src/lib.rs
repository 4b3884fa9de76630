//! Tables and blobs on object storage, and the read-only SQL session over them.
//!
//! This crate is the one owner of Lance, DataFusion and object_store. It knows how rows are
//! committed, kept through a power failure and read as of a version; it does not know what a
//! Datanet's rules are. All tables are created when the store is opened.

mod blobs;
mod chain_logs;
mod commit;
mod datanets;
mod error;
mod extent;
mod faults;
mod indexes;
mod keys;
mod location;
mod memo;
pub mod private;
mod reads;
mod records;
mod seen;
pub mod sql;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
pub mod workers;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, RwLock};

use object_store::memory::InMemory;
use schemas::arrow::array::RecordBatch;
use schemas::arrow::datatypes::SchemaRef;
use schemas::events::EventTable;
use schemas::tables::{
    AnswerRow, ApiKeyRow, AttributionRow, BlockRow, ChunkRow, ClosingRow, CoverageRow, CuratorRow, DatanetRow, DebtRow, DocumentRow,
    EpochRow, FollowedContractRow, ForeignVersionRow, LogRow, PolicyRow, ReceiptRow, ReviewRow, RewardRow, Row, SpendingLimitRow,
    SubmissionRow, TableSpec, VersionRow,
};
use tokio::sync::OnceCell;

pub use chain_logs::{Finality, Hot, Mark};
pub use datanets::Held;
pub use error::StoreError;
pub use faults::{StorageFailures, StorageFaults};
use location::Location;
pub use memo::Memo;
pub use reads::Reads;
pub use seen::Seen;
use table::Table;
pub use upkeep::{Effort, LastUpkeep, Retention, TableSize, Upkept};

/// Where a store is and how it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `file:///absolute/folder`, or `memory://` for a store that ends with the process.
    pub url: String,
    pub durability: Durability,
    /// What is kept in memory of what was read of the tables' files, all tables together.
    pub cache_bytes: usize,
}

impl StoreConfig {
    /// For a service with a few hundred thousand rows.
    pub const DEFAULT_CACHE_BYTES: usize = 256 << 20;

    pub fn new(url: impl Into<String>, durability: Durability) -> Self {
        Self { url: url.into(), durability, cache_bytes: Self::DEFAULT_CACHE_BYTES }
    }
}

/// What a write has survived when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power failure: every file and its folder are fsynced before the commit that names them.
    Fsync,
    /// The end of the process only. For development.
    Fast,
}

/// What an insertion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Rows that were not there before.
    pub rows: u64,
    /// The table's version afterwards.
    pub version: u64,
}

/// All tables and blobs of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    location: Location,
    tables: BTreeMap<&'static str, Arc<Table>>,
    datanets: datanets::Cache,
    last_upkeep: Mutex<Option<LastUpkeep>>,
    upkeeping: tokio::sync::Mutex<()>,
    /// Of what stands beside the tables.
    kept: upkeep::Kept,
    blobs: upkeep::Blobs,
    hot: RwLock<Arc<Hot>>,
    event_tables: RwLock<Arc<Vec<EventTable>>>,
    reads: reads::Counters,
    /// Nothing is created, and every version is opened by its number.
    is_pinned: bool,
}

/// Every table, with its schema: what is created at start and what SQL shows.
fn table_specs() -> Vec<(TableSpec, SchemaRef)> {
    fn of<R: Row>() -> (TableSpec, SchemaRef) {
        (R::TABLE, R::schema())
    }
    vec![
        of::<AnswerRow>(),
        of::<ApiKeyRow>(),
        of::<AttributionRow>(),
        of::<BlockRow>(),
        of::<ChunkRow>(),
        of::<ClosingRow>(),
        of::<CoverageRow>(),
        of::<CuratorRow>(),
        of::<DatanetRow>(),
        of::<DebtRow>(),
        of::<DocumentRow>(),
        of::<EpochRow>(),
        of::<FollowedContractRow>(),
        of::<ForeignVersionRow>(),
        of::<LogRow>(),
        of::<PolicyRow>(),
        of::<ReceiptRow>(),
        of::<ReviewRow>(),
        of::<RewardRow>(),
        of::<SpendingLimitRow>(),
        of::<SubmissionRow>(),
        of::<VersionRow>(),
    ]
}

impl Store {
    /// Opens the store, creates what is missing, and takes the store's lock for this process.
    ///
    /// # Errors
    /// [`StoreError::BadLocation`], [`StoreError::Locked`] when another process has it open,
    /// [`StoreError::Corrupt`] when a table cannot be read, [`StoreError::UnsafeStorage`] when the
    /// storage does not honour put-if-absent.
    pub async fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        Self::open_at(Location::open(config).await?).await
    }

    /// Opens a store in a folder for reading, also while a service writes to it; what is written later
    /// is not seen. Writing through it is refused.
    ///
    /// # Errors
    /// [`StoreError::BadLocation`], [`StoreError::Corrupt`], also for a table that is missing.
    pub async fn open_to_read(url: &str) -> Result<Self, StoreError> {
        let location = Location::open_to_read(url)?;
        let opened = table_specs().into_iter().map(|(spec, schema)| {
            let location = &location;
            async move { Ok::<_, StoreError>((spec.name, Table::open_to_read(location, spec, &schema).await?)) }
        });
        let tables = futures::future::try_join_all(opened).await?.into_iter().collect();
        Ok(Self::over(location, tables, false))
    }

    /// Opens exactly these versions of all tables, for reading.
    pub(crate) async fn open_pinned(url: &str, versions: &BTreeMap<String, u64>) -> Result<Self, StoreError> {
        let location = Location::open_to_read(url)?;
        let opened = table_specs().into_iter().map(|(spec, _)| {
            let location = &location;
            async move {
                let missing = || StoreError::NotFound(format!("a version of table {}", spec.name));
                let version = versions.get(spec.name).copied().ok_or_else(missing)?;
                Ok::<_, StoreError>((spec.name, Table::open_version(location, spec.name, version).await?))
            }
        });
        let tables = futures::future::try_join_all(opened).await?.into_iter().collect();
        Ok(Self::over(location, tables, true))
    }

    /// An empty store in memory: the same code over object_store's `InMemory`.
    pub async fn in_memory() -> Result<Self, StoreError> {
        Self::open(&StoreConfig::new("memory://", Durability::Fast)).await
    }

    /// The same, failing as it is told to. Thousands of them are opened in simulations: the empty tables are created
    /// once in a process and copied.
    ///
    /// # Errors
    /// Errors of the storage, if its faults are active already.
    pub async fn in_memory_failing(faults: &StorageFaults) -> Result<Self, StoreError> {
        static EMPTY: OnceCell<InMemory> = OnceCell::const_new();
        let empty = EMPTY.get_or_try_init(|| async {
            let objects = Arc::new(InMemory::new());
            Self::open_at(Location::in_memory("memory://", objects.clone(), StoreConfig::DEFAULT_CACHE_BYTES)).await?;
            Ok::<_, StoreError>(objects.fork())
        });
        Self::open_at(Location::failing(faults, empty.await?.fork())).await
    }

    /// Opens the storage of a store once more, as a process of its own would: nothing else is shared. For tests of what
    /// several processes do; a folder's lock is the first one's.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn opened_again(&self) -> Result<Self, StoreError> {
        Self::open_at(self.inner.location.again()).await
    }

    async fn open_at(location: Location) -> Result<Self, StoreError> {
        let opened = table_specs().into_iter().map(|(spec, schema)| {
            let location = &location;
            async move { Ok::<_, StoreError>((spec.name, Table::open_or_create(location, spec, &schema).await?)) }
        });
        let tables = futures::future::try_join_all(opened).await?.into_iter().collect();
        Ok(Self::over(location, tables, false))
    }

    fn over(location: Location, tables: BTreeMap<&'static str, Table>, is_pinned: bool) -> Self {
        let (hot, event_tables, last_upkeep) = (RwLock::default(), RwLock::default(), Mutex::default());
        let (datanets, reads) = (datanets::Cache::default(), reads::Counters::default());
        let tables = tables.into_iter().map(|(name, table)| (name, Arc::new(table))).collect();
        let (upkeeping, kept, blobs) = (tokio::sync::Mutex::default(), upkeep::Kept::default(), upkeep::Blobs::default());
        let inner = Inner { location, tables, datanets, last_upkeep, upkeeping, kept, blobs, hot, event_tables, reads, is_pinned };
        Self { inner: Arc::new(inner) }
    }

    /// Names that SQL shows, those of event tables left out.
    pub fn reserved_names() -> Vec<String> {
        let tables = table_specs().into_iter().map(|(spec, _)| spec.name.to_owned());
        tables.chain(sql::view_names().map(str::to_owned)).collect()
    }

    fn table<R: Row>(&self) -> Result<&Table, StoreError> {
        self.table_named(R::TABLE.name)
    }

    fn table_named(&self, name: &str) -> Result<&Table, StoreError> {
        self.inner.tables.get(name).map(AsRef::as_ref).ok_or_else(|| StoreError::NotFound(format!("table {name}")))
    }

    /// Inserts the rows whose key is not there yet; the others are left as they are. Of rows with
    /// the same key within `rows`, the first counts. Running it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] on a table that is appended to.
    pub async fn insert_new<R: Row>(&self, rows: &[R]) -> Result<Inserted, StoreError> {
        let table = self.table::<R>()?;
        if rows.is_empty() {
            return Ok(Inserted { rows: 0, version: table.version() });
        }
        table.insert_new(&R::to_batch(rows)?).await
    }

    /// Appends rows; returns the table's version. For tables with a single writer that derives its
    /// position from the rows.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] on a keyed table.
    pub async fn append<R: Row>(&self, rows: &[R]) -> Result<u64, StoreError> {
        let table = self.table::<R>()?;
        if rows.is_empty() {
            return Ok(table.version());
        }
        table.append(vec![R::to_batch(rows)?]).await
    }

    /// Appends record batches of the table's schema, in one commit; returns the table's version.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] on a keyed table.
    pub async fn append_batches<R: Row>(&self, batches: Vec<RecordBatch>) -> Result<u64, StoreError> {
        self.table::<R>()?.append(batches).await
    }

    /// Deletes rows of an appended table, for instance those above the indexer's cursor.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] on a keyed table.
    pub async fn delete_where<R: Row>(&self, predicate: &str) -> Result<u64, StoreError> {
        self.table::<R>()?.delete_where(predicate).await
    }

    /// Removes rows of a keyed table that are to be known no more: one of them that is inserted again is new.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] on a table that is appended to.
    pub async fn forget<R: Row>(&self, predicate: &str) -> Result<u64, StoreError> {
        self.table::<R>()?.forget(predicate).await
    }

    /// Rows that satisfy `filter` (a SQL boolean expression over the columns), in no order.
    pub async fn scan<R: Row>(&self, filter: Option<&str>) -> Result<Vec<R>, StoreError> {
        let rows = table::rows(&self.table::<R>()?.dataset(), filter).await?;
        self.inner.reads.count(rows.len());
        Ok(rows)
    }

    /// Those columns of the rows of `R` that `P` has: what is not read costs nothing.
    pub async fn scan_part<R: Row, P: Row>(&self, filter: Option<&str>) -> Result<Vec<P>, StoreError> {
        let rows = table::rows(&self.table::<R>()?.dataset(), filter).await?;
        self.inner.reads.count(rows.len());
        Ok(rows)
    }

    /// What `map` makes of the rows, of those that satisfy `filter` where there is one, so many at a time, on threads that may block;
    /// in no order. For many rows of which less is kept than they are.
    pub async fn map_batches<R: Row, T: Send + 'static>(
        &self,
        filter: Option<&str>,
        at_once: usize,
        map: impl Fn(Vec<R>) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let counted = move |rows: Vec<R>| (rows.len(), map(rows));
        let mapped = table::map_batches(&self.table::<R>()?.dataset(), filter, at_once, counted).await?;
        self.inner.reads.count(mapped.iter().map(|(rows, _)| rows).sum());
        Ok(mapped.into_iter().map(|(_, made)| made).collect())
    }

    /// Gives all rows to `each`, a batch at a time, in the order they were written in.
    ///
    /// # Errors
    /// What `each` says, and errors of the store.
    pub async fn for_each_batch<R: Row>(&self, mut each: impl FnMut(Vec<R>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut count = 0;
        let counted = |rows: Vec<R>| {
            count += rows.len();
            each(rows)
        };
        let given = table::for_each_batch(&self.table::<R>()?.dataset(), counted).await;
        self.inner.reads.count(count);
        given
    }

    /// The same as of an earlier version of the table.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such version.
    pub async fn scan_at<R: Row>(&self, version: u64, filter: Option<&str>) -> Result<Vec<R>, StoreError> {
        let dataset = self.table::<R>()?.at(version).await?;
        let rows = table::rows(&dataset, filter).await?;
        self.inner.reads.count(rows.len());
        Ok(rows)
    }

    /// How many rows satisfy `filter`.
    pub async fn count<R: Row>(&self, filter: Option<&str>) -> Result<u64, StoreError> {
        self.inner.reads.count(0);
        table::count(&self.table::<R>()?.dataset(), filter).await
    }

    /// The largest value of an integer column; `None` when the table is empty.
    pub async fn max<R: Row>(&self, column: &str) -> Result<Option<u64>, StoreError> {
        Ok(self.extent::<R>(column).await?.map(|extent| *extent.end()))
    }

    /// The smallest and the largest value of an integer column; `None` when the table is empty.
    pub async fn extent<R: Row>(&self, column: &str) -> Result<Option<RangeInclusive<u64>>, StoreError> {
        self.inner.reads.count(0);
        extent::extent_of(&self.table::<R>()?.dataset(), column).await
    }

    /// Looks on the storage for a version of the table that a write made of which only a failure, or nothing,
    /// was heard; whether there was one. To be called before a decision rests on the table's rows after such a write.
    pub async fn reload<R: Row>(&self) -> Result<bool, StoreError> {
        self.table::<R>()?.reload().await
    }

    /// The current version of every table.
    pub(crate) fn versions(&self) -> BTreeMap<String, u64> {
        self.inner.tables.iter().map(|(name, table)| ((*name).to_owned(), table.version())).collect()
    }

    /// The table's current version.
    pub fn version<R: Row>(&self) -> Result<u64, StoreError> {
        Ok(self.table::<R>()?.version())
    }

    /// What was read of the tables since the store was opened, chunks and queries left out.
    pub fn reads(&self) -> Reads {
        self.inner.reads.so_far()
    }

    /// Where the store is, as configured.
    pub fn url(&self) -> &str {
        self.inner.location.url()
    }
}
