//! Sets of 128 bits: which of many lack few of those that are wanted.

/// Sets that are counted before any is looked at.
const BLOCK: usize = 64;

/// Appends the places of the sets that lack at most `lacking` of the bits of `wanted` to `found`, in order. Each set's lower half
/// stands in the one list, its upper in the other, which is as long.
pub fn nearly_holding(sets: [&[u64]; 2], wanted: [u64; 2], lacking: usize, found: &mut Vec<usize>) {
    let lacking = u8::try_from(lacking).unwrap_or(u8::MAX);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { nearly_holding_avx2(sets, wanted, lacking, found) };
    }
    nearly_holding_portable(sets, wanted, lacking, found);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn nearly_holding_avx2(sets: [&[u64]; 2], wanted: [u64; 2], lacking: u8, found: &mut Vec<usize>) {
    nearly_holding_portable(sets, wanted, lacking, found);
}

#[inline(always)]
fn nearly_holding_portable([lower, upper]: [&[u64]; 2], [low, high]: [u64; 2], lacking: u8, found: &mut Vec<usize>) {
    for (block, (lower, upper)) in lower.chunks(BLOCK).zip(upper.chunks(BLOCK)).enumerate() {
        let mut counts = [u8::MAX; BLOCK];
        for (count, (lower, upper)) in counts.iter_mut().zip(lower.iter().zip(upper)) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 128")]
            let lacks = ((low & !lower).count_ones() + (high & !upper).count_ones()) as u8;
            *count = lacks;
        }
        if counts.iter().fold(u8::MAX, |least, count| least.min(*count)) <= lacking {
            found.extend((0..lower.len().min(upper.len())).filter(|at| counts[*at] <= lacking).map(|at| block * BLOCK + at));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_those_that_lack_few(
            sets in proptest::collection::vec(any::<(u64, u64)>(), 0..200),
            wanted: (u64, u64),
            lacking in 0usize..140,
        ) {
            let (lower, upper): (Vec<u64>, Vec<u64>) = sets.iter().copied().unzip();
            let mut found = vec![7];
            nearly_holding([&lower, &upper], wanted.into(), lacking, &mut found);
            let lacks = |at: &usize| {
                let count = |set: u64, wanted: u64| (0..64).filter(|bit| wanted >> bit & 1 == 1 && set >> bit & 1 == 0).count();
                count(sets[*at].0, wanted.0) + count(sets[*at].1, wanted.1)
            };
            let expected: Vec<usize> = [7].into_iter().chain((0..sets.len()).filter(|at| lacks(at) <= lacking)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
