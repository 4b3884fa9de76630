use super::*;
use crate::generation::prompt::{Piece, PieceKind};

/// A head of two tokens, `sources`, a tail of two.
fn prompt(sources: &[&[u32]]) -> Prompt {
    let piece = |kind, tokens: &[u32]| Piece { kind, tokens: tokens.to_vec() };
    let middle = sources.iter().zip(0..).map(|(tokens, source)| piece(PieceKind::Source(source), tokens));
    let pieces = [piece(PieceKind::Template, &[1, 2])].into_iter().chain(middle).chain([piece(PieceKind::Template, &[8, 9])]);
    Prompt { pieces: pieces.collect(), sources: sources.len() }
}

/// What a leaf has seen, its own tokens last, and how many of them are asked about.
fn path(plan: &Plan, leaf: usize) -> (Vec<u32>, usize) {
    let mut spans = vec![&plan.spans[leaf]];
    while let Some(parent) = spans.last().and_then(|span| span.continues) {
        spans.push(&plan.spans[parent]);
    }
    let mut tokens: Vec<u32> = plan.spans[leaf].sees.iter().flat_map(|seen| plan.spans[*seen].tokens.clone()).collect();
    let seen = tokens.len();
    for span in spans.iter().rev() {
        tokens.truncate(seen + span.base);
        tokens.extend_from_slice(&span.tokens);
    }
    (tokens, plan.spans[leaf].tokens.len() - plan.spans[leaf].wanted_from)
}

#[test]
fn every_subset_is_its_own_prompt() {
    let long: Vec<u32> = (100..150).collect();
    let prompt = prompt(&[&[3, 4], &long, &[3, 5], &[]]);
    let subsets: Vec<Vec<bool>> = (0..16_u32).map(|bits| (0..4).map(|source| bits >> source & 1 == 1).collect()).collect();
    for mode in [ContextMode::Full, ContextMode::Blocks] {
        let scores = ScorePlan::new(&prompt, mode, &subsets, &[20, 21, 22], None);
        for (subset, leaf) in subsets.iter().zip(&scores.leaves) {
            let expected = [prompt.full(subset), vec![20, 21]].concat();
            assert_eq!(path(&scores.plan, *leaf), (expected, 3), "{mode:?} {subset:?}");
        }
    }
}

#[test]
fn a_shared_beginning_is_computed_once() {
    let prompt = prompt(&[&[3], &[4], &[5]]);
    let all_but_one: Vec<Vec<bool>> = (0..3).map(|out| (0..3).map(|source| source != out).collect()).collect();
    let computed = |subsets: &[Vec<bool>]| -> usize {
        let plan = ScorePlan::new(&prompt, ContextMode::Full, subsets, &[20], None).plan;
        plan.spans.iter().map(|span| span.tokens.len() - span.copied).sum()
    };
    // 1 2, then 3 (4 8 9 | 5 8 9) and 4 5 8 9.
    assert_eq!(computed(&all_but_one), 2 + 1 + 3 + 3 + 4);
    let twice = [all_but_one.clone(), all_but_one].concat();
    assert_eq!(computed(&twice), 13, "equal subsets are one");
    assert_eq!(ScorePlan::new(&prompt, ContextMode::Full, &twice, &[20], None).leaves.len(), 6);
}

#[test]
fn blocks_are_computed_once() {
    let prompt = prompt(&[&[3], &[4, 4], &[5]]);
    let subsets = [vec![true, false, false], vec![true, true, false]];
    let scores = ScorePlan::new(&prompt, ContextMode::Blocks, &subsets, &[20, 21], None);
    let lengths: Vec<usize> = scores.plan.spans.iter().map(|span| span.tokens.len()).collect();
    assert_eq!(lengths, [2, 1, 2, 3, 3], "head, the two sources that are used, a tail and an answer token for each subset");
    assert!(scores.plan.spans[3..].iter().all(|span| span.first_position == 4));
}

#[test]
fn one_prompt_may_be_the_beginning_of_another() {
    let prompt = prompt(&[&[8, 9, 8, 9]]);
    let scores = ScorePlan::new(&prompt, ContextMode::Full, &[vec![true], vec![false]], &[7], None);
    assert_eq!(path(&scores.plan, scores.leaves[0]).0, [1, 2, 8, 9, 8, 9, 8, 9]);
    assert_eq!(path(&scores.plan, scores.leaves[1]).0, [1, 2, 8, 9]);
}

#[test]
fn longer_sequences_share_nothing_with_shorter_ones() {
    let long: Vec<u32> = (100..140).collect();
    let prompt = prompt(&[&[3, 4], &long]);
    let subsets = [vec![true, false], vec![true, true], vec![false, true], vec![false, false]];
    let scores = ScorePlan::new(&prompt, ContextMode::Full, &subsets, &[20, 21, 22], Some(20));
    for (subset, leaf) in subsets.iter().zip(&scores.leaves) {
        let mut next = Some(*leaf);
        while let Some(index) = next {
            assert_eq!(scores.plan.spans[index].stretched, subset[1], "{subset:?}");
            next = scores.plan.spans[index].continues;
        }
        assert_eq!(path(&scores.plan, *leaf), ([prompt.full(subset), vec![20, 21]].concat(), 3));
    }
    let blocks = ScorePlan::new(&prompt, ContextMode::Blocks, &subsets, &[20], Some(20));
    assert!(blocks.plan.spans.iter().all(|span| span.stretched), "a tail's place is the same for every subset");
}
