//! Queries in processes of their own: with limits of memory and time that the system keeps, and ended by SIGKILL
//! when their time is over or their caller gone. A worker answers one query; a few wait ready.

mod limits;
mod protocol;
mod serve;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemas::arrow::array::RecordBatch;
use schemas::tables::{BlockRow, LogRow, Row};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::sql::{QueryLimits, QueryResult, Snapshot, Viewer, out_of_time};
use crate::{Store, StoreError};
use protocol::{Order, Reply};
pub use serve::serve;

/// A started process must be ready within this time, on the slowest machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// A worker ends a query itself; after so much more it is killed.
const GRACE: Duration = Duration::from_secs(1);

/// How a worker's jemalloc takes memory.
const MEMORY_OF_WORKERS: &str = "narenas:1,retain:false,background_thread:false";

/// Behind the standard streams.
const FIRST_FILE: std::ffi::c_int = 3;

/// Starts workers, and hands queries to them.
#[derive(Debug)]
pub struct QueryWorkers {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// How many wait ready.
    warm: usize,
    idle: Mutex<Vec<Worker>>,
}

/// A process that waits for a query. Dropping it kills it.
#[derive(Debug)]
struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl QueryWorkers {
    /// `program` with `arguments` must call [`serve`].
    pub fn new(program: PathBuf, arguments: Vec<OsString>, warm: usize) -> Self {
        Self { program, arguments, warm, idle: Mutex::default() }
    }

    /// Runs one query with the eyes of `viewer` on a store in a folder. Dropping the future kills the query.
    ///
    /// # Errors
    /// Those of [`Store::query_as`].
    pub async fn query(
        &self,
        store: &Store,
        viewer: Viewer,
        sql: &str,
        limits: &QueryLimits,
        at: Option<&Snapshot>,
    ) -> Result<QueryResult, StoreError> {
        if sql.len() > limits.max_statement_bytes {
            return Err(StoreError::QueryLimit(format!("the statement is longer than {} bytes", limits.max_statement_bytes)));
        }
        let snapshot = match at {
            Some(snapshot) => snapshot.clone(),
            None => store.snapshot().await?,
        };
        // The window before the versions: what leaves it meanwhile is in the tables, and counts once.
        let hot = store.hot();
        let window = (BlockRow::to_batch(&hot.blocks)?, LogRow::to_batch(&hot.logs().cloned().collect::<Vec<_>>())?);
        let order = Order {
            url: store.url().to_owned(),
            versions: store.versions(),
            snapshot,
            viewer,
            limits: limits.clone(),
            sql: sql.to_owned(),
            event_tables: store.event_tables().to_vec(),
            stored_to: hot.stored_to,
            finalized_to: hot.finalized_to,
        };
        let mut worker = self.take().await?;
        let answer = tokio::time::timeout(limits.timeout + GRACE, worker.answer(&order, &window, limits)).await;
        self.fill();
        match answer {
            Ok(answer) => answer,
            Err(_) => Err(out_of_time(limits)),
        }
    }

    /// A worker that is ready.
    async fn take(&self) -> Result<Worker, StoreError> {
        loop {
            let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut worker) = waiting else { break };
            // One that somebody has killed meanwhile answers nothing.
            if matches!(worker.child.try_wait(), Ok(None)) {
                return worker.ready().await;
            }
        }
        self.start()?.ready().await
    }

    /// Starts what is missing of those that wait. They get ready by themselves.
    pub fn fill(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.len() < self.warm {
            match self.start() {
                Ok(worker) => idle.push(worker),
                // The next query says why.
                Err(_) => return,
            }
        }
    }

    fn start(&self) -> Result<Worker, StoreError> {
        let failed = |error: std::io::Error| StoreError::Storage(format!("a process for a query cannot be started: {error}"));
        // Rust opens files for one program; those that we were started with, and other languages' libraries', are for every one.
        close_fds::set_fds_cloexec(FIRST_FILE, &[]);
        let mut command = Command::new(&self.program);
        // Nothing of the environment: keys stand there. One arena (of jemalloc, and of the system's allocator), and addresses given back, so
        // that the limit of addresses bounds what is allocated.
        command
            .args(&self.arguments)
            .env_clear()
            .env("MALLOC_ARENA_MAX", "1")
            .env("_RJEM_MALLOC_CONF", MEMORY_OF_WORKERS)
            .current_dir("/")
            .kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Worker { child, stdin, stdout }),
            _ => Err(StoreError::Storage("a process for a query has no pipes".into())),
        }
    }
}

impl Worker {
    async fn ready(mut self) -> Result<Self, StoreError> {
        match tokio::time::timeout(START_PATIENCE, protocol::await_ready(&mut self.stdout)).await {
            Ok(Ok(())) => Ok(self),
            Ok(Err(error)) => Err(StoreError::Storage(format!("a process for a query ended at its start: {error}"))),
            Err(_) => Err(StoreError::Storage(format!("a process for a query was not ready after {} s", START_PATIENCE.as_secs()))),
        }
    }

    async fn answer(
        &mut self,
        order: &Order,
        window: &(RecordBatch, RecordBatch),
        limits: &QueryLimits,
    ) -> Result<QueryResult, StoreError> {
        let exchanged = async {
            protocol::send_order(&mut self.stdin, order, window).await?;
            protocol::read_reply(&mut self.stdout, limits).await
        };
        match exchanged.await {
            Ok(Reply::Rows(result)) => Ok(result),
            Ok(Reply::Failed(failure)) => Err(failure.into()),
            Err(error) => match self.child.wait().await {
                Ok(status) => Err(ended(status, limits)),
                Err(_) => Err(StoreError::Storage(format!("a process for a query: {error}"))),
            },
        }
    }
}

/// Why a worker ended without an answer. Its limits are the system's, which speaks in signals.
fn ended(status: ExitStatus, limits: &QueryLimits) -> StoreError {
    use rustix::process::Signal;
    match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => out_of_time(limits),
        Some(Signal::ABORT | Signal::SEGV | Signal::BUS | Signal::KILL) => {
            StoreError::QueryLimit(format!("it needs more memory than a query may use ({} bytes)", limits.max_memory_bytes))
        }
        _ => StoreError::Storage(format!("a process for a query ended early: {status}")),
    }
}
