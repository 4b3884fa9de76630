//! The exact Shapley value of a max game with ordered near-duplicate clusters, in integers.

use std::collections::{BTreeMap, BTreeSet};

use schemas::Address;
use schemas::allocation::{PPM, largest_remainder};
use schemas::ids::ChunkId;
use schemas::receipt::ContributorShare;
use schemas::receipt::first::{Source, ValueRow};

use crate::attribution::Shares;
use crate::attribution::shares::narrow;
use crate::{RagError, Result};

/// Sources that one game may have: up to here, every intermediate number fits 128 bits.
pub(super) const MAX_SOURCES: usize = 24;

/// What the game knows of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SourceKey {
    pub(crate) contributor: Address,
    pub(crate) cluster_id: ChunkId,
    /// Registration order of its submission.
    pub(crate) registered: u64,
    pub(crate) chunk_id: ChunkId,
}

impl From<&Source> for SourceKey {
    fn from(source: &Source) -> Self {
        Self { contributor: source.contributor, cluster_id: source.cluster_id, registered: source.registered, chunk_id: source.chunk_id }
    }
}

impl SourceKey {
    /// Who was first; no two sources of one game compare equal unless they are the same chunk of the same submission.
    fn order(&self) -> (u64, ChunkId, Address) {
        (self.registered, self.chunk_id, self.contributor)
    }
}

/// Shares of the game that `value_table` (`[segments][sources]`) states. Without segments nothing
/// is attributed.
///
/// # Errors
/// [`RagError::Unproven`] for more than [`MAX_SOURCES`] sources, a row of another length, a support
/// above 1,000,000, or weights that do not sum to 1,000,000.
pub(crate) fn compute_shares(sources: &[SourceKey], value_table: &[ValueRow]) -> Result<Shares> {
    check(sources, value_table)?;
    // Divides evenly by any number of owners, and of sources of an owner: at most lcm(1..=24) = 5,354,228,880.
    let unit = (1..=sources.len() as u128).fold(1, lcm);
    // In units of ppm² / unit (owners) and ppm² / unit² (sources): at most 1e12 · unit² < 2.9e31.
    let mut owner_worth: BTreeMap<Address, u128> = sources.iter().map(|source| (source.contributor, 0)).collect();
    let mut source_worth = vec![0u128; sources.len()];
    let mut attributed = 0u128;
    for row in value_table {
        let levels: BTreeSet<u64> = row.support_ppm.iter().copied().filter(|support| *support > 0).collect();
        let mut below = 0;
        for level in levels {
            let worth = u128::from(row.weight_ppm) * u128::from(level - below);
            below = level;
            let effective = effective_sources(sources, &row.support_ppm, level);
            let mut owners: BTreeMap<Address, u128> = BTreeMap::new();
            for (_, source) in &effective {
                *owners.entry(source.contributor).or_default() += 1;
            }
            // never empty: the first-registered source that reaches the level is effective
            let each = worth * unit / owners.len().max(1) as u128;
            attributed += worth;
            for (owner, worth) in &mut owner_worth {
                if owners.contains_key(owner) {
                    *worth += each;
                }
            }
            for (index, source) in effective {
                let among = owners.get(&source.contributor).copied().unwrap_or(1);
                if let Some(worth) = source_worth.get_mut(index) {
                    *worth += each * unit / among;
                }
            }
        }
    }
    Ok(quantise(sources, &owner_worth, &source_worth, attributed * unit, unit))
}

/// The sources that count at `level`: they reach it, and no earlier-registered source of their
/// cluster by another contributor does.
fn effective_sources<'a>(sources: &'a [SourceKey], support_ppm: &[u64], level: u64) -> Vec<(usize, &'a SourceKey)> {
    let reaching: Vec<(usize, &SourceKey)> =
        sources.iter().enumerate().zip(support_ppm).filter(|(_, support)| **support >= level).map(|(source, _)| source).collect();
    let preceded = |source: &SourceKey| {
        reaching.iter().any(|(_, other)| {
            other.cluster_id == source.cluster_id && other.contributor != source.contributor && other.order() < source.order()
        })
    };
    reaching.iter().copied().filter(|(_, source)| !preceded(source)).collect()
}

/// Exact worths to ppm that sum exactly.
fn quantise(sources: &[SourceKey], owner_worth: &BTreeMap<Address, u128>, source_worth: &[u128], attributed: u128, unit: u128) -> Shares {
    let whole = u128::from(PPM) * u128::from(PPM) * unit;
    // by address, unattributed last
    let mut weights: Vec<u128> = owner_worth.values().copied().collect();
    weights.push(whole.saturating_sub(attributed));
    let mut parts = largest_remainder(u128::from(PPM), &weights);
    let unattributed = parts.pop().unwrap_or(u128::from(PPM));
    let mut per_source_ppm = vec![0; sources.len()];
    let mut per_contributor = Vec::new();
    for (contributor, part) in owner_worth.keys().copied().zip(parts) {
        if part == 0 {
            continue;
        }
        // in an order that does not depend on the order of the sources
        let mut own: Vec<(usize, &SourceKey)> =
            sources.iter().enumerate().filter(|(_, source)| source.contributor == contributor).collect();
        own.sort_by_key(|(_, source)| (source.chunk_id, source.registered));
        let weights: Vec<u128> = own.iter().map(|(index, _)| source_worth.get(*index).copied().unwrap_or(0)).collect();
        for ((index, _), part) in own.iter().zip(largest_remainder(part, &weights)) {
            if let Some(share) = per_source_ppm.get_mut(*index) {
                *share = narrow(part);
            }
        }
        per_contributor.push(ContributorShare { contributor, share_ppm: narrow(part) });
    }
    Shares { per_contributor, per_source_ppm, unattributed_ppm: narrow(unattributed) }
}

fn check(sources: &[SourceKey], value_table: &[ValueRow]) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if sources.len() > MAX_SOURCES {
        return bad(format!("{} sources; the value is exact for at most {MAX_SOURCES}", sources.len()));
    }
    if value_table.iter().any(|row| row.support_ppm.len() != sources.len() || row.support_ppm.iter().any(|support| *support > PPM)) {
        return bad(format!("a row of the value table does not give one support of at most {PPM} per source"));
    }
    let weights: u128 = value_table.iter().map(|row| u128::from(row.weight_ppm)).sum();
    if !value_table.is_empty() && weights != u128::from(PPM) {
        return bad(format!("the weights of the value table sum to {weights} instead of {PPM}"));
    }
    Ok(())
}

fn lcm(a: u128, b: u128) -> u128 {
    a / gcd(a, b) * b
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}
