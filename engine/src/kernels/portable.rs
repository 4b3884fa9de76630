//! Plain Rust, for processors without a path of their own. Four lanes are what SSE2 and NEON hold.

use super::dequantise::half_to_f32;
use super::{Bf16, Element, Kernel, Simd};

#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 4;

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
fn byte_dot(sum: [u32; LANES], weights: [u32; LANES], inputs: [u32; LANES], zero: i32) -> [u32; LANES] {
    std::array::from_fn(|lane| {
        let terms = weights[lane].to_le_bytes().into_iter().zip(inputs[lane].to_le_bytes());
        let dot: i32 = terms.map(|(weight, input)| (i32::from(weight) - zero) * i32::from(input.cast_signed())).sum();
        sum[lane].wrapping_add_signed(dot)
    })
}

impl Simd for Portable {
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;
    type Vector = [f32; LANES];
    type Pairs = [u32; LANES];
    type Integers = [u32; LANES];
    const BYTE_TILE_ROWS: usize = 2;
    const SIGNED_TILE_ROWS: usize = 2;

    #[inline(always)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a < b { a } else { b })
    }

    // Two roundings: without an instruction, a single one costs a library call a number.
    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    // Adding and taking away 1.5 · 2^23 leaves no room for a fraction.
    #[inline(always)]
    fn round(self, a: Self::Vector) -> Self::Vector {
        const MAGIC: f32 = 12_582_912.0;
        a.map(|a| (a + MAGIC) - MAGIC)
    }

    #[inline(always)]
    fn scale_by_power(self, a: Self::Vector, n: Self::Vector) -> Self::Vector {
        zip(a, n, |a, n| a * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn sum(self, a: Self::Vector) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }

    #[inline(always)]
    fn largest(self, a: Self::Vector) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    unsafe fn load_at(self, from: *const f32) -> Self::Vector {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_at(self, to: *mut f32, a: Self::Vector) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(a) }
    }

    #[inline(always)]
    unsafe fn load_pairs_at(self, from: *const u32) -> Self::Pairs {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[u32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_bf16_at(self, to: *mut u16, a: Self::Vector) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[u16; LANES]>().write_unaligned(a.map(|a| Bf16::from_f32(a).0)) }
    }

    #[inline(always)]
    fn splat_pair(self, pair: u32) -> Self::Pairs {
        [pair; LANES]
    }

    #[inline(always)]
    fn add_dot(self, sum: Self::Vector, a: Self::Pairs, b: Self::Pairs) -> Self::Vector {
        self.mul_add(self.high(a), self.high(b), self.mul_add(self.low(a), self.low(b), sum))
    }

    #[inline(always)]
    fn low(self, pairs: Self::Pairs) -> Self::Vector {
        pairs.map(|pair| f32::from_bits(pair << 16))
    }

    #[inline(always)]
    fn high(self, pairs: Self::Pairs) -> Self::Vector {
        pairs.map(|pair| f32::from_bits(pair & 0xffff_0000))
    }

    #[inline(always)]
    unsafe fn load_integers_at(self, from: *const u32) -> Self::Integers {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[u32; LANES]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_halves_at(self, from: *const u16) -> Self::Vector {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[u16; LANES]>().read_unaligned() }.map(half_to_f32)
    }

    #[inline(always)]
    fn splat_integer(self, value: u32) -> Self::Integers {
        [value; LANES]
    }

    #[inline(always)]
    fn and(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
        std::array::from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn or(self, a: Self::Integers, b: Self::Integers) -> Self::Integers {
        std::array::from_fn(|lane| a[lane] | b[lane])
    }

    #[inline(always)]
    fn shift_left(self, a: Self::Integers, bits: u32) -> Self::Integers {
        a.map(|a| a << bits)
    }

    #[inline(always)]
    fn shift_right(self, a: Self::Integers, bits: u32) -> Self::Integers {
        a.map(|a| a >> bits)
    }

    #[inline(always)]
    fn to_vector(self, a: Self::Integers) -> Self::Vector {
        a.map(|a| a.cast_signed() as f32)
    }

    #[inline(always)]
    fn add_byte_dot(self, sum: Self::Integers, weights: Self::Integers, inputs: Self::Integers) -> Self::Integers {
        byte_dot(sum, weights, inputs, 0)
    }

    #[inline(always)]
    fn add_signed_dot(self, sum: Self::Integers, weights: Self::Integers, inputs: Self::Integers) -> Self::Integers {
        byte_dot(sum, weights, inputs, 128)
    }

    #[inline(always)]
    fn signed_start(self, _input_sum: i32) -> Self::Integers {
        [0; LANES]
    }

    const INPUT_ZERO: u8 = 0;

    #[inline(always)]
    fn add_input_dot(self, sum: Self::Integers, inputs: Self::Integers, weights: Self::Integers) -> Self::Integers {
        let signed = |word: u32| word.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        std::array::from_fn(|lane| {
            let terms = signed(inputs[lane]).into_iter().zip(signed(weights[lane]));
            sum[lane].wrapping_add_signed(terms.map(|(input, weight)| input * weight).sum())
        })
    }

    #[inline(always)]
    unsafe fn store_bytes_at(self, to: *mut u8, a: Self::Vector) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[i8; LANES]>().write(self.round(a).map(|number| number as i8)) }
    }
}
