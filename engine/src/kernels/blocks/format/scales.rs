//! What a block's quants are multiplied by, and what is taken away. All products here are exact in f32.

use super::Place;
use crate::kernels::Simd;
use crate::kernels::blocks::parts::Parts;

pub(in super::super) trait Scales {
    /// What a column takes up, in 16 bits.
    const HALVES: usize;
    /// Of 32 numbers, in a block.
    const SUB_BLOCKS: usize;
    /// Factors of a sub-block: 1 or 2.
    const GROUPS: usize = 1;
    const MINIMUM: bool = false;

    /// # Safety
    /// `from` is a block of a panel, `place` a vector within it, `sub_block` and `group` exist.
    unsafe fn factor<S: Simd>(simd: S, from: *const u32, place: Place, sub_block: usize, group: usize) -> S::Vector;

    /// Zeros where there is none.
    ///
    /// # Safety
    /// As for [`Scales::factor`].
    #[inline(always)]
    unsafe fn minimum<S: Simd>(simd: S, _from: *const u32, _place: Place, _sub_block: usize) -> S::Vector {
        simd.splat(0.0)
    }

    fn pack(parts: &Parts, to: &mut [u32], place: Place);
}

/// One half.
pub(in super::super) struct Factor;
/// Two.
pub(in super::super) struct FactorAndMinimum;
/// A word of the factors' low four bits, one of the minima's, one of the high two bits of both; two halves.
pub(in super::super) struct PairsOfSixBits;
/// Four words of signed bytes, 128 added; one half.
pub(in super::super) struct Bytes;

/// A row of halves that begins after so many rows of 16 bits.
///
/// # Safety
/// The row is one of the block's, and `place` a vector within it.
#[inline(always)]
unsafe fn halves<S: Simd>(simd: S, from: *const u32, place: Place, row: usize) -> S::Vector {
    // SAFETY: the caller's promise.
    unsafe { simd.load_halves_at(from.cast::<u16>().add(row * place.panel_columns + place.column)) }
}

/// # Safety
/// As for [`halves`], by rows of 32 bits.
#[inline(always)]
unsafe fn words<S: Simd>(simd: S, from: *const u32, place: Place, row: usize) -> S::Integers {
    // SAFETY: the caller's promise.
    unsafe { simd.load_integers_at(from.add(row * place.panel_columns + place.column)) }
}

fn put_half(to: &mut [u32], place: Place, row: usize, half: u16) {
    let at = row * place.panel_columns + place.column;
    let shift = at % 2 * 16;
    to[at / 2] = to[at / 2] & !(0xffff << shift) | u32::from(half) << shift;
}

impl Scales for Factor {
    const HALVES: usize = 1;
    const SUB_BLOCKS: usize = 1;

    #[inline(always)]
    unsafe fn factor<S: Simd>(simd: S, from: *const u32, place: Place, _sub_block: usize, _group: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { halves(simd, from, place, 0) }
    }

    fn pack(parts: &Parts, to: &mut [u32], place: Place) {
        put_half(to, place, 0, parts.factor);
    }
}

impl Scales for FactorAndMinimum {
    const HALVES: usize = 2;
    const SUB_BLOCKS: usize = 1;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn factor<S: Simd>(simd: S, from: *const u32, place: Place, _sub_block: usize, _group: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { halves(simd, from, place, 0) }
    }

    #[inline(always)]
    unsafe fn minimum<S: Simd>(simd: S, from: *const u32, place: Place, _sub_block: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { halves(simd, from, place, 1) }
    }

    fn pack(parts: &Parts, to: &mut [u32], place: Place) {
        put_half(to, place, 0, parts.factor);
        put_half(to, place, 1, parts.minimum);
    }
}

/// # Safety
/// As for [`Scales::factor`]; `low` is a row of low bits, and `high` where its high bits begin.
#[inline(always)]
unsafe fn six_bits<S: Simd>(simd: S, from: *const u32, place: Place, sub_block: usize, (low, high): (usize, u32)) -> S::Vector {
    let sub_block = sub_block as u32;
    // SAFETY: the caller's promise.
    let (low, top) = unsafe { (words(simd, from, place, low), words(simd, from, place, 2)) };
    let low = simd.and(simd.shift_right(low, 4 * sub_block), simd.splat_integer(15));
    let top = simd.and(simd.shift_right(top, high + 2 * sub_block), simd.splat_integer(3));
    simd.to_vector(simd.or(low, simd.shift_left(top, 4)))
}

impl Scales for PairsOfSixBits {
    const HALVES: usize = 8;
    const SUB_BLOCKS: usize = 8;
    const MINIMUM: bool = true;

    #[inline(always)]
    unsafe fn factor<S: Simd>(simd: S, from: *const u32, place: Place, sub_block: usize, _group: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { simd.mul(six_bits(simd, from, place, sub_block, (0, 0)), halves(simd, from, place, 6)) }
    }

    #[inline(always)]
    unsafe fn minimum<S: Simd>(simd: S, from: *const u32, place: Place, sub_block: usize) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { simd.mul(six_bits(simd, from, place, sub_block, (1, 16)), halves(simd, from, place, 7)) }
    }

    fn pack(parts: &Parts, to: &mut [u32], place: Place) {
        let low = |numbers: &[u8]| numbers.iter().rev().fold(0, |word, number| word << 4 | u32::from(number & 15));
        let high = |numbers: &[u8]| numbers.iter().rev().fold(0, |word, number| word << 2 | u32::from(number >> 4));
        let (factors, minima) = (&parts.factors[..8], &parts.minima[..]);
        to[place.column] = low(factors);
        to[place.panel_columns + place.column] = low(minima);
        to[2 * place.panel_columns + place.column] = high(factors) | high(minima) << 16;
        put_half(to, place, 6, parts.factor);
        put_half(to, place, 7, parts.minimum);
    }
}

impl Scales for Bytes {
    const HALVES: usize = 9;
    const SUB_BLOCKS: usize = 8;
    const GROUPS: usize = 2;

    #[inline(always)]
    unsafe fn factor<S: Simd>(simd: S, from: *const u32, place: Place, sub_block: usize, group: usize) -> S::Vector {
        let at = 2 * sub_block + group;
        // SAFETY: the caller's promise.
        let (words, factor) = unsafe { (words(simd, from, place, at / 4), halves(simd, from, place, 8)) };
        let byte = simd.and(simd.shift_right(words, 8 * (at % 4) as u32), simd.splat_integer(255));
        simd.mul(simd.sub(simd.to_vector(byte), simd.splat(128.0)), factor)
    }

    fn pack(parts: &Parts, to: &mut [u32], place: Place) {
        for (row, bytes) in parts.factors.as_chunks().0.iter().enumerate() {
            to[row * place.panel_columns + place.column] = u32::from_le_bytes(*bytes);
        }
        put_half(to, place, 8, parts.factor);
    }
}
