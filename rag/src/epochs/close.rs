//! Closing epochs over the tables.

use std::path::Path;

use schemas::merkle::StandardMerkleTree;
use schemas::receipt::ReceiptBody;
use schemas::tables::{EpochRow, Millis, ReceiptRow, RewardRow};
use schemas::{Address, B256};
use store::Store;

use super::plan::Plan;
use super::{ClosedEpoch, Debit, EpochComputation, EpochCut, RewardProof, recompute_epoch};
use crate::receipts::receipt_of;
use crate::{RagError, Result, blocking};

/// Closes the next epoch with every receipt in the tables that none has yet, or finishes the one
/// that a crash left between its rewards and its commit (then with that one's cut).
///
/// The caller drains the receipts first and closes one epoch at a time.
pub(crate) async fn close(store: &Store, dir: &Path, cut: EpochCut) -> Result<ClosedEpoch> {
    let last = latest(store).await?;
    let epoch = last.as_ref().map_or(0, |row| row.epoch) + 1;
    let first_sequence = last.as_ref().map_or(0, |row| row.last_sequence) + 1;
    let plan_dir = dir.to_owned();
    let left = blocking(move || Plan::load(&plan_dir)).await?.filter(|plan| plan.epoch == epoch);
    let filter = match &left {
        Some(plan) => format!("sequence >= {first_sequence} AND sequence <= {}", plan.last_sequence),
        None => format!("sequence >= {first_sequence}"),
    };
    let bodies = bodies(store, &filter).await?;
    let previous = rewards_of(store, epoch - 1).await?;
    let cut = left.as_ref().map_or(cut, |plan| plan.cut);
    let computed = blocking(move || recompute_epoch(&bodies, &previous, &cut)).await?;
    let conflict = |problem: String| Err(RagError::EpochConflict { epoch, problem });
    if computed.epoch != epoch || computed.first_sequence != first_sequence {
        return conflict(format!("receipts begin at {} instead of {first_sequence}", computed.first_sequence));
    }
    if left.is_none() {
        let (plan, plan_dir) = (Plan { epoch, last_sequence: computed.last_sequence, cut }, dir.to_owned());
        blocking(move || plan.save(&plan_dir)).await?;
    }
    store.insert_new::<RewardRow>(&computed.rewards).await?;
    if rewards_of(store, epoch).await? != computed.rewards {
        return conflict("the rewards table holds other rows for it".into());
    }
    let row = epoch_row(&computed, &cut, Millis::now());
    store.insert_new::<EpochRow>(std::slice::from_ref(&row)).await?;
    let plan_dir = dir.to_owned();
    blocking(move || Plan::remove(&plan_dir)).await?;
    tracing::info!(epoch, receipts = row.receipt_count, accounts = computed.rewards.len(), pool_wei = row.pool_wei.0, "epoch closed");
    closed(store, epoch).await
}

/// A committed epoch, read back with what follows from its receipts.
pub(crate) async fn closed(store: &Store, epoch: u64) -> Result<ClosedEpoch> {
    let row = store.scan::<EpochRow>(Some(&format!("epoch = {epoch}"))).await?.into_iter().next();
    let row = row.ok_or_else(|| RagError::not_found("epoch", epoch))?;
    let bodies = bodies(store, &format!("sequence >= {} AND sequence <= {}", row.first_sequence, row.last_sequence)).await?;
    let debits: Vec<Debit> = super::compute::debits(&bodies.iter().collect::<Vec<_>>())?;
    Ok(ClosedEpoch { rewards: rewards_of(store, epoch).await?, row, debits })
}

/// The account's claim under the newest committed epoch.
pub(crate) async fn proof(store: &Store, account: Address) -> Result<RewardProof> {
    let epoch = latest(store).await?.ok_or_else(|| RagError::not_found("epoch", "that is closed"))?;
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

fn epoch_row(computed: &EpochComputation, cut: &EpochCut, closed_at: Millis) -> EpochRow {
    EpochRow {
        epoch: computed.epoch,
        first_sequence: computed.first_sequence,
        last_sequence: computed.last_sequence,
        receipt_count: computed.receipt_count,
        total_wei: computed.total_wei,
        pool_wei: computed.pool_wei,
        platform_wei: computed.platform_wei,
        total_cumulative_wei: computed.total_cumulative_wei,
        reward_root: computed.reward_root,
        receipts_root: computed.receipts_root,
        artifact_hash: computed.artifact_hash,
        to_block: cut.to_block,
        to_block_hash: cut.to_block_hash,
        closed_at,
    }
}
