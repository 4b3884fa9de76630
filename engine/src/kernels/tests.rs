//! Every path against plain arithmetic in f64, and against itself in other batches.

use super::functions::{erf, exp};
use super::*;

mod cost;

/// Numbers in [-1, 1) that look random and are the same everywhere.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

pub(super) fn widen(half: Bf16) -> f32 {
    f32::from_bits(u32::from(half.0) << 16)
}

pub(super) fn paths() -> impl Iterator<Item = Cpu> {
    let paths: Vec<Cpu> = Isa::ALL.into_iter().filter_map(Cpu::new).collect();
    assert!(!paths.is_empty());
    paths.into_iter()
}

struct Map<'a, F>(&'a mut [f32], F);

/// A function of a vector, whatever the path.
trait Function {
    fn of<S: Simd>(&self, simd: S, x: S::Vector) -> S::Vector;
}

impl<F: Function> Kernel for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for numbers in self.0.chunks_exact_mut(S::LANES) {
            let x = simd.load(numbers);
            simd.store(numbers, self.1.of(simd, x));
        }
    }
}

/// Largest error of a function on a grid of `[low, high]`.
fn worst<F: Function + Copy>(cpu: Cpu, function: F, (low, high): (f64, f64), exact: impl Fn(f64) -> f64, relative: bool) -> f64 {
    let points: Vec<f32> = (0..100_000).map(|at| (low + (high - low) * f64::from(at) / 99_999.0) as f32).collect();
    let mut found = points.clone();
    cpu.run(Map(&mut found, function));
    let error = |(x, y): (&f32, &f32)| {
        let exact = exact(f64::from(*x));
        (f64::from(*y) - exact).abs() / if relative { exact.abs() } else { 1.0 }
    };
    points.iter().zip(&found).map(error).fold(0.0, f64::max)
}

/// The error function by its series, which converges for every x; good to 1e-13 up to 4.
fn exact_erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum() * (1.0 - 1.5e-8 * f64::from(u8::from(x.abs() < 4.01)));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn functions_are_accurate() {
    #[derive(Clone, Copy)]
    struct Exp;
    impl Function for Exp {
        #[inline(always)]
        fn of<S: Simd>(&self, simd: S, x: S::Vector) -> S::Vector {
            exp(simd, x)
        }
    }
    #[derive(Clone, Copy)]
    struct Erf;
    impl Function for Erf {
        #[inline(always)]
        fn of<S: Simd>(&self, simd: S, x: S::Vector) -> S::Vector {
            erf(simd, x)
        }
    }
    #[derive(Clone, Copy)]
    struct Activated(Activation);
    impl Function for Activated {
        #[inline(always)]
        fn of<S: Simd>(&self, simd: S, x: S::Vector) -> S::Vector {
            functions::activate(simd, self.0, x)
        }
    }
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for cpu in paths() {
        let check = |name: &str, error: f64, limit: f64| assert!(error < limit, "{} {name}: {error:e}", cpu.isa());
        check("exp", worst(cpu, Exp, (-87.0, 88.0), f64::exp, true), 2e-7);
        check("erf", worst(cpu, Erf, (-6.0, 6.0), exact_erf, false), 4e-7);
        let gelu = |x: f64| 0.5 * x * (1.0 + exact_erf(x * std::f64::consts::FRAC_1_SQRT_2));
        check("gelu", worst(cpu, Activated(Activation::Gelu), (-8.0, 8.0), gelu, false), 2e-6);
        let tanh = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh());
        check("gelu by tanh", worst(cpu, Activated(Activation::GeluTanh), (-8.0, 8.0), tanh, false), 2e-6);
        check("silu", worst(cpu, Activated(Activation::Silu), (-20.0, 20.0), |x| x * sigmoid(x), false), 3e-6);
        check("relu", worst(cpu, Activated(Activation::Relu), (-3.0, 3.0), |x| x.max(0.0), false), 1e-9);
    }
}

fn product<W: Weight<Input: Element>>(cpu: Cpu, left: &[f32], rows: usize, matrix: &Matrix<W>) -> Vec<f32> {
    let mut input = vec![W::Input::default(); left.len().next_multiple_of(16)];
    let mut padded = left.to_vec();
    padded.resize(input.len(), 0.0);
    cpu.run(Convert(&padded, &mut input));
    let columns = matrix.columns();
    let mut out = vec![f32::NAN; rows * columns];
    cpu.multiply(Product { input: &input, rows, weights: matrix.all(), sink: Overwrite { out: &mut out, stride: columns } });
    out
}

struct Convert<'a, E>(&'a [f32], &'a mut [E]);

impl<E: Element> Kernel for Convert<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (from, to) in self.0.chunks_exact(S::LANES).zip(self.1.chunks_exact_mut(S::LANES)) {
            simd.store(to, simd.load(from));
        }
    }
}

/// What a number is read as.
type Rounding = fn(f32) -> f32;

/// Rows below, at and above every tile, and more than stay in the cache at once.
#[test]
fn products_are_exact_and_rows_are_alone() {
    fn check<W: Weight<Input: Element>>(cpu: Cpu, (of_row, of_weight): (Rounding, Rounding), tolerance: f64) {
        let (columns, inner) = (96, 160);
        let (weights, bias) = (numbers(columns * inner, 1), numbers(columns, 2));
        let matrix = Matrix::<W>::pack(&weights, &bias, cpu.panel_columns());
        let rows = 2000;
        let left = numbers(rows * inner, 3);
        let all = product(cpu, &left, rows, &matrix);
        for row in [0, 1, 11, 12, 13, 500, 1999] {
            for column in 0..columns {
                let terms = left[row * inner..][..inner].iter().zip(&weights[column * inner..]);
                let expected: f64 =
                    terms.map(|(a, b)| f64::from(of_row(*a)) * f64::from(of_weight(*b))).sum::<f64>() + f64::from(bias[column]);
                let found = f64::from(all[row * columns + column]);
                assert!((found - expected).abs() < tolerance, "{} {row} {column}: {found} for {expected}", cpu.isa());
            }
        }
        for rows in 1..=40 {
            let first = 7;
            let part = product(cpu, &left[first * inner..][..rows * inner], rows, &matrix);
            let same = part.iter().zip(&all[first * columns..]).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{}: {rows} rows give other bits than 2000", cpu.isa());
        }
    }
    for cpu in paths() {
        let (same, rounded): (Rounding, Rounding) = (|number| number, |number| widen(Bf16::from_f32(number)));
        check::<f32>(cpu, (same, same), 2e-5);
        check::<Bf16>(cpu, (rounded, rounded), 2e-5);
        check::<Widened>(cpu, (same, rounded), 2e-5);
    }
}

/// On the same path, of weights that bf16 holds: only where they lie differs.
#[test]
fn widened_products_are_those_of_f32_to_the_bit() {
    let (columns, inner, rows) = (96, 160, 29);
    let weights: Vec<f32> = numbers(columns * inner, 1).iter().map(|number| widen(Bf16::from_f32(*number))).collect();
    let (bias, left) = (numbers(columns, 2), numbers(rows * inner, 3));
    for cpu in paths() {
        let plain = product(cpu, &left, rows, &Matrix::<f32>::pack(&weights, &bias, cpu.panel_columns()));
        let widened = product(cpu, &left, rows, &Matrix::<Widened>::pack(&weights, &bias, cpu.panel_columns()));
        let same = plain.iter().zip(&widened).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "{}", cpu.isa());
    }
}

#[test]
fn rounding_to_bf16_is_to_nearest_even() {
    let cases = [
        (1.0, 0x3f80),
        (1.0 + 1.0 / 256.0, 0x3f80),
        (1.0 + 3.0 / 256.0, 0x3f82),
        (1.004, 0x3f81),
        (-2.0, 0xc000),
        (0.0, 0),
        (f32::MAX, 0x7f80),
    ];
    for cpu in paths() {
        for (number, bits) in cases {
            let mut out = [Bf16::default(); 16];
            cpu.run(Convert(&[number; 16], &mut out));
            assert!(out.iter().all(|half| half.0 == bits), "{}: {number} gives {:x?}, not {bits:x}", cpu.isa(), out[0].0);
        }
    }
    assert!(widen(Bf16::from_f32(f32::NAN)).is_nan());
}

#[test]
fn attention_is_a_weighted_mean() {
    type Case = (usize, AttentionShape, Option<usize>);
    fn check<E: Element>(cpu: Cpu, projected: &[f32], expected: &[f64], (tokens, shape, reach): Case, tolerance: f64) {
        let mut input = vec![E::default(); projected.len()];
        cpu.run(Convert(projected, &mut input));
        let mut out = vec![E::default(); tokens * shape.width()];
        let scratch = &mut Scratch::new(100, shape.head_width);
        cpu.run(Attention { projected: &input, out: &mut out, tokens, shape, reach, scratch });
        let ones = Matrix::<E>::pack(&identity(shape.width()), &vec![0.0; shape.width()], cpu.panel_columns());
        let mut found = vec![f32::NAN; out.len()];
        let sink = Overwrite { out: &mut found, stride: shape.width() };
        cpu.multiply(Product { input: &out, rows: tokens, weights: ones.all(), sink });
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < tolerance, "{} {tokens} tokens: {found} for {expected}", cpu.isa());
        }
    }
    for (heads, head_width) in [(2, 32), (1, 64), (3, 96)] {
        let shape = AttentionShape { heads, head_width };
        let width = shape.width();
        let lengths = [1, 2, 5, 12, 13, 31, 32, 33, 64, 90].map(|tokens| (tokens, None));
        for (tokens, reach) in lengths.into_iter().chain([(1, Some(0)), (13, Some(3)), (31, Some(30)), (90, Some(8)), (100, Some(33))]) {
            let projected: Vec<f32> = numbers(tokens * 3 * width, 11).iter().map(|number| widen(Bf16::from_f32(number * 2.0))).collect();
            let expected = plain_attention(&projected, tokens, shape, reach);
            for cpu in paths() {
                check::<f32>(cpu, &projected, &expected, (tokens, shape, reach), 2e-5);
                check::<Bf16>(cpu, &projected, &expected, (tokens, shape, reach), 2e-2);
            }
        }
    }
}

fn identity(width: usize) -> Vec<f32> {
    (0..width * width).map(|at| if at / width == at % width { 1.0 } else { 0.0 }).collect()
}

fn plain_attention(projected: &[f32], tokens: usize, shape: AttentionShape, reach: Option<usize>) -> Vec<f64> {
    let width = shape.width();
    let at = |token: usize, part: usize, column: usize| f64::from(projected[token * 3 * width + part * width + column]);
    let mut out = vec![0.0; tokens * width];
    for head in 0..shape.heads {
        let columns = head * shape.head_width..(head + 1) * shape.head_width;
        for query in 0..tokens {
            let score = |key: usize| match reach {
                Some(reach) if key.abs_diff(query) > reach => 0.0,
                _ => columns.clone().map(|column| at(query, 0, column) * at(key, 1, column)).sum::<f64>().exp(),
            };
            let scores: Vec<f64> = (0..tokens).map(score).collect();
            let sum: f64 = scores.iter().sum();
            for column in columns.clone() {
                out[query * width + column] = (0..tokens).map(|key| scores[key] * at(key, 2, column)).sum::<f64>() / sum;
            }
        }
    }
    out
}

#[test]
fn rows_are_normalised() {
    let width = 96;
    let (scale, shift) = (numbers(width, 4), numbers(width, 5));
    for cpu in paths() {
        let mut hidden = numbers(3 * width, 6);
        let before = hidden.clone();
        let mut input = vec![0.0_f32; 3 * width];
        let normalise = |hidden: &mut [f32], input: &mut [f32], replaces| {
            cpu.run(Normalise { hidden, input, scale: &scale, shift: &shift, epsilon: 1e-12, replaces });
        };
        normalise(&mut hidden, &mut input, false);
        assert_eq!(hidden, before);
        normalise(&mut hidden, &mut input.clone(), true);
        assert_eq!(hidden, input);
        for (row, found) in before.chunks_exact(width).zip(hidden.chunks_exact(width)) {
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
            for (column, (x, found)) in row.iter().zip(found).enumerate() {
                let expected = (f64::from(*x) - mean) / variance.sqrt() * f64::from(scale[column]) + f64::from(shift[column]);
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{}: {found} for {expected}", cpu.isa());
            }
        }
    }
}

#[test]
fn instruction_sets_have_names() {
    for isa in Isa::ALL {
        assert_eq!(isa.to_string().parse(), Ok(isa));
    }
    assert!("sse9".parse::<Isa>().expect_err("unknown").contains("avx512-bf16"));
    assert!(Isa::detect().is_available() && Isa::Portable.is_available());
}
