//! An embedder without weights: feature hashing of words and character trigrams.
//!
//! The in-memory implementation of the [`Embedder`] seam, for tests and for trying things out. It sees shared
//! words and spellings, never meaning. Method: Weinberger et al. 2009, "Feature Hashing for Large Scale
//! Multitask Learning" (signed buckets).

use sha2::{Digest, Sha256};

use super::{Embedder, EmbedderInfo, normalise};
use crate::EngineError;

const DIMENSIONS: usize = 384;
const WINDOW_TOKENS: usize = 256;
/// What `[CLS]` and `[SEP]` take of the window in a BERT, kept so that both embedders cut at the same token count.
const SPECIAL_TOKENS: usize = 2;
/// Changes whenever the vectors change: its hash is the embedder's identity.
const ALGORITHM: &str = "headwater/hashing-embedder/1";
/// A word outweighs any one of its trigrams.
const WORD_WEIGHT: f32 = 1.0;
const TRIGRAM_WEIGHT: f32 = 0.25;

/// Deterministic vectors of 384 dimensions from hashed words and trigrams; equal on every machine.
#[derive(Debug, Clone)]
pub struct HashingEmbedder {
    info: EmbedderInfo,
}

impl HashingEmbedder {
    #[must_use]
    pub fn new() -> Self {
        Self {
            info: EmbedderInfo {
                name: "hashing".to_owned(),
                sha256: hex::encode(Sha256::digest(ALGORITHM)),
                dimensions: DIMENSIONS,
                window_tokens: WINDOW_TOKENS,
                languages: Vec::new(),
            },
        }
    }
}

impl Default for HashingEmbedder {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for HashingEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        Ok(texts.iter().map(|text| embed_one(text)).collect())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        Ok(tokens(text).count())
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        Ok(tokens(text).collect())
    }
}

fn embed_one(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    for (start, end) in tokens(text).take(WINDOW_TOKENS - SPECIAL_TOKENS) {
        let word = text.get(start..end).unwrap_or_default().to_lowercase();
        add(&mut vector, b'w', &word, WORD_WEIGHT);
        let framed: Vec<char> = std::iter::once('^').chain(word.chars()).chain(std::iter::once('$')).collect();
        for trigram in framed.windows(3) {
            add(&mut vector, b't', &trigram.iter().collect::<String>(), TRIGRAM_WEIGHT);
        }
    }
    if !normalise(&mut vector)
        && let Some(first) = vector.first_mut()
    {
        *first = 1.0;
    }
    vector
}

fn add(vector: &mut [f32], kind: u8, feature: &str, weight: f32) {
    let hash = hash(kind, feature);
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below 384")]
    let bucket = (hash % DIMENSIONS as u64) as usize;
    if let Some(slot) = vector.get_mut(bucket) {
        *slot += if hash >> 63 == 0 { weight } else { -weight };
    }
}

/// FNV-1a of 64 bits, finished as in splitmix64 so that the top bit (the sign) is as mixed as the low ones.
fn hash(kind: u8, feature: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in std::iter::once(kind).chain(feature.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Runs of letters and digits are tokens; so is every other character that is not white space.
fn tokens(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = rest.find(|(_, c)| !c.is_whitespace())?;
        let mut end = start + first.len_utf8();
        if first.is_alphanumeric() {
            while let Some((at, c)) = rest.next_if(|(_, c)| c.is_alphanumeric()) {
                end = at + c.len_utf8();
            }
        }
        Some((start, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        crate::conformance::check_embedder(&HashingEmbedder::new()).expect("conforms");
    }

    #[test]
    fn splits_words_and_symbols() {
        let text = "Dry  ice, −78.5 °C";
        let words: Vec<&str> = tokens(text).map(|(start, end)| &text[start..end]).collect();
        assert_eq!(words, ["Dry", "ice", ",", "−", "78", ".", "5", "°", "C"]);
    }

    #[test]
    fn is_the_same_on_every_machine() {
        assert_eq!(hash(b'w', "dry"), 0xa3e4_d8d6_1a88_a2b0, "the hash is part of the embedder's identity");
    }
}
