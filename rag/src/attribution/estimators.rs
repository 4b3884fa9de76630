//! What others would say an answer owes to whom: estimators to compare the division with, which pay nobody.
//!
//! They look at one game, the worth v(S) of a set S of players, and at what is known without it: scores of retrieval, texts, citations.
//! Each gives a score per player and says how many sets it had the worth of computed. `make bench-attribution` measures them side by
//! side.
//!
//! Nothing leads from here to a share: [`super::compute_shares`] takes integers of a receipt, by a method that the receipt states, and
//! no setting names an estimator. Scores are floating-point numbers, some are drawn by chance, and whoever asks to be cited, or repeats
//! the question's words, moves the last three.
//!
//! Attention (AT2, arXiv 2504.13752) is not among them: the engine's kernels do not keep attention's weights.

mod context_cite;
mod draws;
mod game;
mod kernel;
mod permutation;
mod texts;

pub use context_cite::Scale;
pub use game::{Game, MAX_PLAYERS};
pub use permutation::permutation_error;

use crate::{RagError, Result};

/// How scores are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimator {
    /// The Shapley value, of the worth of every set: what the others are measured by.
    Exact,
    /// v(all) − v(all but the player).
    LeaveOneOut,
    /// A sparse linear fit to the worth of sets that are drawn, each player in one with probability ½ (Cohen-Wang et al., NeurIPS 2024,
    /// arXiv 2409.00729): LASSO with α = 0.01 on the answer's logit per token, as published. The sets are not those of numpy's draws.
    ContextCite { ablations: usize, seed: u64, scale: Scale },
    /// The mean of what a player adds in orders that are drawn, each with its reverse; [`permutation_error`] bounds its error.
    PermutationShapley { pairs: usize, seed: u64 },
    /// Weighted least squares (Lundberg and Lee, NeurIPS 2017, arXiv 1705.07874) on so many sets beside none and all, each with its
    /// complement; exact where these are all there are.
    KernelShapley { sets: usize, seed: u64 },
    /// The sum of what retrieval scored its sources with.
    RetrievalScore,
    /// The part of the answer's words that stand, three or more in a row, in its sources.
    VerbatimOverlap,
    /// The part of the answer's citations that are of its sources.
    Citation,
}

/// What is known of an answer without computing the worth of any set.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Without its citations.
    pub answer: &'a str,
    /// What v counts, at least 1.
    pub answer_tokens: usize,
    pub sources: &'a [SourceFacts<'a>],
}

/// What is known of a source.
#[derive(Debug, Clone, Copy)]
pub struct SourceFacts<'a> {
    /// Whose it is.
    pub player: usize,
    pub text: &'a str,
    pub retrieval_score: f64,
    /// How often the answer cites it.
    pub citations: usize,
}

/// What an estimator says.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// `[players]`; finite, in the estimator's own unit, below zero for who makes the answer worth less.
    pub scores: Vec<f64>,
    /// Sets whose worth was computed, each counted once.
    pub evaluations: usize,
}

impl Estimator {
    /// The same for the same game, facts and seed.
    ///
    /// # Errors
    /// [`RagError::Parameter`] where a source is nobody's, its score of retrieval is no number, or nothing is to be drawn;
    /// [`RagError::Worker`] where the worth of a set is no finite number.
    pub fn estimate(self, mut game: Game<'_>, facts: &Facts<'_>) -> Result<Estimate> {
        check(&game, facts)?;
        let players = game.players();
        let scores = match self {
            Self::Exact => game.shapley()?,
            Self::LeaveOneOut => leave_one_out(&mut game)?,
            Self::ContextCite { ablations, seed, scale } => {
                context_cite::estimate(&mut game, drawn("ablations", ablations)?, seed, scale, facts.answer_tokens)?
            }
            Self::PermutationShapley { pairs, seed } => permutation::estimate(&mut game, drawn("pairs", pairs)?, seed)?,
            Self::KernelShapley { sets, seed } => kernel::estimate(&mut game, sets, seed)?,
            Self::RetrievalScore => texts::retrieval(players, facts),
            Self::VerbatimOverlap => texts::overlap(players, facts),
            Self::Citation => texts::citation(players, facts),
        };
        Ok(Estimate { scores, evaluations: game.evaluations() })
    }
}

fn leave_one_out(game: &mut Game<'_>) -> Result<Vec<f64>> {
    let everybody = game.everybody();
    let all = game.value(everybody)?;
    (0..game.players()).map(|player| Ok(all - game.value(everybody & !(1 << player))?)).collect()
}

fn drawn(parameter: &'static str, number: usize) -> Result<usize> {
    if number == 0 {
        return Err(RagError::Parameter { parameter, problem: "nothing would be drawn: give at least 1".to_owned() });
    }
    Ok(number)
}

fn check(game: &Game<'_>, facts: &Facts<'_>) -> Result<()> {
    let bad = |parameter: &'static str, problem: String| Err(RagError::Parameter { parameter, problem });
    if facts.answer_tokens == 0 {
        return bad("answer_tokens", "an answer has at least 1".to_owned());
    }
    for (place, source) in facts.sources.iter().enumerate() {
        if source.player >= game.players() {
            return bad("player", format!("source {place} is of player {}, and there are {}", source.player, game.players()));
        }
        if !source.retrieval_score.is_finite() {
            return bad("retrieval_score", format!("{} of source {place} is no number", source.retrieval_score));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
