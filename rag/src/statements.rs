//! What texts state, sentence by sentence: which sentences say anything, and who said each first.
//!
//! [`speech`] tells statements from questions, lists of words and sentences about the text itself, and [`index`] orders the
//! statements of a version: later ones that say the same as an earlier one belong to it. The first is part of the value
//! function `support/2`, so a change there needs a new method version; the second decides what can be retrieved and quoted,
//! and never whom an answer pays.

mod boilerplate;
mod index;
mod origins;
mod questions;
mod speech;

use schemas::said::Said;

pub(crate) use index::{ChunkStanding, Standing, StatementIndex, StatementText};
pub(crate) use origins::{Origin, Origins};
pub(crate) use questions::{asks_for_measure, confirms, left_open, restates};
pub(crate) use speech::{Known, Sentence, adds, read};

/// Tenths of a statement's tokens that an earlier one holds of which it is a repetition.
const SAME_TENTHS: usize = 7;

/// Shorter statements are the same only where all of their tokens are.
pub(crate) const SHORT_TOKENS: usize = 3;

/// Whether the later sentence says again what the earlier one says.
pub(crate) fn says_again(later: &Said, earlier: &Said) -> bool {
    if later.tokens.len().min(earlier.tokens.len()) <= SHORT_TOKENS {
        return !later.tokens.is_empty() && later.tokens == earlier.tokens;
    }
    is_within(later.tokens.len(), earlier.tokens.len(), later.shared(earlier), SAME_TENTHS)
}

/// Of two sets of so many tokens that share `shared`: whether the later says what the earlier says, to at least
/// `least` per ten of its tokens, and the earlier is no sentence so long that it holds every word there is.
fn is_within(later: usize, earlier: usize, shared: usize, least: usize) -> bool {
    shared > 0 && shared * 10 >= later * least && shared * 10 >= earlier * 3
}

#[cfg(test)]
mod tests;
