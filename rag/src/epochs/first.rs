//! `rewards/1`: rewards of what receipts say is owed, whether or not it was collected. Epochs of these rules stand on chain, and
//! are verified as what they were; none is made any more.

use std::collections::BTreeMap;

use schemas::alloy_primitives::keccak256;
use schemas::leaves::RewardLeaf;
use schemas::receipt::ReceiptBody;
use schemas::tables::{RewardRow, Wei};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::amounts::{BASIS_POINTS, add, check_run, contributors_parts, root, sum};
use crate::{RagError, Result};

/// Where an epoch ends, and what its rewards are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochCut {
    pub chain_id: u64,
    /// The `RewardDistributor` that pays.
    pub distributor: Address,
    /// A finalized block.
    pub to_block: u64,
    pub to_block_hash: B256,
    /// The part of every fee that goes to contributors, in basis points.
    pub data_bps: u16,
}

/// An epoch as its receipts determine it.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochComputation {
    pub epoch: u64,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub receipt_count: u64,
    /// All fees.
    pub total_wei: Wei,
    /// What contributors earn.
    pub pool_wei: Wei,
    /// The rest.
    pub platform_wei: Wei,
    pub total_cumulative_wei: Wei,
    /// By account; everyone who ever earned something.
    pub rewards: Vec<RewardRow>,
    pub reward_root: B256,
    /// `StandardMerkleTree.of(hashes, ["bytes32"])`: the leaf of a receipt is keccak256(keccak256(body hash)).
    pub receipts_root: B256,
    pub artifact_hash: B256,
}

/// Computes the epoch after `previous` (the rewards of the last closed epoch, empty for the first).
///
/// Of every fee, `fee · data_bps / 10,000` wei (rounded down) are divided by largest remainder in
/// proportion to the receipt's shares, contributors by address and `unattributed` last; what falls
/// to `unattributed` stays with the platform, as does the rest of the fee. Amounts add up over
/// epochs, and an account that ever earned something keeps its row.
///
/// # Errors
/// [`RagError::Unproven`] for receipts that are not a gapless run, or whose shares do not sum up;
/// [`RagError::NothingToSettle`] where no receipt was paid, or nobody ever earned anything;
/// [`RagError::Schema`] for amounts beyond 10^38.
pub fn recompute_epoch(receipts: &[ReceiptBody], previous: &[RewardRow], cut: &EpochCut) -> Result<EpochComputation> {
    if u128::from(cut.data_bps) > BASIS_POINTS {
        return Err(RagError::Config(format!("data_bps is {}; at most {BASIS_POINTS}", cut.data_bps)));
    }
    let mut receipts: Vec<&ReceiptBody> = receipts.iter().collect();
    receipts.sort_by_key(|receipt| receipt.sequence);
    let last_epoch = previous.first().map_or(0, |row| row.epoch);
    if previous.iter().any(|row| row.epoch != last_epoch) {
        return Err(RagError::Unproven("the previous rewards are of more than one epoch".into()));
    }
    let (Some(first), Some(last)) = (receipts.first(), receipts.last()) else { return Err(RagError::NothingToSettle { last_epoch }) };
    check_run(receipts.iter().map(|receipt| receipt.sequence))?;
    let epoch = last_epoch + 1;
    let earned = earned(&receipts, cut.data_bps)?;
    if !is_paid(&receipts)? || (previous.is_empty() && earned.is_empty()) {
        return Err(RagError::NothingToSettle { last_epoch });
    }
    let rewards = rewards(epoch, &earned, previous, cut)?;
    let total_wei = sum(receipts.iter().map(|receipt| receipt.fee_wei))?;
    let pool_wei = sum(earned.values().copied())?;
    let reward_root = root(rewards.iter().map(|row| row.leaf))?;
    let hashes = receipts.iter().map(|receipt| Ok(receipt.canonical()?.1)).collect::<Result<Vec<B256>>>()?;
    let artifact = json!({
        "schema": "headwater.epoch/1",
        "rules": "rewards/1",
        "epoch": epoch,
        "cut": cut,
        "receipts": hashes,
        "previous_root": if previous.is_empty() { B256::ZERO } else { root(previous.iter().map(|row| row.leaf))? },
        "reward_root": reward_root,
    });
    Ok(EpochComputation {
        epoch,
        first_sequence: first.sequence,
        last_sequence: last.sequence,
        receipt_count: receipts.len() as u64,
        total_wei,
        pool_wei,
        // the data part of a fee is at most the fee
        platform_wei: Wei(total_wei.0.saturating_sub(pool_wei.0)),
        total_cumulative_wei: sum(rewards.iter().map(|row| row.cumulative_wei))?,
        rewards,
        reward_root,
        receipts_root: root(hashes.iter().map(|hash| keccak256(keccak256(hash))))?,
        artifact_hash: keccak256(schemas::canonical::to_string(&artifact)?),
    })
}

/// What each contributor earns; accounts that earn nothing are left out.
fn earned(receipts: &[&ReceiptBody], data_bps: u16) -> Result<BTreeMap<Address, Wei>> {
    let mut earned: BTreeMap<Address, Wei> = BTreeMap::new();
    for receipt in receipts.iter().filter(|receipt| receipt.payer.is_some()) {
        let shares = receipt.shares.iter().map(|share| (share.contributor, share.share_ppm)).collect();
        let parts = contributors_parts(receipt.sequence, receipt.fee_wei, shares, receipt.unattributed_ppm, data_bps)?;
        for (account, part) in parts {
            let amount = earned.entry(account).or_default();
            *amount = add(*amount, Wei(part))?;
        }
    }
    Ok(earned)
}

/// Whether anybody pays for anything.
fn is_paid(receipts: &[&ReceiptBody]) -> Result<bool> {
    if let Some(unpaid) = receipts.iter().find(|receipt| receipt.fee_wei.0 > 0 && receipt.payer.is_none()) {
        return Err(RagError::Unproven(format!("receipt {} has a fee that nobody pays", unpaid.sequence)));
    }
    Ok(receipts.iter().any(|receipt| receipt.fee_wei.0 > 0))
}

fn rewards(epoch: u64, earned: &BTreeMap<Address, Wei>, previous: &[RewardRow], cut: &EpochCut) -> Result<Vec<RewardRow>> {
    let mut cumulative: BTreeMap<Address, Wei> = previous.iter().map(|row| (row.account, row.cumulative_wei)).collect();
    for (account, amount) in earned {
        let entry = cumulative.entry(*account).or_default();
        *entry = add(*entry, *amount)?;
    }
    let row = |(account, cumulative_wei): (Address, Wei)| {
        let leaf =
            RewardLeaf { chain_id: cut.chain_id, distributor: cut.distributor, account, cumulative_wei: U256::from(cumulative_wei.0) };
        let amount_wei = earned.get(&account).copied().unwrap_or_default();
        RewardRow { epoch, account, amount_wei, cumulative_wei, leaf: leaf.hash() }
    };
    Ok(cumulative.into_iter().map(row).collect())
}
