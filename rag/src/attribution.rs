//! The game `support/2`: how an answer's worth is divided over those whose chunks it rests on.
//!
//! Each thing that a sentence of the answer says (a content word, a number with its unit, a negation: a token of
//! [`schemas::said`]) belongs to the contributor of the first-registered source that says the sentence and has that token.
//! A source says a sentence of the answer where one of its statements holds at least half of the sentence's tokens. So
//! whoever comes later earns what it adds: a copy, however it is edited, cut, mixed or multiplied over accounts, adds
//! nothing to the tokens that it keeps, and moves nobody's pay.
//!
//! The worth of a set *S* of contributors is v(S) = Σ w(s) · (the part of the tokens of *s* that belong to *S*). v is additive,
//! so its exact Shapley value is each one's own worth. It is Owen's value with all who say a sentence as one union in the
//! order of registration, and cutting a document in two, or listing sources in another order, changes nobody's share.
//!
//! What says nothing earns nothing: a sentence of the answer that only gives the question's own words back, and in a
//! source a question, a list of words, or a sentence about the text itself ([`crate::statements`]). What the answer says twice
//! is paid once.
//!
//! Everything is integer arithmetic over texts and order, so anybody recomputes it to the last digit. Nothing here reads a
//! table, a clock or a model. [`likelihood`] is another game, for answers that a model wrote; [`first`] is the game before.

pub mod estimators;
pub(crate) mod first;
pub(crate) mod likelihood;
mod shares;
mod support;

pub use likelihood::player_values;
pub use shares::{MAX_SOURCES, Shares, compute_shares};
pub use support::{SourceText, compute_value_table};

/// The name of this value function, stated in every receipt.
pub const METHOD: &str = "support/2";

#[cfg(test)]
mod tests;
