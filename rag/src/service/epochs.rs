//! Epochs: what is owed, closing and settling, and reading them again.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::ids::AnswerId;
use schemas::receipt::Receipt;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, RewardRow};
use schemas::{Address, U256};

use super::Rag;
use crate::epochs::{self, Asked, ClosingTerms, Collection, Dues, Policy, RewardProof, Settled};
use crate::receipts::{self, Receivable};
use crate::{RagError, Result};

/// A filter for the rows of an epoch whose address in `column`, which stands there in lower case, comes after one.
fn of_epoch_after(epoch: u64, column: &str, after: Option<Address>) -> String {
    let after = after.map(|after| format!(" AND {column} > '{after:#x}'")).unwrap_or_default();
    format!("epoch = {epoch}{after}")
}

impl Rag {
    /// What a payer owes as the newest settled epoch left it. Read from the tables when an epoch was closed or settled since.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn dues(&self, payer: Address) -> Result<Dues> {
        let store = &self.store;
        let mark = [store.version::<EpochRow>()?, store.version::<DebtRow>()?, store.version::<ClosingRow>()?];
        let settled = self.settled.get(mark, (), async || Settled::read(store).await.map(Arc::new)).await?;
        self.ledger.settled(settled.last_sequence);
        Ok(settled.dues(payer))
    }

    /// What a payer owes beside its `dues`: for the receipts that no settled epoch has, and for the answers being made of which
    /// there is none yet. `None` where an epoch was settled since the dues were read: they are to be read again.
    pub fn receivable(&self, payer: Address, dues: &Dues, making: impl Iterator<Item = (AnswerId, U256)>) -> Option<Receivable> {
        self.ledger.receivable(payer, dues, making)
    }

    /// Drains, and closes the next epoch with every receipt so far; or returns the one that is closed and not settled.
    /// `payable` are payers with an earlier debt from whom something can be collected now.
    ///
    /// # Errors
    /// [`RagError::NothingToSettle`]; [`RagError::EpochConflict`] when the tables contradict the receipts.
    pub async fn close_epoch(&self, terms: ClosingTerms, payable: &BTreeSet<Address>) -> Result<ClosingRow> {
        let _single = self.closing.lock().await;
        self.drain().await?;
        epochs::close(&self.store, terms, payable).await
    }

    /// The epoch that is closed and not settled, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn closing(&self) -> Result<Option<ClosingRow>> {
        epochs::closing(&self.store).await
    }

    /// What every payer is asked for in an epoch that is closed, by payer.
    ///
    /// # Errors
    /// [`RagError::Unproven`] when the tables contradict the closing.
    pub async fn asked(&self, closing: ClosingRow) -> Result<Vec<Asked>> {
        let epoch = closing.epoch;
        self.asked.get((), epoch, async || epochs::asked(&self.store, closing).await).await
    }

    /// Turns what was collected for a closed epoch into rewards and debts, and commits it.
    ///
    /// # Errors
    /// [`RagError::EpochConflict`] and [`RagError::Unproven`] when tables, receipts and collection contradict each other.
    pub async fn settle_epoch(&self, closing: ClosingRow, collection: Collection) -> Result<EpochRow> {
        let _single = self.closing.lock().await;
        epochs::settle(&self.store, closing, collection).await
    }

    /// An epoch as it was closed, by which policy, and as it was settled, once it is.
    ///
    /// # Errors
    /// [`RagError::NotFound`] for one that is not closed.
    pub async fn epoch(&self, epoch: u64) -> Result<(ClosingRow, Option<Policy>, Option<EpochRow>)> {
        if i64::try_from(epoch).is_err() {
            return Err(RagError::not_found("epoch", epoch)); // nor would the tables take the number
        }
        let filter = format!("epoch = {epoch}");
        let settled: Vec<EpochRow> = self.store.scan(Some(&filter)).await?;
        let closing: Vec<ClosingRow> = self.store.scan(Some(&filter)).await?;
        let closing = closing.into_iter().next().ok_or_else(|| RagError::not_found("epoch", epoch))?;
        Ok((closing, epochs::policy_of(&self.store, epoch).await?, settled.into_iter().next()))
    }

    /// What a settled epoch left payers with: of those after an address the first `limit`, by address.
    ///
    /// # Errors
    /// [`RagError::Store`].
    pub async fn debts(&self, epoch: u64, after: Option<Address>, limit: usize) -> Result<Vec<DebtRow>> {
        let mut rows: Vec<DebtRow> = self.store.scan(Some(&of_epoch_after(epoch, "payer", after))).await?;
        rows.sort_by_key(|row| row.payer);
        rows.truncate(limit);
        Ok(rows)
    }

    /// What everybody earned up to a settled epoch, in the same way.
    ///
    /// # Errors
    /// [`RagError::Store`].
    pub async fn rewards(&self, epoch: u64, after: Option<Address>, limit: usize) -> Result<Vec<RewardRow>> {
        let mut rows: Vec<RewardRow> = self.store.scan(Some(&of_epoch_after(epoch, "account", after))).await?;
        rows.sort_by_key(|row| row.account);
        rows.truncate(limit);
        Ok(rows)
    }

    /// At most `limit` receipts after this number, in order, of those that are in the tables.
    ///
    /// # Errors
    /// [`RagError::Store`], and [`RagError::Schema`] for a row that is no receipt.
    pub async fn receipts_after(&self, sequence: u64, limit: u64) -> Result<Vec<Receipt>> {
        if i64::try_from(sequence.saturating_add(limit)).is_err() {
            return Ok(Vec::new());
        }
        receipts::after(&self.store, sequence, limit).await
    }

    /// What `account` may have claimed in all under the newest settled epoch, with its proof.
    ///
    /// # Errors
    /// [`RagError::NotFound`] when no epoch is settled, or the account never earned anything.
    pub async fn reward_proof(&self, account: Address) -> Result<RewardProof> {
        self.proofs.reward(account).await
    }
}
