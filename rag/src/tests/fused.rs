//! Cases that the verifier in TypeScript is held to as well: `schemas/verifier/tests/fusion.json`.

use std::path::Path;

use schemas::B256;
use schemas::ids::ChunkId;
use schemas::receipt::{Candidate, Candidates, Retrieval};
use serde_json::{Value, json};

use crate::{Fusion, retrieve};

const CASES: u64 = 120;

/// Numbers that come out again: those of `SplitMix64`.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    /// Chunks, each once, with scores that fall; many tie.
    fn list(&mut self, least: i64, step: u64) -> Vec<Candidate> {
        let mut seen = Vec::new();
        for _ in 0..self.below(28) {
            let chunk = ChunkId(B256::repeat_byte(u8::try_from(self.below(40)).unwrap()));
            if !seen.contains(&chunk) {
                seen.push(chunk);
            }
        }
        let mut score = 1_000_000 - i64::try_from(self.below(600_000)).unwrap();
        let fall = |numbers: &mut Self, chunk| {
            score = (score - i64::try_from(numbers.below(step) * 20_000).unwrap()).max(least);
            Candidate(chunk, score)
        };
        let mut fall = fall;
        seen.into_iter().map(|chunk| fall(self, chunk)).collect()
    }
}

fn cases() -> Value {
    let mut numbers = Numbers(7);
    let mut cases = Vec::new();
    for n in 0..CASES {
        let fusion = if n % 3 == 0 {
            Fusion::ReciprocalRank { k: numbers.below(80) }
        } else {
            Fusion::Convex { vector_weight_ppm: numbers.below(1_000_001), contrast_ppm: 1 + numbers.below(1_000_000) }
        };
        let mut retrieval = fusion.stated(28, 1 + numbers.below(12));
        let mut candidates = Candidates { by_vector: numbers.list(-1_000_000, 5), by_words: numbers.list(0, 3), reranked: None };
        if n % 4 == 3 {
            retrieval.reranked = Some(retrieval.top_k + numbers.below(20));
            let all = Retrieval { top_k: retrieval.reranked.unwrap(), reranked: None, ..retrieval.clone() };
            let fused = retrieve::best(&all, &candidates).unwrap().len();
            candidates.reranked = Some((0..fused).map(|_| 500_000 * i64::try_from(numbers.below(9)).unwrap() - 2_000_000).collect());
        }
        let best = retrieve::best(&retrieval, &candidates).unwrap();
        let best: Vec<Value> =
            (best.iter()).map(|one| json!([one.chunk_id, one.vector.map(|place| place.rank), one.words.map(|place| place.rank)])).collect();
        cases.push(json!({ "retrieval": retrieval, "candidates": candidates, "best": best }));
    }
    Value::Array(cases)
}

/// `HEADWATER_WRITE_FUSION=1` writes the file.
#[test]
fn the_other_verifier_knows_the_same_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/verifier/tests/fusion.json");
    if std::env::var_os("HEADWATER_WRITE_FUSION").is_some() {
        let lines: Vec<String> = cases().as_array().unwrap().iter().map(Value::to_string).collect();
        std::fs::write(&path, format!("[{}]\n", lines.join(",\n"))).unwrap();
    }
    let known: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(known == cases(), "candidates lead to other sources than schemas/verifier/tests/fusion.json says");
}
