//! What of a text is compared: its words, whatever their case, accents, punctuation, spacing and look-alikes.

use schemas::B256;
use schemas::alloy_primitives::keccak256;
use schemas::said::{Quantity, Said, common};

use super::minhash::{self, Bands};

/// Words per shingle.
const SHINGLE_WORDS: usize = 5;

/// The folded words of a text ([`schemas::words`]), numbers and signs among them.
pub(crate) fn words(text: &str) -> Vec<String> {
    schemas::words::segment(text).into_iter().map(|word| word.text).collect()
}

/// What a chunk is compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// keccak256 of the words: equal for the same content.
    pub exact: B256,
    /// Hashes of the words, in order: a document's shingles are cut from those of all of its chunks.
    pub words: Vec<u64>,
    /// Hashes of the word 5-grams, sorted, each once.
    pub shingles: Vec<u64>,
    pub bands: Bands,
    pub quantities: Quantities,
}

/// The numbers that a text says, with their units, and how often it says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quantities {
    /// Sorted; as often as they are said.
    pub(super) said: Vec<Quantity>,
    pub(super) negations: usize,
}

impl Quantities {
    fn of(said: &Said) -> Self {
        let mut quantities = said.figures.quantities.clone();
        quantities.sort();
        Self { said: quantities, negations: said.figures.negations }
    }

    /// Whether `earlier` says all of these, and no less often no.
    pub(super) fn are_within(&self, earlier: &Self) -> bool {
        let mut rest = earlier.said.iter();
        self.negations == earlier.negations && self.said.iter().all(|quantity| rest.any(|other| other == quantity))
    }
}

impl Fingerprint {
    /// A text without a word (a rule, a row of symbols) is compared as it stands.
    pub(crate) fn of(text: &str) -> Self {
        let segmented = schemas::words::segment(text);
        let quantities = Quantities::of(&Said::of_words(&segmented));
        let mut folded: Vec<String> = segmented.into_iter().map(|word| word.text).collect();
        if folded.is_empty() {
            folded.push(text.trim().to_owned());
        }
        let exact = keccak256(folded.join(" "));
        let words: Vec<u64> = folded.iter().map(|word| hash_word(word)).collect();
        let shingles = shingles(&words);
        let bands = minhash::bands(&minhash::signature(&shingles));
        Self { exact, words, shingles, bands, quantities }
    }
}

/// Hashes of all runs of five words, sorted, each once; a shorter text is one run.
pub(super) fn shingles(words: &[u64]) -> Vec<u64> {
    let run = SHINGLE_WORDS.min(words.len().max(1));
    let mut shingles: Vec<u64> =
        words.windows(run).map(|run| run.iter().fold(run.len() as u64, |hash, word| mix(hash.rotate_left(5) ^ word))).collect();
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// Jaccard similarity of two sorted sets in parts per million, rounded down.
pub(super) fn jaccard_ppm(a: &[u64], b: &[u64]) -> u64 {
    let both = common(a, b);
    let either = a.len() + b.len() - both;
    if either == 0 { 0 } else { both as u64 * 1_000_000 / either as u64 }
}

/// FNV-1a of 64 bits, mixed. It need not resist attack: whoever makes texts collide only gives up a
/// claim to have been first.
fn hash_word(word: &str) -> u64 {
    mix(word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// The finaliser of splitmix64 (Steele et al. 2014): every bit of the input reaches every bit of the output.
pub(super) fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
