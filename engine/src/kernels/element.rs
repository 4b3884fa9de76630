//! What a matrix holds: f32, bf16 taken in pairs, or bf16 that is widened as it is read.

use super::{Plain, Simd};

/// What weights are kept in. Products are summed in f32 whatever it is.
pub(crate) trait Weight: 'static {
    /// What the rows hold that are multiplied by it.
    type Input: Copy;
    /// What one step along the inner dimension reads of a column: one number, or two bf16.
    type Word: Plain + Default + Send + Sync + 'static;
    /// A vector of words.
    type Words<S: Simd>: Copy;
    const PER_WORD: usize;

    /// The word of `PER_WORD` numbers.
    fn word(numbers: &[f32]) -> Self::Word;

    /// Number `at` of a word.
    fn unpack(word: Self::Word, at: usize) -> f32;

    /// Where a step keeps the word of a panel's column.
    fn place(column: usize, _panel_columns: usize) -> usize {
        column
    }

    /// One word of a row in every lane.
    ///
    /// # Safety
    /// `PER_WORD` numbers can be read from `from`.
    unsafe fn splat_at<S: Simd>(simd: S, from: *const Self::Input) -> Self::Words<S>;

    /// A step of a panel: its first columns, and its last.
    ///
    /// # Safety
    /// `2 · LANES` words can be read from `from`.
    unsafe fn load_at<S: Simd>(simd: S, from: *const Self::Word) -> [Self::Words<S>; 2];

    /// `sum + a · b`
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: Self::Words<S>, b: Self::Words<S>) -> S::Vector;
}

/// A number that rows are made of, and weights that they are multiplied by.
pub(crate) trait Element: Weight<Input = Self> + Copy + Default + Send + Sync {
    fn from_f32(number: f32) -> Self;

    fn to_f32(self) -> f32;

    /// The word of the elements `element(0)` to `element(PER_WORD - 1)`.
    fn pack(element: impl Fn(usize) -> Self) -> Self::Word;

    /// # Safety
    /// `LANES` elements can be written to `to`.
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector);
}

impl Weight for f32 {
    type Input = f32;
    type Word = f32;
    type Words<S: Simd> = S::Vector;
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn word(numbers: &[f32]) -> f32 {
        numbers[0]
    }

    #[inline(always)]
    fn unpack(word: f32, _at: usize) -> f32 {
        word
    }

    #[inline(always)]
    unsafe fn splat_at<S: Simd>(simd: S, from: *const f32) -> S::Vector {
        // SAFETY: the caller's promise.
        simd.splat(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load_at<S: Simd>(simd: S, from: *const f32) -> [S::Vector; 2] {
        // SAFETY: the caller's promise.
        unsafe { [simd.load_at(from), simd.load_at(from.add(S::LANES))] }
    }

    #[inline(always)]
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: S::Vector, b: S::Vector) -> S::Vector {
        simd.mul_add(a, b, sum)
    }
}

impl Element for f32 {
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
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { simd.store_at(to, a) }
    }
}

/// The upper half of an f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Weight for Bf16 {
    type Input = Self;
    /// The number that comes first lies in the lower half.
    type Word = u32;
    type Words<S: Simd> = S::Pairs;
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn word(numbers: &[f32]) -> u32 {
        Self::pack(|at| Self::from_f32(numbers[at]))
    }

    #[inline(always)]
    fn unpack(word: u32, at: usize) -> f32 {
        f32::from_bits(if at == 0 { word << 16 } else { word & 0xffff_0000 })
    }

    #[inline(always)]
    unsafe fn splat_at<S: Simd>(simd: S, from: *const Self) -> S::Pairs {
        // SAFETY: the caller's promise; the read need not be aligned.
        simd.splat_pair(unsafe { from.cast::<u32>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_at<S: Simd>(simd: S, from: *const u32) -> [S::Pairs; 2] {
        // SAFETY: the caller's promise.
        unsafe { [simd.load_pairs_at(from), simd.load_pairs_at(from.add(S::LANES))] }
    }

    #[inline(always)]
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: S::Pairs, b: S::Pairs) -> S::Vector {
        simd.add_dot(sum, a, b)
    }
}

impl Element for Bf16 {
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
    unsafe fn store_at<S: Simd>(simd: S, to: *mut Self, a: S::Vector) {
        // SAFETY: the caller's promise; Bf16 is a transparent u16.
        unsafe { simd.store_bf16_at(to.cast(), a) }
    }
}

/// Weights of bf16 for rows of f32, where nothing multiplies bf16: half the memory at the speed of f32, because a pair is two
/// columns of one step. One load is two vectors, and a number of a row is read as it is.
pub(crate) enum Widened {}

impl Weight for Widened {
    type Input = f32;
    type Word = u16;
    type Words<S: Simd> = S::Vector;
    const PER_WORD: usize = 1;

    #[inline(always)]
    fn word(numbers: &[f32]) -> u16 {
        Bf16::from_f32(numbers[0]).0
    }

    #[inline(always)]
    fn unpack(word: u16, _at: usize) -> f32 {
        Bf16(word).to_f32()
    }

    /// The first half of the columns in the lower halves of the pairs, the second in the upper ones.
    fn place(column: usize, panel_columns: usize) -> usize {
        let lanes = panel_columns / 2;
        2 * (column % lanes) + column / lanes
    }

    #[inline(always)]
    unsafe fn splat_at<S: Simd>(simd: S, from: *const f32) -> S::Vector {
        // SAFETY: the caller's promise.
        simd.splat(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load_at<S: Simd>(simd: S, from: *const u16) -> [S::Vector; 2] {
        // SAFETY: the caller's promise: as many bytes as LANES pairs; the read need not be aligned.
        let pairs = unsafe { simd.load_pairs_at(from.cast()) };
        [simd.low(pairs), simd.high(pairs)]
    }

    #[inline(always)]
    fn multiply<S: Simd>(simd: S, sum: S::Vector, a: S::Vector, b: S::Vector) -> S::Vector {
        simd.mul_add(a, b, sum)
    }
}
