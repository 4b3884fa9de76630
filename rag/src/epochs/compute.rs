//! From receipts to rewards, in whole wei.

use std::collections::BTreeMap;

use schemas::allocation::largest_remainder;
use schemas::alloy_primitives::keccak256;
use schemas::leaves::RewardLeaf;
use schemas::merkle::StandardMerkleTree;
use schemas::receipt::ReceiptBody;
use schemas::tables::{RewardRow, Wei};
use schemas::{Address, B256, SchemaError, U256};
use serde_json::json;

use super::{Debit, EpochCut, RULES};
use crate::{RagError, Result};

const BASIS_POINTS: u128 = 10_000;

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
    pub debits: Vec<Debit>,
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
    if let Some(pair) = receipts.windows(2).find(|pair| matches!(pair, [a, b] if a.sequence.checked_add(1) != Some(b.sequence))) {
        let around: Vec<u64> = pair.iter().map(|receipt| receipt.sequence).collect();
        return Err(RagError::Unproven(format!("receipts {around:?} do not follow each other")));
    }
    let epoch = last_epoch + 1;
    let earned = earned(&receipts, cut.data_bps)?;
    let debits = debits(&receipts)?;
    if debits.is_empty() || (previous.is_empty() && earned.is_empty()) {
        return Err(RagError::NothingToSettle { last_epoch });
    }
    let rewards = rewards(epoch, &earned, previous, cut)?;
    let total_wei = sum(receipts.iter().map(|receipt| receipt.fee_wei))?;
    let pool_wei = sum(earned.values().copied())?;
    let reward_root = root(rewards.iter().map(|row| row.leaf))?;
    let hashes = receipts.iter().map(|receipt| Ok(receipt.canonical()?.1)).collect::<Result<Vec<B256>>>()?;
    let artifact = json!({
        "schema": "headwater.epoch/1",
        "rules": RULES,
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
        debits,
        reward_root,
        receipts_root: root(hashes.iter().map(|hash| keccak256(keccak256(hash))))?,
        artifact_hash: keccak256(schemas::canonical::to_string(&artifact)?),
    })
}

/// What each contributor earns; accounts that earn nothing are left out.
fn earned(receipts: &[&ReceiptBody], data_bps: u16) -> Result<BTreeMap<Address, Wei>> {
    let mut earned: BTreeMap<Address, Wei> = BTreeMap::new();
    for receipt in receipts.iter().filter(|receipt| receipt.payer.is_some()) {
        let mut shares: Vec<(Address, u64)> = receipt.shares.iter().map(|share| (share.contributor, share.share_ppm)).collect();
        shares.sort();
        let mut weights: Vec<u128> = shares.iter().map(|(_, share)| u128::from(*share)).collect();
        weights.push(receipt.unattributed_ppm.into());
        if weights.iter().sum::<u128>() != u128::from(schemas::allocation::PPM) {
            return Err(RagError::Unproven(format!("the shares of receipt {} do not sum to 1,000,000", receipt.sequence)));
        }
        for ((account, _), part) in shares.into_iter().zip(largest_remainder(data_part(receipt.fee_wei, data_bps), &weights)) {
            if part > 0 {
                let amount = earned.entry(account).or_default();
                *amount = add(*amount, Wei(part))?;
            }
        }
    }
    Ok(earned)
}

/// fee · bps / 10,000, rounded down, without leaving 128 bits.
fn data_part(fee: Wei, data_bps: u16) -> u128 {
    let bps = u128::from(data_bps);
    fee.0 / BASIS_POINTS * bps + fee.0 % BASIS_POINTS * bps / BASIS_POINTS
}

/// What each payer owes, by payer; `receipts` in order of issue.
pub(super) fn debits(receipts: &[&ReceiptBody]) -> Result<Vec<Debit>> {
    let mut debits: BTreeMap<Address, Debit> = BTreeMap::new();
    for receipt in receipts {
        match (receipt.payer, receipt.fee_wei.0) {
            (_, 0) => {}
            (None, _) => return Err(RagError::Unproven(format!("receipt {} has a fee that nobody pays", receipt.sequence))),
            (Some(payer), _) => {
                let debit = debits.entry(payer).or_insert_with(|| Debit { payer, amount_wei: Wei(0), receipts: Vec::new() });
                debit.amount_wei = add(debit.amount_wei, receipt.fee_wei)?;
                debit.receipts.push(receipt.answer_id);
            }
        }
    }
    Ok(debits.into_values().collect())
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

/// The tree's root over distinct leaves.
fn root(leaves: impl Iterator<Item = B256>) -> Result<B256> {
    Ok(StandardMerkleTree::new(&leaves.collect::<Vec<B256>>())?.root())
}

fn sum(mut amounts: impl Iterator<Item = Wei>) -> Result<Wei> {
    amounts.try_fold(Wei(0), add)
}

/// Adds within what a wei column holds.
fn add(a: Wei, b: Wei) -> Result<Wei> {
    let sum = a.0.checked_add(b.0).filter(|sum| *sum < 10u128.pow(38));
    sum.map(Wei).ok_or_else(|| SchemaError::AmountOutOfRange(format!("{} + {} wei", a.0, b.0)).into())
}
