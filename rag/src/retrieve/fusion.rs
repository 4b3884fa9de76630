//! Two ranked lists become one, in exact arithmetic.
//!
//! [`Fusion::Convex`] adds scores, as Bruch, Gai and Ingber found to beat ranks (ACM TOIS 42, 2023), with two changes. Scores keep
//! their scale: a cosine counts by what it is above the mean of the nearest, BM25 as the part of the greatest score that any text
//! could have for these words. And the vectors' weight follows how far the nearest stands out: where an embedder does not know the
//! language, all texts are about equally near, and words decide alone. Who comes first in a list has a place whatever the other list
//! says, so that no number of texts that are full of the question's words keeps the nearest from being found.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemas::allocation::PPM;
use schemas::ids::ChunkId;
use schemas::receipt::Retrieval;

use crate::{RagError, Result};

/// The greatest constant of reciprocal rank fusion: products of three places fit 128 bits.
const MAX_K: u64 = 1_000_000;
/// Hits that a cosine is compared with the mean of: their spread depends on how many they are.
const COMPARED: usize = 20;
const RECIPROCAL_RANK: &str = "rrf/2";
const CONVEX: &str = "convex/1";

/// How what was found by vector and by words becomes one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fusion {
    /// Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): Σ 1 / (`k` + rank).
    ReciprocalRank {
        /// At most 1,000,000.
        k: u64,
    },
    /// weight · min(1, (c₁ − c̄) / contrast)³ · max(0, c − c̄) + (1 − weight) · b / b_max, of cosines c, of which c₁ is the greatest and
    /// c̄ the mean of the first twenty, and BM25 scores b; nothing for who is not in a list.
    Convex {
        /// In parts per million, at most 1,000,000.
        vector_weight_ppm: u64,
        /// Of a cosine, in parts per million, above 0 and at most 1,000,000.
        contrast_ppm: u64,
    },
}

/// Measured on sets in several languages and letters (`make bench-retrieval`).
impl Default for Fusion {
    fn default() -> Self {
        Self::Convex { vector_weight_ppm: 450_000, contrast_ppm: 300_000 }
    }
}

impl Fusion {
    /// What a receipt stated.
    ///
    /// # Errors
    /// [`RagError::Unproven`] for a method or numbers that are not known here.
    pub(crate) fn of(stated: &Retrieval) -> Result<Self> {
        let Retrieval { method, rrf_k, vector_weight_ppm, contrast_ppm, .. } = stated;
        let fusion = match (method.as_str(), *rrf_k, *vector_weight_ppm, *contrast_ppm) {
            (RECIPROCAL_RANK, Some(k), None, None) => Self::ReciprocalRank { k },
            (CONVEX, None, Some(vector_weight_ppm), Some(contrast_ppm)) => Self::Convex { vector_weight_ppm, contrast_ppm },
            _ => return Err(RagError::Unproven(format!("retrieval {method:?} with its numbers is not known here: use another version"))),
        };
        fusion.problem().map_or(Ok(fusion), |problem| Err(RagError::Unproven(format!("retrieval: {problem}"))))
    }

    /// As a receipt states it.
    pub(crate) fn stated(self, candidates: u64, top_k: u64) -> Retrieval {
        let (method, rrf_k, weights) = match self {
            Self::ReciprocalRank { k } => (RECIPROCAL_RANK, Some(k), None),
            Self::Convex { vector_weight_ppm, contrast_ppm } => (CONVEX, None, Some((vector_weight_ppm, contrast_ppm))),
        };
        let (vector_weight_ppm, contrast_ppm) = weights.unzip();
        Retrieval {
            method: method.to_owned(),
            rrf_k,
            vector_weight_ppm,
            contrast_ppm,
            candidates,
            top_k,
            turns: None,
            filter: None,
            reranked: None,
        }
    }

    /// What makes its numbers unusable.
    pub(crate) fn problem(self) -> Option<String> {
        match self {
            Self::ReciprocalRank { k } if k > MAX_K => Some(format!("rrf_k is {k}; at most {MAX_K}")),
            Self::Convex { vector_weight_ppm, .. } if vector_weight_ppm > PPM => {
                Some(format!("vector_weight_ppm is {vector_weight_ppm}; at most {PPM}"))
            }
            Self::Convex { contrast_ppm, .. } if contrast_ppm == 0 || contrast_ppm > PPM => {
                Some(format!("contrast_ppm is {contrast_ppm}; at least 1 and at most {PPM}"))
            }
            Self::ReciprocalRank { .. } | Self::Convex { .. } => None,
        }
    }

    /// The best `limit` of two lists (best first, each chunk once), best first; ties by chunk id. Where scores are added, of equals the
    /// nearer comes first, then the one that has more of the words, and the first of each list is there where `limit` is two or more.
    pub(crate) fn fuse(self, by_vector: &[Hit], by_words: &[Hit], limit: usize) -> Vec<Fused> {
        let mut found: BTreeMap<ChunkId, Fused> = BTreeMap::new();
        let blank = |hit: &Hit| Fused { chunk_id: hit.chunk_id, vector: None, words: None };
        for (rank, hit) in (1..).zip(by_vector) {
            found.entry(hit.chunk_id).or_insert_with(|| blank(hit)).vector.get_or_insert(Place { rank, score_ppm: hit.score_ppm });
        }
        for (rank, hit) in (1..).zip(by_words) {
            found.entry(hit.chunk_id).or_insert_with(|| blank(hit)).words.get_or_insert(Place { rank, score_ppm: hit.score_ppm });
        }
        let adds_scores = matches!(self, Self::Convex { .. });
        let scale = Scale::of(by_vector);
        let mut ranked: Vec<((u128, u128), Fused)> = found.into_values().map(|fused| (self.score(&scale, &fused), fused)).collect();
        ranked.sort_by(|((a, a_under), one), ((b, b_under), other)| {
            let by_score = (b * a_under).cmp(&(a * b_under));
            let by_scores = || if adds_scores { other.scores().cmp(&one.scores()) } else { Ordering::Equal };
            by_score.then_with(by_scores).then(one.chunk_id.cmp(&other.chunk_id))
        });
        let has_place = |fused: &Fused| adds_scores && limit > 1 && fused.is_first();
        let mut left = limit.saturating_sub(ranked.iter().filter(|(_, fused)| has_place(fused)).count());
        let kept = ranked.into_iter().filter(|(_, fused)| {
            let has_room = has_place(fused) || left > 0;
            left = left.saturating_sub(usize::from(!has_place(fused)));
            has_room
        });
        kept.map(|(_, fused)| fused).take(limit).collect()
    }

    /// Numerator and denominator: the product of one score's numerator and another's denominator is below 2^128.
    fn score(self, scale: &Scale, fused: &Fused) -> (u128, u128) {
        match self {
            Self::ReciprocalRank { k } => {
                let place = |place: Place| u128::from(k) + u128::from(place.rank);
                match (fused.vector.map(place), fused.words.map(place)) {
                    (Some(a), Some(b)) => (a + b, a * b),
                    (Some(a), None) | (None, Some(a)) => (1, a),
                    (None, None) => (0, 1),
                }
            }
            Self::Convex { vector_weight_ppm, contrast_ppm } => {
                let trust = (scale.contrast * PPM / contrast_ppm.max(1)).min(PPM);
                let vector = fused.vector.map_or(0, |place| above(scale.mean, place.score_ppm));
                let words = fused.words.map_or(0, |place| above(0, place.score_ppm).min(PPM));
                let [all, weight, trust, vector, words] = [PPM, vector_weight_ppm, trust, vector, words].map(u128::from);
                (weight * trust.pow(3) * vector + all.saturating_sub(weight) * all.pow(3) * words, 1)
            }
        }
    }
}

/// Of the cosines of one list.
struct Scale {
    /// Rounded down.
    mean: i64,
    /// How far the greatest is above it.
    contrast: u64,
}

impl Scale {
    /// Of hits, best first.
    fn of(hits: &[Hit]) -> Self {
        let compared = hits.get(..COMPARED).unwrap_or(hits);
        let sum: i128 = compared.iter().map(|hit| i128::from(hit.score_ppm)).sum();
        let count = i128::try_from(compared.len().max(1)).unwrap_or(i128::MAX);
        let mean = i64::try_from(sum.div_euclid(count)).unwrap_or_default();
        Self { mean, contrast: hits.first().map_or(0, |nearest| above(mean, nearest.score_ppm)) }
    }
}

/// How far a score is above `least`, 0 where it is below; two cosines are 2 apart at most.
fn above(least: i64, score: i64) -> u64 {
    score.saturating_sub(least).clamp(0, 2 * PPM.cast_signed()).unsigned_abs()
}

/// A chunk that a retriever found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) chunk_id: ChunkId,
    /// Of a vector its cosine; of words their BM25 as part of the greatest that any text could have; in parts per million.
    pub(crate) score_ppm: i64,
}

impl Hit {
    pub(crate) fn new(chunk_id: ChunkId, score: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "scores are about 1; what is not is cut off")]
        let score_ppm = (score * PPM as f64).round_ties_even() as i64;
        Self { chunk_id, score_ppm }
    }
}

/// Where a chunk stands in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// 1-based.
    pub(crate) rank: u64,
    pub(crate) score_ppm: i64,
}

/// A chunk and its place in each list it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fused {
    pub(crate) chunk_id: ChunkId,
    pub(crate) vector: Option<Place>,
    pub(crate) words: Option<Place>,
}

impl Fused {
    /// Whether it comes first in a list.
    fn is_first(&self) -> bool {
        [self.vector, self.words].into_iter().flatten().any(|place| place.rank == 1)
    }

    /// Nothing is less than any score.
    fn scores(&self) -> (Option<i64>, Option<i64>) {
        (self.vector.map(|place| place.score_ppm), self.words.map(|place| place.score_ppm))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use schemas::B256;

    use super::*;

    const HALF: Fusion = Fusion::Convex { vector_weight_ppm: 500_000, contrast_ppm: 400_000 };

    fn hits(scores: &[(u8, i64)]) -> Vec<Hit> {
        scores.iter().map(|(n, score_ppm)| Hit { chunk_id: ChunkId(B256::repeat_byte(*n)), score_ppm: *score_ppm }).collect()
    }

    fn order(fusion: Fusion, by_vector: &[(u8, i64)], by_words: &[(u8, i64)], limit: usize) -> Vec<u8> {
        fusion.fuse(&hits(by_vector), &hits(by_words), limit).iter().map(|fused| fused.chunk_id.0[0]).collect()
    }

    #[test]
    fn known_order_of_ranks() {
        let fusion = Fusion::ReciprocalRank { k: 20 };
        // 3: 1/22 + 1/21; 1: 1/21 alone; 2: 1/22 alone; 4: 1/23 alone
        assert_eq!(order(fusion, &[(1, 0), (3, 0), (4, 0)], &[(3, 0), (2, 0)], 8), [3, 1, 2, 4]);
        // equal scores: by chunk id
        assert_eq!(order(fusion, &[(9, 0), (1, 0)], &[(5, 0), (2, 0)], 3), [5, 9, 1]);
        // in both lists is more than the first place in one
        let (both, other) = ([(9, 0), (1, 0), (2, 0)], [(5, 0), (1, 0), (2, 0)]);
        assert_eq!(order(fusion, &both, &other, 2), [1, 2]);
        assert!(order(fusion, &[], &[], 8).is_empty());
    }

    #[test]
    fn known_order_of_scores() {
        // above the mean of 0.5: 1 by 0.4, at full trust half of it; by words 2 has half of 0.3
        assert_eq!(order(HALF, &[(1, 900_000), (3, 300_000), (4, 300_000)], &[(2, 300_000), (3, 250_000)], 8), [1, 2, 3, 4]);
        // the nearest stands out by 0.04, a tenth of what is asked: words decide
        assert_eq!(order(HALF, &[(1, 580_000), (3, 520_000), (4, 520_000)], &[(2, 300_000), (3, 250_000)], 8), [2, 3, 1, 4]);
        // an eighth of the trust where it stands out half as far as asked: 0.0125 for 1, between 0.0100 and 0.0150 by words
        let half_as_far = [(1, 700_000), (3, 400_000), (4, 400_000)];
        assert_eq!(order(HALF, &half_as_far, &[(2, 30_000), (5, 20_000)], 8), [2, 1, 5, 3, 4]);
        // where nothing is found by words, the nearest come first, also below the mean and whatever their ids
        assert_eq!(order(HALF, &[(9, 900_000), (8, 400_000), (1, 390_000), (2, 380_000)], &[], 3), [9, 8, 1]);
    }

    #[test]
    fn the_first_of_each_list_has_a_place() {
        let full_of_words: Vec<(u8, i64)> = (10..20).map(|n| (n, 800_000 - i64::from(n))).collect();
        assert_eq!(order(HALF, &[(1, 510_000), (2, 500_000)], &full_of_words, 4), [10, 11, 12, 1]);
        // the best is the second of both
        let (near, words) = ([(1, 900_000), (2, 880_000), (3, 300_000), (4, 300_000)], [(5, 300_000), (2, 290_000)]);
        assert_eq!(order(HALF, &near, &words, 1), [2]);
        assert_eq!(order(HALF, &near, &words, 2), [5, 1]);
        assert_eq!(order(HALF, &near, &words, 3), [2, 5, 1]);
        let nearer: Vec<(u8, i64)> = (10..20).map(|n| (n, 990_000 - 40_000 * i64::from(n - 10))).collect();
        assert_eq!(order(HALF, &nearer, &[(1, 5_000), (2, 5_000)], 3), [10, 11, 1]);
    }

    #[test]
    fn a_longer_list_moves_no_trust() {
        let near: Vec<(u8, i64)> = (0..30).map(|n| (n, 700_000 - 10_000 * i64::from(n))).collect();
        let words = [(40, 90_000), (41, 4_000)];
        assert_eq!(order(HALF, &near, &words, 8), order(HALF, &near[..20], &words, 8));
    }

    #[test]
    fn only_usable_numbers_are_taken() {
        for fusion in [HALF, Fusion::ReciprocalRank { k: 0 }, Fusion::Convex { vector_weight_ppm: PPM, contrast_ppm: 1 }] {
            assert_eq!(Fusion::of(&fusion.stated(20, 8)).unwrap(), fusion);
        }
        let stated = HALF.stated(20, 8);
        for wrong in [
            Retrieval { method: "rrf/2".into(), ..stated.clone() },
            Retrieval { method: "convex/9".into(), ..stated.clone() },
            Retrieval { contrast_ppm: Some(0), ..stated.clone() },
            Retrieval { contrast_ppm: None, ..stated.clone() },
            Retrieval { vector_weight_ppm: Some(PPM + 1), ..stated.clone() },
            Retrieval { rrf_k: Some(20), ..stated },
            Fusion::ReciprocalRank { k: MAX_K + 1 }.stated(20, 8),
        ] {
            assert!(matches!(Fusion::of(&wrong), Err(RagError::Unproven(_))), "{wrong:?}");
        }
    }

    fn scored() -> impl Strategy<Value = Vec<(u8, i64)>> {
        let number = prop_oneof![50 => -1_000_000i64..=1_000_000, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
        proptest::collection::vec((0u8..30, number), 0..20).prop_map(|mut list| {
            let mut seen = Vec::new();
            list.retain(|(n, _)| {
                !seen.contains(n) && {
                    seen.push(*n);
                    true
                }
            });
            list.sort_by_key(|(_, score)| std::cmp::Reverse(*score));
            list
        })
    }

    proptest! {
        /// Against the formulas in floats, and for any input without a panic.
        #[test]
        fn agrees_with_the_formulas(a in scored(), b in scored(), k in prop_oneof![0u64..100, 0..=MAX_K], weight in 0..=PPM, contrast in 1..=PPM) {
            let (by_vector, by_words) = (hits(&a), hits(&b));
            let place = |list: &[Hit], chunk: ChunkId| list.iter().position(|hit| hit.chunk_id == chunk);
            let rrf = |chunk: ChunkId| -> f64 {
                let part = |list: &[Hit]| place(list, chunk).map_or(0.0, |at| 1.0 / (k as f64 + at as f64 + 1.0));
                part(&by_vector) + part(&by_words)
            };
            let million = PPM as f64;
            // floats would lose the small ones between the two extremes
            let sum: i128 = by_vector.iter().map(|hit| i128::from(hit.score_ppm)).sum();
            let mean = (sum as f64 / by_vector.len().max(1) as f64).floor();
            let above = |hit: &Hit| (hit.score_ppm as f64 - mean).clamp(0.0, 2.0 * million) / million;
            let trust = by_vector.first().map_or(0.0, |first| (above(first) * million / contrast as f64).min(1.0).powi(3));
            let convex = |chunk: ChunkId| -> f64 {
                let vector = place(&by_vector, chunk).map_or(0.0, |at| above(&by_vector[at]));
                let words = place(&by_words, chunk).map_or(0.0, |at| by_words[at].score_ppm.clamp(0, 1_000_000) as f64 / million);
                weight as f64 / million * trust * vector + (1.0 - weight as f64 / million) * words
            };
            let fused = |fusion: Fusion| -> Vec<ChunkId> { fusion.fuse(&by_vector, &by_words, 64).iter().map(|one| one.chunk_id).collect() };
            let all: BTreeSet<ChunkId> = by_vector.iter().chain(&by_words).map(|hit| hit.chunk_id).collect();
            let by_ranks = fused(Fusion::ReciprocalRank { k });
            prop_assert!(by_ranks.is_sorted_by(|one, next| rrf(*one) >= rrf(*next) - 1e-15));
            let by_scores = fused(Fusion::Convex { vector_weight_ppm: weight, contrast_ppm: contrast });
            prop_assert!(by_scores.is_sorted_by(|one, next| convex(*one) >= convex(*next) - 1e-5));
            for fused in [by_ranks, by_scores] {
                prop_assert_eq!(fused.len(), all.len());
            }
        }
    }
}
