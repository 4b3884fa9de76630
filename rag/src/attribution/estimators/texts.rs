//! What scores, texts and citations say without any look at the game.

use super::Facts;

/// A shorter run of words in common is chance; a shorter answer is a run as a whole.
const RUN_WORDS: usize = 3;

pub(super) fn retrieval(players: usize, facts: &Facts<'_>) -> Vec<f64> {
    by_player(players, facts.sources.iter().map(|source| (source.player, source.retrieval_score)))
}

pub(super) fn citation(players: usize, facts: &Facts<'_>) -> Vec<f64> {
    let all = facts.sources.iter().map(|source| source.citations).sum::<usize>().max(1) as f64;
    by_player(players, facts.sources.iter().map(|source| (source.player, source.citations as f64 / all)))
}

pub(super) fn overlap(players: usize, facts: &Facts<'_>) -> Vec<f64> {
    let answer = words(facts.answer);
    let run = RUN_WORDS.min(answer.len()).max(1);
    let mut is_held = vec![vec![false; answer.len()]; players];
    for source in facts.sources {
        let text = words(source.text);
        let Some(is_held) = is_held.get_mut(source.player) else { continue };
        for (start, said) in answer.windows(run).enumerate().filter(|(_, said)| text.windows(run).any(|told| told == *said)) {
            is_held.iter_mut().skip(start).take(said.len()).for_each(|is_held| *is_held = true);
        }
    }
    let part = |is_held: Vec<bool>| is_held.iter().filter(|is_held| **is_held).count() as f64 / answer.len().max(1) as f64;
    is_held.into_iter().map(part).collect()
}

fn by_player(players: usize, scores: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums = vec![0.0; players];
    for (player, score) in scores {
        sums.iter_mut().skip(player).take(1).for_each(|sum| *sum += score);
    }
    sums
}

/// Runs of letters and digits, in small letters.
fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}
