//! The followed chain's logs: finalized ones in the tables, the newer ones in memory, read as one.

use std::sync::{Arc, PoisonError};

use schemas::events::EventTable;
use schemas::tables::{BlockRow, LogRow};
use schemas::{Address, B256};

use crate::{Store, StoreError};

/// Blocks above the finalized one, and their logs. Kept in memory: after a restart the indexer
/// reads them from the chain again.
#[derive(Debug, Default, PartialEq)]
pub struct Hot {
    pub blocks: Vec<BlockRow>,
    pub logs: Vec<LogRow>,
}

/// How sure a reader wants to be of what it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// Only what can no longer be undone.
    Finalized,
    /// Also what a reorganisation may still undo.
    Any,
}

impl Store {
    /// Replaces the window above the finalized block.
    pub fn set_hot(&self, blocks: Vec<BlockRow>, logs: Vec<LogRow>) {
        *self.inner.hot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Hot { blocks, logs });
    }

    /// The window above the finalized block.
    pub fn hot(&self) -> Arc<Hot> {
        self.inner.hot.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        // The hot window is taken first: a block that is finalized meanwhile is then seen twice,
        // which the deduplication below undoes, and never missed.
        let hot = self.hot();
        let mut logs: Vec<LogRow> = self.scan(Some(&format!("address = '{address:#x}' AND topic0 = '{topic0:#x}'"))).await?;
        if finality == Finality::Any {
            logs.extend(hot.logs.iter().filter(|log| log.address == address && log.topic0 == Some(topic0)).cloned());
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index, log.block_hash));
        logs.dedup_by_key(|log| (log.block_hash, log.log_index));
        Ok(logs)
    }
}
