//! Rows of the residual stream: looking them up and normalising them.

use super::{Element, Kernel, Simd};

/// Layer normalisation of every row in place, and a copy as the next product's input.
pub(crate) struct Normalise<'a, E> {
    /// `[rows][width]`
    pub(crate) hidden: &'a mut [f32],
    /// `[rows][width]`
    pub(crate) input: &'a mut [E],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
}

impl<E: Element> Kernel for Normalise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        for (hidden, input) in self.hidden.chunks_exact_mut(width).zip(self.input.chunks_exact_mut(width)) {
            normalise_row(simd, hidden, input, (self.scale, self.shift, self.epsilon));
        }
    }
}

#[inline(always)]
fn normalise_row<S: Simd, E: Element>(simd: S, hidden: &mut [f32], input: &mut [E], (scale, shift, epsilon): (&[f32], &[f32], f32)) {
    #[expect(clippy::cast_precision_loss, reason = "a width is below 2^24")]
    let width = hidden.len() as f32;
    let mut sum = simd.splat(0.0);
    for numbers in hidden.chunks_exact(S::LANES) {
        sum = simd.add(sum, simd.load(numbers));
    }
    let mean = simd.splat(simd.sum(sum) / width);
    let mut squares = simd.splat(0.0);
    for numbers in hidden.chunks_exact(S::LANES) {
        let centred = simd.sub(simd.load(numbers), mean);
        squares = simd.mul_add(centred, centred, squares);
    }
    let factor = simd.splat(1.0 / (simd.sum(squares) / width + epsilon).sqrt());
    let parameters = scale.chunks_exact(S::LANES).zip(shift.chunks_exact(S::LANES));
    let rows = hidden.chunks_exact_mut(S::LANES).zip(input.chunks_exact_mut(S::LANES));
    for ((hidden, input), (scale, shift)) in rows.zip(parameters) {
        let centred = simd.mul(simd.sub(simd.load(hidden), mean), factor);
        let scaled = simd.mul_add(centred, simd.load(scale), simd.load(shift));
        simd.store(hidden, scaled);
        simd.store(input, scaled);
    }
}

/// Adds rows of two tables: a token's and its position's.
pub(crate) struct Embed<'a> {
    /// `[rows][width]`
    pub(crate) hidden: &'a mut [f32],
    pub(crate) width: usize,
    /// Per row, the tokens of its text before it, and its token; both are rows of their tables.
    pub(crate) places: &'a [(usize, u32)],
    pub(crate) words: &'a [f32],
    pub(crate) positions: &'a [f32],
}

impl Kernel for Embed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (hidden, (position, token)) in self.hidden.chunks_exact_mut(self.width).zip(self.places) {
            let word = &self.words[*token as usize * self.width..][..self.width];
            let position = &self.positions[position * self.width..][..self.width];
            for ((hidden, word), position) in
                hidden.chunks_exact_mut(S::LANES).zip(word.chunks_exact(S::LANES)).zip(position.chunks_exact(S::LANES))
            {
                simd.store(hidden, simd.add(simd.load(word), simd.load(position)));
            }
        }
    }
}
