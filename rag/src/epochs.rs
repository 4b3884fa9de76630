//! Epochs: receipts turned into debts of payers, and what was collected into what each account may claim.
//!
//! An epoch is a gapless run of receipts. Closing it (`closings`) fixes them and what every payer is asked for, earlier
//! debts included. Once the payers were debited, rewards and debts follow by a pure function of the receipts, the debts and
//! rewards before, and what the chain says was collected ([`recompute_epoch`]), so anyone with the tables and the vault's
//! events gets the same root. The `rewards` and `debts` rows are written first; the `epochs` row is the commit.
//!
//! Nobody is paid with money that is not there: a receipt that is not paid for pays nobody, unless the operator's reserve
//! does, and stays owed.

mod amounts;
mod close;
mod debts;
mod dues;
mod entries;
pub mod first;
mod policy;
mod proofs;
mod rewards;

use schemas::tables::Wei;
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

pub(crate) use close::{asked, close, closing, settle};
pub use dues::Dues;
pub(crate) use dues::Settled;
pub(crate) use policy::policy_of;
pub use policy::{MOST_FUNDERS, Policy};
pub(crate) use proofs::Proofs;
pub use rewards::{EpochComputation, EpochInputs, EpochReceipts, asked_for_epoch, recompute_epoch, recompute_epoch_of};

/// The rules of [`recompute_epoch`] and the format of the artifact, bound by every artifact hash: with a policy, and before there were
/// any.
const RULES: [&str; 2] = ["rewards/3", "headwater.epoch/3"];
const RULES_WITHOUT_POLICY: [&str; 2] = ["rewards/2", "headwater.epoch/2"];

fn rules_and_format(policy: Option<&Policy>) -> [&'static str; 2] {
    if policy.is_some() { RULES } else { RULES_WITHOUT_POLICY }
}

/// What a closing fixes beside its receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosingTerms {
    /// A finalized block.
    pub block_number: u64,
    pub block_hash: B256,
    /// The part of every fee that goes to contributors, in basis points.
    pub data_bps: u16,
    /// What the operator adds at most for contributors of receipts that are not paid for.
    pub reserve_wei: Wei,
    /// Of all payers; what concerns those of the epoch is kept.
    pub policy: Policy,
}

/// What one payer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub payer: Address,
    /// Never zero.
    pub amount_wei: Wei,
    /// What of it is attributed to contributors and not in the reward pool yet.
    pub data_wei: Wei,
    /// Whether some of it is of this epoch; else all of it was asked for before.
    pub is_new: bool,
}

/// What one payer was debited for an epoch, in all its debits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collected {
    pub payer: Address,
    pub amount_wei: Wei,
    /// What of it went into the reward pool.
    pub data_wei: Wei,
}

/// What the chain says of an epoch whose last debit is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    pub chain_id: u64,
    /// The `RewardDistributor` that pays.
    pub distributor: Address,
    /// The block that holds the last debit.
    pub to_block: u64,
    pub to_block_hash: B256,
    /// By payer.
    pub collected: Vec<Collected>,
    /// All that the distributor was ever given up to that block.
    pub funded_wei: Wei,
}

/// What an account needs to claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardProof {
    pub epoch: u64,
    pub account: Address,
    /// All that the account ever earned; the distributor pays what is above its earlier claims.
    pub cumulative_wei: Wei,
    pub proof: Vec<B256>,
    pub root: B256,
}

#[cfg(test)]
mod tests;
