//! From a value table to shares, in integers.

use std::collections::BTreeMap;

use schemas::Address;
use schemas::allocation::{PPM, largest_remainder};
use schemas::ids::ChunkId;
use schemas::receipt::{ContributorShare, Source, ValueRow};

use crate::{RagError, Result};

/// Sources that one answer may have.
pub const MAX_SOURCES: usize = 48;

/// How an answer is divided. Everything and `unattributed_ppm` sums to 1,000,000.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Contributors with a share above zero, by address.
    pub per_contributor: Vec<ContributorShare>,
    /// In the order of the sources; sums to `per_contributor` contributor by contributor.
    pub per_source_ppm: Vec<u64>,
    pub unattributed_ppm: u64,
}

/// The shares that `value_table` (`[segments][sources]`) leads to. Without segments nothing is attributed.
///
/// # Errors
/// [`RagError::Unproven`] for more than [`MAX_SOURCES`] sources, a row of another length, parts above 1,000,000 in a row, or
/// weights that do not sum to 1,000,000.
pub fn compute_shares(sources: &[Source], value_table: &[ValueRow]) -> Result<Shares> {
    check(sources, value_table)?;
    // in parts of 10^12; at most that in all
    let mut source_worth = vec![0u128; sources.len()];
    for row in value_table {
        for (worth, adds) in source_worth.iter_mut().zip(&row.adds_ppm) {
            *worth += u128::from(row.weight_ppm) * u128::from(*adds);
        }
    }
    let mut owner_worth: BTreeMap<Address, u128> = BTreeMap::new();
    for (source, worth) in sources.iter().zip(&source_worth) {
        *owner_worth.entry(source.contributor).or_default() += worth;
    }
    let whole = u128::from(PPM) * u128::from(PPM);
    // by address, unattributed last
    let mut weights: Vec<u128> = owner_worth.values().copied().collect();
    weights.push(whole.saturating_sub(source_worth.iter().sum()));
    let mut parts = largest_remainder(u128::from(PPM), &weights);
    let unattributed = parts.pop().unwrap_or(u128::from(PPM));
    let mut per_source_ppm = vec![0; sources.len()];
    let mut per_contributor = Vec::new();
    for (contributor, part) in owner_worth.keys().copied().zip(parts).filter(|(_, part)| *part > 0) {
        // in an order that does not depend on the order of the sources
        let mut own: Vec<(ChunkId, u64, usize)> = (sources.iter().enumerate())
            .filter(|(_, source)| source.contributor == contributor)
            .map(|(index, source)| (source.chunk_id, source.registered, index))
            .collect();
        own.sort_unstable();
        let weights: Vec<u128> = own.iter().map(|(.., index)| source_worth.get(*index).copied().unwrap_or(0)).collect();
        for ((.., index), part) in own.iter().zip(largest_remainder(part, &weights)) {
            if let Some(share) = per_source_ppm.get_mut(*index) {
                *share = narrow(part);
            }
        }
        per_contributor.push(ContributorShare { contributor, share_ppm: narrow(part) });
    }
    Ok(Shares { per_contributor, per_source_ppm, unattributed_ppm: narrow(unattributed) })
}

/// A part of 1,000,000.
pub(super) fn narrow(part: u128) -> u64 {
    u64::try_from(part).unwrap_or(PPM)
}

fn check(sources: &[Source], value_table: &[ValueRow]) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if sources.len() > MAX_SOURCES {
        return bad(format!("{} sources; an answer has at most {MAX_SOURCES}", sources.len()));
    }
    let fits = |row: &ValueRow| row.adds_ppm.iter().map(|adds| u128::from(*adds)).sum::<u128>() <= u128::from(PPM);
    if value_table.iter().any(|row| row.adds_ppm.len() != sources.len() || !fits(row)) {
        return bad(format!("a row of the value table does not give one part per source, of together at most {PPM}"));
    }
    let weights: u128 = value_table.iter().map(|row| u128::from(row.weight_ppm)).sum();
    if !value_table.is_empty() && weights != u128::from(PPM) {
        return bad(format!("the weights of the value table sum to {weights} instead of {PPM}"));
    }
    Ok(())
}
