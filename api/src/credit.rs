//! Whether a payer can have another answer: what it owes, this answer included, must be covered by its deposit and by
//! limits that last until it is debited; and nothing that was asked for may be unpaid.
//!
//! Answers being made hold their fee. Looking and holding are one step: of any number of questions asked at once exactly those
//! are answered that the payer has credit for, and one that is refused holds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexer::events::payers::PayerBook;
use schemas::ids::AnswerId;
use schemas::tables::{DebtRow, EpochRow, Millis, ReceiptRow};
use schemas::{Address, U256};

use crate::limits;
use crate::service::Service;

/// How often an account is read again because an answer of the payer was finished meanwhile.
const MAX_LOOKS: usize = 1_000;

/// What decides about a payer's next answer.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Receipts that no settled epoch has.
    receipts: Vec<(AnswerId, U256)>,
    /// What settled epochs left unpaid, less what was debited since.
    carried_wei: Signed,
    /// What was asked for and not paid.
    overdue_wei: U256,
    free_wei: U256,
    room_wei: U256,
}

/// An amount that can be a credit.
#[derive(Debug, Clone, Copy, Default)]
struct Signed {
    owed: U256,
    credit: U256,
}

/// Why a payer gets no answer, in words that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{payer} has not paid {wei} wei of answers that it was asked to pay for: deposit into the vault and register a spending limit \
         with enough room; it is asked again with the next settlement, and answered when it has paid"
    )]
    Overdue { payer: Address, wei: U256 },
    #[error(
        "the deposit of {payer} does not cover the {owed} wei that it owes with this answer: deposit more into the vault (a deposit counts \
         once its block is final)"
    )]
    Deposit { payer: Address, owed: U256 },
    #[error(
        "no spending limit of {payer} has room for the {owed} wei that it owes with this answer: register a new one (`headwater apps limit`); \
         one that is cancelled, or ends within {within_seconds} seconds, counts for nothing"
    )]
    Limit { payer: Address, owed: U256, within_seconds: u64 },
    #[error("too many answers of {payer} are being finished: try again shortly")]
    Busy { payer: Address },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overdue { .. } => "payment_overdue",
            Self::Deposit { .. } | Self::Limit { .. } => "payment_required",
            Self::Busy { .. } => "busy",
        }
    }
}

/// Fees of answers being made, by payer.
#[derive(Debug, Default)]
pub struct Reservations {
    payers: Mutex<HashMap<Address, Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// Fee in wei, and how many requests for this answer hold it.
    answers: HashMap<AnswerId, (U256, usize)>,
    /// Fees let go so far.
    released: u64,
}

/// Credit held for an answer being made, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    reservations: Arc<Reservations>,
    payer: Address,
    answer: AnswerId,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Held>> {
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn released(&self, payer: Address) -> u64 {
        self.lock().get(&payer).map_or(0, |held| held.released)
    }

    /// Holds the fee if the account covers it. `None` when a fee of the payer was let go since `released`: the account may
    /// lack the receipt that it became.
    fn hold(
        self: &Arc<Self>,
        payer: Address,
        (answer, fee): (AnswerId, U256),
        released: u64,
        covers: impl FnOnce(&HashMap<AnswerId, (U256, usize)>) -> Result<(), Refusal>,
    ) -> Option<Result<Reservation, Refusal>> {
        let mut payers = self.lock();
        let held = payers.entry(payer).or_default();
        if held.released != released {
            return None;
        }
        if let Err(refusal) = covers(&held.answers) {
            return Some(Err(refusal));
        }
        held.answers.entry(answer).or_insert((fee, 0)).1 += 1;
        Some(Ok(Reservation { reservations: self.clone(), payer, answer }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut payers = self.reservations.lock();
        let Some(held) = payers.get_mut(&self.payer) else { return };
        if let Some((_, holders)) = held.answers.get_mut(&self.answer) {
            *holders = holders.saturating_sub(1);
            if *holders == 0 {
                held.answers.remove(&self.answer);
                held.released += 1;
            }
        }
    }
}

impl Account {
    /// What is owed with this answer: each answer once, whether it is being made or has a receipt.
    fn owed_with(&self, held: &HashMap<AnswerId, (U256, usize)>, answer: AnswerId, fee: U256) -> U256 {
        let mut fees: HashMap<AnswerId, U256> = self.receipts.iter().copied().collect();
        fees.extend(held.iter().map(|(id, (fee, _))| (*id, *fee)));
        fees.entry(answer).or_insert(fee);
        let owed = fees.into_values().fold(self.carried_wei.owed, U256::saturating_add);
        owed.saturating_sub(self.carried_wei.credit)
    }

    fn check(&self, payer: Address, owed: U256, within_seconds: u64) -> Result<(), Refusal> {
        if !self.overdue_wei.is_zero() {
            Err(Refusal::Overdue { payer, wei: self.overdue_wei })
        } else if owed > self.free_wei {
            Err(Refusal::Deposit { payer, owed })
        } else if owed > self.room_wei {
            Err(Refusal::Limit { payer, owed, within_seconds })
        } else {
            Ok(())
        }
    }
}

/// Holds the fee of an answer that is about to be made.
pub async fn reserve(service: &Arc<Service>, payer: Address, answer: AnswerId, fee: U256) -> anyhow::Result<Result<Reservation, Refusal>> {
    let within_seconds = service.debited_within_seconds();
    for _ in 0..MAX_LOOKS {
        let released = service.reservations.released(payer);
        let account = account(service, payer).await?;
        let covers = |held: &HashMap<AnswerId, (U256, usize)>| account.check(payer, account.owed_with(held, answer, fee), within_seconds);
        if let Some(held) = service.reservations.hold(payer, (answer, fee), released, covers) {
            return Ok(held);
        }
    }
    Ok(Err(Refusal::Busy { payer }))
}

/// Read from the tables and the events in them, so that it needs no node.
async fn account(service: &Service, payer: Address) -> anyhow::Result<Account> {
    // The epoch first: what is read after it is at least as new.
    let epoch = service.store.max::<EpochRow>("epoch").await?.unwrap_or(0);
    let settled: Vec<EpochRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    let last_sequence = settled.first().map_or(0, |row| row.last_sequence);
    let debt: Vec<DebtRow> = service.store.scan(Some(&format!("epoch = {epoch} AND payer = '{payer:#x}'"))).await?;
    let closing = service.rag.closing().await?.filter(|closing| closing.epoch > epoch);
    let book = PayerBook::read(&service.store, &service.deployment, payer).await?;
    service.rag.drain().await?;
    let receipts: Vec<ReceiptRow> = service.store.scan(Some(&format!("sequence > {last_sequence} AND payer = '{payer:#x}'"))).await?;

    let (unpaid, credit) =
        debt.first().map_or((U256::ZERO, U256::ZERO), |row| (U256::from(row.unpaid_wei.0), U256::from(row.credit_wei.0)));
    let debited = book.debited_after_wei(epoch);
    // A part of a receipt that is paid stands to its payer's credit and is out of `unpaid` already.
    let credit = if unpaid.is_zero() { credit } else { U256::ZERO };
    let mut overdue_wei = unpaid;
    if let Some(closing) = closing.filter(|closing| book.asked_epoch() == Some(closing.epoch)) {
        let asked =
            receipts.iter().filter(|receipt| receipt.sequence <= closing.last_sequence).map(|receipt| U256::from(receipt.fee_wei.0));
        overdue_wei = asked.fold(unpaid, U256::saturating_add).saturating_sub(credit);
    }
    let standing = service.limits.standing(payer, service.operator, &book);
    Ok(Account {
        receipts: receipts.iter().map(|receipt| (receipt.answer_id, U256::from(receipt.fee_wei.0))).collect(),
        carried_wei: Signed { owed: unpaid, credit: credit.saturating_add(debited) },
        overdue_wei: overdue_wei.saturating_sub(debited),
        free_wei: book.free_wei(),
        room_wei: limits::room(&standing, Millis::now().unix_seconds(), service.debited_within_seconds()),
    })
}

#[cfg(test)]
mod tests {
    use schemas::B256;

    use super::*;

    const PAYER: Address = Address::repeat_byte(1);

    fn id(n: u64) -> AnswerId {
        B256::from(U256::from(n)).into()
    }

    fn wei(n: u64) -> U256 {
        U256::from(n)
    }

    fn account(owed: &[u64], free: u64) -> Account {
        let receipts = owed.iter().map(|n| (id(*n), wei(10))).collect();
        Account { receipts, free_wei: wei(free), room_wei: wei(1_000), ..Account::default() }
    }

    fn ask(reservations: &Arc<Reservations>, account: &Account, n: u64) -> Option<Result<Reservation, Refusal>> {
        let released = reservations.released(PAYER);
        reservations.hold(PAYER, (id(n), wei(10)), released, |held| account.check(PAYER, account.owed_with(held, id(n), wei(10)), 0))
    }

    #[test]
    fn of_fourteen_at_once_exactly_those_with_credit_are_answered() {
        let reservations = Arc::new(Reservations::default());
        let account = account(&[100], 49);
        let asked: Vec<_> = (0..14).map(|n| ask(&reservations, &account, n).unwrap()).collect();
        assert_eq!(asked.iter().filter(|held| held.is_ok()).count(), 3, "40 of 49 with what was owed before");
        assert!(matches!(asked[3], Err(Refusal::Deposit { .. })));
        drop(asked);
        assert!(reservations.lock()[&PAYER].answers.is_empty(), "whoever was refused holds nothing");
    }

    #[test]
    fn an_answer_counts_once_while_it_becomes_a_receipt() {
        let reservations = Arc::new(Reservations::default());
        let before = account(&[], 20);
        let held = ask(&reservations, &before, 1).unwrap().unwrap();
        // Its receipt is there, its hold not yet let go.
        let between = account(&[1], 20);
        let second = ask(&reservations, &between, 2).unwrap().unwrap();
        assert!(ask(&reservations, &between, 3).unwrap().is_err());
        // An account that was read before a hold was let go may lack the receipt: it decides nothing.
        let released = reservations.released(PAYER);
        drop(held);
        assert!(reservations.hold(PAYER, (id(3), wei(10)), released, |_| Ok(())).is_none());
        drop(second);
    }

    #[test]
    fn the_same_answer_asked_twice_is_held_once() {
        let reservations = Arc::new(Reservations::default());
        let account = account(&[], 10);
        let first = ask(&reservations, &account, 1).unwrap().unwrap();
        let again = ask(&reservations, &account, 1).unwrap().unwrap();
        drop(first);
        assert!(ask(&reservations, &account, 2).unwrap().is_err(), "one of two still makes it");
        drop(again);
        assert!(ask(&reservations, &account, 2).unwrap().is_ok());
    }

    #[test]
    fn each_reason_is_told() {
        let told = |account: &Account| account.check(PAYER, wei(10), 60).unwrap_err().to_string();
        let good = account(&[], 10);
        good.check(PAYER, wei(10), 60).unwrap();
        assert!(told(&Account { overdue_wei: wei(1), ..good.clone() }).contains("has not paid 1 wei"));
        assert!(told(&Account { free_wei: wei(9), ..good.clone() }).contains("does not cover"));
        assert!(told(&Account { room_wei: wei(9), ..good }).contains("no spending limit"));
    }
}
