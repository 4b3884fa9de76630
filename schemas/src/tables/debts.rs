//! `debts`: what each payer owed for each epoch, and where it stands after it.

use alloy_primitives::Address;

use super::{Wei, WriteMode, table};

table! {
    /// One payer in one epoch: everybody with a receipt in it, and everybody whom an earlier one left with a debt
    /// or a credit.
    DebtRow = "debts", WriteMode::Keyed(&["epoch", "payer"]), indexed ["epoch"];
    epoch: u64,
    payer: Address,
    /// What was unpaid before, and the fees of the epoch's receipts.
    asked_wei: Wei,
    collected_wei: Wei,
    /// What stays owed; until it is paid the payer gets no answer.
    unpaid_wei: Wei,
    /// Number of the payer's last receipt that is paid for, in order; 0 before the first.
    covered_to: u64,
    /// What was collected beyond that receipt.
    credit_wei: Wei,
    /// Number of the payer's last receipt whose contributors were paid: above `covered_to` where the operator's
    /// reserve paid them.
    rewarded_to: u64,
    /// Of what the payer paid into the reward pool, what no reward has taken yet.
    pool_credit_wei: Wei,
    /// What receipts that are paid for attribute, and the pool was not given: because the fee schedule was lowered after the
    /// payer was asked, or because the operator withheld it.
    withheld_wei: Wei,
}
