//! Dividing whole numbers without creating or losing any: largest remainder, ties to the earlier
//! key. Every number that decides money passes through here.

use alloy_primitives::U256;

/// Parts per million: shares and `unattributed` sum to this.
pub const PPM: u64 = 1_000_000;

/// Divides `total` in proportion to `weights` (Hamilton's method). Each part is the exact quota
/// rounded down; what is left goes one by one to the largest remainders, ties to the lower index,
/// so callers order `weights` by a stable key (address, chunk id). Zero weights get zero. The parts
/// sum to `total`, unless every weight is zero: then every part is zero.
pub fn largest_remainder(total: u128, weights: &[u128]) -> Vec<u128> {
    let sum: U256 = weights.iter().map(|weight| U256::from(*weight)).sum();
    if sum.is_zero() {
        return vec![0; weights.len()];
    }
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    let mut assigned = 0u128;
    for (index, weight) in weights.iter().enumerate() {
        let (quotient, remainder) = (U256::from(total) * U256::from(*weight)).div_rem(sum);
        // quotient <= total because weight <= sum
        let part = quotient.to::<u128>();
        assigned += part;
        parts.push(part);
        remainders.push((remainder, index));
    }
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let left = (total - assigned) as usize; // < weights.len()
    for (_, index) in remainders.into_iter().take(left) {
        if let Some(part) = parts.get_mut(index) {
            *part += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_divisions() {
        assert_eq!(largest_remainder(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(largest_remainder(1_000_000, &[2, 1]), [666_667, 333_333]);
        assert_eq!(largest_remainder(5, &[0, 0]), [0, 0]);
        assert_eq!(largest_remainder(0, &[3, 4]), [0, 0]);
        assert_eq!(largest_remainder(u128::MAX, &[u128::MAX, u128::MAX]).iter().sum::<u128>(), u128::MAX);
        assert!(largest_remainder(7, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_created_or_lost(total: u128, weights in proptest::collection::vec(any::<u128>(), 1..12)) {
            let parts = largest_remainder(total, &weights);
            if weights.iter().any(|weight| *weight > 0) {
                prop_assert_eq!(parts.iter().map(|part| U256::from(*part)).sum::<U256>(), U256::from(total));
            }
            for (part, weight) in parts.iter().zip(&weights) {
                // within one of the exact quota
                let sum: U256 = weights.iter().map(|weight| U256::from(*weight)).sum();
                if !sum.is_zero() {
                    let quota = alloy_primitives::U512::from(total) * alloy_primitives::U512::from(*weight) / alloy_primitives::U512::from(sum);
                    let part = alloy_primitives::U512::from(*part);
                    prop_assert!(part == quota || part == quota + alloy_primitives::U512::from(1));
                }
                if *weight == 0 { prop_assert_eq!(*part, 0); }
            }
        }
    }
}
