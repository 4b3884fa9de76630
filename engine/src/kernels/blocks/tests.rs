//! Every encoding against the plain one, and products of bytes against whole numbers.

use std::borrow::Cow;

use super::*;
use crate::kernels::dequantise::scales_at;
use crate::kernels::tests::{numbers, paths};
use crate::kernels::{Linear, Precision, Team, Write};

fn packed() -> impl Iterator<Item = TensorKind> {
    TensorKind::ALL.into_iter().filter(|kind| kind.is_quantised() && *kind != TensorKind::Q2K)
}

/// Any bytes are blocks; only the halves in them are chosen, by turns.
fn source(kind: TensorKind, columns: usize, inner: usize, halves: &[u16]) -> MatrixSource<'static> {
    let mut bytes: Vec<u8> =
        numbers(kind.bytes(columns * inner).expect("whole blocks"), 17).iter().map(|number| (number * 127.5) as i8 as u8).collect();
    for (at, block) in bytes.chunks_exact_mut(kind.block_bytes()).enumerate() {
        for (place, half) in scales_at(kind).iter().zip(halves.iter().cycle().skip(at)) {
            block[*place..place + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    MatrixSource { kind, columns, inner, bytes: Cow::from(bytes), bias: None }
}

/// 1, 0, -2^-14, the smallest there is, 0.0999.
const HALVES: [u16; 5] = [0x3c00, 0, 0x8400, 1, 0x2e65];

fn inner_of(kind: TensorKind) -> usize {
    if kind.block_numbers() == 256 { 768 } else { 96 }
}

#[test]
fn weights_are_read_as_they_are() {
    for kind in packed() {
        let source = source(kind, 35, inner_of(kind), &HALVES);
        let expected = source.to_f32();
        for cpu in paths() {
            let linear = Linear::new(&source, cpu, Precision::F32).expect("fits");
            for (row, expected) in expected.chunks_exact(source.inner).enumerate() {
                let mut found = vec![f32::NAN; source.inner];
                linear.row(row, &mut found);
                assert_eq!(found, expected, "{} {} row {row}", cpu.isa(), kind.name());
            }
        }
    }
}

/// Factors of one and whole inputs whose largest is 127 in every sub-block: all that is added is whole, and small
/// enough for f32.
#[test]
fn products_of_whole_numbers_are_exact() {
    for kind in packed() {
        let (columns, inner, rows) = (33, inner_of(kind), 11);
        let source = source(kind, columns, inner, &[0x3c00]);
        let weights: Vec<i64> = source.to_f32().iter().map(|weight| *weight as i64).collect();
        let whole = |(at, number): (usize, f32)| match at % SUB_BLOCK {
            5 => 127.0,
            6 => -127.0,
            _ => (number * 127.0).trunc(),
        };
        let input: Vec<f32> = numbers(rows * inner, 9).into_iter().enumerate().map(whole).collect();
        for cpu in paths() {
            let team = Team::start(2, cpu).expect("threads");
            let linear = Linear::new(&source, cpu, Precision::F32).expect("fits");
            let mut output = vec![f32::NAN; rows * columns];
            linear.multiply(&team, &input, rows, &mut output, Write::Store);
            for (at, found) in output.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let terms = input[row * inner..][..inner].iter().zip(&weights[column * inner..]);
                let expected: i64 = terms.map(|(input, weight)| *input as i64 * weight).sum();
                assert!(expected.abs() < 1 << 24, "the test's own limit");
                assert_eq!(*found as i64, expected, "{} {} at {row},{column}", cpu.isa(), kind.name());
            }
        }
    }
}

/// Against the same rows unquantised: off by at most half a step of each number.
#[test]
fn products_are_near_those_of_exact_inputs() {
    for kind in packed() {
        let (columns, inner, rows) = (40, inner_of(kind), 9);
        let source = MatrixSource { bias: Some(numbers(columns, 3)), ..source(kind, columns, inner, &HALVES) };
        let (weights, bias) = (source.to_f32(), source.bias.clone().expect("set"));
        let input = numbers(rows * inner, 4);
        for cpu in paths() {
            let team = Team::start(2, cpu).expect("threads");
            let linear = Linear::new(&source, cpu, Precision::F32).expect("fits");
            let mut output = vec![0.25; rows * columns];
            linear.multiply(&team, &input, rows, &mut output, Write::Add);
            for (at, found) in output.iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let (input, weights) = (&input[row * inner..][..inner], &weights[column * inner..][..inner]);
                let exact: f64 = input.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let expected = exact + f64::from(bias[column]) + 0.25;
                let mut room = 1e-5 * (1.0 + weights.iter().map(|weight| f64::from(weight.abs())).sum::<f64>());
                for (input, weights) in input.chunks_exact(SUB_BLOCK).zip(weights.chunks_exact(SUB_BLOCK)) {
                    let step = input.iter().fold(0.0_f32, |largest, number| largest.max(number.abs())) / 127.0;
                    room += f64::from(step) * 0.501 * weights.iter().map(|weight| f64::from(weight.abs())).sum::<f64>();
                }
                assert!(
                    (f64::from(*found) - expected).abs() <= room,
                    "{} {} at {row},{column}: {found} for {expected}",
                    cpu.isa(),
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn rows_and_threads_do_not_matter() {
    for kind in packed() {
        let (columns, inner, rows) = (70, inner_of(kind), 64);
        let source = source(kind, columns, inner, &HALVES);
        let input = numbers(rows * inner, 4);
        for cpu in paths() {
            let teams = [1, 3].map(|threads| Team::start(threads, cpu).expect("threads"));
            let linear = Linear::new(&source, cpu, Precision::F32).expect("fits");
            let mut all = vec![f32::NAN; rows * columns];
            linear.multiply(&teams[0], &input, rows, &mut all, Write::Store);
            for (team, count) in [(0, 1), (1, 2), (1, 3), (0, 7), (1, 8), (1, 15), (0, 33)] {
                let first = rows - count;
                let mut part = vec![f32::NAN; count * columns];
                linear.multiply(&teams[team], &input[first * inner..], count, &mut part, Write::Store);
                let same = part.iter().zip(&all[first * columns..]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{} {} {count} rows", cpu.isa(), kind.name());
            }
        }
    }
}

/// Nothing stays nothing, the huge stays a number, and what is no number spoils its own row alone.
#[test]
fn extremes_stay_in_their_row() {
    for kind in packed() {
        let (columns, inner) = (33, inner_of(kind));
        let source = source(kind, columns, inner, &[0x2e65]);
        let mut input = vec![0.0; 6 * inner];
        input[inner..2 * inner].copy_from_slice(&numbers(inner, 1).iter().map(|number| number * 1e30).collect::<Vec<f32>>());
        input[2 * inner..3 * inner].fill(f32::MIN_POSITIVE / 4.0);
        input[3 * inner + 7] = f32::NAN;
        input[4 * inner + 40] = f32::NEG_INFINITY;
        input[5 * inner + 3] = 1.0;
        for cpu in paths() {
            let team = Team::start(1, cpu).expect("threads");
            let linear = Linear::new(&source, cpu, Precision::F32).expect("fits");
            let mut output = vec![f32::NAN; 6 * columns];
            linear.multiply(&team, &input, 6, &mut output, Write::Store);
            let rows: Vec<&[f32]> = output.chunks_exact(columns).collect();
            let name = format!("{} {}", cpu.isa(), kind.name());
            assert!(rows[0].iter().all(|number| *number == 0.0), "{name}");
            assert!(rows[1].iter().all(|number| number.is_finite()) && rows[1].iter().any(|number| number.abs() > 1e28), "{name}");
            assert!(rows[2].iter().all(|number| number.abs() < 1e-25), "{name}");
            assert!(rows[3].iter().chain(rows[4]).all(|number| number.is_nan()), "{name}");
            assert!(rows[5].iter().all(|number| number.is_finite()), "{name}");
        }
    }
}

#[test]
fn two_bits_are_dequantised() {
    let source = source(TensorKind::Q2K, 3, 256, &HALVES);
    let cpu = paths().next().expect("a path");
    let mut row = vec![f32::NAN; 256];
    Linear::new(&source, cpu, Precision::F32).expect("fits").row(1, &mut row);
    assert_eq!(row, source.to_f32()[256..512]);
}
