//! Rotary position embedding (arXiv 2104.09864): pairs of numbers turned by angles that grow with the position.

use super::lanes::{load_part, store_part};
use super::{AttentionShape, Element, Kernel, Simd};

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

/// Turns queries and keys of a text's rows in place, by halves.
pub(crate) struct RotateRows<'a, E> {
    /// `[tokens][3 · width]`: queries, keys, values.
    pub(crate) projected: &'a mut [E],
    pub(crate) shape: AttentionShape,
    /// `[tokens or more][head width / 2]`
    pub(crate) cosines: &'a [f32],
    pub(crate) sines: &'a [f32],
}

impl<E: Element> Kernel for RotateRows<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (width, pairs) = (self.shape.width(), self.shape.head_width / 2);
        let angles = self.cosines.chunks_exact(pairs).zip(self.sines.chunks_exact(pairs));
        for (row, (cosines, sines)) in self.projected.chunks_exact_mut(3 * width).zip(angles) {
            for head in row[..2 * width].chunks_exact_mut(2 * pairs) {
                let (low, high) = head.split_at_mut(pairs);
                for ((low, high), (cosine, sine)) in low.iter_mut().zip(high).zip(cosines.iter().zip(sines)) {
                    let (x, y) = (low.to_f32(), high.to_f32());
                    *low = E::from_f32(x * cosine - y * sine);
                    *high = E::from_f32(y * cosine + x * sine);
                }
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
