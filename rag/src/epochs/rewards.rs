//! `rewards/2` and `rewards/3`, which has a policy: from receipts and what was collected to rewards, in whole wei.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use schemas::leaves::RewardLeaf;
use schemas::receipt::ReceiptBody;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, Millis, RewardRow, Wei};
use schemas::{Address, B256, U256};
use serde_json::json;

use super::amounts::{add, check_run, root, sum};
use super::debts::{Account, Charge, Outcome, accounts, pay};
use super::entries::{Entry, entries};
use super::{Asked, Collected, Collection, Policy, rules_and_format};
use crate::{RagError, Result, inclusion};

/// Everything that an epoch's rewards follow from.
#[derive(Debug, Clone, Copy)]
pub struct EpochInputs<'a> {
    pub closing: &'a ClosingRow,
    /// None for an epoch that was closed before there were any.
    pub policy: Option<&'a Policy>,
    /// The epoch's, and the earlier ones that `debts` leaves uncovered; in any order.
    pub receipts: &'a [ReceiptBody],
    /// After the epoch before.
    pub debts: &'a [DebtRow],
    pub rewards: &'a [RewardRow],
    pub collection: &'a Collection,
}

/// An epoch as its inputs determine it.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochComputation {
    pub asked_wei: Wei,
    pub collected_wei: Wei,
    pub data_wei: Wei,
    pub reserve_used_wei: Wei,
    pub unpaid_wei: Wei,
    pub withheld_wei: Wei,
    /// What contributors earn.
    pub pool_wei: Wei,
    pub total_cumulative_wei: Wei,
    /// By account; everyone who ever earned something. Where nobody did, the zero address with nothing, so that there is a
    /// root.
    pub rewards: Vec<RewardRow>,
    /// By payer.
    pub debts: Vec<DebtRow>,
    pub reward_root: B256,
    pub artifact_hash: B256,
}

impl EpochComputation {
    /// The row of the epoch, with what the closing says of its receipts.
    pub fn row(&self, closing: &ClosingRow, policy: Option<&Policy>, collection: &Collection, computed_at: Millis) -> EpochRow {
        let [rules, _] = rules_and_format(policy);
        EpochRow {
            epoch: closing.epoch,
            rules: rules.into(),
            first_sequence: closing.first_sequence,
            last_sequence: closing.last_sequence,
            receipt_count: closing.receipt_count,
            total_wei: closing.total_wei,
            asked_wei: self.asked_wei,
            collected_wei: self.collected_wei,
            data_wei: self.data_wei,
            reserve_used_wei: self.reserve_used_wei,
            unpaid_wei: self.unpaid_wei,
            withheld_wei: self.withheld_wei,
            pool_wei: self.pool_wei,
            total_cumulative_wei: self.total_cumulative_wei,
            reward_root: self.reward_root,
            receipts_root: closing.receipts_root,
            artifact_hash: self.artifact_hash,
            to_block: collection.to_block,
            to_block_hash: collection.to_block_hash,
            computed_at,
        }
    }
}

/// `StandardMerkleTree.of(hashes, ["bytes32"])`: the leaf of a receipt is keccak256(keccak256(body hash)). An epoch without
/// receipts of its own has one leaf, that of the zero hash.
pub(super) fn receipts_root(body_hashes: impl Iterator<Item = B256>) -> Result<B256> {
    let mut leaves: Vec<B256> = body_hashes.map(inclusion::leaf).collect();
    if leaves.is_empty() {
        leaves.push(inclusion::leaf(B256::ZERO));
    }
    root(leaves.into_iter())
}

/// What every payer is to be asked for, by payer. `receipts` in order.
pub(super) fn asked(closing: &ClosingRow, policy: Option<&Policy>, receipts: &[Entry], debts: &[DebtRow]) -> Result<Vec<Asked>> {
    let accounts = accounts(receipts, closing, policy, debts)?;
    let asked = accounts.iter().map(|(payer, account)| account.asked(*payer));
    Ok(asked.collect::<Result<Vec<Option<Asked>>>>()?.into_iter().flatten().collect())
}

/// Computes an epoch.
///
/// Each payer's receipts are covered in order of issue, earlier ones first, by what was collected from it. A covered receipt
/// pays its contributors (its fee's data part, by largest remainder over its shares) out of what its payer put into the pool. An
/// uncovered one stays owed, and pays only out of the operator's reserve, in order of issue over all payers, as long as
/// whole receipts fit. Whom the policy does not pay is paid neither way. Amounts add up over epochs, and an account that ever earned something keeps its row. So the sum of
/// all cumulative amounts is never above what the pool was given.
///
/// # Errors
/// [`RagError::Unproven`] for receipts that are not those of the closing or of the debts before, whose shares do not sum up, or
/// a pool that was given less than was collected for it; [`RagError::Schema`] for amounts beyond 10^38.
pub fn recompute_epoch(inputs: &EpochInputs<'_>) -> Result<EpochComputation> {
    compute(inputs, &entries(inputs.receipts)?)
}

/// Receipts of which no more is kept than an epoch needs: a hundred bytes of each, so that a million fit into memory.
#[derive(Debug, Clone, Default)]
pub struct EpochReceipts(Vec<Entry>);

impl EpochReceipts {
    /// Of a higher number than those before it.
    ///
    /// # Errors
    /// [`RagError::Schema`] for a body that cannot be hashed.
    pub fn add(&mut self, body: &ReceiptBody) -> Result<()> {
        self.0.push(Entry::of(body)?);
        Ok(())
    }

    fn upto(&self, number: u64) -> &[Entry] {
        self.0.get(..self.0.partition_point(|receipt| receipt.sequence <= number)).unwrap_or_default()
    }

    /// Who pays for the receipts of a run; some several times.
    pub fn payers(&self, run: RangeInclusive<u64>) -> impl Iterator<Item = Address> {
        self.0.iter().filter(move |receipt| run.contains(&receipt.sequence)).filter_map(|receipt| receipt.payer)
    }

    /// The sum of the fees of a run.
    ///
    /// # Errors
    /// [`RagError::Schema`] beyond 10^38 wei.
    pub fn fees(&self, run: RangeInclusive<u64>) -> Result<Wei> {
        sum(self.0.iter().filter(|receipt| run.contains(&receipt.sequence)).map(|receipt| receipt.fee_wei))
    }
}

/// What every payer is to be asked for when an epoch of these receipts is closed, by payer; those of `inputs`, and what was collected,
/// are passed over.
///
/// # Errors
/// Those of [`recompute_epoch`].
pub fn asked_for_epoch(inputs: &EpochInputs<'_>, receipts: &EpochReceipts) -> Result<Vec<Asked>> {
    asked(inputs.closing, inputs.policy, receipts.upto(inputs.closing.last_sequence), inputs.debts)
}

/// [`recompute_epoch`] over these; those of `inputs` are passed over.
///
/// # Errors
/// Those of [`recompute_epoch`].
pub fn recompute_epoch_of(inputs: &EpochInputs<'_>, receipts: &EpochReceipts) -> Result<EpochComputation> {
    compute(inputs, receipts.upto(inputs.closing.last_sequence))
}

/// [`recompute_epoch`] over receipts as they are read from tables, in order; those of `inputs` are passed over.
pub(super) fn compute(inputs: &EpochInputs<'_>, receipts: &[Entry]) -> Result<EpochComputation> {
    let EpochInputs { closing, policy, collection, .. } = *inputs;
    let own = receipts.get(receipts.partition_point(|receipt| receipt.sequence < closing.first_sequence)..).unwrap_or_default();
    check_closing(closing, own)?;
    check_previous(inputs)?;
    let reserve = reserve(inputs)?;
    let mut outcomes = outcomes(inputs, receipts)?;
    let reserve_used_wei = spend_reserve(&mut outcomes, reserve)?;

    let mut earned: BTreeMap<Address, Wei> = BTreeMap::new();
    for outcome in &outcomes {
        pay(&mut earned, outcome.paid.iter().map(|(account, part)| (*account, part.0)))?;
    }
    if let Some(policy) = policy {
        earned = policy.capped(earned);
    }
    let rewards = reward_rows(closing.epoch, &earned, inputs.rewards, collection)?;
    let reward_root = root(rewards.iter().map(|row| row.leaf))?;
    let keeps = |row: &DebtRow| [row.asked_wei, row.collected_wei, row.credit_wei, row.pool_credit_wei].iter().any(|wei| wei.0 > 0);
    let debts: Vec<DebtRow> = outcomes.into_iter().map(|outcome| outcome.row).filter(keeps).collect();
    Ok(EpochComputation {
        asked_wei: sum(debts.iter().map(|row| row.asked_wei))?,
        collected_wei: sum(collection.collected.iter().map(|payer| payer.amount_wei))?,
        data_wei: sum(collection.collected.iter().map(|payer| payer.data_wei))?,
        reserve_used_wei,
        unpaid_wei: sum(debts.iter().map(|row| row.unpaid_wei))?,
        withheld_wei: sum(debts.iter().map(|row| row.withheld_wei))?,
        pool_wei: sum(earned.values().copied())?,
        total_cumulative_wei: sum(rewards.iter().map(|row| row.cumulative_wei))?,
        artifact_hash: artifact_hash(inputs, own, reserve_used_wei, &debts, reward_root)?,
        rewards,
        debts,
        reward_root,
    })
}

fn check_closing(closing: &ClosingRow, own: &[Entry]) -> Result<()> {
    check_run(own.iter().map(|receipt| receipt.sequence))?;
    let ends = own
        .first()
        .zip(own.last())
        .map_or((closing.first_sequence, closing.first_sequence.saturating_sub(1)), |(first, last)| (first.sequence, last.sequence));
    let is_same = ends == (closing.first_sequence, closing.last_sequence);
    if !is_same || receipts_root(own.iter().map(|receipt| receipt.body_hash))? != closing.receipts_root {
        return Err(RagError::Unproven(format!(
            "epoch {} was closed over receipts {} to {}, and those given are others",
            closing.epoch, closing.first_sequence, closing.last_sequence
        )));
    }
    Ok(())
}

fn check_previous(inputs: &EpochInputs<'_>) -> Result<()> {
    let before = inputs.closing.epoch.saturating_sub(1);
    let epochs = inputs.rewards.iter().map(|row| row.epoch).chain(inputs.debts.iter().map(|row| row.epoch));
    if epochs.into_iter().any(|epoch| epoch != before) {
        return Err(RagError::Unproven(format!("the previous rewards and debts are not all of epoch {before}")));
    }
    Ok(())
}

/// What of the operator's reserve is in the pool, free of every promise.
fn reserve(inputs: &EpochInputs<'_>) -> Result<Wei> {
    let promised = sum(inputs.rewards.iter().map(|row| row.cumulative_wei))?;
    let promised = add(promised, sum(inputs.debts.iter().map(|row| row.pool_credit_wei))?)?;
    let promised = add(promised, sum(inputs.collection.collected.iter().map(|payer| payer.data_wei))?)?;
    let Some(free) = inputs.collection.funded_wei.0.checked_sub(promised.0) else {
        return Err(RagError::Unproven(format!(
            "the reward pool was given {} wei, less than the {} wei that are promised or were collected for it",
            inputs.collection.funded_wei.0, promised.0
        )));
    };
    Ok(Wei(free).min(inputs.closing.reserve_wei))
}

fn outcomes<'a>(inputs: &EpochInputs<'a>, receipts: &'a [Entry]) -> Result<Vec<Outcome<'a>>> {
    let EpochInputs { closing, policy, debts, collection, .. } = *inputs;
    let mut accounts = accounts(receipts, closing, policy, debts)?;
    let mut by_payer: BTreeMap<Address, Collected> = BTreeMap::new();
    for entry in &collection.collected {
        // Whom nobody asked for anything is debited all the same where the operator says so: it stays to its credit.
        accounts.entry(entry.payer).or_insert_with(|| Account::anew(closing));
        if by_payer.insert(entry.payer, *entry).is_some() {
            return Err(RagError::Unproven(format!("what was collected from {} is given twice", entry.payer)));
        }
    }
    let nothing = |payer| Collected { payer, amount_wei: Wei(0), data_wei: Wei(0) };
    let settled = accounts.into_iter().map(|(payer, account)| {
        let collected = by_payer.get(&payer).copied().unwrap_or_else(|| nothing(payer));
        account.settle(closing.epoch, &collected)
    });
    settled.collect()
}

/// Pays contributors of uncovered receipts, the oldest first; ends at the first that does not fit.
fn spend_reserve(outcomes: &mut [Outcome<'_>], reserve: Wei) -> Result<Wei> {
    let mut waiting: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        waiting.extend(outcome.open.iter().map(|charge| (charge.sequence(), index)));
    }
    let mut used = Wei(0);
    for (sequence, index) in waiting {
        let Some(outcome) = outcomes.get_mut(index) else { continue };
        let found = outcome.open.binary_search_by_key(&sequence, Charge::sequence);
        let Some(charge) = found.ok().and_then(|index| outcome.open.get(index)).copied() else { continue };
        let after = add(used, charge.attributed()?)?;
        if after > reserve {
            break;
        }
        used = after;
        pay(&mut outcome.paid, charge.parts()?)?;
        outcome.row.rewarded_to = sequence;
    }
    Ok(used)
}

fn reward_rows(epoch: u64, earned: &BTreeMap<Address, Wei>, previous: &[RewardRow], collection: &Collection) -> Result<Vec<RewardRow>> {
    let before = previous.iter().filter(|row| row.cumulative_wei.0 > 0).map(|row| (row.account, row.cumulative_wei));
    let mut cumulative: BTreeMap<Address, Wei> = before.collect();
    for (account, amount) in earned {
        let entry = cumulative.entry(*account).or_default();
        *entry = add(*entry, *amount)?;
    }
    if cumulative.is_empty() {
        cumulative.insert(Address::ZERO, Wei(0));
    }
    let (chain_id, distributor) = (collection.chain_id, collection.distributor);
    let row = |(account, cumulative_wei): (Address, Wei)| {
        let leaf = RewardLeaf { chain_id, distributor, account, cumulative_wei: U256::from(cumulative_wei.0) };
        let amount_wei = earned.get(&account).copied().unwrap_or_default();
        RewardRow { epoch, account, amount_wei, cumulative_wei, leaf: leaf.hash() }
    };
    Ok(cumulative.into_iter().map(row).collect())
}

/// keccak256 of the canonical JSON of what went in and what came out.
fn artifact_hash(inputs: &EpochInputs<'_>, own: &[Entry], reserve_used_wei: Wei, debts: &[DebtRow], reward_root: B256) -> Result<B256> {
    let EpochInputs { closing, policy, collection, .. } = *inputs;
    let [rules, format] = rules_and_format(policy);
    let previous_root = if inputs.rewards.is_empty() { B256::ZERO } else { root(inputs.rewards.iter().map(|row| row.leaf))? };
    let mut artifact = json!({
        "schema": format,
        "rules": rules,
        "epoch": closing.epoch,
        "closing": {
            "first_sequence": closing.first_sequence,
            "last_sequence": closing.last_sequence,
            "receipts_root": closing.receipts_root,
            "data_bps": closing.data_bps,
            "block_number": closing.block_number,
            "block_hash": closing.block_hash,
        },
        "collection": collection,
        "reserve": { "stated_wei": closing.reserve_wei, "used_wei": reserve_used_wei },
        "previous_root": previous_root,
        "debts": debts,
        "reward_root": reward_root,
    });
    if let (Some(policy), Some(artifact)) = (policy, artifact.as_object_mut()) {
        artifact.insert("policy".into(), json!(policy));
    }
    Ok(schemas::canonical::hash_with_items(&artifact, "receipts", own.iter().map(|receipt| receipt.body_hash))?)
}
