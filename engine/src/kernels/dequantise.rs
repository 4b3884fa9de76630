//! Every encoding to f32, the plain way: what the kernels are tested against.
//!
//! The blocks are those of ggml (`ggml-quants.c`). Bytes that do not fill a block are left out.

use super::TensorKind;

pub(crate) fn to_f32(kind: TensorKind, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(kind.block_bytes());
    let mut out = Vec::with_capacity(blocks.len() * kind.block_numbers());
    blocks.for_each(|block| one(kind, block, &mut out));
    out
}

/// IEEE 754 binary16.
pub(crate) fn half_to_f32(half: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(half >> 15), u32::from(half >> 10 & 0x1f), u32::from(half & 0x3ff));
    let magnitude = match exponent {
        // A subnormal is a whole number of 2^-24.
        0 => f32::from(half & 0x3ff) / 16_777_216.0,
        0x1f => f32::from_bits(0xff << 23 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

fn one(kind: TensorKind, block: &[u8], out: &mut Vec<f32>) {
    match kind {
        TensorKind::F32 => out.extend(block.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))),
        TensorKind::F16 => out.push(half(block, 0)),
        TensorKind::Bf16 => out.extend(block.as_chunks().0.iter().map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16))),
        TensorKind::Q4_0 => nibbles(&block[2..18], |number| f32::from(number) - 8.0, half(block, 0), 0.0, out),
        TensorKind::Q4_1 => nibbles(&block[4..20], f32::from, half(block, 0), half(block, 2), out),
        TensorKind::Q5_0 => fives(&block[2..6], &block[6..22], 16.0, half(block, 0), 0.0, out),
        TensorKind::Q5_1 => fives(&block[4..8], &block[8..24], 0.0, half(block, 0), half(block, 2), out),
        TensorKind::Q8_0 => {
            let scale = half(block, 0);
            out.extend(block[2..].iter().map(|number| f32::from(number.cast_signed()) * scale));
        }
        TensorKind::Q2K => q2_k(block, out),
        TensorKind::Q3K => q3_k(block, out),
        TensorKind::Q4K => q4_k(block, out),
        TensorKind::Q5K => q5_k(block, out),
        TensorKind::Q6K => q6_k(block, out),
    }
}

/// The places of a block's half-precision numbers: where they are finite, so is the whole block.
pub(crate) const fn scales_at(kind: TensorKind) -> &'static [usize] {
    match kind {
        TensorKind::F32 | TensorKind::F16 | TensorKind::Bf16 => &[],
        TensorKind::Q4_0 | TensorKind::Q5_0 | TensorKind::Q8_0 => &[0],
        TensorKind::Q4_1 | TensorKind::Q5_1 | TensorKind::Q4K | TensorKind::Q5K => &[0, 2],
        TensorKind::Q2K => &[80, 82],
        TensorKind::Q3K => &[108],
        TensorKind::Q6K => &[208],
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    half_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The low halves of all bytes, then the high halves.
fn nibbles(quants: &[u8], number: impl Fn(u8) -> f32, scale: f32, offset: f32, out: &mut Vec<f32>) {
    out.extend(quants.iter().map(|byte| number(byte & 15) * scale + offset));
    out.extend(quants.iter().map(|byte| number(byte >> 4) * scale + offset));
}

/// As [`nibbles`], with a fifth bit of each number in `high`.
fn fives(high: &[u8], quants: &[u8], zero: f32, scale: f32, offset: f32, out: &mut Vec<f32>) {
    let bit = |at: usize| (high[at / 8] >> (at % 8) & 1) << 4;
    for (at, byte) in quants.iter().enumerate() {
        out.push((f32::from(byte & 15 | bit(at)) - zero) * scale + offset);
    }
    for (at, byte) in quants.iter().enumerate() {
        out.push((f32::from(byte >> 4 | bit(at + 16)) - zero) * scale + offset);
    }
}

/// Sixteen groups of sixteen numbers of two bits, each group with a scale and a least value of four bits.
fn q2_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block, 80), half(block, 82));
    for group in 0..16 {
        let packed = block[group];
        let (scale, least) = (scale * f32::from(packed & 15), least * f32::from(packed >> 4));
        let (start, shift) = k_place(group);
        out.extend(block[16 + start..16 + start + 16].iter().map(|byte| scale * f32::from(byte >> shift & 3) - least));
    }
}

/// Where the two-bit numbers of a group of sixteen begin, and at which bit.
const fn k_place(group: usize) -> (usize, usize) {
    let (half, within) = (group / 8, group % 8);
    (half * 32 + within % 2 * 16, within / 2 * 2)
}

/// As [`q2_k`], with a third bit in the first 32 bytes and signed scales of six bits.
fn q3_k(block: &[u8], out: &mut Vec<f32>) {
    let (high, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108);
    for group in 0..16 {
        let low = packed[group % 8] >> (group / 8 * 4) & 15;
        let top = packed[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = scale * (f32::from(low | top << 4) - 32.0);
        let (start, shift) = k_place(group);
        for within in 0..16 {
            let bit = high[start % 32 + within] >> (group / 2) & 1;
            let number = quants[start + within] >> shift & 3;
            out.push(scale * (f32::from(number | bit << 2) - 4.0));
        }
    }
}

/// Scale and least value of one of eight groups, six bits each.
fn k_scale(packed: &[u8], group: usize) -> (f32, f32) {
    let (scale, least) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        (packed[group + 4] & 15 | packed[group - 4] >> 6 << 4, packed[group + 4] >> 4 | packed[group] >> 6 << 4)
    };
    (f32::from(scale), f32::from(least))
}

fn q4_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for group in 0..8 {
        let (factor, below) = k_scale(&block[4..16], group);
        let quants = &block[16 + group / 2 * 32..][..32];
        out.extend(quants.iter().map(|byte| scale * factor * f32::from(byte >> (group % 2 * 4) & 15) - least * below));
    }
}

fn q5_k(block: &[u8], out: &mut Vec<f32>) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for group in 0..8 {
        let (factor, below) = k_scale(&block[4..16], group);
        let quants = &block[48 + group / 2 * 32..][..32];
        for (byte, high) in quants.iter().zip(&block[16..48]) {
            let number = byte >> (group % 2 * 4) & 15 | (high >> group & 1) << 4;
            out.push(scale * factor * f32::from(number) - least * below);
        }
    }
}

fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for place in 0..256 {
        let (section, within) = (place / 128, place % 128);
        let (quarter, column) = (within / 32, within % 32);
        let nibble = low[section * 64 + quarter % 2 * 32 + column] >> (quarter / 2 * 4) & 15;
        let top = high[section * 32 + column] >> (quarter * 2) & 3;
        out.push(scale * f32::from(scales[place / 16].cast_signed()) * (f32::from(nibble | top << 4) - 32.0));
    }
}
