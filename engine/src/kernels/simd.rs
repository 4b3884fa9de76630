//! What kernels are written in: vectors of f32 and pairs of bf16, whatever instruction set is under them.
//!
//! A value of a type that implements [`Simd`] is proof that the processor has the instructions, so its arithmetic is
//! safe to call. Every function here and in the kernels is `#[inline(always)]`: code takes on the instruction set of
//! the function it ends up in, and that is [`Simd::enter`].

use super::Element;

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
    /// `sum + a.low · b.low + a.high · b.high` in each lane.
    fn add_dot(self, sum: Self::Vector, a: Self::Pairs, b: Self::Pairs) -> Self::Vector;

    /// The first `LANES` numbers.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        assert!(from.len() >= Self::LANES, "a vector is read from enough numbers");
        // SAFETY: the slice holds LANES numbers.
        unsafe { self.load_at(from.as_ptr()) }
    }

    /// Into the first `LANES` numbers.
    #[inline(always)]
    fn store<E: Element>(self, to: &mut [E], a: Self::Vector) {
        assert!(to.len() >= Self::LANES, "a vector is written to enough room");
        // SAFETY: the slice has room for LANES elements.
        unsafe { E::store_at(self, to.as_mut_ptr(), a) }
    }
}
