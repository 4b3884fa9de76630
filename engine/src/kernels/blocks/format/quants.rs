//! Four, five, six or eight bits a number.

use super::Place;
use crate::kernels::Simd;

/// How 32 numbers of each column lie in rows of words.
pub(in super::super) trait Quants {
    /// Of a sub-block.
    const ROWS: usize;
    /// Whether a number takes all eight bits, and 128 stands for nothing.
    const WHOLE_BYTES: bool = false;

    /// The four numbers from `16 · half + 4 · step` on, of each column of a vector.
    ///
    /// # Safety
    /// `from` is a sub-block of a panel, and `place` a vector within it; `half` is 0 or 1 and `step` below 4.
    unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, half: usize, step: usize) -> S::Integers;

    fn pack(quants: &[u8; 32], to: &mut [u32], place: Place);
}

/// Row `step` holds the numbers of that step: the low halves of its bytes the first sixteen's, the high halves the rest's.
pub(in super::super) struct Nibbles;
/// After [`Nibbles`] a row of fifth bits: number `4 · step + byte` has the bit `8 · byte + step`.
pub(in super::super) struct Fives;
/// After [`Nibbles`] two rows of two bits, for each half: of `4 · step + byte` they are `8 · byte + 2 · step` and the next.
pub(in super::super) struct Sixes;
/// Row `4 · half + step`.
pub(in super::super) struct Eights;

/// # Safety
/// The row is one of the sub-block's, and `place` a vector within it.
#[inline(always)]
unsafe fn row<S: Simd>(simd: S, from: *const u32, place: Place, row: usize) -> S::Integers {
    // SAFETY: the caller's promise.
    unsafe { simd.load_integers_at(from.add(row * place.panel_columns + place.column)) }
}

/// What `mask` leaves after a shift to the left, or to the right where `left` is negative.
#[inline(always)]
fn shifted<S: Simd>(simd: S, words: S::Integers, left: i32, mask: u32) -> S::Integers {
    let shifted = if left >= 0 { simd.shift_left(words, left.unsigned_abs()) } else { simd.shift_right(words, left.unsigned_abs()) };
    simd.and(shifted, simd.splat_integer(mask))
}

impl Quants for Nibbles {
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, half: usize, step: usize) -> S::Integers {
        // SAFETY: the caller's promise.
        let words = unsafe { row(simd, from, place, step) };
        if half == 0 { simd.and(words, simd.splat_integer(0x0f0f_0f0f)) } else { shifted(simd, words, -4, 0x0f0f_0f0f) }
    }

    fn pack(quants: &[u8; 32], to: &mut [u32], place: Place) {
        for step in 0..4 {
            let bytes = std::array::from_fn(|at| quants[4 * step + at] & 15 | quants[16 + 4 * step + at] << 4);
            to[step * place.panel_columns + place.column] = u32::from_le_bytes(bytes);
        }
    }
}

impl Quants for Fives {
    const ROWS: usize = 5;

    #[inline(always)]
    unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, half: usize, step: usize) -> S::Integers {
        // SAFETY: the caller's promise.
        let (low, bits) = unsafe { (Nibbles::words(simd, from, place, half, step), row(simd, from, place, 4)) };
        let left = 4 - (4 * half + step).cast_signed() as i32;
        simd.or(low, shifted(simd, bits, left, 0x1010_1010))
    }

    fn pack(quants: &[u8; 32], to: &mut [u32], place: Place) {
        Nibbles::pack(quants, to, place);
        let bit = |(at, quant): (usize, &u8)| u32::from(quant >> 4 & 1) << (8 * (at % 4) + at / 4);
        to[4 * place.panel_columns + place.column] = quants.iter().enumerate().map(bit).sum();
    }
}

impl Quants for Sixes {
    const ROWS: usize = 6;

    #[inline(always)]
    unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, half: usize, step: usize) -> S::Integers {
        // SAFETY: the caller's promise.
        let (low, bits) = unsafe { (Nibbles::words(simd, from, place, half, step), row(simd, from, place, 4 + half)) };
        let left = 4 - 2 * step.cast_signed() as i32;
        simd.or(low, shifted(simd, bits, left, 0x3030_3030))
    }

    fn pack(quants: &[u8; 32], to: &mut [u32], place: Place) {
        Nibbles::pack(quants, to, place);
        for (half, quants) in quants.chunks_exact(16).enumerate() {
            let bits = |(at, quant): (usize, &u8)| u32::from(quant >> 4 & 3) << (8 * (at % 4) + at / 4 * 2);
            to[(4 + half) * place.panel_columns + place.column] = quants.iter().enumerate().map(bits).sum();
        }
    }
}

impl Quants for Eights {
    const ROWS: usize = 8;
    const WHOLE_BYTES: bool = true;

    #[inline(always)]
    unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, half: usize, step: usize) -> S::Integers {
        // SAFETY: the caller's promise.
        unsafe { row(simd, from, place, 4 * half + step) }
    }

    fn pack(quants: &[u8; 32], to: &mut [u32], place: Place) {
        for (step, bytes) in quants.as_chunks().0.iter().enumerate() {
            to[step * place.panel_columns + place.column] = u32::from_le_bytes(*bytes);
        }
    }
}
