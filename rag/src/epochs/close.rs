//! Closing and settling epochs over the tables.

use std::collections::BTreeSet;

use schemas::tables::{ClosingRow, DebtRow, EpochRow, FeeRow, Millis, RewardRow, Wei};
use schemas::{Address, B256};
use store::Store;

use super::amounts::sum;
use super::entries::{self, Entry};
use super::rewards::{self, EpochInputs, receipts_root};
use super::{Asked, ClosingTerms, Collection, policy_of};
use crate::receipts::read_run;
use crate::{RagError, Result, blocking};

/// Payers named in one filter.
const PAYERS_PER_SCAN: usize = 500;

/// Closes the next epoch with every receipt in the tables that none has yet, or returns the one that is closed and not
/// settled. `payable` are payers with an earlier debt from whom something can be collected now: for them alone an epoch is
/// closed too.
///
/// The caller drains the receipts first and closes one epoch at a time.
pub(crate) async fn close(store: &Store, terms: ClosingTerms, payable: &BTreeSet<Address>) -> Result<ClosingRow> {
    if let Some(closing) = closing(store).await? {
        return Ok(closing);
    }
    let last = latest(store).await?;
    let (last_epoch, before) = last.as_ref().map_or((0, 0), |row| (row.epoch, row.last_sequence));
    let sums = Sums::read(store, before + 1).await?;
    let debts: Vec<DebtRow> = debts_of(store, last_epoch).await?;
    if sums.paid == 0 && !debts.iter().any(|row| row.unpaid_wei.0 > 0 && payable.contains(&row.payer)) {
        return Err(RagError::NothingToSettle { last_epoch });
    }
    let payers = sums.payers.iter().copied().chain(debts.iter().map(|row| row.payer)).collect();
    terms.policy.clone().of_payers(&payers).keep(store, last_epoch + 1).await?;
    let row = blocking(move || closing_row(last_epoch + 1, before + 1, sums, &terms)).await?;
    store.insert_new::<ClosingRow>(std::slice::from_ref(&row)).await?;
    tracing::info!(epoch = row.epoch, receipts = row.receipt_count, total_wei = row.total_wei.0, "epoch closed");
    Ok(row)
}

/// Of a run of receipts what a closing says of it.
struct Sums {
    body_hashes: Vec<B256>,
    total: Wei,
    /// Receipts that cost something.
    paid: usize,
    /// Who pays for them.
    payers: BTreeSet<Address>,
}

impl Sums {
    /// All receipts in the tables from this one on, which must be a gapless run.
    async fn read(store: &Store, first_sequence: u64) -> Result<Self> {
        let last = store.max::<FeeRow>("sequence").await?.unwrap_or(0);
        let rows: Vec<FeeRow> = read_run(store, first_sequence..=last, |row: &FeeRow| row.sequence).await?;
        Ok(Self {
            total: sum(rows.iter().map(|row| row.fee_wei))?,
            paid: rows.iter().filter(|row| row.fee_wei.0 > 0).count(),
            payers: rows.iter().filter_map(|row| row.payer).collect(),
            body_hashes: rows.into_iter().map(|row| row.body_hash).collect(),
        })
    }
}

fn closing_row(epoch: u64, first_sequence: u64, sums: Sums, terms: &ClosingTerms) -> Result<ClosingRow> {
    let receipt_count = sums.body_hashes.len() as u64;
    Ok(ClosingRow {
        epoch,
        first_sequence,
        last_sequence: first_sequence + receipt_count - 1,
        receipt_count,
        total_wei: sums.total,
        receipts_root: receipts_root(sums.body_hashes.into_iter())?,
        data_bps: terms.data_bps.into(),
        reserve_wei: terms.reserve_wei,
        block_number: terms.block_number,
        block_hash: terms.block_hash,
        closed_at: Millis::now(),
    })
}

/// The epoch that is closed and not settled, if there is one.
pub(crate) async fn closing(store: &Store) -> Result<Option<ClosingRow>> {
    let Some(epoch) = store.max::<ClosingRow>("epoch").await? else { return Ok(None) };
    if store.max::<EpochRow>("epoch").await?.is_some_and(|settled| settled >= epoch) {
        return Ok(None);
    }
    Ok(store.scan::<ClosingRow>(Some(&format!("epoch = {epoch}"))).await?.into_iter().next())
}

/// What every payer is asked for in an epoch that is closed, by payer.
pub(crate) async fn asked(store: &Store, closing: ClosingRow) -> Result<Vec<Asked>> {
    let debts = debts_of(store, closing.epoch - 1).await?;
    let receipts = receipts_of(store, &closing, &debts).await?;
    let policy = policy_of(store, closing.epoch).await?;
    blocking(move || rewards::asked(&closing, policy.as_ref(), &receipts, &debts)).await
}

/// Turns what was collected into rewards and debts, and commits the epoch. Again, it returns what is committed.
pub(crate) async fn settle(store: &Store, closing: ClosingRow, collection: Collection) -> Result<EpochRow> {
    let epoch = closing.epoch;
    let (debts, rewards) = (debts_of(store, epoch - 1).await?, rewards_of(store, epoch - 1).await?);
    let receipts = receipts_of(store, &closing, &debts).await?;
    let policy = policy_of(store, epoch).await?;
    let (computed, row) = blocking(move || {
        let policy = policy.as_ref();
        let inputs = EpochInputs { closing: &closing, policy, receipts: &[], debts: &debts, rewards: &rewards, collection: &collection };
        let computed = rewards::compute(&inputs, &receipts)?;
        let row = computed.row(&closing, policy, &collection, Millis::now());
        Ok((computed, row))
    })
    .await?;
    store.insert_new::<DebtRow>(&computed.debts).await?;
    store.insert_new::<RewardRow>(&computed.rewards).await?;
    if rewards_of(store, epoch).await? != computed.rewards || debts_of(store, epoch).await? != computed.debts {
        let problem = "the tables hold other rewards or debts for it".into();
        return Err(RagError::EpochConflict { epoch, problem });
    }
    store.insert_new::<EpochRow>(std::slice::from_ref(&row)).await?;
    tracing::info!(
        epoch,
        collected_wei = row.collected_wei.0,
        unpaid_wei = row.unpaid_wei.0,
        pool_wei = row.pool_wei.0,
        accounts = computed.rewards.len(),
        "epoch settled"
    );
    Ok(row)
}

pub(super) async fn latest(store: &Store) -> Result<Option<EpochRow>> {
    let Some(epoch) = store.max::<EpochRow>("epoch").await? else { return Ok(None) };
    Ok(store.scan::<EpochRow>(Some(&format!("epoch = {epoch}"))).await?.into_iter().next())
}

/// By account.
pub(super) async fn rewards_of(store: &Store, epoch: u64) -> Result<Vec<RewardRow>> {
    let mut rows = store.scan::<RewardRow>(Some(&format!("epoch = {epoch}"))).await?;
    rows.sort_by_key(|row| row.account);
    Ok(rows)
}

/// By payer.
pub(super) async fn debts_of(store: &Store, epoch: u64) -> Result<Vec<DebtRow>> {
    let mut rows = store.scan::<DebtRow>(Some(&format!("epoch = {epoch}"))).await?;
    rows.sort_by_key(|row| row.payer);
    Ok(rows)
}

/// The epoch's receipts, and before them earlier ones of payers who owe for them.
async fn receipts_of(store: &Store, closing: &ClosingRow, debts: &[DebtRow]) -> Result<Vec<Entry>> {
    let (first, last) = (closing.first_sequence, closing.last_sequence);
    let owing: Vec<&DebtRow> = debts.iter().filter(|row| row.unpaid_wei.0 > 0).collect();
    let mut receipts = entries::read(store, first..=last, None).await?;
    for some in owing.chunks(PAYERS_PER_SCAN) {
        let from = some.iter().map(|row| row.covered_to).min().unwrap_or(0) + 1;
        let payers: Vec<String> = some.iter().map(|row| format!("'{:#x}'", row.payer)).collect();
        receipts.extend(entries::read(store, from..=first - 1, Some(&format!("payer IN ({})", payers.join(", ")))).await?);
    }
    receipts.sort_unstable_by_key(|receipt| receipt.sequence);
    Ok(receipts)
}
