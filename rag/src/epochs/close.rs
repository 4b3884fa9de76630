//! Closing and settling epochs over the tables.

use std::collections::BTreeSet;

use schemas::merkle::StandardMerkleTree;
use schemas::receipt::ReceiptBody;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, Millis, ReceiptRow, RewardRow};
use schemas::{Address, B256};
use store::Store;

use super::amounts::{check_run, sum};
use super::rewards::{self, EpochInputs, receipts_root};
use super::{Asked, ClosingTerms, Collection, EpochComputation, RULES, RewardProof, recompute_epoch};
use crate::receipts::receipt_of;
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
    let bodies = bodies(store, &format!("sequence > {before}")).await?;
    let is_paid = |body: &ReceiptBody| body.fee_wei.0 > 0;
    if !bodies.iter().any(is_paid) {
        let debts: Vec<DebtRow> = debts_of(store, last_epoch).await?;
        if !debts.iter().any(|row| row.unpaid_wei.0 > 0 && payable.contains(&row.payer)) {
            return Err(RagError::NothingToSettle { last_epoch });
        }
    }
    let row = blocking(move || closing_row(last_epoch + 1, before + 1, &bodies, terms)).await?;
    store.insert_new::<ClosingRow>(std::slice::from_ref(&row)).await?;
    tracing::info!(epoch = row.epoch, receipts = row.receipt_count, total_wei = row.total_wei.0, "epoch closed");
    Ok(row)
}

fn closing_row(epoch: u64, first_sequence: u64, bodies: &[ReceiptBody], terms: ClosingTerms) -> Result<ClosingRow> {
    let receipts: Vec<&ReceiptBody> = bodies.iter().collect();
    check_run(&receipts)?;
    if let Some(first) = receipts.first().filter(|first| first.sequence != first_sequence) {
        let problem = format!("receipts begin at {} instead of {first_sequence}", first.sequence);
        return Err(RagError::EpochConflict { epoch, problem });
    }
    Ok(ClosingRow {
        epoch,
        first_sequence,
        last_sequence: receipts.last().map_or(first_sequence - 1, |last| last.sequence),
        receipt_count: receipts.len() as u64,
        total_wei: sum(receipts.iter().map(|receipt| receipt.fee_wei))?,
        receipts_root: receipts_root(&receipts)?,
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
    blocking(move || rewards::asked(&closing, &receipts, &debts)).await
}

/// Turns what was collected into rewards and debts, and commits the epoch. Again, it returns what is committed.
pub(crate) async fn settle(store: &Store, closing: ClosingRow, collection: Collection) -> Result<EpochRow> {
    let epoch = closing.epoch;
    let (debts, rewards) = (debts_of(store, epoch - 1).await?, rewards_of(store, epoch - 1).await?);
    let receipts = receipts_of(store, &closing, &debts).await?;
    let (computed, row) = blocking(move || {
        let inputs = EpochInputs { closing: &closing, receipts: &receipts, debts: &debts, rewards: &rewards, collection: &collection };
        let computed = recompute_epoch(&inputs)?;
        let row = epoch_row(&closing, &collection, &computed);
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

/// The account's claim under the newest settled epoch.
pub(crate) async fn proof(store: &Store, account: Address) -> Result<RewardProof> {
    let epoch = latest(store).await?.ok_or_else(|| RagError::not_found("epoch", "that is settled"))?;
    let rewards = rewards_of(store, epoch.epoch).await?;
    let index = rewards.iter().position(|row| row.account == account).ok_or_else(|| RagError::not_found("reward of account", account))?;
    blocking(move || {
        let tree = StandardMerkleTree::new(&rewards.iter().map(|row| row.leaf).collect::<Vec<B256>>())?;
        let (Some(row), Some(proof)) = (rewards.get(index), tree.proof(index)) else {
            return Err(RagError::not_found("reward of account", account));
        };
        if tree.root() != epoch.reward_root {
            let problem = format!("its rewards have root {} instead of {}", tree.root(), epoch.reward_root);
            return Err(RagError::EpochConflict { epoch: epoch.epoch, problem });
        }
        Ok(RewardProof { epoch: epoch.epoch, account, cumulative_wei: row.cumulative_wei, proof, root: epoch.reward_root })
    })
    .await
}

async fn latest(store: &Store) -> Result<Option<EpochRow>> {
    let Some(epoch) = store.max::<EpochRow>("epoch").await? else { return Ok(None) };
    Ok(store.scan::<EpochRow>(Some(&format!("epoch = {epoch}"))).await?.into_iter().next())
}

/// By account.
async fn rewards_of(store: &Store, epoch: u64) -> Result<Vec<RewardRow>> {
    let mut rows = store.scan::<RewardRow>(Some(&format!("epoch = {epoch}"))).await?;
    rows.sort_by_key(|row| row.account);
    Ok(rows)
}

/// By payer.
async fn debts_of(store: &Store, epoch: u64) -> Result<Vec<DebtRow>> {
    let mut rows = store.scan::<DebtRow>(Some(&format!("epoch = {epoch}"))).await?;
    rows.sort_by_key(|row| row.payer);
    Ok(rows)
}

/// The epoch's receipts, and earlier ones of payers who owe for them.
async fn receipts_of(store: &Store, closing: &ClosingRow, debts: &[DebtRow]) -> Result<Vec<ReceiptBody>> {
    let (first, last) = (closing.first_sequence, closing.last_sequence);
    let mut receipts = bodies(store, &format!("sequence >= {first} AND sequence <= {last}")).await?;
    let owing: Vec<&DebtRow> = debts.iter().filter(|row| row.unpaid_wei.0 > 0).collect();
    for some in owing.chunks(PAYERS_PER_SCAN) {
        let from = some.iter().map(|row| row.covered_to).min().unwrap_or(0);
        let payers: Vec<String> = some.iter().map(|row| format!("'{:#x}'", row.payer)).collect();
        let filter = format!("sequence > {from} AND sequence < {first} AND payer IN ({})", payers.join(", "));
        receipts.extend(bodies(store, &filter).await?);
    }
    Ok(receipts)
}

/// In order of issue.
async fn bodies(store: &Store, filter: &str) -> Result<Vec<ReceiptBody>> {
    let rows = store.scan::<ReceiptRow>(Some(filter)).await?;
    blocking(move || {
        let mut bodies = rows.iter().map(|row| Ok(receipt_of(row)?.body)).collect::<Result<Vec<ReceiptBody>>>()?;
        bodies.sort_by_key(|body| body.sequence);
        Ok(bodies)
    })
    .await
}

fn epoch_row(closing: &ClosingRow, collection: &Collection, computed: &EpochComputation) -> EpochRow {
    EpochRow {
        epoch: closing.epoch,
        rules: RULES.into(),
        first_sequence: closing.first_sequence,
        last_sequence: closing.last_sequence,
        receipt_count: closing.receipt_count,
        total_wei: closing.total_wei,
        asked_wei: computed.asked_wei,
        collected_wei: computed.collected_wei,
        data_wei: computed.data_wei,
        reserve_used_wei: computed.reserve_used_wei,
        unpaid_wei: computed.unpaid_wei,
        pool_wei: computed.pool_wei,
        total_cumulative_wei: computed.total_cumulative_wei,
        reward_root: computed.reward_root,
        receipts_root: closing.receipts_root,
        artifact_hash: computed.artifact_hash,
        to_block: collection.to_block,
        to_block_hash: collection.to_block_hash,
        computed_at: Millis::now(),
    }
}
