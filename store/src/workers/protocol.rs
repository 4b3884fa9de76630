//! What goes through a worker's pipes: frames of a length and so many bytes. Rows are Arrow's IPC stream.
//! Both ends are one program, so there is no version.

use std::collections::BTreeMap;
use std::io::{Cursor, Error, ErrorKind, Read, Result, Write};

use schemas::arrow::array::RecordBatch;
use schemas::arrow::ipc::reader::StreamReader;
use schemas::arrow::ipc::writer::StreamWriter;
use schemas::events::EventTable;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::StoreError;
use crate::sql::{QueryLimits, QueryResult, Snapshot, Viewer};

/// What a worker says when it can be asked. Whatever else a program prints at its start is passed over.
pub(super) const READY: &[u8] = b"\0headwater-sql-ready\n";
const BEFORE_READY_BYTES: usize = 4096;
/// An order is ours: a limit all the same.
const ORDER_BYTES_MAX: u64 = 1 << 30;
/// Beside its rows a reply has a schema and a snapshot.
const REPLY_OVERHEAD_BYTES: u64 = 16 << 20;

/// A query, and the state that it is read at.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) url: String,
    /// Of every table.
    pub(super) versions: BTreeMap<String, u64>,
    pub(super) snapshot: Snapshot,
    pub(super) viewer: Viewer,
    pub(super) limits: QueryLimits,
    pub(super) sql: String,
    pub(super) event_tables: Vec<EventTable>,
    /// Of the window that follows.
    pub(super) stored_to: Option<u64>,
    pub(super) finalized_to: Option<u64>,
}

/// An error on its way between processes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Query(String),
    QueryLimit(String),
    NotFound(String),
    Storage(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Query(text) => Self::Query(text),
            StoreError::QueryLimit(text) => Self::QueryLimit(text),
            StoreError::NotFound(text) => Self::NotFound(text),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Query(text) => Self::Query(text),
            Failure::QueryLimit(text) => Self::QueryLimit(text),
            Failure::NotFound(text) => Self::NotFound(text),
            Failure::Storage(text) => Self::Storage(text),
        }
    }
}

#[derive(Debug)]
pub(super) enum Reply {
    Rows(QueryResult),
    Failed(Failure),
}

/// The first frame of a reply; where there are rows, they are the second.
#[derive(Debug, Serialize, Deserialize)]
enum ReplyHead {
    Rows { truncated: bool, snapshot: Snapshot },
    Failed(Failure),
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes(), bytes].concat()
}

fn to_stream(schema: &schemas::arrow::datatypes::SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(invalid)?;
    for batch in batches {
        writer.write(batch).map_err(invalid)?;
    }
    writer.into_inner().map_err(invalid)
}

pub(super) async fn await_ready(stdout: &mut (impl AsyncRead + Unpin)) -> Result<()> {
    let mut said = Vec::new();
    while !said.ends_with(READY) {
        if said.len() > BEFORE_READY_BYTES {
            return Err(Error::new(ErrorKind::InvalidData, "it says something else"));
        }
        said.push(stdout.read_u8().await?);
    }
    Ok(())
}

/// `window`: blocks and logs above those in the tables.
pub(super) async fn send_order(stdin: &mut (impl AsyncWrite + Unpin), order: &Order, window: &(RecordBatch, RecordBatch)) -> Result<()> {
    let order = serde_json::to_vec(order).map_err(invalid)?;
    stdin.write_all(&frame(&order)).await?;
    for batch in [&window.0, &window.1] {
        stdin.write_all(&frame(&to_stream(&batch.schema(), std::slice::from_ref(batch))?)).await?;
    }
    stdin.flush().await
}

/// The order and its window, as the worker reads them.
pub(super) fn read_order(stdin: &mut impl Read) -> Result<(Order, RecordBatch, RecordBatch)> {
    let order = serde_json::from_slice(&read_frame(stdin)?).map_err(invalid)?;
    let mut batch = || {
        let bytes = read_frame(stdin)?;
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(invalid)?;
        reader.next().transpose().map_err(invalid)?.ok_or_else(|| Error::new(ErrorKind::InvalidData, "a window has no batch"))
    };
    Ok((order, batch()?, batch()?))
}

fn read_frame(stdin: &mut impl Read) -> Result<Vec<u8>> {
    let mut length = [0; 8];
    stdin.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > ORDER_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut bytes = Vec::new();
    stdin.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}

pub(super) fn send_reply(stdout: &mut impl Write, result: std::result::Result<QueryResult, StoreError>) -> Result<()> {
    let (head, rows) = match result {
        Ok(result) => {
            let rows = to_stream(&result.schema, &result.batches)?;
            (ReplyHead::Rows { truncated: result.truncated, snapshot: result.snapshot }, Some(rows))
        }
        Err(error) => (ReplyHead::Failed(error.into()), None),
    };
    stdout.write_all(&frame(&serde_json::to_vec(&head).map_err(invalid)?))?;
    if let Some(rows) = rows {
        stdout.write_all(&frame(&rows))?;
    }
    stdout.flush()
}

pub(super) async fn read_reply(stdout: &mut (impl AsyncRead + Unpin), limits: &QueryLimits) -> Result<Reply> {
    let most = (limits.max_result_bytes as u64).saturating_mul(2).saturating_add(REPLY_OVERHEAD_BYTES);
    let head: ReplyHead = serde_json::from_slice(&receive_frame(stdout, most).await?).map_err(invalid)?;
    match head {
        ReplyHead::Failed(failure) => Ok(Reply::Failed(failure)),
        ReplyHead::Rows { truncated, snapshot } => {
            let rows = receive_frame(stdout, most).await?;
            let reader = StreamReader::try_new(Cursor::new(rows), None).map_err(invalid)?;
            let schema = reader.schema();
            let batches = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(invalid)?;
            Ok(Reply::Rows(QueryResult { schema, batches, truncated, snapshot }))
        }
    }
}

async fn receive_frame(stdout: &mut (impl AsyncRead + Unpin), most: u64) -> Result<Vec<u8>> {
    let length = stdout.read_u64_le().await?;
    if length > most {
        return Err(Error::new(ErrorKind::InvalidData, "a reply is too long"));
    }
    let mut bytes = Vec::new();
    (&mut *stdout).take(length).read_to_end(&mut bytes).await?;
    if (bytes.len() as u64) < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
}
