//! The game `support/1`, by which the first receipts were paid: they verify as what they were, and nothing is paid by it
//! any more.
//!
//! The worth of a set *S* of contributors is v(S) = Σ w(s) · max of the supports by sources of *S*, and shares are the exact
//! Shapley value of v. A max game is a sum of threshold games: the worth of a level is divided equally among the contributors
//! who reach it (MaxShapley, arXiv 2512.05958, has the same closed form). Of a cluster of near-duplicates, only the first to
//! reach a level counts at it, and later ones of the same contributor.

mod shares;
mod support;

pub(crate) use shares::{SourceKey, compute_shares};
pub(crate) use support::compute_value_table;

/// The name of this value function.
pub(crate) const METHOD: &str = "support/1";

#[cfg(test)]
mod tests;
