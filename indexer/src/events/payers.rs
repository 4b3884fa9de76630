//! What the vault's events say of one payer: what it has, what was debited under which limit, what it cancelled.

use std::collections::{BTreeMap, BTreeSet};

use schemas::alloy_sol_types::SolEvent;
use schemas::contracts::{Deployment, PaymentVault};
use schemas::tables::{LogRow, Raw};
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::{Placed, decode};
use crate::Result;

/// By payer, who else put into the vault for it, of deposits up to a block: of each the `most` who put in most.
pub fn funders(deposits: &[Placed<PaymentVault::Deposited>], block: u64, most: usize) -> BTreeMap<Address, BTreeSet<Address>> {
    let mut amounts: BTreeMap<Address, BTreeMap<Address, U256>> = BTreeMap::new();
    let events = deposits.iter().filter(|deposit| deposit.place.block_number <= block).map(|deposit| &deposit.event);
    for event in events.filter(|event| event.from != event.payer) {
        let amount = amounts.entry(event.payer).or_default().entry(event.from).or_default();
        *amount = amount.saturating_add(event.amount);
    }
    let most_of = |amounts: BTreeMap<Address, U256>| {
        let mut by_amount: Vec<(Address, U256)> = amounts.into_iter().collect();
        by_amount.sort_by_key(|(from, amount)| (std::cmp::Reverse(*amount), *from));
        by_amount.into_iter().take(most).map(|(from, _)| from).collect()
    };
    amounts.into_iter().map(|(payer, amounts)| (payer, most_of(amounts))).collect()
}

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
    /// By limit.
    spent: BTreeMap<B256, U256>,
    shorts: Vec<PaymentVault::DebitShort>,
    cancelled: BTreeMap<U256, u64>,
}

impl PayerBook {
    /// # Errors
    /// [`crate::IndexerError::EventUndecodable`], and errors of the store.
    pub async fn read(store: &Store, deployment: &Deployment, payer: Address) -> Result<Self> {
        // All that the vault says of a payer names it first, so one reading gives it.
        let logs = store.logs_with(deployment.vault, [None, Some(payer.into_word()), None, None]).await?;
        let logs = Logs(logs);
        let deposits = logs.all::<PaymentVault::Deposited>()?;
        let (arriving, deposited): (Vec<_>, Vec<_>) = deposits.into_iter().partition(|(_, finality)| *finality == Finality::Any);
        let amounts = |deposits: Vec<(PaymentVault::Deposited, Finality)>| sum(deposits.iter().map(|(event, _)| event.amount));
        let debits = logs.events::<PaymentVault::Debited>()?;
        let withdrawn = logs.events::<PaymentVault::Withdrawn>()?;
        let last_withdrawn = withdrawn.iter().map(|event| event.seq).max().unwrap_or(0);
        // A request replaces the one before, and a withdrawal ends it.
        let open = logs.events::<PaymentVault::WithdrawalRequested>()?.into_iter().rfind(|event| event.seq > last_withdrawn);
        let gone = sum(debits.iter().map(|event| event.amount).chain(withdrawn.iter().map(|event| event.amount)));
        let balance_wei = amounts(deposited).saturating_sub(gone);
        let mut spent: BTreeMap<B256, U256> = BTreeMap::new();
        for event in &debits {
            let wei = spent.entry(event.limitHash).or_default();
            *wei = wei.saturating_add(event.amount);
        }
        let cancelled = logs.events::<PaymentVault::LimitCancelled>()?;
        Ok(Self {
            balance_wei,
            arriving_wei: amounts(arriving),
            withdrawing_wei: open.map_or(U256::ZERO, |event| event.amount).min(balance_wei),
            debits,
            spent,
            shorts: logs.events()?,
            cancelled: cancelled.into_iter().map(|event| (event.nonce, event.cancelledFrom)).collect(),
        })
    }

    /// Whether it ever paid for anything, or could pay so much now, what is not final included.
    pub fn has_paid(&self, least_wei: U256) -> bool {
        !self.debits.is_empty() || self.balance_wei.saturating_add(self.arriving_wei) >= least_wei
    }

    /// What was debited under a limit.
    pub fn spent_wei(&self, limit_hash: B256) -> U256 {
        self.spent.get(&limit_hash).copied().unwrap_or_default()
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

/// One payer's logs, in chain order.
struct Logs(Vec<(LogRow, Finality)>);

impl Logs {
    fn all<E: SolEvent>(&self) -> Result<Vec<(E, Finality)>> {
        let of_type = self.0.iter().filter(|(log, _)| log.topic0 == Some(Raw(E::SIGNATURE_HASH)));
        of_type.map(|(log, finality)| Ok((decode(log)?, *finality))).collect()
    }

    fn events<E: SolEvent>(&self) -> Result<Vec<E>> {
        Ok(self.all()?.into_iter().map(|(event, _)| event).collect())
    }
}

fn sum(amounts: impl Iterator<Item = U256>) -> U256 {
    amounts.fold(U256::ZERO, U256::saturating_add)
}
