//! Token ids against the reference tokenizer's, for generated texts in many scripts: `tests/fixtures/make_token_ids.py`.

use sha2::{Digest, Sha256};

use super::*;

const TEXTS_OF_DIGEST: usize = 500;
/// First and last code points.
const SCRIPTS: [(u32, u32); 23] = [
    (0x61, 0x7a),
    (0x61, 0x7a),
    (0x41, 0x5a),
    (0x21, 0x40),
    (0xc0, 0x17f),
    (0x300, 0x34f),
    (0x391, 0x3c9),
    (0x410, 0x44f),
    (0x5d0, 0x5ea),
    (0x621, 0x64a),
    (0x905, 0x939),
    (0xe01, 0xe30),
    (0x1e00, 0x1eff),
    (0x2010, 0x2027),
    (0x20a0, 0x20bf),
    (0x3041, 0x3096),
    (0x30a1, 0x30fa),
    (0x4e00, 0x9fa5),
    (0xac00, 0xd7a3),
    (0xff01, 0xff5e),
    (0x1f600, 0x1f64f),
    (0x20000, 0x2a6d6),
    (0x00, 0x1f),
];
const BETWEEN: [&str; 9] = [" ", " ", " ", "", "\t", "\u{a0}", "-", ", ", "\u{200b}"];

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..1 + self.below(150) {
            let (first, last) = SCRIPTS[self.below(23) as usize];
            for _ in 0..1 + self.below(9) {
                text.push(char::from_u32(first + self.below(last - first + 1)).expect("no surrogates"));
            }
            text.push_str(BETWEEN[self.below(9) as usize]);
        }
        text
    }
}

#[test]
fn are_the_reference_tokenizers_in_every_script() {
    let expected: Vec<String> =
        serde_json::from_slice(&std::fs::read(fixtures().join("token_ids.json")).expect("fixture")).expect("digests");
    assert_eq!(expected.len(), 8);
    let mut draw = Draw(1);
    for (at, expected) in expected.iter().enumerate() {
        let mut digest = Sha256::new();
        for _ in 0..TEXTS_OF_DIGEST {
            let ids = MODEL.token_ids(&draw.text()).expect("ids");
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            digest.update(ids.join(",") + "\n");
        }
        assert_eq!(hex::encode(digest.finalize()), *expected, "of texts from {} on", at * TEXTS_OF_DIGEST);
    }
}
