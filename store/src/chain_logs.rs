//! The followed chain's logs: finalized ones in the tables, the newer ones in memory, read as one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use schemas::events::EventTable;
use schemas::tables::{BlockRow, LogRow, Raw};
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

    /// All logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = &LogRow> {
        self.logs.iter().flat_map(|logs| logs.iter())
    }
}

/// What the tables and the window held at some moment. Two are equal while there is nothing new to read but blocks without logs.
#[derive(Debug, Clone)]
pub struct Mark {
    versions: BTreeMap<String, u64>,
    hot: Arc<Hot>,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Self) -> bool {
        let final_logs = |hot: &Hot| hot.logs().filter(|log| hot.is_final(log.block_number)).count();
        let (ours, theirs) = (&self.hot.logs, &other.hot.logs);
        self.versions == other.versions
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs))
            && final_logs(&self.hot) == final_logs(&other.hot)
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

    /// What is held now.
    pub fn mark(&self) -> Mark {
        // The window first: what leaves it meanwhile changes a table.
        let hot = self.hot();
        Mark { versions: self.versions(), hot }
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
        // The hot window is taken first: a block that is written meanwhile is then seen twice,
        // which the deduplication below undoes, and never missed.
        let hot = self.hot();
        let mut wanted = col("address").eq(bytes(address.as_slice())).and(col("topic0").eq(bytes(topic0.as_slice())));
        for (name, topic) in ["topic1", "topic2", "topic3"].into_iter().zip(topics) {
            if let Some(topic) = topic {
                wanted = wanted.and(col(name).eq(bytes(topic.as_slice())));
            }
        }
        let fits = |log: &&LogRow| {
            let found = [log.topic1, log.topic2, log.topic3];
            let same = topics.iter().zip(found).all(|(topic, found)| topic.is_none_or(|topic| found == Some(Raw(topic))));
            log.address == Raw(address) && log.topic0 == Some(Raw(topic0)) && same
        };
        let mut logs: Vec<LogRow> = table::rows_where(&self.table::<LogRow>()?.dataset(), wanted).await?;
        let is_sure = |log: &&LogRow| match finality {
            Finality::Stored => false,
            Finality::Finalized => hot.is_final(log.block_number),
            Finality::Any => true,
        };
        logs.extend(hot.logs().filter(fits).filter(is_sure).cloned());
        logs.sort_by_key(|log| (log.block_number, log.log_index, log.block_hash));
        logs.dedup_by_key(|log| (log.block_hash, log.log_index));
        Ok(logs)
    }
}

/// A column's bytes as an expression.
pub(crate) fn bytes(value: &[u8]) -> Expr {
    lit(ScalarValue::FixedSizeBinary(value.len() as i32, Some(value.to_vec())))
}
