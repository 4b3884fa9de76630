//! Indexes of the columns by which rows are looked up: made and extended by upkeep, used by every scan with a filter.
//!
//! Rows that came since are scanned as in a table without an index. An index consists of parts; a part is put together with
//! those before it that are not much larger, so a row is indexed a few times however large the table grows, and a look-up
//! asks few parts.

use lance::Dataset;
use lance::index::DatasetIndexExt;
use lance_index::IndexType;
use lance_index::optimize::OptimizeOptions;
use lance_index::scalar::ScalarIndexParams;
use lance_table::format::Fragment;

use crate::StoreError;
use crate::table::Table;

/// So many rows without an index are given one. With 10,000 rows a look-up takes half as long as a scan, with 60,000 a tenth or less
/// (`what_look_ups_cost`).
pub(crate) const WORTH_INDEXING: usize = 16 << 10;

/// What an index of a column knows.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Rows of each part, oldest first.
    pub(crate) parts: Vec<u64>,
    /// What no part covers.
    pub(crate) uncovered: Vec<Fragment>,
}

impl Coverage {
    pub(crate) async fn of(dataset: &Dataset, column: &str) -> Result<Self, StoreError> {
        let parts = dataset.load_indices_by_name(&index_name(column)).await?;
        let covers = |part: &lance_table::format::IndexMetadata, fragment: &Fragment| {
            let id = u32::try_from(fragment.id);
            part.fragment_bitmap.as_ref().is_some_and(|covered| id.is_ok_and(|id| covered.contains(id)))
        };
        let mut coverage = Self { parts: vec![0; parts.len()], uncovered: Vec::new() };
        for fragment in dataset.fragments().iter() {
            match parts.iter().position(|part| covers(part, fragment)).and_then(|place| coverage.parts.get_mut(place)) {
                Some(rows) => *rows += rows_of(fragment),
                None => coverage.uncovered.push(fragment.clone()),
            }
        }
        Ok(coverage)
    }

    pub(crate) fn has_index(&self) -> bool {
        !self.parts.is_empty()
    }

    pub(crate) fn uncovered_rows(&self) -> u64 {
        self.uncovered.iter().map(rows_of).sum()
    }

    /// How many of the newest parts the uncovered rows are put together with.
    fn parts_to_merge(&self) -> usize {
        let mut rows = self.uncovered_rows();
        let is_small = |part: &&u64| {
            let is_small = **part <= rows.saturating_mul(2);
            rows += **part;
            is_small
        };
        self.parts.iter().rev().take_while(is_small).count()
    }
}

fn rows_of(fragment: &Fragment) -> u64 {
    fragment.num_rows().unwrap_or_default() as u64
}

pub(crate) fn index_name(column: &str) -> String {
    format!("{column}_idx")
}

impl Table {
    /// Columns that have rows enough to index.
    pub(crate) async fn columns_to_index(&self) -> Result<Vec<&'static str>, StoreError> {
        let dataset = self.dataset();
        let mut columns = Vec::new();
        for column in self.indexed {
            if Coverage::of(&dataset, column).await?.uncovered_rows() >= WORTH_INDEXING as u64 {
                columns.push(*column);
            }
        }
        Ok(columns)
    }

    /// Makes and extends the indexes; of which columns.
    pub(crate) async fn index(&self) -> Result<Vec<&'static str>, StoreError> {
        let columns = self.columns_to_index().await?;
        for column in &columns {
            self.index_column(column).await?;
        }
        Ok(columns)
    }

    pub(crate) async fn index_column(&self, column: &str) -> Result<(), StoreError> {
        let coverage = Coverage::of(&self.dataset(), column).await?;
        let name = index_name(column);
        if coverage.has_index() {
            let options = OptimizeOptions::merge(coverage.parts_to_merge()).index_names(vec![name]);
            return self.rewrite(async |dataset| dataset.optimize_indices(&options).await).await;
        }
        let parameters = ScalarIndexParams::default();
        self.rewrite(async |dataset| dataset.create_index(&[column], IndexType::BTree, Some(name), &parameters, false).await.map(drop))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_together_so_that_few_stay() {
        let fragment = |rows: usize| Fragment { physical_rows: Some(rows), ..Fragment::new(0) };
        let (mut coverage, mut written) = (Coverage::default(), 0);
        for _ in 0..1000 {
            coverage.uncovered = vec![fragment(16 << 10)];
            let merged = coverage.parts.len() - coverage.parts_to_merge();
            let rows = coverage.uncovered_rows() + coverage.parts.drain(merged..).sum::<u64>();
            written += rows;
            coverage.parts.push(rows);
            assert!(coverage.parts.len() <= 10, "{:?}", coverage.parts);
        }
        let rows = coverage.parts.iter().sum::<u64>();
        assert_eq!(rows, 1000 * WORTH_INDEXING as u64);
        assert!(written <= 12 * rows, "every row was indexed {} times", written / rows);
    }
}
