//! The smallest and the largest value of an integer column: asked at every start, and for every next number.

use std::ops::RangeInclusive;

use futures::TryStreamExt;
use lance::Dataset;
use lance::index::DatasetIndexExt;
use schemas::arrow::array::AsArray;
use schemas::arrow::compute::{max, min};
use schemas::arrow::datatypes::Int64Type;
use serde::Deserialize;

use crate::StoreError;
use crate::indexes::{Coverage, index_name};
use crate::table::{count, has_no_rows};

/// What is known of an index's parts without reading them.
#[derive(Deserialize)]
struct Statistics {
    indices: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    min: Option<String>,
    max: Option<String>,
}

/// Of a pinned dataset; `None` when there is no row. Reads the ends of the column's index and the rows that it does not cover,
/// so it takes no longer when more is stored.
pub(crate) async fn extent_of(dataset: &Dataset, column: &str) -> Result<Option<RangeInclusive<u64>>, StoreError> {
    if has_no_rows(dataset) {
        return Ok(None);
    }
    let coverage = Coverage::of(dataset, column).await?;
    let indexed = match coverage.has_index() {
        true => indexed_extent(dataset, column).await?,
        false => None,
    };
    let extent = match indexed {
        Some(indexed) if coverage.uncovered.is_empty() => Some(indexed),
        Some((low, high)) => {
            let rest = scanned_extent(dataset, column, Some(coverage)).await?;
            Some(rest.map_or((low, high), |(lowest, highest)| (low.min(lowest), high.max(highest))))
        }
        None => scanned_extent(dataset, column, None).await?,
    };
    let unsigned = |value: i64| u64::try_from(value).map_err(|_| StoreError::Misuse(format!("column {column} holds a negative number")));
    extent.map(|(low, high)| Ok(unsigned(low)?..=unsigned(high)?)).transpose()
}

/// The ends of the index, unless they were deleted from the table since.
async fn indexed_extent(dataset: &Dataset, column: &str) -> Result<Option<(i64, i64)>, StoreError> {
    let statistics = dataset.index_statistics(&index_name(column)).await?;
    // Another shape than expected costs a scan.
    let Ok(statistics) = serde_json::from_str::<Statistics>(&statistics) else { return Ok(None) };
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
    let mut extent: Option<(i64, i64)> = None;
    for part in &statistics.indices {
        let (Some(low), Some(high)) = (number(part.min.as_ref()), number(part.max.as_ref())) else { return Ok(None) };
        extent = Some(extent.map_or((low, high), |(lowest, highest)| (lowest.min(low), highest.max(high))));
    }
    // An index remembers the ends of its pages also when their rows are gone.
    for end in extent.iter().flat_map(|(low, high)| [low, high]) {
        if count(dataset, Some(&format!("{column} = {end}"))).await? == 0 {
            return Ok(None);
        }
    }
    Ok(extent)
}

/// By reading the column, of all rows or of those that no index covers.
async fn scanned_extent(dataset: &Dataset, column: &str, beside: Option<Coverage>) -> Result<Option<(i64, i64)>, StoreError> {
    let mut scan = dataset.scan();
    if let Some(coverage) = beside {
        scan.with_fragments(coverage.uncovered);
    }
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
    Ok(extent)
}
