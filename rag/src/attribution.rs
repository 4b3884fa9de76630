//! The game `support/1`: how an answer's worth is divided over those whose chunks it rests on.
//!
//! Players are the contributors in the prompt. For each segment *s* of the answer with weight
//! *w(s)*, and each source *c*, the support is how much of *s* one sentence of *c* says. The
//! worth of a set *S* of contributors is v(S) = Σ w(s) · max of the supports by sources of *S*,
//! and shares are the exact Shapley value of v.
//!
//! A max game is a sum of threshold games: at level *t* a contributor either reaches *t* or does
//! not, and the level's worth is divided equally among those who do (MaxShapley, arXiv 2512.05958,
//! has the same closed form). Near-duplicates are ordered by registration: at level *t* a source
//! does not count if an earlier-registered source of its cluster, by another contributor, reaches
//! *t* as well. So a perfect copy earns nothing and moves nobody's pay (Owen value with the
//! cluster contiguous), and cutting a document in two changes no contributor's share.
//!
//! Everything is integer arithmetic over its inputs, so anybody recomputes it to the last digit.
//! Nothing here reads a table, a clock or a model.

mod shares;
mod support;

pub use shares::{MAX_SOURCES, Shares, SourceKey, compute_shares};
pub use support::{MIN_SUPPORT_PPM, compute_value_table};

/// The name of this value function, stated in every receipt.
pub const METHOD: &str = "support/1";

#[cfg(test)]
mod tests;
