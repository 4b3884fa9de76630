//! MinHash (Broder 1997) with banding (Leskovec, Rajaraman, Ullman, ch. 3): which texts are worth comparing.
//!
//! 128 permutations in 32 bands of 4: two sets of Jaccard similarity 0.8 share a band with probability
//! 1 − (1 − 0.8⁴)³² > 0.9999999, two of 0.3 with 0.23. What shares a band is compared for real.

use std::sync::LazyLock;

use schemas::alloy_primitives::keccak256;

use super::fingerprint::mix;

pub(super) const PERMUTATIONS: usize = 128;
const BANDS: usize = 32;
const ROWS: usize = PERMUTATIONS / BANDS;

/// One key per band; equal keys make two texts candidates.
pub(crate) type Bands = [u64; BANDS];

/// The same on every machine and in every version, for signatures may be stored one day.
static SEEDS: LazyLock<[u64; PERMUTATIONS]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        let digest = keccak256(format!("headwater/minhash/1/{index}"));
        digest.iter().take(8).fold(0, |seed, byte| (seed << 8) | u64::from(*byte))
    })
});

/// The least hash of the set under each permutation.
pub(super) fn signature(shingles: &[u64]) -> [u64; PERMUTATIONS] {
    SEEDS.map(|seed| shingles.iter().map(|shingle| mix(shingle ^ seed)).min().unwrap_or(u64::MAX))
}

pub(super) fn bands(signature: &[u64; PERMUTATIONS]) -> Bands {
    let mut bands = [0; BANDS];
    for (index, (band, rows)) in bands.iter_mut().zip(signature.chunks(ROWS)).enumerate() {
        *band = rows.iter().fold(index as u64 + 1, |key, row| mix(key.rotate_left(7) ^ row));
    }
    bands
}
