//! Slopes of ALiBi (arXiv 2108.12409), for any number of heads.

use super::rotary::float;

/// One for each head: powers of a base for the largest power of two, then every second one of a finer series.
pub(super) fn slopes(heads: usize) -> Vec<f32> {
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    // 2^(−8 / heads), written as the reference does.
    let base = |heads: usize| (-(-(float(heads).log2() - 3.0)).exp2()).exp2();
    let (coarse, fine) = (base(power), base(2 * power));
    let coarse = (1..=power).map(|at| coarse.powf(float(at)));
    coarse.chain((0..heads - power).map(|at| fine.powf(float(2 * at + 1)))).collect()
}
