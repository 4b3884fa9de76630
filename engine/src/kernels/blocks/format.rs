//! How a block lies in a panel: a word for each column, row by row, so that a vector is as many columns.
//!
//! First come the factors, then the quants, in sub-blocks of 32 numbers. A word of quants feeds a dot product of four.

use std::marker::PhantomData;

use super::SUB_BLOCK;
use super::parts::Parts;
use crate::kernels::Simd;
use crate::kernels::portable::Portable;

mod quants;
mod scales;

pub(super) use quants::Quants;
pub(super) use scales::Scales;

pub(super) type Q4_0 = Blocked<quants::Nibbles, scales::Factor, 8>;
pub(super) type Q4_1 = Blocked<quants::Nibbles, scales::FactorAndMinimum, 0>;
pub(super) type Q5_0 = Blocked<quants::Fives, scales::Factor, 16>;
pub(super) type Q5_1 = Blocked<quants::Fives, scales::FactorAndMinimum, 0>;
pub(super) type Q8_0 = Blocked<quants::Eights, scales::Factor, 128>;
pub(super) type Q4K = Blocked<quants::Nibbles, scales::PairsOfSixBits, 0>;
pub(super) type Q5K = Blocked<quants::Fives, scales::PairsOfSixBits, 0>;
pub(super) type Q6K = Blocked<quants::Sixes, scales::Bytes, 32>;

/// Quants, how they are scaled, and the quant that stands for nothing.
pub(super) struct Blocked<Q, C, const ZERO: i32>(PhantomData<(Q, C)>);

/// A place in a panel: how many columns it has, and the first of a vector of them.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) panel_columns: usize,
    pub(super) column: usize,
}

pub(super) trait Format {
    type Quants: Quants;
    type Scales: Scales;
    const ZERO: i32;
    /// Of a block.
    const NUMBERS: usize = Self::Scales::SUB_BLOCKS * SUB_BLOCK;

    /// Of a block's factors, for all columns of a panel.
    #[inline(always)]
    fn scale_words(panel_columns: usize) -> usize {
        Self::Scales::HALVES * panel_columns / 2
    }

    /// Of a sub-block's quants.
    #[inline(always)]
    fn quant_words(panel_columns: usize) -> usize {
        Self::Quants::ROWS * panel_columns
    }

    /// Of a block.
    #[inline(always)]
    fn words(panel_columns: usize) -> usize {
        Self::scale_words(panel_columns) + Self::Scales::SUB_BLOCKS * Self::quant_words(panel_columns)
    }

    fn pack(parts: &Parts, block: &mut [u32], panel_columns: usize, column: usize) {
        let (scales, quants) = block.split_at_mut(Self::scale_words(panel_columns));
        let place = Place { panel_columns, column };
        Self::Scales::pack(parts, scales, place);
        for (to, from) in quants.chunks_exact_mut(Self::quant_words(panel_columns)).zip(parts.quants.as_chunks().0) {
            Self::Quants::pack(from, to, place);
        }
    }

    /// One column's numbers, as many as there is room for.
    fn unpack(block: &[u32], panel_columns: usize, column: usize, out: &mut [f32]) {
        assert!(block.len() == Self::words(panel_columns) && column < panel_columns, "the block is whole");
        let (lane, simd) = (column % Portable::LANES, Portable);
        let place = Place { panel_columns, column: column - lane };
        let groups = Self::Scales::GROUPS;
        for (at, number) in out.iter_mut().enumerate().take(Self::NUMBERS) {
            let (sub_block, half, step) = (at / SUB_BLOCK, at / 16 % 2, at / 4 % 4);
            let quants = &block[Self::scale_words(panel_columns) + sub_block * Self::quant_words(panel_columns)..];
            // SAFETY: the block is whole, and the place a vector of four within its panel.
            *number = unsafe {
                let word = Self::Quants::words(simd, quants.as_ptr(), place, half, step)[lane];
                let factor = Self::Scales::factor(simd, block.as_ptr(), place, sub_block, if groups == 2 { half } else { 0 })[lane];
                let quant = i32::from(word.to_le_bytes()[at % 4]) - Self::ZERO;
                let minimum = if Self::Scales::MINIMUM { Self::Scales::minimum(simd, block.as_ptr(), place, sub_block)[lane] } else { 0.0 };
                factor * quant as f32 - minimum
            };
        }
    }
}

impl<Q: Quants, C: Scales, const ZERO: i32> Format for Blocked<Q, C, ZERO> {
    type Quants = Q;
    type Scales = C;
    const ZERO: i32 = ZERO;
}
