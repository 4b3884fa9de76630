//! What the vault's events say of one payer: what it has, what was debited under which limit, what it cancelled.

use std::collections::BTreeMap;

use schemas::alloy_sol_types::SolEvent;
use schemas::contracts::{Deployment, PaymentVault};
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::{Placed, about};
use crate::Result;

/// One payer's account. Amounts are token wei.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayerBook {
    /// Deposits that are final, less debits and withdrawals, also those that are not: what a node alone says adds nothing.
    pub balance_wei: U256,
    /// Deposits that are not final: they back nothing yet, and their payer wants to know of them.
    pub arriving_wei: U256,
    /// What of it is asked back and not paid out yet.
    pub withdrawing_wei: U256,
    debits: Vec<PaymentVault::Debited>,
    shorts: Vec<PaymentVault::DebitShort>,
    cancelled: BTreeMap<U256, u64>,
}

impl PayerBook {
    /// # Errors
    /// [`crate::IndexerError::EventUndecodable`], and errors of the store.
    pub async fn read(store: &Store, deployment: &Deployment, payer: Address) -> Result<Self> {
        let reader = Reader { store, vault: deployment.vault, payer: payer.into_word(), finality: Finality::Any };
        let deposited = Reader { finality: Finality::Finalized, ..reader }.deposited_wei().await?;
        let arriving_wei = reader.deposited_wei().await?.saturating_sub(deposited);
        let debits = reader.all::<PaymentVault::Debited>().await?;
        let withdrawn = reader.all::<PaymentVault::Withdrawn>().await?;
        let last_withdrawn = withdrawn.iter().map(|event| event.seq).max().unwrap_or(0);
        // A request replaces the one before, and a withdrawal ends it.
        let open = reader.all::<PaymentVault::WithdrawalRequested>().await?.into_iter().rfind(|event| event.seq > last_withdrawn);
        let gone = sum(debits.iter().map(|event| event.amount).chain(withdrawn.iter().map(|event| event.amount)));
        let balance_wei = deposited.saturating_sub(gone);
        let cancelled = reader.all::<PaymentVault::LimitCancelled>().await?;
        Ok(Self {
            balance_wei,
            arriving_wei,
            withdrawing_wei: open.map_or(U256::ZERO, |event| event.amount).min(balance_wei),
            debits,
            shorts: reader.all().await?,
            cancelled: cancelled.into_iter().map(|event| (event.nonce, event.cancelledFrom)).collect(),
        })
    }

    /// What was debited under a limit.
    pub fn spent_wei(&self, limit_hash: B256) -> U256 {
        sum(self.debits.iter().filter(|event| event.limitHash == limit_hash).map(|event| event.amount))
    }

    /// What was debited for epochs after this one.
    pub fn debited_after_wei(&self, epoch: u64) -> U256 {
        sum(self.debits.iter().filter(|event| event.epoch > epoch).map(|event| event.amount))
    }

    /// The newest epoch that the payer was asked to pay for, successfully or not.
    pub fn asked_epoch(&self) -> Option<u64> {
        self.debits.iter().map(|event| event.epoch).chain(self.shorts.iter().map(|event| event.epoch)).max()
    }

    /// The first second (Unix time) at which limits of a nonce allow no debit; `None` while they are not cancelled.
    pub fn cancelled_from(&self, nonce: U256) -> Option<u64> {
        self.cancelled.get(&nonce).copied()
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    store: &'a Store,
    vault: Address,
    payer: B256,
    finality: Finality,
}

impl Reader<'_> {
    /// In chain order.
    async fn all<E: SolEvent>(&self) -> Result<Vec<E>> {
        let events: Vec<Placed<E>> = about(self.store, self.vault, [Some(self.payer), None, None], self.finality).await?;
        Ok(events.into_iter().map(|placed| placed.event).collect())
    }

    async fn deposited_wei(&self) -> Result<U256> {
        Ok(sum(self.all::<PaymentVault::Deposited>().await?.iter().map(|event| event.amount)))
    }
}

fn sum(amounts: impl Iterator<Item = U256>) -> U256 {
    amounts.fold(U256::ZERO, U256::saturating_add)
}
