//! What low-rank adapters add to a product (LoRA, arXiv 2106.09685), for a few rows at a time.
//!
//! Every sum belongs to one row and takes its terms in the order of the columns, or of the ranks: rows that share a tile
//! share what is read, nothing else.

use super::lanes::{load_part, store_part};
use super::{Kernel, Simd};

/// Rows of the largest tile.
const TILE_ROWS: usize = 4;
/// Ranks, and vectors of columns, that a tile takes at a time.
const TILE_RANKS: usize = 4;
const TILE_VECTORS: usize = 2;

/// `out += factor · up · (down · input)` for every row.
pub(crate) struct LowRank<'a, 'r> {
    /// `[rank][inner]`
    pub(crate) down: &'a [f32],
    /// `[rank][columns]`
    pub(crate) up: &'a [f32],
    pub(crate) rank: usize,
    pub(crate) factor: f32,
    /// Each `[inner]` and `[columns]`.
    pub(crate) rows: &'a mut [(&'r [f32], &'r mut [f32])],
}

impl Kernel for LowRank<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { down, up, rank, factor, rows } = self;
        let mut narrow = vec![0.0; TILE_ROWS * rank];
        for rows in rows.chunks_mut(TILE_ROWS) {
            if let [(a, _), (b, _), (c, _), (d, _)] = &*rows {
                shrink(simd, [*a, *b, *c, *d], down, rank, &mut narrow);
            } else {
                for ((input, _), narrow) in rows.iter().zip(narrow.chunks_exact_mut(rank)) {
                    shrink(simd, [*input], down, rank, narrow);
                }
            }
            if let [(_, a), (_, b), (_, c), (_, d)] = rows {
                expand(simd, &narrow, up, factor, [&mut **a, &mut **b, &mut **c, &mut **d]);
            } else {
                for ((_, out), narrow) in rows.iter_mut().zip(narrow.chunks_exact(rank)) {
                    expand(simd, narrow, up, factor, [&mut **out]);
                }
            }
        }
    }
}

/// `to += factor · narrow · up`, where `up` is `[narrow.len()][to.len()]`.
pub(crate) struct Expand<'a> {
    pub(crate) narrow: &'a [f32],
    pub(crate) up: &'a [f32],
    pub(crate) factor: f32,
    pub(crate) to: &'a mut [f32],
}

impl Kernel for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        expand(simd, self.narrow, self.up, self.factor, [self.to]);
    }
}

/// `narrow: [ROWS][rank]`
#[inline(always)]
fn shrink<S: Simd, const ROWS: usize>(simd: S, rows: [&[f32]; ROWS], down: &[f32], rank: usize, narrow: &mut [f32]) {
    let inner = rows[0].len();
    let mut first = 0;
    while first < rank {
        let columns = &down[first * inner..];
        if rank - first >= TILE_RANKS {
            let columns: [&[f32]; TILE_RANKS] = std::array::from_fn(|at| &columns[at * inner..][..inner]);
            put(narrow, first, rank, dots(simd, rows, columns));
            first += TILE_RANKS;
        } else {
            put(narrow, first, rank, dots(simd, rows, [&columns[..inner]]));
            first += 1;
        }
    }
}

#[inline(always)]
fn put<const ROWS: usize, const RANKS: usize>(narrow: &mut [f32], first: usize, rank: usize, sums: [[f32; RANKS]; ROWS]) {
    for (narrow, sums) in narrow.chunks_exact_mut(rank).zip(sums) {
        narrow[first..first + RANKS].copy_from_slice(&sums);
    }
}

#[inline(always)]
fn dots<S: Simd, const ROWS: usize, const RANKS: usize>(simd: S, rows: [&[f32]; ROWS], columns: [&[f32]; RANKS]) -> [[f32; RANKS]; ROWS] {
    let mut sums = [[simd.splat(0.0); RANKS]; ROWS];
    for at in (0..rows[0].len()).step_by(S::LANES) {
        let columns = columns.map(|column| load_part(simd, &column[at..]));
        for (row, sums) in rows.iter().zip(&mut sums) {
            let row = load_part(simd, &row[at..]);
            for (column, sum) in columns.iter().zip(sums) {
                *sum = simd.mul_add(row, *column, *sum);
            }
        }
    }
    sums.map(|sums| sums.map(|sum| simd.sum(sum)))
}

/// `narrow: [ROWS][rank]`, at least.
#[inline(always)]
fn expand<S: Simd, const ROWS: usize>(simd: S, narrow: &[f32], up: &[f32], factor: f32, mut to: [&mut [f32]; ROWS]) {
    let columns = to[0].len();
    let rank = up.len() / columns.max(1);
    for at in (0..columns).step_by(TILE_VECTORS * S::LANES) {
        let end = columns.min(at + TILE_VECTORS * S::LANES);
        let mut sums = [[simd.splat(0.0); TILE_VECTORS]; ROWS];
        for (of_rank, up) in up.chunks_exact(columns).enumerate() {
            for (vector, up) in up[at..end].chunks(S::LANES).enumerate() {
                let up = load_part(simd, up);
                for (row, sums) in sums.iter_mut().enumerate() {
                    sums[vector] = simd.mul_add(simd.splat(narrow[row * rank + of_rank]), up, sums[vector]);
                }
            }
        }
        for (to, sums) in to.iter_mut().zip(sums) {
            for (to, sum) in to[at..end].chunks_mut(S::LANES).zip(sums) {
                let added = simd.mul_add(sum, simd.splat(factor), load_part(simd, to));
                store_part(simd, to, added);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tests::{numbers, paths};

    #[test]
    fn what_is_added_is_the_product_and_rows_are_alone() {
        for cpu in paths() {
            for (inner, columns, rank, count) in [(64, 96, 8, 11), (7, 33, 1, 4), (100, 5, 6, 1), (16, 48, 17, 9)] {
                let (down, up) = (numbers(rank * inner, 1), numbers(rank * columns, 2));
                let (input, before) = (numbers(count * inner, 3), numbers(count * columns, 4));
                let run = |input: &[f32], out: &mut [f32]| {
                    let mut rows: Vec<_> = input.chunks_exact(inner).zip(out.chunks_exact_mut(columns)).collect();
                    cpu.run(LowRank { down: &down, up: &up, rank, factor: 0.7, rows: &mut rows });
                };
                let mut all = before.clone();
                run(&input, &mut all);
                for (row, found) in all.chunks_exact(columns).enumerate() {
                    let input = &input[row * inner..][..inner];
                    let narrow =
                        |of_rank: usize| (0..inner).map(|at| f64::from(input[at]) * f64::from(down[of_rank * inner + at])).sum::<f64>();
                    for (column, found) in found.iter().enumerate() {
                        let added: f64 = (0..rank).map(|of_rank| narrow(of_rank) * f64::from(up[of_rank * columns + column])).sum();
                        let expected = f64::from(before[row * columns + column]) + 0.7 * added;
                        assert!((f64::from(*found) - expected).abs() < 1e-4, "{}: {found} for {expected}", cpu.isa());
                    }
                    let mut alone = before[row * columns..][..columns].to_vec();
                    run(input, &mut alone);
                    assert_eq!(alone, found, "{}: another result alone", cpu.isa());
                }
            }
        }
    }
}
