//! Which rows of a batch a table does not hold yet, by their key columns.

use std::collections::HashSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use futures::TryStreamExt;
use lance::Dataset;
use schemas::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use schemas::arrow::compute::filter_record_batch;
use schemas::arrow::error::ArrowError;
use schemas::arrow::row::{OwnedRow, RowConverter, SortField};

use crate::StoreError;
use crate::table::has_no_rows;

/// The rows of `batch` whose key a pinned dataset lacks; of rows with one key, the first. Where a key column has an index,
/// this reads a few of its pages; otherwise the key columns are read.
///
/// `MergeInsertBuilder` answers the same question by a join that reads the keys of the whole table, or, where every key column
/// is indexed, without its protection against doubles (lance#9238).
pub(crate) async fn missing(dataset: &Dataset, keys: &[&str], batch: &RecordBatch) -> Result<RecordBatch, StoreError> {
    let columns = key_columns(batch, keys)?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(unreadable)?;
    let mut known = present(dataset, keys, &columns, &converter).await?;
    let rows = converter.convert_columns(&columns).map_err(unreadable)?;
    let is_new: BooleanArray = rows.iter().map(|row| Some(known.insert(row.owned()))).collect();
    filter_record_batch(batch, &is_new).map_err(unreadable)
}

/// Those keys of the batch that the dataset holds, and perhaps others.
async fn present(
    dataset: &Dataset,
    keys: &[&str],
    columns: &[ArrayRef],
    converter: &RowConverter,
) -> Result<HashSet<OwnedRow>, StoreError> {
    let mut present = HashSet::new();
    if has_no_rows(dataset) {
        return Ok(present);
    }
    let mut wanted = lit(true);
    for (name, column) in keys.iter().zip(columns) {
        wanted = wanted.and(one_of(name, column)?);
    }
    let mut scan = dataset.scan();
    scan.filter_expr(wanted);
    scan.project(keys)?;
    let mut batches = scan.try_into_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        let found = converter.convert_columns(&key_columns(&batch, keys)?).map_err(unreadable)?;
        present.extend(found.iter().map(|row| row.owned()));
    }
    Ok(present)
}

/// That a column holds one of these values.
fn one_of(name: &str, values: &ArrayRef) -> Result<Expr, StoreError> {
    let distinct = (0..values.len()).map(|row| ScalarValue::try_from_array(values, row)).collect::<Result<HashSet<_>, _>>()?;
    Ok(col(name).in_list(distinct.into_iter().map(lit).collect(), false))
}

fn key_columns(batch: &RecordBatch, keys: &[&str]) -> Result<Vec<ArrayRef>, StoreError> {
    let missing = |key: &&str| StoreError::Misuse(format!("the key column {key} is missing"));
    keys.iter().map(|key| batch.column_by_name(key).cloned().ok_or_else(|| missing(key))).collect()
}

fn unreadable(error: ArrowError) -> StoreError {
    StoreError::Storage(format!("keys cannot be compared: {error}"))
}
