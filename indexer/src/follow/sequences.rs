//! The numbers that our contracts put on their events: a second proof that none is missing, and one
//! that needs no trust in the node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemas::tables::LogRef;
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::NumberedEvent;
use crate::{IndexerError, Result};

/// The last number seen of each contract that numbers its events, up to some block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequences {
    /// Which word of the data holds the number.
    words: Arc<HashMap<(Address, B256), usize>>,
    last: BTreeMap<Address, u64>,
}

impl Sequences {
    pub(super) fn new(events: &[NumberedEvent]) -> Self {
        let words = events.iter().map(|event| ((event.address, event.topic0), event.word)).collect();
        Self { words: Arc::new(words), last: BTreeMap::new() }
    }

    /// As of the last block in the tables.
    pub(super) async fn restore(&mut self, store: &Store) -> Result<()> {
        self.last.clear();
        for (address, topic0) in self.words.keys() {
            for row in store.all_logs(*address, *topic0, Finality::Stored).await? {
                if let Some(number) = self.number(*address, Some(*topic0), &row.data) {
                    let last = self.last.entry(*address).or_default();
                    *last = number.max(*last);
                }
            }
        }
        Ok(())
    }

    fn number(&self, address: Address, topic0: Option<B256>, data: &[u8]) -> Option<u64> {
        let word = *self.words.get(&(address, topic0?))?;
        let bytes = data.get(32 * word..32 * word + 32)?;
        u64::try_from(U256::from_be_slice(bytes)).ok()
    }

    /// Takes the next log of the chain.
    ///
    /// # Errors
    /// [`IndexerError::EventsMissing`] when its number does not follow.
    pub(super) fn admit(&mut self, log: &LogRef<'_>) -> Result<()> {
        let Some(found) = self.number(log.address, log.topic0(), log.data) else { return Ok(()) };
        let last = self.last.entry(log.address).or_default();
        if found != *last + 1 {
            return Err(IndexerError::EventsMissing { contract: log.address, block: log.block_number, held: *last, found });
        }
        *last = found;
        Ok(())
    }
}
