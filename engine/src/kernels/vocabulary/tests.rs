//! Against a log-softmax in f64 of the same scores, in any batch and on any team.

use std::borrow::Cow;

use super::*;
use crate::kernels::Precision;
use crate::kernels::tests::{numbers, paths};
use crate::kernels::{MatrixSource, TensorKind};

/// In f64; the shift keeps it stable where scores are large.
fn plain(scores: &[f32], target: usize, finish: HeadFinish) -> f64 {
    let finished = |score: &f32| {
        let score = f64::from(*score) * f64::from(finish.scale);
        finish.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
    };
    let largest = scores.iter().map(finished).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (finished(score) - largest).exp()).sum();
    finished(&scores[target]) - largest - sum.ln()
}

#[test]
fn log_probabilities_are_those_of_the_scores() {
    let plain_finish = HeadFinish { scale: 1.0, soft_cap: None };
    let capped = HeadFinish { scale: 0.5, soft_cap: Some(30.0) };
    for cpu in paths() {
        let teams = [1, 3].map(|threads| Team::start(threads, cpu).expect("threads"));
        for (columns, inner, factor, finish) in
            [(1, 3, 1.0, plain_finish), (255, 64, 1.0, plain_finish), (257, 34, 40.0, capped), (1000, 64, 30.0, plain_finish)]
        {
            let weights: Vec<f32> = numbers(columns * inner, 5).iter().map(|number| number * factor).collect();
            let bytes: Vec<u8> = weights.iter().flat_map(|number| number.to_le_bytes()).collect();
            let source = MatrixSource { kind: TensorKind::F32, columns, inner, bytes: Cow::from(&bytes), bias: Some(numbers(columns, 6)) };
            let head = Linear::new(&source, cpu, Precision::F32).expect("fits");
            let rows = 130;
            let hidden = numbers(rows * inner, 7);
            let targets: Vec<u32> = (0..rows).map(|row| (row * 37 % columns) as u32).collect();
            let scores = logits(&head, &teams[1], &hidden, rows, plain_finish);
            let finished = logits(&head, &teams[1], &hidden, rows, finish);
            let all = log_probabilities(&head, &teams[0], &hidden, &targets, finish);
            for (row, found) in all.iter().enumerate() {
                let expected = plain(&scores[row * columns..][..columns], targets[row] as usize, finish);
                assert!(
                    (f64::from(*found) - expected).abs() < 2e-5 * expected.abs().max(1.0),
                    "{} {columns} {row}: {found} for {expected}",
                    cpu.isa()
                );
                let again = plain(&finished[row * columns..][..columns], targets[row] as usize, plain_finish);
                assert!(
                    (again - expected).abs() < 1e-4 * expected.abs().max(1.0),
                    "{}: logits are finished too: {again} for {expected}",
                    cpu.isa()
                );
            }
            for (team, range) in [(&teams[1], 0..rows), (&teams[0], 5..6), (&teams[1], 90..101)] {
                let part = log_probabilities(&head, team, &hidden[range.start * inner..range.end * inner], &targets[range.clone()], finish);
                assert!(
                    part.iter().zip(&all[range]).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{}: other bits in another batch",
                    cpu.isa()
                );
            }
        }
    }
}

#[test]
fn a_target_outside_of_the_vocabulary_is_impossible() {
    let cpu = paths().next().expect("a path");
    let team = Team::start(1, cpu).expect("threads");
    let bytes = Cow::from(&[0; 4 * 2 * 3][..]);
    let source = MatrixSource { kind: TensorKind::F32, columns: 3, inner: 2, bytes, bias: None };
    let head = Linear::new(&source, cpu, Precision::F32).expect("fits");
    let finish = HeadFinish { scale: 1.0, soft_cap: None };
    assert_eq!(log_probabilities(&head, &team, &[1.0; 4], &[3, u32::MAX], finish), [f32::NEG_INFINITY; 2]);
    assert!((log_probabilities(&head, &team, &[1.0; 2], &[2], finish)[0] + 3.0_f32.ln()).abs() < 1e-6);
    assert!(log_probabilities(&head, &team, &[], &[], finish).is_empty());
}
