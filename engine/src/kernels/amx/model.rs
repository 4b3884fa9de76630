//! The tile instructions, as their manual describes them, and the walk over them against a plain product.

use super::*;
use crate::kernels::tests::widen;
use crate::kernels::{Bf16, Cpu, Element, Isa, Matrix, Overwrite};

/// `TDPBF16PS` adds the products of even and of odd elements apart, each in order, then both to the sum.
struct Model {
    upper: usize,
    lower: usize,
    sums: [[f32; 16]; 64],
    released: bool,
}

impl Model {
    fn new(upper: usize, lower: usize) -> Self {
        Self { upper, lower, sums: [[0.0; 16]; 64], released: false }
    }

    /// # Safety
    /// `rows` rows are readable at the stride.
    unsafe fn load(from: *const u8, stride: usize, rows: usize) -> Vec<[u32; 16]> {
        // SAFETY: the caller's promise.
        (0..rows).map(|row| unsafe { from.add(row * stride).cast::<[u32; 16]>().read_unaligned() }).collect()
    }

    fn dot(&mut self, tile: usize, left: &[[u32; 16]], right: &[[u32; 16]]) {
        let number = |pair: u32, odd: bool| f32::from_bits(if odd { pair & 0xffff_0000 } else { pair << 16 });
        for (row, left) in left.iter().enumerate() {
            for column in 0..16 {
                let part = |odd| left.iter().zip(right).fold(0.0, |sum, (a, b)| number(*a, odd).mul_add(number(b[column], odd), sum));
                self.sums[tile * 16 + row][column] += part(false) + part(true);
            }
        }
    }
}

impl Tiles for Model {
    fn configure(&mut self, upper: usize, lower: usize) {
        assert!((1..=16).contains(&upper) && lower <= 16, "{upper} and {lower} rows");
        *self = Self::new(upper, lower);
    }

    fn clear_sums(&mut self) {
        self.sums = [[0.0; 16]; 64];
    }

    unsafe fn step(&mut self, left: *const u8, left_stride: usize, right: *const u8, lower: bool) {
        assert_eq!(lower, self.lower > 0);
        // SAFETY: the caller's promise.
        unsafe {
            let columns = [Self::load(right, 128, 16), Self::load(right.add(64), 128, 16)];
            for (half, rows) in [self.upper, self.lower].into_iter().enumerate() {
                let left = Self::load(left.wrapping_add(half * 16 * left_stride), left_stride, rows);
                self.dot(2 * half, &left, &columns[0]);
                self.dot(2 * half + 1, &left, &columns[1]);
            }
        }
    }

    fn store(&mut self, sums: &mut [f32; BLOCK_ROWS * BLOCK_COLUMNS], lower: bool) {
        assert_eq!(lower, self.lower > 0);
        for (half, rows) in [self.upper, self.lower].into_iter().enumerate() {
            for row in 0..rows {
                for side in 0..2 {
                    let at = (half * 16 + row) * BLOCK_COLUMNS + side * 16;
                    sums[at..at + 16].copy_from_slice(&self.sums[(2 * half + side) * 16 + row]);
                }
            }
        }
    }

    fn release(&mut self) {
        self.released = true;
    }
}

/// Runs on any processor: the sink's vectors are four lanes wide.
struct Modelled<'a>(TileProduct<'a, Bf16, Overwrite<'a, f32>>);

impl Kernel for Modelled<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> bool {
        let mut tiles = Model::new(0, 0);
        walk(simd, self.0, &mut tiles);
        tiles.released
    }
}

#[test]
fn the_walk_over_tiles_is_a_product() {
    let (columns, inner) = (64, 96);
    let numbers = |count: usize, seed: usize| -> Vec<f32> {
        (0..count).map(|at| widen(Bf16::from_f32(((at * 37 + seed) % 101) as f32 / 50.0 - 1.0))).collect()
    };
    let (weights, bias) = (numbers(columns * inner, 5), numbers(columns, 9));
    let matrix = Matrix::<Bf16>::pack(&weights, &bias, BLOCK_COLUMNS);
    for rows in [1, 2, 15, 16, 17, 31, 32, 33, 47, 70, 545] {
        let left = numbers(rows * inner, 3);
        let input: Vec<Bf16> = left.iter().map(|number| Bf16::from_f32(*number)).collect();
        let mut out = vec![f32::NAN; rows * columns];
        let sink = Overwrite { out: &mut out, stride: columns };
        let cpu = Cpu::new(Isa::Portable).expect("portable");
        assert!(cpu.run(Modelled(TileProduct { input: &input, rows, weights: matrix.all(), sink })), "tiles are released");
        for (at, found) in out.iter().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let terms = left[row * inner..][..inner].iter().zip(&weights[column * inner..]);
            let expected: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() + f64::from(bias[column]);
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{rows} rows, {row}, {column}: {found} for {expected}");
        }
    }
}

/// On a machine that has tiles, they do what the model does, bit by bit.
#[test]
fn the_hardware_is_as_modelled() {
    let Some(cpu) = Cpu::new(Isa::AmxBf16) else {
        return;
    };
    let (columns, inner, rows) = (96, 384, 77);
    let matrix = Matrix::<Bf16>::pack(&vec![0.25; columns * inner], &vec![1.0; columns], BLOCK_COLUMNS);
    let input: Vec<Bf16> = (0..rows * inner).map(|at| Bf16::from_f32((at % 19) as f32 - 9.0)).collect();
    let (mut hardware, mut modelled) = (vec![0.0_f32; rows * columns], vec![0.0_f32; rows * columns]);
    cpu.run(TileProduct { input: &input, rows, weights: matrix.all(), sink: Overwrite { out: &mut hardware, stride: columns } });
    cpu.run(Modelled(TileProduct { input: &input, rows, weights: matrix.all(), sink: Overwrite { out: &mut modelled, stride: columns } }));
    assert_eq!(hardware, modelled);
}
