//! Clusters of near-duplicate chunks, in the order in which they are placed.
//!
//! A chunk joins the cluster of the earliest *first member* that it is like; likeness to a later member makes
//! nobody a member, so no chain of texts, each like the one before, ties a text to one that it does not resemble.
//! An exact copy stands where the one stands that it equals. What says another number, unit or negation is no copy.

use std::collections::HashMap;

use schemas::B256;
use schemas::ids::ChunkId;

use super::fingerprint::{Fingerprint, Quantities, jaccard_ppm};
use super::holders::Holders;

/// Most earlier chunks that one is compared with: those that share the most bands.
const MAX_CANDIDATES: usize = 256;
/// Most chunks that are found by one band, from the earliest on: of a million texts that are nearly alike each would go through all
/// that are before it.
pub(super) const MAX_CHUNKS_PER_BAND: usize = MAX_CANDIDATES;
const EXACT_PPM: u64 = 1_000_000;

/// Where a chunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The first member of its cluster: itself when it is original.
    pub cluster_id: ChunkId,
    /// The closest earlier chunk, as the position at which it was placed, and how close it is.
    pub repeats: Option<(usize, u64)>,
}

#[derive(Debug)]
struct Entry {
    chunk_id: ChunkId,
    cluster_id: ChunkId,
    /// Empty for exact copies: they are never compared again.
    shingles: Vec<u64>,
    quantities: Quantities,
}

#[derive(Debug)]
pub(crate) struct Clusters {
    near_duplicate_ppm: u64,
    entries: Vec<Entry>,
    exact: HashMap<B256, usize>,
    bands: Holders,
}

impl Clusters {
    pub(crate) fn new(near_duplicate_ppm: u64) -> Self {
        Self { near_duplicate_ppm, entries: Vec::new(), exact: HashMap::new(), bands: Holders::new(MAX_CHUNKS_PER_BAND) }
    }

    /// How many chunks the fullest band holds.
    #[cfg(test)]
    pub(super) fn fullest_band(&self) -> usize {
        self.bands.fullest()
    }

    /// Places the next chunk.
    pub(crate) fn place(&mut self, chunk_id: ChunkId, fingerprint: Fingerprint) -> Placement {
        let at = self.entries.len();
        let exact = self.exact.get(&fingerprint.exact).copied();
        let (repeats, cluster_id) = match exact.and_then(|earlier| Some((earlier, self.entries.get(earlier)?.cluster_id))) {
            Some((earlier, cluster_id)) => (Some((earlier, EXACT_PPM)), cluster_id),
            None => self.beside(chunk_id, &fingerprint),
        };
        let Fingerprint { exact: content, shingles, bands, quantities, .. } = fingerprint;
        let is_copy = exact.is_some();
        if !is_copy {
            // further copies would only be found beside the first
            self.exact.insert(content, at);
            bands.iter().for_each(|band| self.bands.add(*band, at));
        }
        self.entries.push(Entry { chunk_id, cluster_id, shingles: if is_copy { Vec::new() } else { shingles }, quantities });
        Placement { cluster_id, repeats }
    }

    /// The closest earlier chunk (the earliest of equals), and the cluster of the earliest first member that is like this one.
    fn beside(&self, chunk_id: ChunkId, fingerprint: &Fingerprint) -> (Option<(usize, u64)>, ChunkId) {
        let near = self.near(fingerprint);
        let closest = near.iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))).copied();
        let first = near.iter().map(|(at, _)| *at).filter(|at| self.is_first(*at)).min();
        let cluster_id = first.and_then(|at| self.entries.get(at)).map_or(chunk_id, |entry| entry.cluster_id);
        (closest, cluster_id)
    }

    fn is_first(&self, at: usize) -> bool {
        self.entries.get(at).is_some_and(|entry| entry.cluster_id == entry.chunk_id)
    }

    /// Earlier chunks at least as similar as the threshold that say the same numbers, with their similarity.
    fn near(&self, fingerprint: &Fingerprint) -> Vec<(usize, u64)> {
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for at in fingerprint.bands.iter().flat_map(|band| self.bands.of(*band)) {
            *shared.entry(at).or_default() += 1;
        }
        let mut candidates: Vec<(usize, usize)> = shared.into_iter().collect();
        candidates.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        candidates
            .into_iter()
            .take(MAX_CANDIDATES)
            .filter_map(|(at, _)| Some((at, self.entries.get(at)?)))
            .filter(|(_, entry)| fingerprint.quantities.are_within(&entry.quantities))
            .map(|(at, entry)| (at, jaccard_ppm(&fingerprint.shingles, &entry.shingles)))
            .filter(|(_, ppm)| *ppm >= self.near_duplicate_ppm)
            .collect()
    }
}
