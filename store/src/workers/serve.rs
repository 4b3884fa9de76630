//! The worker's side: one order, one reply, and the end; earlier when whoever ordered is gone.

use std::io::{Read, Result, Write, stdin, stdout};
use std::sync::Arc;

use schemas::tables::{BlockRow, LogRow, Row};

use super::limits::restrict;
use super::protocol::{Order, READY, read_order, send_reply};
use crate::sql::{QueryResult, RUNTIME};
use crate::{Hot, Store, StoreError};

/// Answers one query from standard input on standard output.
///
/// # Errors
/// The pipes'. What is wrong with the query is part of the reply.
pub fn serve() -> Result<()> {
    stdout().write_all(READY)?;
    stdout().flush()?;
    let (order, blocks, logs) = read_order(&mut stdin().lock())?;
    restrict(&order.limits)?;
    // Nothing more is written to this pipe: it ends when whoever ordered does, however that happens.
    std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
        drop(stdin().lock().read(&mut [0]));
        std::process::exit(1);
    })?;
    let hot = read_window(&order, &blocks, &logs);
    let result = match (RUNTIME.as_ref(), hot) {
        (Ok(runtime), Ok(hot)) => runtime.block_on(answer(order, hot)),
        (Err(error), _) => Err(StoreError::Storage(format!("threads for a query: {error}"))),
        (_, Err(error)) => Err(error),
    };
    send_reply(&mut stdout().lock(), result)?;
    // Not to wait for threads that are still busy with what nobody wants any more.
    std::process::exit(0)
}

fn read_window(
    order: &Order,
    blocks: &schemas::arrow::array::RecordBatch,
    logs: &schemas::arrow::array::RecordBatch,
) -> std::result::Result<Hot, StoreError> {
    let logs: Arc<[LogRow]> = LogRow::from_batch(logs)?.into();
    let logs = if logs.is_empty() { Vec::new() } else { vec![logs] };
    Ok(Hot { blocks: BlockRow::from_batch(blocks)?, logs, stored_to: order.stored_to, finalized_to: order.finalized_to })
}

async fn answer(order: Order, hot: Hot) -> std::result::Result<QueryResult, StoreError> {
    let store = Store::open_pinned(&order.url, &order.versions).await?;
    store.set_hot(hot);
    store.set_event_tables(order.event_tables);
    store.query_as(order.viewer, &order.sql, &order.limits, Some(&order.snapshot)).await
}
