//! Products on AMX tiles: 32 rows by 32 columns at a time, as two by two tiles of 16.
//!
//! The instructions stand behind [`Tiles`], so that the walk over the operands also runs, in tests, on a model of them.
//! A last block of fewer rows configures smaller tiles: a row's sums do not depend on how many rows are beside it.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::LazyLock;

use super::{Kernel, Panels, Simd, Sink, Weight, pinning};

#[cfg(test)]
mod model;

const TILE_ROWS: usize = 16;
const BLOCK_ROWS: usize = 2 * TILE_ROWS;
const BLOCK_COLUMNS: usize = 32;
/// One row of a tile: 16 f32, or 16 pairs of bf16.
const ROW_BYTES: usize = 64;
/// bf16 pairs that one step multiplies.
const STEP_PAIRS: usize = 16;
/// What of the left-hand side stays in the cache while the panels pass by.
const CHUNK_ROWS: usize = 512;

/// Whether the processor has bf16 tiles and the kernel lets this process use them. Asks for them on the first call.
pub(super) fn is_usable() -> bool {
    static USABLE: LazyLock<bool> = LazyLock::new(|| has_tiles() && pinning::request_tiles());
    *USABLE
}

/// Whether a product with these weights can run on tiles.
pub(super) fn takes<W: Weight>(weights: Panels<'_, W>) -> bool {
    W::PER_WORD == 2 && weights.inner().is_multiple_of(2 * STEP_PAIRS)
}

fn has_tiles() -> bool {
    // AMX-BF16 and AMX-TILE in leaf 7; tile configuration and data in XCR0 mean that the operating system saves them.
    const FEATURES: u32 = 1 << 22 | 1 << 24;
    const STATE: u64 = 0b11 << 17;
    if !is_x86_feature_detected!("xsave") || __cpuid_count(7, 0).edx & FEATURES != FEATURES {
        return false;
    }
    // SAFETY: `xsave` was detected.
    unsafe { xcr0() & STATE == STATE }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: register 0 exists wherever the instruction does.
    unsafe { _xgetbv(0) }
}

/// Six operations on the eight tiles: sums 0 to 3, left-hand 4 and 5, right-hand 6 and 7.
trait Tiles {
    /// Sets the rows of the upper and the lower sums and left-hand tiles; clears all.
    fn configure(&mut self, upper: usize, lower: usize);
    fn clear_sums(&mut self);
    /// Loads the next 32 elements of each row from `left`, and 16 pairs of 32 columns from `right`; adds the products.
    ///
    /// # Safety
    /// `left` is readable for the configured rows, `right` for 16 rows, at their strides in bytes.
    unsafe fn step(&mut self, left: *const u8, left_stride: usize, right: *const u8, lower: bool);
    /// Writes the sums to `[32][32]`, as far as rows are configured.
    fn store(&mut self, sums: &mut [f32; BLOCK_ROWS * BLOCK_COLUMNS], lower: bool);
    fn release(&mut self);
}

/// The real tiles. Used only where [`is_usable`].
struct Hardware;

#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles for Hardware {
    #[expect(clippy::cast_possible_truncation, reason = "at most 16 rows of 64 bytes")]
    fn configure(&mut self, upper: usize, lower: usize) {
        let mut configuration = Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        // A tile of no rows is not allowed; an unused lower one is given one.
        let lower = lower.max(1);
        for (tile, rows) in [upper, upper, lower, lower, upper, lower, TILE_ROWS, TILE_ROWS].into_iter().enumerate() {
            configuration.row_bytes[tile] = ROW_BYTES as u16;
            configuration.rows[tile] = rows as u8;
        }
        // SAFETY: `is_usable`; the configuration is 64 bytes of palette 1 within its limits.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) }
    }

    fn clear_sums(&mut self) {
        // SAFETY: configured before.
        unsafe { asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem)) }
    }

    #[inline(always)]
    unsafe fn step(&mut self, left: *const u8, left_stride: usize, right: *const u8, lower: bool) {
        const RIGHT_STRIDE: usize = 2 * ROW_BYTES;
        // SAFETY: configured before; the caller's promise covers what is read. The compiler itself uses no tile.
        unsafe {
            asm!(
                "tileloadd tmm4, [{left} + {left_stride}*1]",
                "tileloadd tmm6, [{right} + {right_stride}*1]",
                "tileloadd tmm7, [{right} + {right_stride}*1 + 64]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                left = in(reg) left,
                left_stride = in(reg) left_stride,
                right = in(reg) right,
                right_stride = in(reg) RIGHT_STRIDE,
                options(nostack, readonly),
            );
            if lower {
                asm!(
                    "tileloadd tmm5, [{left} + {left_stride}*1]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    left = in(reg) left.wrapping_add(TILE_ROWS * left_stride),
                    left_stride = in(reg) left_stride,
                    options(nostack, readonly),
                );
            }
        }
    }

    fn store(&mut self, sums: &mut [f32; BLOCK_ROWS * BLOCK_COLUMNS], lower: bool) {
        const SUMS_STRIDE: usize = BLOCK_COLUMNS * 4;
        let upper_half = sums.as_mut_ptr();
        let lower_half = upper_half.wrapping_add(TILE_ROWS * BLOCK_COLUMNS);
        // SAFETY: configured before; 16 rows of 32 numbers lie behind each pointer.
        unsafe {
            asm!(
                "tilestored [{sums} + {stride}*1], tmm0",
                "tilestored [{sums} + {stride}*1 + 64], tmm1",
                sums = in(reg) upper_half,
                stride = in(reg) SUMS_STRIDE,
                options(nostack),
            );
            if lower {
                asm!(
                    "tilestored [{sums} + {stride}*1], tmm2",
                    "tilestored [{sums} + {stride}*1 + 64], tmm3",
                    sums = in(reg) lower_half,
                    stride = in(reg) SUMS_STRIDE,
                    options(nostack),
                );
            }
        }
    }

    fn release(&mut self) {
        // SAFETY: `is_usable`; without it every later context switch saves 8 KiB.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// A [`super::Product`] of bf16 whose `inner` is a multiple of 32.
pub(super) struct TileProduct<'a, W: Weight, O> {
    pub(super) input: &'a [W::Input],
    pub(super) rows: usize,
    pub(super) weights: Panels<'a, W>,
    pub(super) sink: O,
}

impl<W: Weight, O: Sink> Kernel for TileProduct<'_, W, O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        walk(simd, self, &mut Hardware);
    }
}

#[inline(always)]
fn walk<S: Simd, W: Weight, O: Sink, T: Tiles>(simd: S, mut product: TileProduct<'_, W, O>, tiles: &mut T) {
    let inner = product.weights.inner();
    assert!(W::PER_WORD == 2 && inner.is_multiple_of(2 * STEP_PAIRS), "whole steps of bf16");
    assert!(product.weights.panel_columns() == BLOCK_COLUMNS && product.input.len() >= product.rows * inner, "operands cover the product");
    let mut sums = [0.0; BLOCK_ROWS * BLOCK_COLUMNS];
    for first_row in (0..product.rows).step_by(CHUNK_ROWS) {
        let end = product.rows.min(first_row + CHUNK_ROWS);
        for (column, words, bias) in product.weights.each() {
            let mut configured = 0;
            for row in (first_row..end).step_by(BLOCK_ROWS) {
                let rows = BLOCK_ROWS.min(end - row);
                if configured != rows {
                    tiles.configure(rows.min(TILE_ROWS), rows.saturating_sub(TILE_ROWS));
                    configured = rows;
                }
                multiply::<W, T>(tiles, &product.input[row * inner..(row + rows) * inner], inner, words, rows > TILE_ROWS);
                tiles.store(&mut sums, rows > TILE_ROWS);
                for (at, sums) in sums.chunks_exact(BLOCK_COLUMNS).enumerate().take(rows) {
                    for start in (0..BLOCK_COLUMNS).step_by(S::LANES) {
                        let total = simd.add(simd.load(&sums[start..]), simd.load(&bias[start..]));
                        product.sink.put(simd, row + at, column + start, total);
                    }
                }
            }
        }
    }
    tiles.release();
}

/// One block's sums: `left: [rows][inner]`, `words: [inner / 2][32]`.
#[inline(always)]
fn multiply<W: Weight, T: Tiles>(tiles: &mut T, left: &[W::Input], inner: usize, words: &[W::Word], lower: bool) {
    assert_eq!(words.len(), inner / 2 * BLOCK_COLUMNS, "a panel is whole");
    tiles.clear_sums();
    for pair in (0..inner / 2).step_by(STEP_PAIRS) {
        let left = left[2 * pair..].as_ptr().cast();
        let right = words[pair * BLOCK_COLUMNS..].as_ptr().cast();
        // SAFETY: the rows of `left` are `inner` elements apart and hold 32 more; 16 rows of the panel follow `right`.
        unsafe { tiles.step(left, inner * size_of::<W::Input>(), right, lower) }
    }
}
