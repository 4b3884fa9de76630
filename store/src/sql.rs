//! The read-only SQL session over all tables.
//!
//! A query sees a fresh session with our tables and nothing else: no other statement than one
//! query, no file or network access, bounded memory, rows, bytes and time. Its result names the
//! snapshot it was read at; the same snapshot gives the same rows again.

mod bounded;
mod chunks;
mod decode;
mod digits;
mod events;
mod exact;
mod functions;
mod guard;
mod meaning;
mod rules;
mod screen;
mod session;
mod snapshot;
mod statement;
mod views;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use datafusion::datasource::TableProvider;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use lance::Dataset;
use lance::datafusion::LanceTableProvider;
use schemas::Address;
use schemas::arrow::array::RecordBatch;
use schemas::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

pub(crate) use session::view_names;
pub use snapshot::{BlockStamp, Snapshot};

use crate::{Store, StoreError};

/// Stack of the threads that queries run on: parsers and planners recurse, and what may be asked is bounded to fit.
pub(crate) const STACK_BYTES: usize = 16 << 20;
pub(crate) const THREADS: usize = 2;
/// For reading files.
pub(crate) const BLOCKING_THREADS: usize = 2;

/// Where queries run, apart from everything else. It lives as long as the process.
pub(crate) static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("sql")
        .enable_all()
        .build()
});

/// For whose eyes a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Viewer {
    /// Everything.
    Everything,
    /// What is published, and of questions and answers those that `payer` paid for.
    Published { payer: Option<Address> },
}

/// A pinned dataset as DataFusion reads it.
fn provider(dataset: Arc<Dataset>) -> Arc<dyn TableProvider> {
    Arc::new(LanceTableProvider::new(dataset, false, false))
}

/// What one query may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryLimits {
    pub max_statement_bytes: usize,
    pub max_rows: usize,
    pub max_result_bytes: usize,
    pub max_memory_bytes: usize,
    pub timeout: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_statement_bytes: 16 << 10,
            max_rows: 10_000,
            max_result_bytes: 16 << 20,
            max_memory_bytes: 512 << 20,
            timeout: Duration::from_secs(30),
        }
    }
}

/// A query's rows, and what they were read at.
#[derive(Debug, Clone)]
pub struct QueryResult {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// Whether rows were left out because of `max_rows`.
    pub truncated: bool,
    pub snapshot: Snapshot,
}

/// Ends a task when its caller is gone.
struct UntilDropped(AbortHandle);

impl Drop for UntilDropped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Store {
    /// Runs one query at the newest state, or at a snapshot taken before, and sees everything.
    ///
    /// # Errors
    /// [`StoreError::Query`] for what is not a single, valid query; [`StoreError::QueryLimit`]
    /// when it goes beyond `limits`; [`StoreError::NotFound`] for a snapshot that cannot be had.
    pub async fn query(&self, sql: &str, limits: &QueryLimits, at: Option<&Snapshot>) -> Result<QueryResult, StoreError> {
        self.query_as(Viewer::Everything, sql, limits, at).await
    }

    /// [`Store::query`] with the eyes of `viewer`. In this process: whoever lets strangers ask runs it in another
    /// ([`crate::workers`]), since no memory limit here is complete.
    ///
    /// # Errors
    /// Those of [`Store::query`].
    pub async fn query_as(
        &self,
        viewer: Viewer,
        sql: &str,
        limits: &QueryLimits,
        at: Option<&Snapshot>,
    ) -> Result<QueryResult, StoreError> {
        let snapshot = match at {
            Some(snapshot) => snapshot.clone(),
            None => self.snapshot().await?,
        };
        let runtime = RUNTIME.as_ref().map_err(|error| StoreError::Storage(format!("threads for queries: {error}")))?;
        // A task of its own, so that a query that keeps a thread busy cannot hold up the caller.
        let task = runtime.spawn(run(self.clone(), viewer, sql.to_owned(), limits.clone(), snapshot));
        let _until_dropped = UntilDropped(task.abort_handle());
        match tokio::time::timeout(limits.timeout, task).await {
            Ok(Ok(result)) => result.map_err(|error| self.without_places(error)),
            Ok(Err(error)) => Err(StoreError::Query(format!("the query failed: {error}"))),
            Err(_) => Err(out_of_time(limits)),
        }
    }

    /// An error of the storage below a query says where its files are, which is no answer to who asked.
    fn without_places(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Query(text) if self.inner.location.is_named_in(&text) => StoreError::Storage(text),
            error => error,
        }
    }
}

pub(crate) fn out_of_time(limits: &QueryLimits) -> StoreError {
    StoreError::QueryLimit(format!("it ran longer than {} s", limits.timeout.as_secs()))
}

async fn run(store: Store, viewer: Viewer, sql: String, limits: QueryLimits, snapshot: Snapshot) -> Result<QueryResult, StoreError> {
    let context = session::open(&store, &snapshot, &limits, viewer).await?;
    let statement = statement::read(&context, &sql, &limits, viewer)?;
    let logical = context.state().statement_to_plan(statement).await.map_err(guard::query_error)?;
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&logical).map_err(guard::query_error)?;
    let query = context.execute_logical_plan(logical).await.map_err(guard::query_error)?;
    let plan = guard::interruptible(query.create_physical_plan().await.map_err(guard::query_error)?)?;
    let mut stream = execute_stream(plan, context.task_ctx()).map_err(guard::query_error)?;
    let schema = stream.schema();
    let (mut batches, mut rows, mut bytes, mut truncated) = (Vec::new(), 0, 0, false);
    while let Some(batch) = stream.next().await {
        let mut batch = batch.map_err(guard::query_error)?;
        if rows + batch.num_rows() > limits.max_rows {
            batch = batch.slice(0, limits.max_rows - rows);
            truncated = true;
        }
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        if bytes > limits.max_result_bytes {
            return Err(StoreError::QueryLimit(format!(
                "its result exceeds {} bytes; select fewer columns or add a LIMIT",
                limits.max_result_bytes
            )));
        }
        batches.push(batch);
        if truncated {
            break;
        }
    }
    Ok(QueryResult { schema, batches, truncated, snapshot })
}
