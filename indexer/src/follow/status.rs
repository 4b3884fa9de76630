//! The indexer's position as others see it.

use serde::Serialize;

use schemas::B256;

use super::{Checkpoint, Verify};
use crate::IndexerError;
use crate::source::{BlockId, Header};

/// Where the indexer and the chain stand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct IndexerStatus {
    pub chain_id: u64,
    pub verify: Verify,
    /// The node's newest block.
    pub head: Option<BlockId>,
    pub safe: Option<BlockId>,
    pub finalized: Option<BlockId>,
    /// The highest final block that is held.
    pub indexed_finalized: Option<BlockId>,
    /// The digest up to it; see ARCHITECTURE.md.
    pub digest: Option<B256>,
    /// The newest block held, final or not.
    pub indexed_hot: Option<BlockId>,
    /// Blocks between `indexed_hot` and `head`; `None` until both are known.
    pub lag_blocks: Option<u64>,
    /// Why the last step failed; `None` after one that did not.
    pub last_error: Option<String>,
    /// Why events are known to be missing from what the node serves; nothing after the gap is taken.
    pub alarm: Option<String>,
    /// Reorganisations undone since the start of the process.
    pub reorgs: u64,
    /// The deepest of them, in blocks.
    pub deepest_reorg: u64,
    /// Blocks undone by them all.
    pub undone_blocks: u64,
}

impl IndexerStatus {
    pub(super) fn saw_heads(&mut self, head: Header, safe: Option<Header>, finalized: Option<Header>) {
        self.head = Some(head.id());
        self.safe = safe.map(|block| block.id());
        self.finalized = finalized.map(|block| block.id());
    }

    pub(super) fn reorganised(&mut self, depth: u64) {
        self.reorgs += 1;
        self.undone_blocks += depth;
        self.deepest_reorg = self.deepest_reorg.max(depth);
    }

    pub(super) fn stepped(&mut self, last_final: Option<Checkpoint>, tip: Option<BlockId>, error: Option<&IndexerError>) {
        self.indexed_finalized = last_final.map(|last| last.id);
        self.digest = last_final.map(|last| last.digest);
        self.indexed_hot = tip;
        self.lag_blocks = self.head.zip(tip).map(|(head, tip)| head.number.saturating_sub(tip.number));
        self.last_error = error.map(ToString::to_string);
        self.alarm = error.filter(|error| matches!(error, IndexerError::EventsMissing { .. })).map(ToString::to_string);
    }
}
