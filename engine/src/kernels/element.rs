//! What a matrix holds: f32, or bf16 taken in pairs.

use super::{Plain, Simd};

/// A number that matrices are made of. Products are summed in f32 whatever it is.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// What one step along the inner dimension reads of a row: one f32, or two bf16.
    type Word: Plain + Default + Send + Sync + 'static;
    /// A vector of words.
    type Words<S: Simd>: Copy;
    const PER_WORD: usize;

    fn from_f32(number: f32) -> Self;

    fn to_f32(self) -> f32;

    /// The word of the elements `element(0)` to `element(PER_WORD - 1)`.
    fn pack(element: impl Fn(usize) -> Self) -> Self::Word;

    /// Element `at` of a word.
    fn unpack(word: Self::Word, at: usize) -> f32;

    /// # Safety
    /// `LANES` elements can be written to `to`.
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector);

    /// One word of a row in every lane.
    ///
    /// # Safety
    /// `PER_WORD` elements can be read from `from`.
    unsafe fn splat_at<S: Simd>(simd: S, from: *const Self) -> Self::Words<S>;

    /// # Safety
    /// `LANES` words can be read from `from`.
    unsafe fn load_at<S: Simd>(simd: S, from: *const Self::Word) -> Self::Words<S>;

    /// `sum + a · b`
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: Self::Words<S>, b: Self::Words<S>) -> S::Vector;
}

impl Element for f32 {
    type Word = f32;
    type Words<S: Simd> = S::Vector;
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn from_f32(number: f32) -> f32 {
        number
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn pack(element: impl Fn(usize) -> f32) -> f32 {
        element(0)
    }

    #[inline(always)]
    fn unpack(word: f32, _at: usize) -> f32 {
        word
    }

    #[inline(always)]
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { simd.store_at(to, a) }
    }

    #[inline(always)]
    unsafe fn splat_at<S: Simd>(simd: S, from: *const Self) -> S::Vector {
        // SAFETY: the caller's promise.
        simd.splat(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load_at<S: Simd>(simd: S, from: *const f32) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { simd.load_at(from) }
    }

    #[inline(always)]
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: S::Vector, b: S::Vector) -> S::Vector {
        simd.mul_add(a, b, sum)
    }
}

/// The upper half of an f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Element for Bf16 {
    /// The number that comes first lies in the lower half.
    type Word = u32;
    type Words<S: Simd> = S::Pairs;
    const PER_WORD: usize = 2;

    /// To nearest, ties to even; a NaN stays one.
    #[inline(always)]
    fn from_f32(number: f32) -> Self {
        let bits = number.to_bits();
        if number.is_nan() {
            return Self((bits >> 16) as u16 | 0x40);
        }
        Self(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    fn pack(element: impl Fn(usize) -> Self) -> u32 {
        u32::from(element(0).0) | u32::from(element(1).0) << 16
    }

    #[inline(always)]
    fn unpack(word: u32, at: usize) -> f32 {
        f32::from_bits(if at == 0 { word << 16 } else { word & 0xffff_0000 })
    }

    #[inline(always)]
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector) {
        // SAFETY: the caller's promise; Bf16 is a transparent u16.
        unsafe { simd.store_bf16_at(to.cast(), a) }
    }

    #[inline(always)]
    unsafe fn splat_at<S: Simd>(simd: S, from: *const Self) -> S::Pairs {
        // SAFETY: the caller's promise; the read need not be aligned.
        simd.splat_pair(unsafe { from.cast::<u32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_at<S: Simd>(simd: S, from: *const u32) -> S::Pairs {
        // SAFETY: the caller's promise.
        unsafe { simd.load_pairs_at(from) }
    }

    #[inline(always)]
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: S::Pairs, b: S::Pairs) -> S::Vector {
        simd.add_dot(sum, a, b)
    }
}
