//! Who said it first: finding chunks that repeat earlier ones of the same Datanet.
//!
//! Two chunks with the same words are the same content; two whose sets of word 5-grams are alike enough
//! (true Jaccard similarity, found through MinHash) and that say the same numbers, units and negations are taken for it.

mod clusters;
mod fingerprint;
mod holders;
mod index;
mod kept;
mod minhash;
mod sketch;

pub(crate) use clusters::{Clusters, Placement};
pub(crate) use fingerprint::{Fingerprint, words};
pub(crate) use index::{Index, NewChunk, NewDocument};
pub(crate) use kept::{Committed, Kept, encode, read_kept};

/// The version of the comparison: part of a Datanet's policy hash.
pub(crate) const COMPARISON: &str = "headwater-duplicates/2";

#[cfg(test)]
mod tests;
