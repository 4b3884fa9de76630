//! Rows of the residual stream: looking them up and normalising them.

use super::functions::{Activation, activate};
use super::{Element, Kernel, Simd};

/// Layer normalisation of every row as the next product's input.
pub(crate) struct Normalise<'a, E> {
    /// `[rows][width]`
    pub(crate) hidden: &'a mut [f32],
    /// `[rows][width]`
    pub(crate) input: &'a mut [E],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) epsilon: f32,
    /// Whether `hidden` becomes the same.
    pub(crate) replaces: bool,
}

impl<E: Element> Kernel for Normalise<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.scale.len();
        for (hidden, input) in self.hidden.chunks_exact_mut(width).zip(self.input.chunks_exact_mut(width)) {
            normalise_row(simd, hidden, input, (self.scale, self.shift, self.epsilon), self.replaces);
        }
    }
}

#[inline(always)]
fn normalise_row<S: Simd, E: Element>(
    simd: S,
    hidden: &mut [f32],
    input: &mut [E],
    (scale, shift, epsilon): (&[f32], &[f32], f32),
    replaces: bool,
) {
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
        if replaces {
            simd.store(hidden, scaled);
        }
        simd.store(input, scaled);
    }
}

/// Adds rows of two tables: a token's and its position's, where positions are added.
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
            if self.positions.is_empty() {
                hidden.copy_from_slice(word);
                continue;
            }
            let position = &self.positions[position * self.width..][..self.width];
            for ((hidden, word), position) in
                hidden.chunks_exact_mut(S::LANES).zip(word.chunks_exact(S::LANES)).zip(position.chunks_exact(S::LANES))
            {
                simd.store(hidden, simd.add(simd.load(word), simd.load(position)));
            }
        }
    }
}

/// `activation(first half) · second half` of every row.
pub(crate) struct Gate<'a, E> {
    /// `[rows][2 · width]`
    pub(crate) halves: &'a [f32],
    /// `[rows][width]`
    pub(crate) out: &'a mut [E],
    pub(crate) width: usize,
    pub(crate) activation: Activation,
}

impl<E: Element> Kernel for Gate<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (halves, out) in self.halves.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width)) {
            let (first, second) = halves.split_at(self.width);
            let halves = first.chunks_exact(S::LANES).zip(second.chunks_exact(S::LANES));
            for ((first, second), out) in halves.zip(out.chunks_exact_mut(S::LANES)) {
                let activated = activate(simd, self.activation, simd.load(first));
                simd.store(out, simd.mul(activated, simd.load(second)));
            }
        }
    }
}
