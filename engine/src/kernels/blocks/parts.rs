//! A block of ggml, taken apart (`ggml-quants.c` describes the encodings).

use crate::kernels::TensorKind;

/// A block's numbers and factors as whole numbers, and its one or two halves, in binary16.
pub(super) struct Parts {
    /// From 0; the format says which one stands for nothing.
    pub(super) quants: [u8; 256],
    pub(super) factor: u16,
    /// What is taken away; for 32 numbers to be taken away as it is, or times `minima`.
    pub(super) minimum: u16,
    /// Of groups: six bits for each 32, or 128 more than a signed number for each 16.
    pub(super) factors: [u8; 16],
    /// Six bits for each 32.
    pub(super) minima: [u8; 8],
}

const SIGN: u16 = 0x8000;

impl Parts {
    /// `block` is one whole block.
    pub(super) fn read(kind: TensorKind, block: &[u8]) -> Self {
        let mut parts = Self { quants: [0; 256], factor: half(block, 0), minimum: 0, factors: [0; 16], minima: [0; 8] };
        match kind {
            TensorKind::Q4_0 => parts.nibbles(&block[2..18]),
            TensorKind::Q4_1 => {
                parts.minimum = half(block, 2) ^ SIGN;
                parts.nibbles(&block[4..20]);
            }
            TensorKind::Q5_0 => {
                parts.nibbles(&block[6..22]);
                parts.fifth_bits(&block[2..6]);
            }
            TensorKind::Q5_1 => {
                parts.minimum = half(block, 2) ^ SIGN;
                parts.nibbles(&block[8..24]);
                parts.fifth_bits(&block[4..8]);
            }
            TensorKind::Q8_0 => {
                parts.quants.iter_mut().zip(&block[2..34]).for_each(|(quant, byte)| *quant = byte ^ 0x80);
            }
            TensorKind::Q4K => {
                parts.pairs_of_six_bits(block);
                parts.long_nibbles(&block[16..144]);
            }
            TensorKind::Q5K => {
                parts.pairs_of_six_bits(block);
                parts.long_nibbles(&block[48..176]);
                for (group, quants) in parts.quants.chunks_exact_mut(32).enumerate() {
                    quants.iter_mut().zip(&block[16..48]).for_each(|(quant, high)| *quant |= (high >> group & 1) << 4);
                }
            }
            TensorKind::Q3K => parts.three_bits(block),
            _ => parts.six_bits(block),
        }
        parts
    }

    /// The low halves of sixteen bytes, then the high halves.
    fn nibbles(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            self.quants[at] = byte & 15;
            self.quants[at + 16] = byte >> 4;
        }
    }

    fn fifth_bits(&mut self, bits: &[u8]) {
        for (at, quant) in self.quants[..32].iter_mut().enumerate() {
            *quant |= (bits[at / 8] >> (at % 8) & 1) << 4;
        }
    }

    /// The same by 32 bytes.
    fn long_nibbles(&mut self, bytes: &[u8]) {
        for (quants, bytes) in self.quants.chunks_exact_mut(64).zip(bytes.chunks_exact(32)) {
            for (at, byte) in bytes.iter().enumerate() {
                quants[at] = byte & 15;
                quants[at + 32] = byte >> 4;
            }
        }
    }

    /// Factors and minima of Q4_K and Q5_K.
    fn pairs_of_six_bits(&mut self, block: &[u8]) {
        self.minimum = half(block, 2);
        let packed = &block[4..16];
        for group in 0..4 {
            self.factors[group] = packed[group] & 63;
            self.minima[group] = packed[group + 4] & 63;
            self.factors[group + 4] = packed[group + 8] & 15 | packed[group] >> 6 << 4;
            self.minima[group + 4] = packed[group + 8] >> 4 | packed[group + 4] >> 6 << 4;
        }
    }

    /// Q3_K as Q6_K: what is 4 there is 32 here.
    fn three_bits(&mut self, block: &[u8]) {
        let (high, low, packed) = (&block[..32], &block[32..96], &block[96..108]);
        self.factor = half(block, 108);
        for (group, factor) in self.factors.iter_mut().enumerate() {
            let (low, top) = (packed[group % 8] >> (group / 8 * 4) & 15, packed[8 + group % 4] >> (group / 4 * 2) & 3);
            *factor = (low | top << 4) + (128 - 32);
        }
        for (at, quant) in self.quants.iter_mut().enumerate() {
            let (section, group, within) = (at / 128, at / 32, at % 32);
            let bits = low[section * 32 + within] >> (group % 4 * 2) & 3;
            *quant = (bits | (high[within] >> group & 1) << 2) + (32 - 4);
        }
    }

    fn six_bits(&mut self, block: &[u8]) {
        let (low, high) = (&block[..128], &block[128..192]);
        self.factor = half(block, 208);
        self.factors.iter_mut().zip(&block[192..208]).for_each(|(factor, byte)| *factor = byte ^ 0x80);
        for (at, quant) in self.quants.iter_mut().enumerate() {
            let (section, quarter, within) = (at / 128, at / 32 % 4, at % 32);
            let nibble = low[section * 64 + quarter % 2 * 32 + within] >> (quarter / 2 * 4) & 15;
            *quant = nibble | (high[section * 32 + within] >> (quarter * 2) & 3) << 4;
        }
    }
}

fn half(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}
