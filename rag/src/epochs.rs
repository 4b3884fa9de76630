//! Epochs: receipts turned into what each account may claim.
//!
//! An epoch is a gapless run of receipts, cut at a finalized block. Its rewards are a pure
//! function of those receipts, the rewards before it and the cut ([`recompute_epoch`]), so anyone
//! with the tables gets the same root. The `rewards` rows are written first; the `epochs` row is
//! the commit.

mod close;
mod compute;
mod plan;

use schemas::ids::AnswerId;
use schemas::tables::{EpochRow, RewardRow, Wei};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

pub(crate) use close::{close, closed, proof};
pub use compute::{EpochComputation, recompute_epoch};

/// The rules of [`recompute_epoch`], bound by every artifact hash.
pub(crate) const RULES: &str = "rewards/1";

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

/// An epoch that is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedEpoch {
    pub row: EpochRow,
    /// By account.
    pub rewards: Vec<RewardRow>,
    /// By payer: what `PaymentVault` is to debit for this epoch.
    pub debits: Vec<Debit>,
}

/// What one payer owes for an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debit {
    pub payer: Address,
    pub amount_wei: Wei,
    /// The paid answers, in order of issue.
    pub receipts: Vec<AnswerId>,
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
