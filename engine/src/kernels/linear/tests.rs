//! Against f64, and against itself with other rows and other threads.

use super::*;
use crate::kernels::tests::{numbers, paths, widen};
use crate::kernels::{Element, TensorKind};

/// Columns and inner dimensions at and beside what vectors and panels hold.
const SHAPES: [(usize, usize); 8] = [(1, 2), (33, 34), (32, 1), (64, 576), (96, 160), (7, 4864), (100, 33), (1, 1)];

pub(super) fn f32_source(weights: &[f32], inner: usize, bias: Option<Vec<f32>>) -> MatrixSource<'static> {
    let bytes: Vec<u8> = weights.iter().flat_map(|number| number.to_le_bytes()).collect();
    MatrixSource { kind: TensorKind::F32, columns: weights.len() / inner, inner, bytes: Cow::from(bytes), bias }
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn products_of_any_shape_are_exact() {
    for cpu in paths() {
        let team = Team::start(2, cpu).expect("threads");
        for (precision, round) in
            [(Precision::F32, (|number| number) as fn(f32) -> f32), (Precision::Bf16, |number| widen(Bf16::from_f32(number)))]
        {
            for (columns, inner) in SHAPES {
                let (weights, bias, rows) = (numbers(columns * inner, 1), numbers(columns, 2), 13);
                let linear = Linear::new(&f32_source(&weights, inner, Some(bias.clone())), cpu, precision).expect("fits");
                let input = numbers(rows * inner, 3);
                let mut output = vec![f32::NAN; rows * columns];
                linear.multiply(&team, &input, rows, &mut output, Write::Store);
                linear.multiply(&team, &input, rows, &mut output, Write::Add);
                // What has no instruction for bf16 widens weights, and leaves rows as they are.
                let of_row = |number| if cpu.multiplies_bf16() { round(number) } else { number };
                for (at, found) in output.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let terms = input[row * inner..][..inner].iter().zip(&weights[column * inner..]);
                    let sum: f64 = terms.map(|(a, b)| f64::from(of_row(*a)) * f64::from(round(*b))).sum();
                    let expected = 2.0 * (sum + f64::from(bias[column]));
                    let error = (f64::from(*found) - expected).abs();
                    assert!(
                        error < 1e-6 * (inner as f64).max(20.0),
                        "{} {columns}x{inner} at {row},{column}: {found} for {expected}",
                        cpu.isa()
                    );
                }
                let mut row = vec![f32::NAN; inner];
                linear.row(columns - 1, &mut row);
                let expected: Vec<f32> = weights[(columns - 1) * inner..].iter().map(|number| round(*number)).collect();
                assert_eq!(row, expected, "{} {columns}x{inner}", cpu.isa());
            }
        }
    }
}

#[test]
fn rows_and_threads_do_not_matter() {
    for cpu in paths() {
        let teams = [1, 2, 5].map(|threads| Team::start(threads, cpu).expect("threads"));
        for precision in [Precision::F32, Precision::Bf16] {
            let (columns, inner, rows) = (211, 322, 64);
            let weights = numbers(columns * inner, 1);
            let linear = Linear::new(&f32_source(&weights, inner, None), cpu, precision).expect("fits");
            let input = numbers(rows * inner, 3);
            let mut all = vec![f32::NAN; rows * columns];
            linear.multiply(&teams[0], &input, rows, &mut all, Write::Store);
            for team in &teams {
                for count in [1, 2, 3, 7, 8, 11, 12, 20, 33, 63] {
                    for first in [0, rows - count] {
                        let mut part = vec![f32::NAN; count * columns];
                        linear.multiply(team, &input[first * inner..][..count * inner], count, &mut part, Write::Store);
                        assert_eq!(bits(&part), bits(&all[first * columns..][..count * columns]), "{} {count} rows", cpu.isa());
                    }
                }
            }
        }
    }
}

#[test]
fn several_products_at_once_are_those_products() {
    for cpu in paths() {
        let team = Team::start(2, cpu).expect("threads");
        let (inner, rows) = (130, 9);
        let input = numbers(rows * inner, 3);
        let linears: Vec<Linear> = [(40, Precision::Bf16), (200, Precision::F32), (1, Precision::Bf16)]
            .into_iter()
            .map(|(columns, precision)| Linear::new(&f32_source(&numbers(columns * inner, 8), inner, None), cpu, precision).expect("fits"))
            .collect();
        let mut together: Vec<Vec<f32>> = linears.iter().map(|linear| vec![0.5; rows * linear.columns()]).collect();
        let mut targets: Vec<Target<'_>> =
            linears.iter().zip(&mut together).map(|(linear, output)| Target { linear, output, write: Write::Add }).collect();
        multiply_many(&team, &input, rows, &mut targets);
        for (linear, together) in linears.iter().zip(&together) {
            let mut alone = vec![0.5; rows * linear.columns()];
            linear.multiply(&team, &input, rows, &mut alone, Write::Add);
            assert_eq!(bits(&alone), bits(together), "{}", cpu.isa());
        }
    }
}

#[test]
fn half_floats_are_read() {
    let cpu = paths().next().expect("a path");
    // 1, -2 as binary16; 1.5, -0.5 as bf16.
    for (kind, bytes, expected) in
        [(TensorKind::F16, [0x00, 0x3c, 0x00, 0xc0], [1.0, -2.0]), (TensorKind::Bf16, [0xc0, 0x3f, 0x00, 0xbf], [1.5, -0.5])]
    {
        let source = MatrixSource { kind, columns: 1, inner: 2, bytes: Cow::from(&bytes[..]), bias: None };
        for precision in [Precision::F32, Precision::Bf16] {
            let mut row = [0.0; 2];
            Linear::new(&source, cpu, precision).expect("fits").row(0, &mut row);
            assert_eq!(row, expected);
        }
    }
}

#[test]
fn parts_that_do_not_agree_are_refused() {
    let cpu = paths().next().expect("a path");
    let sound = f32_source(&[1.0; 6], 3, None);
    for broken in [
        MatrixSource { columns: 3, ..sound.clone() },
        MatrixSource { inner: 0, ..sound.clone() },
        MatrixSource { inner: usize::MAX, ..sound.clone() },
        MatrixSource { bias: Some(vec![0.0; 3]), ..sound.clone() },
        MatrixSource { kind: TensorKind::Q8_0, ..sound.clone() },
    ] {
        assert!(matches!(Linear::new(&broken, cpu, Precision::F32), Err(EngineError::Library { .. })));
    }
}
