//! Vectors at the ends of rows whose length is no whole number of them.

use super::Simd;

/// The most lanes of any path.
pub(super) const LANES_LIMIT: usize = 16;

/// The first `LANES` numbers, or all there are and zeros after them.
#[inline(always)]
pub(super) fn load_part<S: Simd>(simd: S, from: &[f32]) -> S::Vector {
    if from.len() >= S::LANES {
        return simd.load(from);
    }
    let mut lanes = [0.0; LANES_LIMIT];
    lanes[..from.len()].copy_from_slice(from);
    simd.load(&lanes)
}

/// Into the first `LANES` numbers, or all there are.
#[inline(always)]
pub(super) fn store_part<S: Simd>(simd: S, to: &mut [f32], a: S::Vector) {
    if to.len() >= S::LANES {
        return simd.store(to, a);
    }
    let mut lanes = [0.0; LANES_LIMIT];
    simd.store(&mut lanes, a);
    let length = to.len();
    to.copy_from_slice(&lanes[..length]);
}

/// `outside` in every lane that is not in `first..end`.
#[inline(always)]
pub(super) fn keep_lanes<S: Simd>(simd: S, a: S::Vector, (first, end): (usize, usize), outside: f32) -> S::Vector {
    let mut lanes = [outside; LANES_LIMIT];
    simd.store(&mut lanes, a);
    for (lane, number) in lanes.iter_mut().enumerate() {
        if lane < first || lane >= end {
            *number = outside;
        }
    }
    simd.load(&lanes)
}
