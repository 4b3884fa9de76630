//! What a payer owes as the newest settled epoch left it, and which receipts are asked for beside it.

use std::collections::HashMap;

use schemas::Address;
use schemas::tables::{ClosingRow, Wei};
use store::Store;

use super::close::{closing, debts_of, latest};
use crate::Result;

/// A payer before the receipts that no settled epoch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dues {
    /// The newest settled epoch; 0 before the first.
    pub epoch: u64,
    /// What it left unpaid.
    pub unpaid_wei: Wei,
    /// What it left to the payer's credit, where nothing is unpaid.
    pub credit_wei: Wei,
    /// The epoch that is closed and not settled.
    pub closing: Option<u64>,
    pub(crate) settled_to: u64,
    pub(crate) asked_to: Option<u64>,
}

/// The newest settled epoch, and the one after it.
#[derive(Debug)]
pub(crate) struct Settled {
    epoch: u64,
    pub(crate) last_sequence: u64,
    debts: HashMap<Address, (Wei, Wei)>,
    closing: Option<ClosingRow>,
}

impl Settled {
    pub(crate) async fn read(store: &Store) -> Result<Self> {
        // The epoch first: what is read after it is at least as new.
        let (epoch, last_sequence) = latest(store).await?.map_or((0, 0), |row| (row.epoch, row.last_sequence));
        let debts = debts_of(store, epoch).await?;
        let closing = closing(store).await?.filter(|closing| closing.epoch > epoch);
        let debts = debts.into_iter().map(|row| (row.payer, (row.unpaid_wei, row.credit_wei))).collect();
        Ok(Self { epoch, last_sequence, debts, closing })
    }

    pub(crate) fn dues(&self, payer: Address) -> Dues {
        let (unpaid_wei, credit_wei) = self.debts.get(&payer).copied().unwrap_or_default();
        Dues {
            epoch: self.epoch,
            unpaid_wei,
            // A part of a receipt that is paid stands to its payer's credit and is out of `unpaid` already.
            credit_wei: if unpaid_wei.0 == 0 { credit_wei } else { Wei(0) },
            closing: self.closing.as_ref().map(|closing| closing.epoch),
            settled_to: self.last_sequence,
            asked_to: self.closing.as_ref().map(|closing| closing.last_sequence),
        }
    }
}
