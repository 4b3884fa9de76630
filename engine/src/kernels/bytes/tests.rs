//! Products of bytes against whole numbers and exact ones, on every path.

use super::*;
use crate::kernels::Overwrite;
use crate::kernels::tests::{numbers, paths};

fn product(cpu: Cpu, input: &[f32], weights: &ByteMatrix) -> Vec<f32> {
    let (rows, columns) = (input.len() / weights.inner, weights.bias.len());
    // Other rows before and after, which must not matter.
    let mut quantised = ByteInput::new(rows + 2, weights.inner);
    quantised.quantise(cpu, 0, &vec![3.0; (rows + 2) * weights.inner]);
    quantised.quantise(cpu, 1, input);
    let mut out = vec![f32::NAN; rows * columns];
    quantised.multiply(cpu, 1..rows + 1, weights, Overwrite { out: &mut out, stride: columns });
    out
}

/// Whole numbers whose largest is 127 in every group: all that is added is whole, and small enough for f32.
#[test]
fn products_of_whole_numbers_are_exact() {
    let (columns, inner, rows) = (64, 3 * GROUP, 27);
    let whole = |(at, number): (usize, f32)| match at % GROUP {
        5 => 127.0,
        6 => -127.0,
        _ => (number * 127.0).trunc(),
    };
    let weights: Vec<f32> = numbers(columns * inner, 1).into_iter().enumerate().map(whole).collect();
    let input: Vec<f32> = numbers(rows * inner, 2).into_iter().enumerate().map(whole).collect();
    let bias: Vec<f32> = (0..columns).map(|column| column as f32).collect();
    for cpu in paths() {
        let found = product(cpu, &input, &ByteMatrix::pack(&weights, &bias, cpu.panel_columns()));
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let terms = input[row * inner..][..inner].iter().zip(&weights[column * inner..]);
            let expected: i64 = column as i64 + terms.map(|(a, b)| *a as i64 * *b as i64).sum::<i64>();
            assert!(expected.abs() < 1 << 24, "the test's own limit");
            assert_eq!(*found as i64, expected, "{} at {row},{column}", cpu.isa());
        }
    }
}

/// Off by at most half a step of each number and of each weight.
#[test]
fn products_are_near_exact_ones() {
    let (columns, inner, rows) = (96, 5 * GROUP, 14);
    let (weights, bias, input) = (numbers(columns * inner, 3), numbers(columns, 4), numbers(rows * inner, 5));
    let largest = |numbers: &[f32]| f64::from(numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs())));
    for cpu in paths() {
        let found = product(cpu, &input, &ByteMatrix::pack(&weights, &bias, cpu.panel_columns()));
        for (at, found) in found.iter().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let (mut expected, mut room) = (f64::from(bias[column]), 1e-4);
            let groups = input[row * inner..][..inner].chunks_exact(GROUP).zip(weights[column * inner..][..inner].chunks_exact(GROUP));
            for (input, weights) in groups {
                let (input_step, weight_step) = (largest(input) / 127.0 * 0.501, largest(weights) / 127.0 * 0.501);
                for (a, b) in input.iter().zip(weights) {
                    let (a, b) = (f64::from(*a), f64::from(*b));
                    expected += a * b;
                    room += a.abs() * weight_step + b.abs() * input_step + input_step * weight_step;
                }
            }
            assert!((f64::from(*found) - expected).abs() <= room, "{} at {row},{column}: {found} for {expected}", cpu.isa());
        }
    }
}

#[test]
fn rows_are_alone() {
    let (columns, inner, rows) = (64, 4 * GROUP, 3000);
    let (weights, bias, input) = (numbers(columns * inner, 6), numbers(columns, 7), numbers(rows * inner, 8));
    for cpu in paths() {
        let weights = ByteMatrix::pack(&weights, &bias, cpu.panel_columns());
        let all = product(cpu, &input, &weights);
        for (first, count) in (1..=26).map(|count| (7, count)).chain([(0, 100), (2000, 1000)]) {
            let part = product(cpu, &input[first * inner..][..count * inner], &weights);
            let same = part.iter().zip(&all[first * columns..]).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{}: {count} rows give other bits than {rows}", cpu.isa());
        }
    }
}

/// Nothing stays nothing, the huge stays a number, and what is no number spoils its own row alone.
#[test]
fn extremes_stay_in_their_row() {
    let (columns, inner) = (32, 2 * GROUP);
    let mut input = vec![0.0; 6 * inner];
    for (at, number) in numbers(inner, 1).into_iter().enumerate() {
        input[inner + at] = number * 1e30;
    }
    input[2 * inner..3 * inner].fill(f32::MIN_POSITIVE / 4.0);
    input[3 * inner + 7] = f32::NAN;
    input[4 * inner + 40] = f32::NEG_INFINITY;
    input[5 * inner + 3] = 1.0;
    let mut weights = numbers(columns * inner, 9);
    weights[..inner].fill(0.0);
    for cpu in paths() {
        let output = product(cpu, &input, &ByteMatrix::pack(&weights, &vec![0.0; columns], cpu.panel_columns()));
        let rows: Vec<&[f32]> = output.chunks_exact(columns).collect();
        let name = cpu.isa();
        assert!(rows[0].iter().all(|number| *number == 0.0), "{name}");
        assert!(rows[1].iter().all(|number| number.is_finite()) && rows[1].iter().any(|number| number.abs() > 1e28), "{name}");
        assert!(rows[2].iter().all(|number| number.abs() < 1e-25), "{name}");
        assert!(rows[3].iter().chain(rows[4]).all(|number| number.is_nan()), "{name}");
        assert!(rows[5].iter().all(|number| number.is_finite()) && rows[5][0] == 0.0, "{name}");
    }
}
