//! Whether a payer can have another answer: what it owes, this answer included, must be covered by its deposit and by
//! limits that last until it is debited; and nothing that was asked for may be unpaid.
//!
//! Answers being made hold their fee. Looking and holding are one step: of any number of questions asked at once exactly those
//! are answered that the payer has credit for, and one that is refused holds nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexer::events::payers::PayerBook;
use rag::Owed;
use schemas::ids::AnswerId;
use schemas::tables::{DebtRow, EpochRow, Millis, ReceiptRow};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{self, LimitState, Standing};
use crate::output::open_and_wei;
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
    /// What is deposited and final, less what is gone.
    balance_wei: U256,
    /// What of it is asked back.
    withdrawing_wei: U256,
    /// Deposits that are not final yet.
    arriving_wei: U256,
    room_wei: U256,
    limits: Vec<Standing>,
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
        "{payer} has not paid {} of answers that it was asked to pay for: deposit into the vault (`headwater apps deposit`) and register a \
         spending limit with enough room; it is asked again with the next settlement, and answered when it has paid",
        open_and_wei(*.wei)
    )]
    Overdue { payer: Address, wei: U256 },
    #[error(
        "a deposit counts once its block is final, and {} of {payer} are on their way: ask again then; until then its deposit does not cover \
         the {} that it owes with this answer",
        open_and_wei(*.arriving),
        open_and_wei(*.owed)
    )]
    Arriving { payer: Address, owed: U256, arriving: U256 },
    #[error(
        "the deposit of {payer} does not cover the {} that it owes with this answer: deposit more into the vault (`headwater \
         apps deposit`; a deposit counts once its block is final)",
        open_and_wei(*.owed)
    )]
    Deposit { payer: Address, owed: U256 },
    #[error(
        "no spending limit of {payer} has room for the {} that it owes with this answer: register a new one (`headwater apps limit`); one that \
         is cancelled, or ends within {within_seconds} seconds, counts for nothing",
        open_and_wei(*.owed)
    )]
    Limit { payer: Address, owed: U256, within_seconds: u64 },
    #[error("too many answers of {payer} are being finished: try again shortly")]
    Busy { payer: Address },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overdue { .. } => "payment_overdue",
            Self::Arriving { .. } | Self::Deposit { .. } | Self::Limit { .. } => "payment_required",
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
    /// What is owed, with one more answer: each answer once, whether it is being made or has a receipt.
    fn owed_with(&self, held: &HashMap<AnswerId, (U256, usize)>, more: Option<(AnswerId, U256)>) -> U256 {
        let mut fees: HashMap<AnswerId, U256> = self.receipts.iter().copied().collect();
        fees.extend(held.iter().map(|(id, (fee, _))| (*id, *fee)));
        if let Some((answer, fee)) = more {
            fees.entry(answer).or_insert(fee);
        }
        let owed = fees.into_values().fold(self.carried_wei.owed, U256::saturating_add);
        owed.saturating_sub(self.carried_wei.credit)
    }

    /// What new answers can be backed by: what is asked back counts as gone.
    fn free_wei(&self) -> U256 {
        self.balance_wei.saturating_sub(self.withdrawing_wei)
    }

    fn check(&self, payer: Address, owed: U256, within_seconds: u64) -> Result<(), Refusal> {
        if !self.overdue_wei.is_zero() {
            Err(Refusal::Overdue { payer, wei: self.overdue_wei })
        } else if owed > self.free_wei() && owed <= self.free_wei().saturating_add(self.arriving_wei) {
            Err(Refusal::Arriving { payer, owed, arriving: self.arriving_wei })
        } else if owed > self.free_wei() {
            Err(Refusal::Deposit { payer, owed })
        } else if owed > self.room_wei {
            Err(Refusal::Limit { payer, owed, within_seconds })
        } else {
            Ok(())
        }
    }

    /// What further answers can cost as [`Account::check`] decides.
    fn left_wei(&self, owed: U256) -> U256 {
        if self.overdue_wei.is_zero() { self.free_wei().min(self.room_wei).saturating_sub(owed) } else { U256::ZERO }
    }
}

/// What a payer has, owes and allows, as it is told. Amounts are wei as decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub payer: Address,
    /// In the vault by final blocks, less debits and withdrawals.
    #[serde(serialize_with = "decimal")]
    pub deposited_wei: U256,
    /// Deposits in blocks that are not final yet: they count once they are.
    #[serde(serialize_with = "decimal")]
    pub arriving_wei: U256,
    /// What of the deposit is asked back, and backs no answer.
    #[serde(serialize_with = "decimal")]
    pub withdrawing_wei: U256,
    /// Fees that are not debited yet, those of answers being made included.
    #[serde(serialize_with = "decimal")]
    pub owed_wei: U256,
    /// What of it was asked for and not paid: there is no further answer before it is.
    #[serde(serialize_with = "decimal")]
    pub overdue_wei: U256,
    /// What further answers can cost now.
    #[serde(serialize_with = "decimal")]
    pub left_wei: U256,
    /// What one costs.
    #[serde(serialize_with = "decimal")]
    pub price_wei: U256,
    /// Those that end last come first.
    pub limits: Vec<LimitStatement>,
}

/// A spending limit in a [`Statement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStatement {
    pub limit_hash: B256,
    #[serde(serialize_with = "decimal")]
    pub nonce: U256,
    #[serde(serialize_with = "decimal")]
    pub amount_wei: U256,
    /// What is not debited of it; what is owed will be.
    #[serde(serialize_with = "decimal")]
    pub room_wei: U256,
    /// The first second (Unix time) at which it allows no debit: after its expiry, or where it is cancelled earlier.
    pub ends_at: u64,
    pub state: LimitState,
}

fn decimal<S: Serializer>(wei: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(wei)
}

/// What a payer is told of its account.
pub async fn statement(service: &Service, payer: Address) -> anyhow::Result<Statement> {
    let account = account(service, payer).await?;
    let owed_wei = match service.reservations.lock().get(&payer) {
        Some(held) => account.owed_with(&held.answers, None),
        None => account.owed_with(&HashMap::new(), None),
    };
    let (now, within) = (Millis::now().unix_seconds(), service.debited_within_seconds());
    let limit = |limit: &Standing| LimitStatement {
        limit_hash: limit.limit_hash,
        nonce: limit.signed.nonce,
        amount_wei: limit.signed.max_amount,
        room_wei: limit.room,
        ends_at: limit.ends_at,
        state: limit.state(now, within),
    };
    let mut limits: Vec<LimitStatement> = account.limits.iter().map(limit).collect();
    limits.sort_by_key(|limit| (Reverse(limit.ends_at), limit.limit_hash));
    Ok(Statement {
        payer,
        deposited_wei: account.balance_wei,
        arriving_wei: account.arriving_wei,
        withdrawing_wei: account.withdrawing_wei,
        owed_wei,
        overdue_wei: account.overdue_wei,
        left_wei: account.left_wei(owed_wei),
        price_wei: U256::from(service.price_wei),
        limits,
    })
}

/// Holds the fee of an answer that is about to be made.
pub async fn reserve(service: &Arc<Service>, payer: Address, answer: AnswerId, fee: U256) -> anyhow::Result<Result<Reservation, Refusal>> {
    let within_seconds = service.debited_within_seconds();
    for _ in 0..MAX_LOOKS {
        let released = service.reservations.released(payer);
        let account = account(service, payer).await?;
        let covers =
            |held: &HashMap<AnswerId, (U256, usize)>| account.check(payer, account.owed_with(held, Some((answer, fee))), within_seconds);
        if let Some(held) = service.reservations.hold(payer, (answer, fee), released, covers) {
            return Ok(held);
        }
    }
    Ok(Err(Refusal::Busy { payer }))
}

/// The receipts of a payer after a sequence number, by number: those in the log and those in the tables.
async fn owed(service: &Service, payer: Address, after: u64) -> anyhow::Result<BTreeMap<u64, Owed>> {
    let pending = service.rag.pending_of(payer);
    let stored: Vec<ReceiptRow> = service.store.scan(Some(&format!("sequence > {after} AND payer = '{payer:#x}'"))).await?;
    let stored = stored.iter().map(|row| Owed { sequence: row.sequence, answer_id: row.answer_id, fee_wei: row.fee_wei });
    Ok(pending.into_iter().filter(|owed| owed.sequence > after).chain(stored).map(|owed| (owed.sequence, owed)).collect())
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
    let receipts = owed(service, payer, last_sequence).await?;

    let (unpaid, credit) =
        debt.first().map_or((U256::ZERO, U256::ZERO), |row| (U256::from(row.unpaid_wei.0), U256::from(row.credit_wei.0)));
    let debited = book.debited_after_wei(epoch);
    // A part of a receipt that is paid stands to its payer's credit and is out of `unpaid` already.
    let credit = if unpaid.is_zero() { credit } else { U256::ZERO };
    let mut overdue_wei = unpaid;
    if let Some(closing) = closing.filter(|closing| book.asked_epoch() == Some(closing.epoch)) {
        let asked =
            receipts.values().filter(|receipt| receipt.sequence <= closing.last_sequence).map(|receipt| U256::from(receipt.fee_wei.0));
        overdue_wei = asked.fold(unpaid, U256::saturating_add).saturating_sub(credit);
    }
    let limits = service.limits.standing(payer, service.operator, &book);
    Ok(Account {
        receipts: receipts.values().map(|receipt| (receipt.answer_id, U256::from(receipt.fee_wei.0))).collect(),
        carried_wei: Signed { owed: unpaid, credit: credit.saturating_add(debited) },
        overdue_wei: overdue_wei.saturating_sub(debited),
        balance_wei: book.balance_wei,
        withdrawing_wei: book.withdrawing_wei,
        arriving_wei: book.arriving_wei,
        room_wei: limits::room(&limits, Millis::now().unix_seconds(), service.debited_within_seconds()),
        limits,
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
        Account { receipts, balance_wei: wei(free), room_wei: wei(1_000), ..Account::default() }
    }

    fn ask(reservations: &Arc<Reservations>, account: &Account, n: u64) -> Option<Result<Reservation, Refusal>> {
        let released = reservations.released(PAYER);
        reservations
            .hold(PAYER, (id(n), wei(10)), released, |held| account.check(PAYER, account.owed_with(held, Some((id(n), wei(10)))), 0))
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
    fn what_is_left_is_what_would_be_answered() {
        let account = Account { withdrawing_wei: wei(5), ..account(&[1, 2], 60) };
        let held = HashMap::from([(id(2), (wei(10), 1)), (id(3), (wei(10), 2))]);
        let owed = account.owed_with(&held, None);
        assert_eq!((owed, account.left_wei(owed)), (wei(30), wei(25)), "an answer that becomes a receipt is owed once");
        account.check(PAYER, owed + account.left_wei(owed), 0).unwrap();
        assert!(account.check(PAYER, owed + account.left_wei(owed) + wei(1), 0).is_err());
        assert_eq!(Account { room_wei: wei(31), ..account.clone() }.left_wei(owed), wei(1));
        assert_eq!(Account { overdue_wei: wei(1), ..account }.left_wei(owed), U256::ZERO);
    }

    #[test]
    fn a_statement_is_read_as_it_is_written() {
        let limit = LimitStatement {
            limit_hash: B256::ZERO,
            nonce: U256::MAX,
            amount_wei: U256::MAX,
            room_wei: wei(1),
            ends_at: 7,
            state: LimitState::UsedUp,
        };
        let written = serde_json::to_value(&limit).unwrap();
        assert_eq!((&written["room_wei"], &written["state"]), (&"1".into(), &"used_up".into()));
        assert_eq!(written["nonce"], U256::MAX.to_string());
        assert_eq!(serde_json::from_value::<LimitStatement>(written).unwrap(), limit);
    }

    #[test]
    fn each_reason_is_told() {
        let told = |account: &Account| account.check(PAYER, wei(10), 60).unwrap_err().to_string();
        let good = account(&[], 10);
        good.check(PAYER, wei(10), 60).unwrap();
        assert!(told(&Account { overdue_wei: wei(1), ..good.clone() }).contains("has not paid 0.000000000000000001 OPEN (1 wei)"));
        let short = Account { balance_wei: wei(12), withdrawing_wei: wei(3), ..good.clone() };
        assert!(told(&short).starts_with("the deposit of"));
        let arriving = told(&Account { arriving_wei: wei(1), ..short.clone() });
        assert!(arriving.starts_with("a deposit counts once its block is final") && arriving.contains("does not cover"), "{arriving}");
        assert!(told(&Account { room_wei: wei(9), ..good }).contains("no spending limit"));
    }
}
