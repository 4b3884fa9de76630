//! What kernels are written in: vectors of f32 and pairs of bf16, whatever instruction set is under them.
//!
//! A value of a type that implements [`Simd`] is proof that the processor has the instructions, so its arithmetic is
//! safe to call. Every function here and in the kernels is `#[inline(always)]`: code takes on the instruction set of
//! the function it ends up in, and that is [`Simd::enter`].

use super::Element;

/// How far ahead of a product its weights are asked for. Where a single row's product takes them as fast as memory gives
/// them, it does not ask: that would only cost it time.
pub(super) const PREFETCH_BYTES: usize = 8192;
pub(super) const LINE_BYTES: usize = 64;

/// Work that runs on any instruction set.
pub(crate) trait Kernel {
    type Output;

    /// `#[inline(always)]` in every implementation: see the module's docs.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Arithmetic on vectors of [`Simd::LANES`] f32.
pub(crate) trait Simd: Copy {
    const LANES: usize;
    /// Rows of the largest tile: two vectors a row, two more and a broadcast fill the registers.
    const TILE_ROWS: usize;
    type Vector: Copy;
    /// `LANES` pairs of bf16.
    type Pairs: Copy;
    /// `LANES` whole numbers of 32 bits, or four bytes in the place of each.
    type Integers: Copy;
    /// Rows of the largest tile of byte products: two vectors a row, and some to unpack weights.
    const BYTE_TILE_ROWS: usize;
    /// The same of [`Simd::add_signed_dot`]: at most as many.
    const SIGNED_TILE_ROWS: usize;

    /// Runs the kernel in a function that is compiled for this instruction set.
    fn enter<K: Kernel>(self, kernel: K) -> K::Output;

    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`; rounded once where there is an instruction for it.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// To the nearest whole number.
    fn round(self, a: Self::Vector) -> Self::Vector;
    /// `a · 2^n` for whole `n` with `|n| ≤ 126`.
    fn scale_by_power(self, a: Self::Vector, n: Self::Vector) -> Self::Vector;
    fn sum(self, a: Self::Vector) -> f32;
    fn largest(self, a: Self::Vector) -> f32;

    /// # Safety
    /// `LANES` f32 can be read from `from`.
    unsafe fn load_at(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `LANES` f32 can be written to `to`.
    unsafe fn store_at(self, to: *mut f32, a: Self::Vector);
    /// # Safety
    /// `LANES` u32 can be read from `from`.
    unsafe fn load_pairs_at(self, from: *const u32) -> Self::Pairs;
    /// Rounds to bf16, to nearest even.
    ///
    /// # Safety
    /// `LANES` u16 can be written to `to`.
    unsafe fn store_bf16_at(self, to: *mut u16, a: Self::Vector);
    fn splat_pair(self, pair: u32) -> Self::Pairs;
    /// The lower numbers of the pairs, widened.
    fn low(self, pairs: Self::Pairs) -> Self::Vector;
    /// The upper ones.
    fn high(self, pairs: Self::Pairs) -> Self::Vector;
    /// `sum + a.low · b.low + a.high · b.high` in each lane.
    fn add_dot(self, sum: Self::Vector, a: Self::Pairs, b: Self::Pairs) -> Self::Vector;

    /// # Safety
    /// `LANES` u32 can be read from `from`.
    unsafe fn load_integers_at(self, from: *const u32) -> Self::Integers;
    /// Numbers of IEEE 754 binary16, widened.
    ///
    /// # Safety
    /// `LANES` u16 can be read from `from`.
    unsafe fn load_halves_at(self, from: *const u16) -> Self::Vector;
    fn splat_integer(self, value: u32) -> Self::Integers;
    fn and(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    fn or(self, a: Self::Integers, b: Self::Integers) -> Self::Integers;
    /// Zeros come in; `bits < 32`.
    fn shift_left(self, a: Self::Integers, bits: u32) -> Self::Integers;
    /// Zeros come in; `bits < 32`.
    fn shift_right(self, a: Self::Integers, bits: u32) -> Self::Integers;
    /// Of signed numbers.
    fn to_vector(self, a: Self::Integers) -> Self::Vector;
    /// `sum + Σ weight · input` over the four bytes of each lane: weights from 0 to 127, inputs from -127 to 127.
    fn add_byte_dot(self, sum: Self::Integers, weights: Self::Integers, inputs: Self::Integers) -> Self::Integers;
    /// `sum + Σ (weight - 128) · input` for weights from 0 to 255, where the sum has started at
    /// [`Simd::signed_start`] of the inputs that are to come.
    fn add_signed_dot(self, sum: Self::Integers, weights: Self::Integers, inputs: Self::Integers) -> Self::Integers;
    /// For inputs whose sum is `input_sum`.
    fn signed_start(self, input_sum: i32) -> Self::Integers;

    /// What is added to a row's bytes when they are stored, for [`Simd::add_input_dot`].
    const INPUT_ZERO: u8;
    /// `sum + Σ input · weight` over the four bytes of each lane: weights from -127 to 127, inputs from -127 to 127 with
    /// [`Simd::INPUT_ZERO`] added, which is multiplied too.
    fn add_input_dot(self, sum: Self::Integers, inputs: Self::Integers, weights: Self::Integers) -> Self::Integers;
    /// Rounds to the nearest whole numbers, which are from -127 to 127, and adds [`Simd::INPUT_ZERO`].
    ///
    /// # Safety
    /// `LANES` bytes can be written to `to`.
    unsafe fn store_bytes_at(self, to: *mut u8, a: Self::Vector);

    /// Asks for a line of the cache; nothing happens where the address is nobody's.
    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the instruction is part of x86-64, reads nothing that the program sees, and does not fault.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// The first `LANES` numbers.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        assert!(from.len() >= Self::LANES, "a vector is read from enough numbers");
        // SAFETY: the slice holds LANES numbers.
        unsafe { self.load_at(from.as_ptr()) }
    }

    /// As [`Simd::store_bytes_at`], into the first `LANES` bytes.
    #[inline(always)]
    fn store_bytes(self, to: &mut [u8], a: Self::Vector) {
        assert!(to.len() >= Self::LANES, "a vector is written to enough room");
        // SAFETY: the slice has room for LANES bytes.
        unsafe { self.store_bytes_at(to.as_mut_ptr(), a) }
    }

    /// Into the first `LANES` numbers.
    #[inline(always)]
    fn store<E: Element>(self, to: &mut [E], a: Self::Vector) {
        assert!(to.len() >= Self::LANES, "a vector is written to enough room");
        // SAFETY: the slice has room for LANES elements.
        unsafe { E::store_at(self, to.as_mut_ptr(), a) }
    }
}

/// [`Simd::signed_start`] where an instruction multiplies bytes without sign by bytes with one: what it adds too much.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn native_signed_start(input_sum: i32) -> i32 {
    -128 * input_sum
}

/// [`Simd::signed_start`] where signs are taken care of.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn no_start(_input_sum: i32) -> i32 {
    0
}
