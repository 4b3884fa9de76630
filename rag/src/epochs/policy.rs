//! Whom an epoch does not pay: who asks to be paid, and what is beyond a cap.
//!
//! A payer's own chunks earn nothing in the answers that it pays for, nor do those of accounts that are linked with it: that paid
//! into the vault for it, or that the operator says are one party with it. Their parts pay nobody, as what is unattributed does. A
//! link holds between a payer and an account alone, and leads no further: whoever pays in for others loses what they themselves would
//! have earned from these, and ties nobody together.
//!
//! A policy is fixed when its epoch is closed, before anybody is asked for money; it is data, in the table of policies and in the
//! epoch's artifact hash. It finds what can be seen: who sends tokens to a fresh address, and pays in from there, is not found.

use std::collections::{BTreeMap, BTreeSet};

use schemas::tables::{PolicyRow, Wei};
use schemas::{Address, SchemaError, canonical};
use serde::{Deserialize, Serialize};
use store::Store;

use crate::{RagError, Result};

/// Accounts that are named as having paid in for one payer, at most: those who paid in most.
pub const MOST_FUNDERS: usize = 256;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Deposits count up to this block.
    pub block_number: u64,
    /// What an account earns in the epoch at most. The rest stays in the pool, where a reserve that the operator states spends it first.
    /// 0: without a cap.
    pub cap_wei: Wei,
    /// By payer, ascending: who else paid into the vault for it.
    pub funded_by: BTreeMap<Address, BTreeSet<Address>>,
    /// Accounts of one party, by the operator's word.
    pub linked: Vec<BTreeSet<Address>>,
}

impl Policy {
    /// Whether an account earns in answers that `payer` pays for.
    pub(super) fn pays(&self, payer: Address, account: Address) -> bool {
        let funded = self.funded_by.get(&payer).is_some_and(|funders| funders.contains(&account));
        account != payer && !funded && !self.linked.iter().any(|party| party.contains(&payer) && party.contains(&account))
    }

    pub(super) fn capped(&self, earned: BTreeMap<Address, Wei>) -> BTreeMap<Address, Wei> {
        if self.cap_wei.0 == 0 {
            return earned;
        }
        earned.into_iter().map(|(account, amount)| (account, amount.min(self.cap_wei))).collect()
    }

    /// What concerns these payers.
    pub(super) fn of_payers(mut self, payers: &BTreeSet<Address>) -> Self {
        self.funded_by.retain(|payer, _| payers.contains(payer));
        self
    }

    /// Writes it for an epoch that is about to be closed, in the place of one that an attempt before left: nothing rests on that.
    pub(super) async fn keep(&self, store: &Store, epoch: u64) -> Result<()> {
        if policy_of(store, epoch).await?.is_some() {
            store.forget::<PolicyRow>(&format!("epoch = {epoch}")).await?;
        }
        store.insert_new(&[PolicyRow { epoch, policy: canonical::to_string(self)? }]).await?;
        Ok(())
    }
}

/// By which an epoch was closed; none where it was before there were policies.
pub(crate) async fn policy_of(store: &Store, epoch: u64) -> Result<Option<Policy>> {
    let rows: Vec<PolicyRow> = store.scan(Some(&format!("epoch = {epoch}"))).await?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let unreadable = |error| RagError::Schema(SchemaError::BadReceipt(format!("the policy of epoch {epoch} cannot be read: {error}")));
    serde_json::from_str(&row.policy).map(Some).map_err(unreadable)
}
