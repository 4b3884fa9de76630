//! The read-only SQL session over all tables.
//!
//! A query sees a fresh session with our tables and nothing else: no other statement than one
//! query, no file or network access, bounded memory, rows, bytes and time. Its result names the
//! snapshot it was read at; the same snapshot gives the same rows again.

mod chunks;
mod decode;
mod events;
mod functions;
mod guard;
mod session;
mod snapshot;

use std::sync::Arc;
use std::time::Duration;

use datafusion::datasource::TableProvider;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use lance::Dataset;
use lance::datafusion::LanceTableProvider;
use schemas::arrow::array::RecordBatch;
use schemas::arrow::datatypes::SchemaRef;

pub(crate) use session::view_names;
pub use snapshot::{BlockStamp, Snapshot};

use crate::{Store, StoreError};

/// A pinned dataset as DataFusion reads it.
fn provider(dataset: Arc<Dataset>) -> Arc<dyn TableProvider> {
    Arc::new(LanceTableProvider::new(dataset, false, false))
}

/// What one query may use.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl Store {
    /// Runs one query at the newest state, or at a snapshot taken before.
    ///
    /// # Errors
    /// [`StoreError::Query`] for what is not a single, valid query; [`StoreError::QueryLimit`]
    /// when it goes beyond `limits`; [`StoreError::NotFound`] for a snapshot that cannot be had.
    pub async fn query(&self, sql: &str, limits: &QueryLimits, at: Option<&Snapshot>) -> Result<QueryResult, StoreError> {
        guard::check_statement(sql, limits)?;
        let snapshot = match at {
            Some(snapshot) => snapshot.clone(),
            None => self.snapshot().await?,
        };
        let run = self.run(sql.to_owned(), limits.clone(), snapshot);
        // A task of its own, so that a query that keeps a thread busy cannot hold up the caller.
        let mut task = tokio::spawn(run);
        match tokio::time::timeout(limits.timeout, &mut task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError::Query(format!("the query failed: {error}"))),
            Err(_) => {
                task.abort();
                Err(StoreError::QueryLimit(format!("it ran longer than {} s", limits.timeout.as_secs())))
            }
        }
    }

    fn run(&self, sql: String, limits: QueryLimits, snapshot: Snapshot) -> impl Future<Output = Result<QueryResult, StoreError>> + use<> {
        let store = self.clone();
        async move {
            let context = session::open(&store, &snapshot, &limits).await?;
            let query = guard::plan(&context, &sql).await?;
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
    }
}
