//! Whether a payer can have another answer: what it owes, this answer included, must be covered by its deposit and by
//! limits that last until it is debited; and nothing that was asked for may be unpaid.
//!
//! Answers being made hold their fee. Looking and holding are one step: of any number of questions asked at once exactly those
//! are answered that the payer has credit for, and one that is refused holds nothing.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexer::events::payers::PayerBook;
use rag::{Dues, Rag};
use schemas::contracts::Deployment;
use schemas::ids::AnswerId;
use schemas::tables::{LogRow, Millis, Row};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize, Serializer};
use store::{Mark, Memo, Store};

use crate::limits::{self, LimitState, Limits, Standing};
use crate::output::open_and_wei;

/// How often an account is read again because an epoch was settled meanwhile.
const MAX_LOOKS: usize = 100;

/// Payers whose events are kept in memory at most.
const MAX_BOOKS: usize = 10_000;

/// What decides whether payers get answers: their deposits and limits as the chain tells them, and what they owe.
#[derive(Debug)]
pub struct Credit {
    store: Store,
    deployment: Deployment,
    /// Whom limits have to name.
    spender: Address,
    limits: Limits,
    /// Seconds within which an answer given now is debited.
    debited_within_seconds: u64,
    /// Read once, until there are other logs.
    books: Memo<Mark, Address, Arc<PayerBook>>,
    reservations: Arc<Reservations>,
}

/// What decides about a payer's next answer, beside its receipts.
#[derive(Debug, Clone, Default)]
struct Account {
    dues: Dues,
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
    #[error("the service has just started and still reads the chain's last blocks, which say what {payer} has: try again shortly")]
    Starting { payer: Address },
    #[error("epochs are being settled while {payer} asks: try again shortly")]
    Busy { payer: Address },
}

impl Refusal {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overdue { .. } => "payment_overdue",
            Self::Arriving { .. } | Self::Deposit { .. } | Self::Limit { .. } => "payment_required",
            Self::Busy { .. } | Self::Starting { .. } => "busy",
        }
    }
}

/// Fees of answers being made, by payer.
#[derive(Debug, Default)]
struct Reservations {
    payers: Mutex<HashMap<Address, Making>>,
}

/// The answers of a payer that are being made: the fee in wei, and how many requests for this answer hold it.
type Making = HashMap<AnswerId, (U256, usize)>;

/// Credit held for an answer being made, until it is dropped.
#[derive(Debug)]
pub struct Reservation {
    reservations: Arc<Reservations>,
    payer: Address,
    answer: AnswerId,
}

impl Reservations {
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Making>> {
        self.payers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the fee if `covers` agrees, which is told what is held: until it has decided nothing is held and nothing let go, so
    /// an answer that it does not find among those has its receipt. `None` where `covers` cannot decide.
    fn hold(
        self: &Arc<Self>,
        payer: Address,
        (answer, fee): (AnswerId, U256),
        covers: impl FnOnce(&Making) -> Option<Result<(), Refusal>>,
    ) -> Option<Result<Reservation, Refusal>> {
        let mut payers = self.lock();
        let decided = covers(payers.get(&payer).unwrap_or(&Making::new()))?;
        Some(decided.map(|()| {
            payers.entry(payer).or_default().entry(answer).or_insert((fee, 0)).1 += 1;
            Reservation { reservations: self.clone(), payer, answer }
        }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut payers = self.reservations.lock();
        let Some(making) = payers.get_mut(&self.payer) else { return };
        if let Some((_, holders)) = making.get_mut(&self.answer) {
            *holders = holders.saturating_sub(1);
            if *holders == 0 {
                making.remove(&self.answer);
            }
        }
        if making.is_empty() {
            payers.remove(&self.payer);
        }
    }
}

/// The answers that are being made, with one more.
fn making(held: &Making, more: Option<(AnswerId, U256)>) -> impl Iterator<Item = (AnswerId, U256)> {
    let more = more.filter(|(answer, _)| !held.contains_key(answer));
    held.iter().map(|(answer, (fee, _))| (*answer, *fee)).chain(more)
}

impl Account {
    /// All that is owed, where this is owed for receipts and answers being made.
    fn owed(&self, receivable_wei: U256) -> U256 {
        self.carried_wei.owed.saturating_add(receivable_wei).saturating_sub(self.carried_wei.credit)
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

impl Credit {
    pub fn new(store: Store, deployment: Deployment, spender: Address, limits: Limits, debited_within_seconds: u64) -> Self {
        let (books, reservations) = (Memo::new(MAX_BOOKS), Arc::default());
        Self { store, deployment, spender, limits, debited_within_seconds, books, reservations }
    }

    /// What the vault's events say of a payer.
    pub async fn book(&self, payer: Address) -> anyhow::Result<Arc<PayerBook>> {
        let read = async || Ok(Arc::new(PayerBook::read(&self.store, &self.deployment, payer).await?));
        self.books.get(self.store.mark(&[LogRow::TABLE])?, payer, read).await
    }

    /// What a payer is told of its account.
    pub async fn statement(&self, rag: &Rag, payer: Address, price_wei: U256) -> anyhow::Result<Statement> {
        for _ in 0..MAX_LOOKS {
            let Some(account) = self.account(rag, payer).await? else { continue };
            let held = self.reservations.lock().get(&payer).cloned().unwrap_or_default();
            let Some(receivable) = rag.receivable(payer, &account.dues, making(&held, None)) else { continue };
            return Ok(self.told(payer, &account, account.owed(receivable.total_wei), price_wei));
        }
        anyhow::bail!("epochs are being settled: try again shortly")
    }

    fn told(&self, payer: Address, account: &Account, owed_wei: U256, price_wei: U256) -> Statement {
        let (now, within) = (Millis::now().unix_seconds(), self.debited_within_seconds);
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
        Statement {
            payer,
            deposited_wei: account.balance_wei,
            arriving_wei: account.arriving_wei,
            withdrawing_wei: account.withdrawing_wei,
            owed_wei,
            overdue_wei: account.overdue_wei,
            left_wei: account.left_wei(owed_wei),
            price_wei,
            limits,
        }
    }

    /// Holds the fee of an answer that is about to be made.
    pub async fn reserve(&self, rag: &Rag, payer: Address, answer: AnswerId, fee: U256) -> anyhow::Result<Result<Reservation, Refusal>> {
        for _ in 0..MAX_LOOKS {
            let Some(account) = self.account(rag, payer).await? else { continue };
            let covers = |held: &Making| {
                let receivable = rag.receivable(payer, &account.dues, making(held, Some((answer, fee))))?;
                Some(account.check(payer, account.owed(receivable.total_wei), self.debited_within_seconds))
            };
            if let Some(held) = self.reservations.hold(payer, (answer, fee), covers) {
                return Ok(held);
            }
        }
        Ok(Err(Refusal::Busy { payer }))
    }

    /// Of settled epochs and the events in the tables, so that it needs no node. `None` where an epoch was settled meanwhile.
    async fn account(&self, rag: &Rag, payer: Address) -> anyhow::Result<Option<Account>> {
        // The epoch first: what is read after it is at least as new.
        let dues = rag.dues(payer).await?;
        let book = self.book(payer).await?;
        let Some(receivable) = rag.receivable(payer, &dues, std::iter::empty()) else { return Ok(None) };

        let (unpaid, credit) = (U256::from(dues.unpaid_wei.0), U256::from(dues.credit_wei.0));
        let debited = book.debited_after_wei(dues.epoch);
        let mut overdue_wei = unpaid;
        if dues.closing.is_some() && dues.closing == book.asked_epoch() {
            overdue_wei = unpaid.saturating_add(receivable.asked_wei).saturating_sub(credit);
        }
        let limits = self.limits.standing(payer, self.spender, &book);
        Ok(Some(Account {
            dues,
            carried_wei: Signed { owed: unpaid, credit: credit.saturating_add(debited) },
            overdue_wei: overdue_wei.saturating_sub(debited),
            balance_wei: book.balance_wei,
            withdrawing_wei: book.withdrawing_wei,
            arriving_wei: book.arriving_wei,
            room_wei: limits::room(&limits, Millis::now().unix_seconds(), self.debited_within_seconds),
            limits,
        }))
    }
}

#[cfg(test)]
mod tests;
