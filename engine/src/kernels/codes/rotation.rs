//! A fixed rotation, after which no number of a vector stands out and what codes leave out of one points nowhere in particular.
//!
//! Hadamard transforms of the greatest power of two that divides the dimensions, a reflection across what that leaves, and signs that
//! look like chance between them, as in Ailon and Chazelle's fast Johnson–Lindenstrauss transform (2009). Only additions and
//! multiplications in a fixed order: every machine gives the same.

/// One leaves what lies near the axes recognisable.
const ROUNDS: u64 = 3;

/// Of `vector`, filled up to so many dimensions with zeros and cut off there; lengths and products stay as they are.
pub(super) fn rotated(vector: &[f32], dimensions: usize) -> Vec<f32> {
    let mut numbers = vector.get(..dimensions).unwrap_or(vector).to_vec();
    numbers.resize(dimensions, 0.0);
    if dimensions == 0 {
        return numbers;
    }
    let block = 1 << dimensions.trailing_zeros();
    for round in 0..ROUNDS {
        for (number, at) in numbers.iter_mut().zip(0..) {
            if is_turned(round, at) {
                *number = -*number;
            }
        }
        numbers.chunks_exact_mut(block).for_each(hadamard);
        reflect(&mut numbers, block);
    }
    numbers
}

/// SplitMix64's last steps: a bit that looks like chance.
fn is_turned(round: u64, at: u64) -> bool {
    let seed = (round << 32 | at).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 1 == 1
}

/// The Hadamard transform, of length 1.
fn hadamard(numbers: &mut [f32]) {
    let mut width = 1;
    while width < numbers.len() {
        for pair in numbers.chunks_exact_mut(2 * width) {
            let (left, right) = pair.split_at_mut(width);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        width *= 2;
    }
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let length = (numbers.len() as f32).sqrt();
    numbers.iter_mut().for_each(|number| *number /= length);
}

/// Householder's reflection by the vector of ones, across the blocks.
fn reflect(numbers: &mut [f32], block: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let blocks = (numbers.len() / block) as f32;
    if blocks < 2.0 {
        return;
    }
    let mut sums = vec![0.0; block];
    for numbers in numbers.chunks_exact(block) {
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
    }
    for numbers in numbers.chunks_exact_mut(block) {
        numbers.iter_mut().zip(&sums).for_each(|(number, sum)| *number -= sum * 2.0 / blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn products_stay_and_nothing_stands_out() {
        for dimensions in [0, 1, 70, 128, 384, 768] {
            let axis = |at: usize| -> Vec<f32> { (0..dimensions).map(|other| f32::from(u8::from(other == at))).collect() };
            for (a, b) in [(0, 0), (0, 1), (3, 3), (5, 69)] {
                let (left, right) = (axis(a), axis(b));
                let turned = (rotated(&left, dimensions), rotated(&right, dimensions));
                assert!((product(&turned.0, &turned.1) - product(&left, &right)).abs() < 1e-6, "{dimensions}: {a} {b}");
                if dimensions >= 128 {
                    let greatest = turned.0.iter().fold(0.0_f32, |greatest, number| greatest.max(number.abs()));
                    assert!(greatest < 6.0 / (dimensions as f32).sqrt(), "{dimensions}: {greatest}");
                }
            }
        }
    }
}
