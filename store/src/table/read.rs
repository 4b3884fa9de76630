//! Reading a pinned version of a table.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use futures::{StreamExt as _, TryStreamExt as _};
use lance::Dataset;
use lance::dataset::ProjectionRequest;
use lance::dataset::scanner::Scanner;
use lance_table::format::Fragment;
use schemas::arrow::array::{AsArray, RecordBatch};
use schemas::arrow::datatypes::UInt64Type;
use schemas::tables::Row;

use crate::StoreError;
use crate::indexes::WORTH_INDEXING;

/// Tables of fewer rows are read as they are. Tests cross it.
const LARGE_ROWS: usize = if cfg!(test) { 100 } else { WORTH_INDEXING };
/// More rows than this are not taken one by one.
const FEW_ROWS: usize = if cfg!(test) { 50 } else { 1024 };
/// What a pass over a table reads ahead, and how many batches are in memory beside: as many on any machine, for they may be large.
const SCAN_BUFFER_BYTES: u64 = 64 << 20;
const MOST_MAPPED: usize = 4;
/// The column in which Lance tells the places of rows.
const ROW_ID: &str = "_rowid";

/// Whether nothing was ever appended, or all of it is gone: then no query has to be planned.
pub(crate) fn has_no_rows(dataset: &Dataset) -> bool {
    dataset.count_fragments() == 0
}

/// How many rows of a pinned dataset satisfy a filter.
pub(crate) async fn count(dataset: &Dataset, filter: Option<&str>) -> Result<u64, StoreError> {
    if has_no_rows(dataset) {
        return Ok(0);
    }
    Ok(dataset.count_rows(filter.map(str::to_owned)).await? as u64)
}

/// Rows of a pinned dataset, in the order they were written in.
pub(crate) async fn rows<R: Row>(dataset: &Dataset, filter: Option<&str>) -> Result<Vec<R>, StoreError> {
    let Some(filter) = filter else {
        return if has_no_rows(dataset) { Ok(Vec::new()) } else { read(dataset.scan()).await };
    };
    filtered(dataset, || {
        let mut scan = dataset.scan();
        scan.filter(filter)?;
        Ok(scan)
    })
    .await
}

/// The columns that a row type reads.
pub(crate) fn column_names<P: Row>() -> Vec<String> {
    P::schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// Rows of a pinned dataset for which an expression holds.
pub(crate) async fn rows_where<R: Row>(dataset: &Dataset, filter: Expr) -> Result<Vec<R>, StoreError> {
    filtered(dataset, || {
        let mut scan = dataset.scan();
        scan.filter_expr(filter.clone());
        Ok(scan)
    })
    .await
}

/// What `scan` gives. Beside an index Lance 14 reads all columns of the rows that it does not cover, to leave nearly all of them
/// out: so of a large table it is first asked which rows these are, and few are then taken by their place.
async fn filtered<R: Row>(dataset: &Dataset, scan: impl Fn() -> Result<Scanner, StoreError>) -> Result<Vec<R>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(Vec::new());
    }
    let total: usize = dataset.fragments().iter().filter_map(Fragment::num_rows).sum();
    if total < LARGE_ROWS {
        return read(scan()?).await;
    }
    let mut places = scan()?;
    places.project::<&str>(&[])?.with_row_id();
    let batches: Vec<RecordBatch> = places.try_into_stream().await?.try_collect().await?;
    let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if found > FEW_ROWS {
        return read(scan()?).await;
    }
    let mut ids = Vec::with_capacity(found);
    for batch in &batches {
        let column = batch.column_by_name(ROW_ID).and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let column = column.ok_or_else(|| StoreError::Misuse("a scan gave no places of rows".to_owned()))?;
        ids.extend_from_slice(column.values());
    }
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let taken = dataset.take_rows(&ids, ProjectionRequest::from_columns(column_names::<R>(), dataset.schema())).await?;
    Ok(R::from_batch(&taken)?)
}

async fn read<R: Row>(mut scan: Scanner) -> Result<Vec<R>, StoreError> {
    project::<R>(&mut scan)?;
    let mut batches = scan.try_into_stream().await?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        rows.extend(R::from_batch(&batch)?);
    }
    Ok(rows)
}

/// Reads the row type's columns and no other.
fn project<R: Row>(scan: &mut Scanner) -> Result<(), StoreError> {
    scan.project(&column_names::<R>())?;
    Ok(())
}

/// Gives all rows of a pinned dataset to `each`, a batch at a time.
pub(crate) async fn for_each_batch<R: Row>(
    dataset: &Dataset,
    mut each: impl FnMut(Vec<R>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut scan = dataset.scan();
    scan.scan_in_order(true);
    project::<R>(&mut scan)?;
    let mut batches = scan.try_into_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        each(R::from_batch(&batch)?)?;
    }
    Ok(())
}

/// What `map` makes of the rows of a pinned dataset, of those that satisfy `filter` where there is one, so many at a time; in no
/// order. They are found by reading the filter's columns in one pass: an index pays for few rows.
pub(crate) async fn map_batches<R: Row, T: Send + 'static>(
    dataset: &Dataset,
    filter: Option<&str>,
    at_once: usize,
    map: impl Fn(Vec<R>) -> T + Send + Sync + 'static,
) -> Result<Vec<T>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(Vec::new());
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_MAPPED);
    let mut scan = dataset.scan();
    if let Some(filter) = filter {
        scan.filter(filter)?;
    }
    scan.use_scalar_index(false).scan_in_order(false).batch_size(at_once).batch_readahead(threads).io_buffer_size(SCAN_BUFFER_BYTES);
    project::<R>(&mut scan)?;
    let map = Arc::new(map);
    let mapped = scan.try_into_stream().await?.map(|batch| {
        let map = map.clone();
        async move {
            let batch = batch?;
            match tokio::task::spawn_blocking(move || Ok(map(R::from_batch(&batch)?))).await {
                Ok(mapped) => mapped,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(StoreError::Storage(format!("reading was given up: {error}"))),
            }
        }
    });
    mapped.buffer_unordered(threads).try_collect().await
}
