//! What payers owe, and which of their receipts what they paid covers: in order of issue, whole receipts only. Pure.

use std::collections::BTreeMap;

use schemas::Address;
use schemas::allocation::largest_remainder;
use schemas::tables::{ClosingRow, DebtRow, Wei};

use super::amounts::{BASIS_POINTS, add, sum};
use super::entries::Entry;
use super::{Asked, Collected, Policy};
use crate::{RagError, Result};

/// A receipt as its payer's debt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Charge<'a> {
    entry: &'a Entry,
    data_bps: u16,
    payer: Address,
    policy: Option<&'a Policy>,
}

impl Charge<'_> {
    pub(super) fn sequence(&self) -> u64 {
        self.entry.sequence
    }

    /// What of the fee is contributors', less what the policy pays nobody.
    pub(super) fn parts(&self) -> Result<Vec<(Address, u128)>> {
        let mut parts = self.entry.parts(self.data_bps)?;
        if let Some(policy) = self.policy {
            parts.retain(|(account, _)| policy.pays(self.payer, *account));
        }
        Ok(parts)
    }

    pub(super) fn attributed(&self) -> Result<Wei> {
        sum(self.parts()?.into_iter().map(|(_, part)| Wei(part)))
    }
}

/// One payer before an epoch's debit.
#[derive(Debug, Default)]
pub(super) struct Account<'a> {
    /// Receipts that are not paid for, in order.
    charges: Vec<Charge<'a>>,
    covered_to: u64,
    credit: Wei,
    rewarded_to: u64,
    pool_credit: Wei,
    has_new: bool,
}

/// One payer after it.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) row: DebtRow,
    /// What the covered receipts pay, by account.
    pub(super) paid: BTreeMap<Address, Wei>,
    /// Receipts whose contributors are not paid, in order.
    pub(super) open: Vec<Charge<'a>>,
}

/// Every payer with a debt or a credit. `receipts` in order of issue: those of the epoch, and the earlier ones that `previous`
/// leaves uncovered; others are passed over.
pub(super) fn accounts<'a>(
    receipts: &'a [Entry],
    closing: &ClosingRow,
    policy: Option<&'a Policy>,
    previous: &[DebtRow],
) -> Result<BTreeMap<Address, Account<'a>>> {
    let mut accounts: BTreeMap<Address, Account<'a>> = previous.iter().map(|row| (row.payer, Account::of(row))).collect();
    let data_bps = u16::try_from(closing.data_bps).ok().filter(|bps| u128::from(*bps) <= BASIS_POINTS);
    let data_bps = data_bps.ok_or_else(|| RagError::Unproven(format!("data_bps is {}; at most {BASIS_POINTS}", closing.data_bps)))?;
    for receipt in receipts.iter().filter(|receipt| receipt.fee_wei.0 > 0) {
        let Some(payer) = receipt.payer else {
            return Err(RagError::Unproven(format!("receipt {} has a fee that nobody pays", receipt.sequence)));
        };
        let is_new = receipt.sequence >= closing.first_sequence;
        let account = match accounts.get_mut(&payer) {
            Some(account) => account,
            None if is_new => accounts.entry(payer).or_insert_with(|| Account::anew(closing)),
            None => continue,
        };
        if receipt.sequence > account.covered_to {
            account.has_new |= is_new;
            // Refused whether or not it is paid for.
            receipt.check_shares()?;
            account.charges.push(Charge { entry: receipt, data_bps, payer, policy });
        }
    }
    for row in previous {
        let earlier = accounts.get(&row.payer).map(|account| account.fees(|charge| charge.sequence() < closing.first_sequence));
        let earlier = earlier.unwrap_or(Ok(Wei(0)))?;
        if earlier.0.saturating_sub(row.credit_wei.0) != row.unpaid_wei.0 {
            return Err(RagError::Unproven(format!(
                "{} owes {} wei for earlier epochs, and the receipts given say {}",
                row.payer,
                row.unpaid_wei.0,
                earlier.0.saturating_sub(row.credit_wei.0)
            )));
        }
    }
    Ok(accounts)
}

impl<'a> Account<'a> {
    /// Whom the epoch before left with neither debt nor credit: earlier receipts are paid for.
    pub(super) fn anew(closing: &ClosingRow) -> Self {
        let before = closing.first_sequence.saturating_sub(1);
        Self { covered_to: before, rewarded_to: before, ..Self::default() }
    }

    fn of(row: &DebtRow) -> Self {
        Self {
            charges: Vec::new(),
            covered_to: row.covered_to,
            credit: row.credit_wei,
            rewarded_to: row.rewarded_to,
            pool_credit: row.pool_credit_wei,
            has_new: false,
        }
    }

    fn fees(&self, which: impl Fn(&Charge<'_>) -> bool) -> Result<Wei> {
        sum(self.charges.iter().filter(|charge| which(charge)).map(|charge| charge.entry.fee_wei))
    }

    fn owed(&self) -> Result<Wei> {
        Ok(Wei(self.fees(|_| true)?.0.saturating_sub(self.credit.0)))
    }

    /// What the payer is to be asked for; `None` where that is nothing.
    pub(super) fn asked(&self, payer: Address) -> Result<Option<Asked>> {
        let amount_wei = self.owed()?;
        let mut attributed = Wei(0);
        for charge in self.charges.iter().filter(|charge| charge.sequence() > self.rewarded_to) {
            attributed = add(attributed, charge.attributed()?)?;
        }
        let data_wei = Wei(attributed.0.saturating_sub(self.pool_credit.0));
        Ok((amount_wei.0 > 0).then_some(Asked { payer, amount_wei, data_wei, is_new: self.has_new }))
    }

    /// Covers receipts in order with what was collected. They pay what they attribute, and never more than the payer has put
    /// into the pool: what that lacks is told.
    pub(super) fn settle(self, epoch: u64, collected: &Collected) -> Result<Outcome<'a>> {
        let asked_wei = self.owed()?;
        let mut money = add(self.credit, collected.amount_wei)?;
        let mut pool = add(self.pool_credit, collected.data_wei)?;
        let (mut covered_to, mut rewarded_to) = (self.covered_to, self.rewarded_to);
        let (mut due, mut open): (Vec<Charge<'a>>, Vec<Charge<'a>>) = (Vec::new(), Vec::new());
        let mut is_short = false;
        for charge in self.charges {
            let fee = charge.entry.fee_wei;
            is_short |= fee > money;
            if !is_short {
                money = Wei(money.0 - fee.0);
                covered_to = charge.sequence();
            }
            match (charge.sequence() > rewarded_to, is_short) {
                (false, _) => {}
                (true, true) => open.push(charge),
                (true, false) => {
                    rewarded_to = charge.sequence();
                    due.push(charge);
                }
            }
        }
        let mut paid = in_full(&due)?;
        let needed = sum(paid.values().copied())?;
        let total = needed.min(pool);
        pool = Wei(pool.0 - total.0);
        if total < needed {
            paid = in_part(&due, total)?;
        }
        let row = DebtRow {
            epoch,
            payer: collected.payer,
            asked_wei,
            collected_wei: collected.amount_wei,
            unpaid_wei: Wei(asked_wei.0.saturating_sub(collected.amount_wei.0)),
            covered_to,
            credit_wei: money,
            rewarded_to,
            pool_credit_wei: pool,
            withheld_wei: Wei(needed.0 - total.0),
        };
        Ok(Outcome { row, paid, open })
    }
}

/// What the receipts attribute, by account.
fn in_full(due: &[Charge<'_>]) -> Result<BTreeMap<Address, Wei>> {
    let mut paid = BTreeMap::new();
    for charge in due {
        pay(&mut paid, charge.parts()?)?;
    }
    Ok(paid)
}

/// Less than the receipts attribute, divided by largest remainder over all their parts.
fn in_part(due: &[Charge<'_>], total: Wei) -> Result<BTreeMap<Address, Wei>> {
    let parts: Vec<Vec<(Address, u128)>> = due.iter().map(Charge::parts).collect::<Result<_>>()?;
    let weights: Vec<u128> = parts.iter().flatten().map(|(_, part)| *part).collect();
    let mut paid = BTreeMap::new();
    pay(&mut paid, parts.iter().flatten().map(|(account, _)| *account).zip(largest_remainder(total.0, &weights)))?;
    Ok(paid)
}

pub(super) fn pay(paid: &mut BTreeMap<Address, Wei>, parts: impl IntoIterator<Item = (Address, u128)>) -> Result<()> {
    for (account, part) in parts.into_iter().filter(|(_, part)| *part > 0) {
        let amount = paid.entry(account).or_default();
        *amount = add(*amount, Wei(part))?;
    }
    Ok(())
}
