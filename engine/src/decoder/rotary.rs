//! The cosines and sines of a pass's positions.

use crate::architecture::{Rotary, RotaryLayout};
use crate::kernels::{Cpu, Pairing, Rotate};

/// Of one rotation, for every row of a pass.
pub(super) struct RotaryTable {
    pairs: usize,
    pairing: Pairing,
    /// `[rows][pairs]`
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl RotaryTable {
    /// Of rows at these positions, and whether the sequence of each is a stretched one.
    pub(super) fn new(rotary: &Rotary, rows: impl Iterator<Item = (usize, bool)>) -> Self {
        let pairing = match rotary.layout {
            RotaryLayout::Halves => Pairing::Halves,
            RotaryLayout::Neighbours => Pairing::Neighbours,
        };
        let mut table = Self { pairs: rotary.frequencies.len(), pairing, cosines: Vec::new(), sines: Vec::new() };
        for (position, stretched) in rows {
            let stretched = rotary.stretched.as_ref().filter(|_| stretched);
            for frequency in stretched.map_or(&rotary.frequencies, |stretched| &stretched.frequencies) {
                // The angle is rounded to f32, as in the models' training; its sine is then exact.
                #[expect(clippy::cast_precision_loss, reason = "a position is below 2^24")]
                let (sine, cosine) = f64::from(position as f32 * frequency).sin_cos();
                table.cosines.push(cosine as f32 * rotary.magnitude);
                table.sines.push(sine as f32 * rotary.magnitude);
            }
        }
        table
    }

    /// Turns `first..` of every head of a row.
    pub(super) fn rotate(&self, cpu: Cpu, row: usize, heads: &mut [f32], head_width: usize, first: usize) {
        let of_row = row * self.pairs..(row + 1) * self.pairs;
        let (cosines, sines) = (&self.cosines[of_row.clone()], &self.sines[of_row]);
        cpu.run(Rotate { heads, head_width, first, cosines, sines, pairing: self.pairing });
    }
}
