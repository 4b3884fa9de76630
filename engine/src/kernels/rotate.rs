//! Rotary position embedding (arXiv 2104.09864): pairs of numbers turned by angles that grow with the position.

use super::lanes::{load_part, store_part};
use super::{Kernel, Simd};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Number `i` with number `i + pairs`.
    Halves,
    /// Number `2 i` with number `2 i + 1`.
    Neighbours,
}

/// Turns `first..first + 2 · pairs` of every head in place.
pub(crate) struct Rotate<'a> {
    /// `[heads][head_width]`
    pub(crate) heads: &'a mut [f32],
    pub(crate) head_width: usize,
    pub(crate) first: usize,
    /// `[pairs]`
    pub(crate) cosines: &'a [f32],
    pub(crate) sines: &'a [f32],
    pub(crate) pairing: Pairing,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let pairs = self.cosines.len();
        for head in self.heads.chunks_exact_mut(self.head_width) {
            let turned = &mut head[self.first..][..2 * pairs];
            match self.pairing {
                Pairing::Halves => halves(simd, turned.split_at_mut(pairs), (self.cosines, self.sines)),
                Pairing::Neighbours => neighbours(turned, (self.cosines, self.sines)),
            }
        }
    }
}

#[inline(always)]
fn halves<S: Simd>(simd: S, (low, high): (&mut [f32], &mut [f32]), (cosines, sines): (&[f32], &[f32])) {
    let numbers = low.chunks_mut(S::LANES).zip(high.chunks_mut(S::LANES));
    for ((low, high), (cosine, sine)) in numbers.zip(cosines.chunks(S::LANES).zip(sines.chunks(S::LANES))) {
        let (x, y) = (load_part(simd, low), load_part(simd, high));
        let (cosine, sine) = (load_part(simd, cosine), load_part(simd, sine));
        store_part(simd, low, simd.sub(simd.mul(x, cosine), simd.mul(y, sine)));
        store_part(simd, high, simd.add(simd.mul(y, cosine), simd.mul(x, sine)));
    }
}

#[inline(always)]
fn neighbours(turned: &mut [f32], (cosines, sines): (&[f32], &[f32])) {
    for (pair, (cosine, sine)) in turned.chunks_exact_mut(2).zip(cosines.iter().zip(sines)) {
        let (x, y) = (pair[0], pair[1]);
        pair[0] = x * cosine - y * sine;
        pair[1] = y * cosine + x * sine;
    }
}
