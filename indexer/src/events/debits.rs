//! What the vault's events say of the debits of one epoch.

use std::collections::{BTreeMap, BTreeSet};

use schemas::contracts::{Deployment, PaymentVault};
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::{Place, Placed, about, all};
use crate::Result;

/// An epoch's debits so far. Amounts are token wei.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochDebits {
    /// Parts that were posted.
    pub parts: u64,
    /// Where the last part stands, once it was posted.
    pub completed: Option<Place>,
    /// The receipts that the parts are of.
    pub receipts_root: Option<B256>,
    /// What was taken from each payer, and what of it went into the data pool.
    pub collected: BTreeMap<Address, Taken>,
    /// Everybody of whom something was asked.
    pub asked: BTreeSet<Address>,
}

/// What one payer paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    pub amount_wei: U256,
    pub data_wei: U256,
}

impl EpochDebits {
    /// # Errors
    /// [`crate::IndexerError::EventUndecodable`], and errors of the store.
    pub async fn read(store: &Store, deployment: &Deployment, epoch: u64, finality: Finality) -> Result<Self> {
        let vault = deployment.vault;
        let word = Some(B256::from(U256::from(epoch)));
        let batches = about(store, vault, [word, None, None], finality).await?;
        let taken = about(store, vault, [None, word, None], finality).await?;
        let short = about(store, vault, [None, word, None], finality).await?;
        Ok(Self::of(epoch, &batches, &taken, &short))
    }

    /// What these events, in chain order, say of an epoch; those of others are passed over.
    pub fn of(
        epoch: u64,
        batches: &[Placed<PaymentVault::BatchDebited>],
        taken: &[Placed<PaymentVault::Debited>],
        short: &[Placed<PaymentVault::DebitShort>],
    ) -> Self {
        let mut debits = Self::default();
        for Placed { event, place } in batches.iter().filter(|batch| batch.event.epoch == epoch) {
            debits.parts = debits.parts.max(event.part);
            debits.receipts_root = Some(event.receiptsRoot);
            if event.isLast {
                debits.completed = Some(*place);
            }
        }
        for Placed { event, .. } in taken.iter().filter(|taken| taken.event.epoch == epoch) {
            let payer = debits.collected.entry(event.payer).or_default();
            payer.amount_wei = payer.amount_wei.saturating_add(event.amount);
            payer.data_wei = payer.data_wei.saturating_add(event.dataAmount);
            debits.asked.insert(event.payer);
        }
        debits.asked.extend(short.iter().map(|short| &short.event).filter(|short| short.epoch == epoch).map(|short| short.payer));
        debits
    }
}

/// The last batch of all, in chain order; `None` before the first.
pub async fn last_batch(store: &Store, deployment: &Deployment, finality: Finality) -> Result<Option<PaymentVault::BatchDebited>> {
    let batches = all::<PaymentVault::BatchDebited>(store, deployment.vault, finality).await?;
    Ok(batches.into_iter().next_back().map(|placed| placed.event))
}
