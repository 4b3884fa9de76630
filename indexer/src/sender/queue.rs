//! What the sender holds while it works on its one queue.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use schemas::B256;
use schemas::tables::Millis;

use super::SenderConfig;
use super::node::View;
use super::outbox::{Outbox, Record, Slot, Status};
use super::progress::{Seen, Timing};
use crate::Result;

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) outbox: Outbox,
    /// Of nonces that are wanted in a block.
    watches: HashMap<u64, Watch>,
    /// The newest finalized block that was seen in an earlier exchange.
    pub(super) finalized: Option<u64>,
    /// When everything was last looked at, not only what is not in a block.
    pub(super) tended_at: Option<Instant>,
}

/// How long a nonce has been waited for. In memory only: after a restart it begins with the time at
/// which the transaction was signed.
#[derive(Debug, Clone, Copy)]
struct Watch {
    since: Millis,
    since_block: u64,
    offered_at: Option<Instant>,
    missing_since: Option<Instant>,
}

impl Watch {
    fn of(slot: &Slot) -> Self {
        let newest = slot.versions.iter().max_by_key(|version| version.signed_at).unwrap_or(slot.offered());
        Self { since: newest.signed_at, since_block: newest.signed_at_block, offered_at: None, missing_since: None }
    }
}

impl Queue {
    pub(super) fn new(outbox: Outbox) -> Self {
        Self { outbox, watches: HashMap::new(), finalized: None, tended_at: None }
    }

    pub(super) fn slot(&self, nonce: u64) -> Option<&Slot> {
        self.outbox.state.slots.get(&nonce)
    }

    /// The transactions to ask for: of all unfinished nonces, or only of those wanted in a block.
    pub(super) fn hashes(&self, everything: bool) -> Vec<B256> {
        let slots = self.outbox.state.slots.values().filter(|slot| everything || slot.is_open());
        slots.flat_map(|slot| slot.versions.iter().map(|version| version.hash)).collect()
    }

    pub(super) fn nonces(&self, everything: bool) -> Vec<u64> {
        self.outbox.state.slots.values().filter(|slot| everything || slot.is_open()).map(|slot| slot.nonce).collect()
    }

    pub(super) fn seen(&self, slot: &Slot, view: &View, finalized_count: Option<u64>) -> Seen {
        let inclusion = slot.versions.iter().find_map(|version| view.inclusions.get(&version.hash).copied());
        Seen { inclusion, count: view.count, finalized: self.finalized, finalized_count }
    }

    /// What time says about a nonce; begins to measure how long its receipt is missing.
    pub(super) fn timing(&mut self, nonce: u64, seen: &Seen, head: u64, config: &SenderConfig) -> Timing {
        let Some(slot) = self.outbox.state.slots.get(&nonce) else { return Timing::default() };
        let watch = self.watches.entry(nonce).or_insert_with(|| Watch::of(slot));
        let missing = seen.inclusion.is_none() && seen.count > nonce;
        watch.missing_since = missing.then(|| watch.missing_since.unwrap_or_else(Instant::now));
        let past = |since: Option<Instant>, ms: u64| since.is_some_and(|since| since.elapsed() >= Duration::from_millis(ms));
        let waited_ms = u64::try_from(Millis::now().0.saturating_sub(watch.since.0)).unwrap_or(0);
        let waited_blocks = head.saturating_sub(watch.since_block);
        Timing {
            missing_for_long: past(watch.missing_since, config.missing_receipt_ms),
            offer_due: watch.offered_at.is_none() || past(watch.offered_at, config.rebroadcast_ms),
            stuck: watch.offered_at.is_some() && waited_ms >= config.replace_after_ms && waited_blocks >= config.replace_after_blocks,
        }
    }

    /// Whether a nonce is used without any of our versions having a receipt.
    pub(super) fn misses(&self, view: &View) -> bool {
        let included = |slot: &Slot| slot.versions.iter().any(|version| view.inclusions.contains_key(&version.hash));
        self.outbox.state.slots.values().any(|slot| matches!(slot.status, Status::Parked(_)) && view.count > slot.nonce && !included(slot))
    }

    pub(super) fn append(&mut self, record: &Record) -> Result<()> {
        self.outbox.append(record)?;
        // Signed anew, in a block, or given up: what was measured is over.
        if let Record::Signed(version) = record {
            self.watches.remove(&version.nonce);
        }
        if let Record::Included { nonce, .. } | Record::Parked { nonce, .. } | Record::Final { nonce } | Record::Foreign { nonce } = record
        {
            self.watches.remove(nonce);
        }
        Ok(())
    }

    pub(super) fn mark_offered(&mut self, nonce: u64) {
        let Some(slot) = self.outbox.state.slots.get(&nonce) else { return };
        self.watches.entry(nonce).or_insert_with(|| Watch::of(slot)).offered_at = Some(Instant::now());
    }

    /// Begins to wait anew, without having signed anew.
    pub(super) fn wait_anew(&mut self, nonce: u64, head: u64) {
        let Some(slot) = self.outbox.state.slots.get(&nonce) else { return };
        let watch = self.watches.entry(nonce).or_insert_with(|| Watch::of(slot));
        (watch.since, watch.since_block) = (Millis::now(), head);
    }
}
