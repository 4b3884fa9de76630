//! One version of a table that a decision is read from. What follows from it is inserted upon that version, or not at all: so a
//! number that is one more than the largest is given once, whoever else writes.

use std::marker::PhantomData;
use std::sync::Arc;

use lance::Dataset;
use schemas::tables::Row;

use crate::{Inserted, Store, StoreError, extent, table};

/// A table as it was read.
#[derive(Debug, Clone)]
pub struct Seen<R> {
    dataset: Arc<Dataset>,
    rows: PhantomData<fn() -> R>,
}

impl<R: Row> Seen<R> {
    /// Rows that satisfy `filter` (a SQL boolean expression over the columns), in no order.
    pub async fn scan(&self, filter: Option<&str>) -> Result<Vec<R>, StoreError> {
        table::rows(&self.dataset, filter).await
    }

    /// The largest value of an integer column; `None` when the table is empty.
    pub async fn max(&self, column: &str) -> Result<Option<u64>, StoreError> {
        Ok(extent::extent_of(&self.dataset, column).await?.map(|extent| *extent.end()))
    }
}

impl Store {
    /// The newest version of a table that is known here. It may be behind another process's: the insertion finds out.
    pub async fn seen<R: Row>(&self) -> Result<Seen<R>, StoreError> {
        let table = self.table::<R>()?;
        table.reload().await?;
        Ok(Seen { dataset: table.dataset(), rows: PhantomData })
    }

    /// Inserts rows that follow from what was seen, leaving those out whose key was there.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when the table has changed since, by anybody: see it again, and decide again.
    pub async fn insert_upon<R: Row>(&self, seen: &Seen<R>, rows: &[R]) -> Result<Inserted, StoreError> {
        self.table::<R>()?.insert_upon(&seen.dataset, &R::to_batch(rows)?).await
    }
}
