//! The cosines and sines of every position of a text (arXiv 2104.09864).

use crate::kernels::Buffer;

pub(super) struct RotaryTable {
    /// `[window][head width / 2]`
    pub(super) cosines: Buffer<f32>,
    pub(super) sines: Buffer<f32>,
}

impl RotaryTable {
    /// Frequencies and angles are rounded to f32, as in the models' training; the sine of an angle is then exact.
    #[expect(clippy::cast_precision_loss, reason = "positions and widths are below 2^24")]
    pub(super) fn new(base: f32, head_width: usize, window: usize) -> Self {
        let frequencies: Vec<f32> = (0..head_width).step_by(2).map(|at| 1.0 / base.powf(at as f32 / head_width as f32)).collect();
        let mut table = Self { cosines: Buffer::new(window * frequencies.len()), sines: Buffer::new(window * frequencies.len()) };
        let angles = (0..window).flat_map(|position| frequencies.iter().map(move |frequency| position as f32 * frequency));
        for (angle, (cosine, sine)) in angles.zip(table.cosines.iter_mut().zip(table.sines.iter_mut())) {
            let (exact_sine, exact_cosine) = f64::from(angle).sin_cos();
            (*sine, *cosine) = (exact_sine as f32, exact_cosine as f32);
        }
        table
    }
}
