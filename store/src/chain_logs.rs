//! The followed chain's logs: finalized ones in the tables, the newer ones in memory, read as one.

use std::sync::{Arc, PoisonError};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use schemas::events::EventTable;
use schemas::tables::{BlockRow, LogRow, Raw, TableSpec};
use schemas::{Address, B256};

use crate::{Store, StoreError, table};

/// Blocks above those in the tables, and their logs: the ones that can be undone, and final ones that wait to be written with
/// others. Kept in memory: after a restart the indexer reads them from the chain again.
#[derive(Debug, Default, PartialEq)]
pub struct Hot {
    /// Ascending, hash-linked.
    pub blocks: Vec<BlockRow>,
    /// The logs of each block that has any, in order. Shared, because the window changes at its end only.
    pub logs: Vec<Arc<[LogRow]>>,
    /// The highest block in the tables; none where nobody follows the chain, or before the first.
    pub stored_to: Option<u64>,
    /// The highest block that is final, in the window or in the tables.
    pub finalized_to: Option<u64>,
}

impl Hot {
    fn is_final(&self, block: u64) -> bool {
        self.finalized_to.is_some_and(|finalized| block <= finalized)
    }

    /// Whether both hold the same logs of the same blocks, as many of them final.
    fn has_logs_of(&self, other: &Self) -> bool {
        let final_logs = |hot: &Self| hot.logs().filter(|log| hot.is_final(log.block_number)).count();
        self.logs.len() == other.logs.len()
            && self.logs.iter().zip(&other.logs).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
            && final_logs(self) == final_logs(other)
    }

    /// All logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &LogRow> {
        self.logs.iter().flat_map(|logs| logs.iter())
    }
}

/// What some tables and the window held at some moment. Two of the same tables are equal while there is nothing new to read but
/// blocks without logs.
#[derive(Debug, Clone)]
pub struct Mark {
    versions: Vec<u64>,
    hot: Arc<Hot>,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        self.versions == other.versions && self.hot.has_logs_of(&other.hot)
    }
}

/// How sure a reader wants to be of what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// Only what is in the tables: the rest of what is final may still be read from the chain again.
    Stored,
    /// Only what can no longer be undone.
    Finalized,
    /// Also what a reorganisation may still undo.
    Any,
}

impl Store {
    /// Replaces the window above the tables.
    pub fn set_hot(&self, hot: Hot) {
        *self.inner.hot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(hot);
    }

    /// The window above the tables.
    pub fn hot(&self) -> Arc<Hot> {
        self.inner.hot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What these tables and the window hold now.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn mark(&self, tables: &[TableSpec]) -> Result<Mark, StoreError> {
        // The window first: what leaves it meanwhile changes a table.
        let hot = self.hot();
        let versions = tables.iter().map(|table| Ok(self.table_named(table.name)?.version())).collect::<Result<_, StoreError>>()?;
        Ok(Mark { versions, hot })
    }

    /// Names the events that SQL shows as tables of their own.
    pub fn set_event_tables(&self, tables: Vec<EventTable>) {
        *self.inner.event_tables.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tables);
    }

    pub(crate) fn event_tables(&self) -> Arc<Vec<EventTable>> {
        self.inner.event_tables.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs of one contract and event, ordered by (block, log index).
    pub async fn all_logs(&self, address: Address, topic0: B256, finality: Finality) -> Result<Vec<LogRow>, StoreError> {
        self.logs_about(address, topic0, [None; 3], finality).await
    }

    /// Those of them whose other topics are the given ones.
    pub async fn logs_about(
        &self,
        address: Address,
        topic0: B256,
        topics: [Option<B256>; 3],
        finality: Finality,
    ) -> Result<Vec<LogRow>, StoreError> {
        let [topic1, topic2, topic3] = topics;
        let logs = self.logs_with(address, [Some(topic0), topic1, topic2, topic3]).await?;
        let is_sure = |found: Finality| match finality {
            Finality::Stored => found == Finality::Stored,
            Finality::Finalized => found != Finality::Any,
            Finality::Any => true,
        };
        Ok(logs.into_iter().filter(|(_, found)| is_sure(*found)).map(|(log, _)| log).collect())
    }

    /// Logs of one contract with these topics, ordered by (block, log index); and how sure each is.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn logs_with(&self, address: Address, topics: [Option<B256>; 4]) -> Result<Vec<(LogRow, Finality)>, StoreError> {
        // The hot window is taken first: a block that is written meanwhile is then seen twice,
        // which the deduplication below undoes, and never missed.
        let hot = self.hot();
        let mut wanted = col("address").eq(bytes(address.as_slice()));
        for (name, topic) in ["topic0", "topic1", "topic2", "topic3"].into_iter().zip(topics) {
            if let Some(topic) = topic {
                wanted = wanted.and(col(name).eq(bytes(topic.as_slice())));
            }
        }
        let fits = |log: &&LogRow| {
            let found = [log.topic0, log.topic1, log.topic2, log.topic3];
            let same = topics.iter().zip(found).all(|(topic, found)| topic.is_none_or(|topic| found == Some(Raw(topic))));
            log.address == Raw(address) && same
        };
        let stored: Vec<LogRow> = table::rows_where(&self.table::<LogRow>()?.dataset(), wanted).await?;
        self.inner.reads.count(stored.len());
        let mut logs: Vec<(LogRow, Finality)> = stored.into_iter().map(|log| (log, Finality::Stored)).collect();
        let in_window = |log: &LogRow| (log.clone(), if hot.is_final(log.block_number) { Finality::Finalized } else { Finality::Any });
        logs.extend(hot.logs().filter(fits).map(in_window));
        // Stable: of a log that is seen twice the one in the table comes first, and stays.
        logs.sort_by_key(|(log, _)| (log.block_number, log.log_index, log.block_hash));
        logs.dedup_by_key(|(log, _)| (log.block_hash, log.log_index));
        Ok(logs)
    }
}

/// A column's bytes as an expression.
pub(crate) fn bytes(value: &[u8]) -> Expr {
    lit(ScalarValue::FixedSizeBinary(value.len() as i32, Some(value.to_vec())))
}
