//! Sums, parts and trees that both rules share. Whole wei, within what a column holds.

use schemas::merkle::StandardMerkleTree;
use schemas::tables::Wei;
use schemas::{Address, B256, SchemaError, allocation};

use crate::{RagError, Result};

pub(super) const BASIS_POINTS: u128 = 10_000;

/// What a receipt gives its contributors: `fee · data_bps / 10,000` wei (rounded down), divided by largest remainder in
/// proportion to the shares, contributors by address and `unattributed` last, whose part nobody gets. Parts of nothing are
/// left out.
pub(super) fn contributors_parts(
    sequence: u64,
    fee_wei: Wei,
    mut shares: Vec<(Address, u64)>,
    unattributed_ppm: u64,
    data_bps: u16,
) -> Result<Vec<(Address, u128)>> {
    shares.sort_unstable();
    let mut weights: Vec<u128> = shares.iter().map(|(_, share)| u128::from(*share)).collect();
    weights.push(unattributed_ppm.into());
    check_whole(sequence, shares.iter().map(|(_, share)| *share), unattributed_ppm)?;
    let parts = allocation::largest_remainder(data_part(fee_wei, data_bps), &weights);
    Ok(shares.into_iter().map(|(account, _)| account).zip(parts).filter(|(_, part)| *part > 0).collect())
}

/// Refuses shares that are not all of a receipt.
pub(super) fn check_whole(sequence: u64, shares: impl Iterator<Item = u64>, unattributed_ppm: u64) -> Result<()> {
    let sum: u128 = shares.map(u128::from).sum::<u128>() + u128::from(unattributed_ppm);
    if sum == u128::from(allocation::PPM) {
        return Ok(());
    }
    Err(RagError::Unproven(format!("the shares of receipt {sequence} do not sum to 1,000,000")))
}

/// fee · bps / 10,000, rounded down, without leaving 128 bits.
fn data_part(fee: Wei, data_bps: u16) -> u128 {
    let bps = u128::from(data_bps);
    fee.0 / BASIS_POINTS * bps + fee.0 % BASIS_POINTS * bps / BASIS_POINTS
}

/// Refuses receipts that are not a gapless run.
pub(super) fn check_run(mut sequences: impl Iterator<Item = u64>) -> Result<()> {
    let Some(mut before) = sequences.next() else { return Ok(()) };
    for sequence in sequences {
        if before.checked_add(1) != Some(sequence) {
            return Err(RagError::Unproven(format!("receipts {:?} do not follow each other", [before, sequence])));
        }
        before = sequence;
    }
    Ok(())
}

/// The tree's root over distinct leaves.
pub(super) fn root(leaves: impl Iterator<Item = B256>) -> Result<B256> {
    Ok(StandardMerkleTree::new(&leaves.collect::<Vec<B256>>())?.root())
}

pub(super) fn sum(mut amounts: impl Iterator<Item = Wei>) -> Result<Wei> {
    amounts.try_fold(Wei(0), add)
}

/// Adds within what a wei column holds.
pub(super) fn add(a: Wei, b: Wei) -> Result<Wei> {
    let sum = a.0.checked_add(b.0).filter(|sum| *sum < 10u128.pow(38));
    sum.map(Wei).ok_or_else(|| SchemaError::AmountOutOfRange(format!("{} + {} wei", a.0, b.0)).into())
}
