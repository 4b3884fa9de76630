//! The check of rerankers. It cannot say that a better answer has a greater score: that is the model's worth, not a promise.

use super::{TEXTS, check_sha256, ensure, run, same_bits};
use crate::Reranker;

/// Checks counts, finiteness, the window, and that batches change nothing.
///
/// # Errors
/// A sentence saying which promise of the trait was broken, and by what.
pub fn check_reranker(reranker: &dyn Reranker) -> Result<(), String> {
    let info = reranker.info();
    ensure(!info.name.is_empty(), || "the name is empty".to_owned())?;
    ensure(info.window_tokens > 0, || "the window has no room for a pair".to_owned())?;
    check_sha256(&info.sha256)?;
    for question in TEXTS {
        check_scores(reranker, question)?;
    }
    check_window(reranker)
}

fn check_scores(reranker: &dyn Reranker, question: &str) -> Result<(), String> {
    ensure(run(reranker.score(question, &[]))?.is_empty(), || "no passages gave scores".to_owned())?;
    let batch = run(reranker.score(question, &TEXTS))?;
    ensure(batch.len() == TEXTS.len(), || format!("{} scores for {} passages", batch.len(), TEXTS.len()))?;
    for (passage, score) in TEXTS.iter().zip(&batch) {
        ensure(score.is_finite(), || format!("{question:?} and {passage:?}: the score is {score}"))?;
        let alone = run(reranker.score(question, &[passage]))?;
        ensure(same_bits(&alone, &[*score]), || format!("{question:?} and {passage:?}: alone and in a batch give different bits"))?;
    }
    let reversed: Vec<&str> = TEXTS.iter().rev().copied().collect();
    let mut reversed = run(reranker.score(question, &reversed))?;
    reversed.reverse();
    ensure(same_bits(&batch, &reversed), || "the order of a batch changes its scores".to_owned())
}

/// What lies beyond the window does not count; a long question leaves room for a passage, and a long passage for a question.
fn check_window(reranker: &dyn Reranker) -> Result<(), String> {
    let [.., question, passage, _, _, _] = TEXTS;
    // A word has a token at least.
    let filled = |text: &str| [text, &" cold chain".repeat(reranker.info().window_tokens)].concat();
    let twice = |text: &str| [filled(text), filled(text)].concat();
    let score = |question: &str, passage: &str| run(reranker.score(question, &[passage]));
    let (long, longer) = (score(question, &filled(passage))?, score(question, &twice(passage))?);
    ensure(same_bits(&long, &longer), || "what of a passage lies beyond the window changes the score".to_owned())?;
    let (long, longer) = (score(&filled(question), passage)?, score(&twice(question), passage)?);
    ensure(same_bits(&long, &longer), || "what of a question lies beyond the window changes the score".to_owned())?;
    ensure(!same_bits(&long, &score(&filled(question), question)?), || "a long question leaves no room for a passage".to_owned())?;
    let (one, another) = (score(question, &filled(passage))?, score(passage, &filled(passage))?);
    ensure(!same_bits(&one, &another), || "a long passage leaves no room for a question".to_owned())
}
