//! Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009) in exact arithmetic.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemas::ids::ChunkId;

/// The greatest constant that fusion takes.
pub(crate) const MAX_K: u64 = 1_000_000;

/// A chunk and its 1-based rank in each list it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranked {
    pub(crate) chunk_id: ChunkId,
    pub(crate) vector_rank: Option<u64>,
    pub(crate) lexical_rank: Option<u64>,
}

impl Ranked {
    /// 1 / (k + vector rank) + 1 / (k + lexical rank), as numerator and denominator.
    fn score(&self, k: u64) -> (u128, u128) {
        let place = |rank: u64| u128::from(k) + u128::from(rank);
        match (self.vector_rank.map(place), self.lexical_rank.map(place)) {
            (Some(a), Some(b)) => (a + b, a * b),
            (Some(a), None) | (None, Some(a)) => (1, a),
            (None, None) => (0, 1),
        }
    }
}

/// The best `limit` of two ranked lists (best first, each chunk once), best first; ties by chunk id.
/// `k` is at most [`MAX_K`], so that products of three places fit 128 bits.
pub(crate) fn fuse(by_vector: &[ChunkId], by_words: &[ChunkId], k: u64, limit: usize) -> Vec<Ranked> {
    let mut found: BTreeMap<ChunkId, Ranked> = BTreeMap::new();
    let blank = |chunk_id: &ChunkId| Ranked { chunk_id: *chunk_id, vector_rank: None, lexical_rank: None };
    for (rank, chunk_id) in (1..).zip(by_vector) {
        found.entry(*chunk_id).or_insert_with(|| blank(chunk_id)).vector_rank.get_or_insert(rank);
    }
    for (rank, chunk_id) in (1..).zip(by_words) {
        found.entry(*chunk_id).or_insert_with(|| blank(chunk_id)).lexical_rank.get_or_insert(rank);
    }
    let mut ranked: Vec<Ranked> = found.into_values().collect();
    ranked.sort_by(|a, b| by_score(a, b, k));
    ranked.truncate(limit);
    ranked
}

fn by_score(a: &Ranked, b: &Ranked, k: u64) -> Ordering {
    let ((a_over, a_under), (b_over, b_under)) = (a.score(k), b.score(k));
    (b_over * a_under).cmp(&(a_over * b_under)).then(a.chunk_id.cmp(&b.chunk_id))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::B256;

    use super::*;

    fn id(n: u8) -> ChunkId {
        ChunkId(B256::repeat_byte(n))
    }

    #[test]
    fn known_order() {
        // 3: 1/22 + 1/21; 1: 1/21 alone; 2: 1/22 alone; 4: 1/23 alone
        let order: Vec<u8> = fuse(&[id(1), id(3), id(4)], &[id(3), id(2)], 20, 8).iter().map(|r| r.chunk_id.0[0]).collect();
        assert_eq!(order, [3, 1, 2, 4]);
        // equal scores: by chunk id
        let order: Vec<u8> = fuse(&[id(9), id(1)], &[id(5), id(2)], 20, 3).iter().map(|r| r.chunk_id.0[0]).collect();
        assert_eq!(order, [5, 9, 1]);
        assert!(fuse(&[], &[], 20, 8).is_empty());
    }

    proptest! {
        /// Against rationals in floats wide enough for these ranks, and for any input without a panic.
        #[test]
        fn agrees_with_the_formula(a in proptest::collection::vec(0u8..30, 0..20), b in proptest::collection::vec(0u8..30, 0..20), k in prop_oneof![0u64..100, 0..=MAX_K]) {
            let lists: Vec<Vec<ChunkId>> = [a, b].map(|list| {
                let mut seen = Vec::new();
                for n in list { if !seen.contains(&id(n)) { seen.push(id(n)); } }
                seen
            }).to_vec();
            let fused = fuse(&lists[0], &lists[1], k, 64);
            let k = k as f64;
            let score = |chunk: ChunkId| -> f64 {
                lists.iter().filter_map(|list| list.iter().position(|c| *c == chunk)).map(|p| 1.0 / (k + p as f64 + 1.0)).sum()
            };
            for pair in fused.windows(2) {
                prop_assert!(score(pair[0].chunk_id) >= score(pair[1].chunk_id) - 1e-15);
            }
            let mut all: Vec<ChunkId> = lists.concat();
            all.sort();
            all.dedup();
            prop_assert_eq!(fused.len(), all.len());
        }
    }
}
