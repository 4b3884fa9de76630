//! How much of one document is in another, whatever their chunk boundaries: bottom-k sketches
//! (Cohen & Kaplan 2007). Exact for documents of up to [`SIZE`] shingles, an estimate beyond
//! (standard error about 1/√k: 4 %).

use schemas::said::common;

use super::fingerprint::{Fingerprint, shingles};

pub(super) const SIZE: usize = 512;
/// Fewer comparable shingles than this tell nothing about a document that has more.
const MIN_SAMPLE: usize = 24;

/// The smallest shingle hashes of a document, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    smallest: Vec<u64>,
    /// Whether those are all of them.
    complete: bool,
}

impl Sketch {
    /// The sketch of a document that consists of these chunks.
    pub(super) fn of<'a>(chunks: impl Iterator<Item = &'a Fingerprint>) -> Self {
        let words: Vec<u64> = chunks.flat_map(|chunk| chunk.words.iter().copied()).collect();
        let mut smallest = shingles(&words);
        let complete = smallest.len() <= SIZE;
        smallest.truncate(SIZE);
        Self { smallest, complete }
    }

    pub(super) fn hashes(&self) -> &[u64] {
        &self.smallest
    }

    /// What part of this document's 5-word phrases `other` holds, in parts per million.
    pub(super) fn contained_in_ppm(&self, other: &Self) -> u64 {
        // Below this hash both sketches are complete.
        let limit = [self, other].iter().filter(|sketch| !sketch.complete).filter_map(|sketch| sketch.smallest.last()).min();
        let below = |sketch: &'_ Self| limit.map_or(sketch.smallest.len(), |limit| sketch.smallest.partition_point(|hash| hash <= limit));
        let mine = self.smallest.get(..below(self)).unwrap_or_default();
        let theirs = other.smallest.get(..below(other)).unwrap_or_default();
        if mine.is_empty() || (mine.len() < MIN_SAMPLE && mine.len() < self.smallest.len()) {
            return 0;
        }
        common(mine, theirs) as u64 * 1_000_000 / mine.len() as u64
    }
}
