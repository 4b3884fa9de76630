//! A set of tokens in a few bytes, which tell most sets apart that share little.

/// Bits for the tokens of a set; several tokens may have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signature {
    /// What many are told apart by first: the lower half and the upper.
    pub(super) first: [u64; 2],
    /// Other bits, for those that the first does not tell apart.
    second: u64,
}

impl Signature {
    pub(super) fn of(tokens: &[u32]) -> Self {
        let mut signature = Self::default();
        for token in tokens {
            let bit_of_first = bit(*token, 0x85eb_ca6b, 7);
            let [low, high] = &mut signature.first;
            *if bit_of_first < 64 { low } else { high } |= 1 << (bit_of_first % 64);
            signature.second |= 1 << bit(*token, 0x9e37_79b9, 6);
        }
        signature
    }

    /// Of a set that `other` is of, this one's lacks at least so many tokens: each that it holds has its bits here.
    pub(super) fn lacks(&self, other: &Self) -> usize {
        let lacks = |mine: u64, others: u64| (others & !mine).count_ones();
        let ([low, high], [other_low, other_high]) = (self.first, other.first);
        (lacks(low, other_low) + lacks(high, other_high)).max(lacks(self.second, other.second)) as usize
    }
}

/// One of 2^`bits`: the upper ones of a product (multiplicative hashing; Knuth, TAOCP 6.4).
fn bit(token: u32, multiplier: u32, bits: u32) -> u32 {
    token.wrapping_mul(multiplier) >> (u32::BITS - bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_more_is_said_to_be_lacking_than_is(held: Vec<u32>, mut wanted: Vec<u32>, shared in 0usize..20) {
            wanted.extend(held.iter().take(shared));
            wanted.sort_unstable();
            wanted.dedup();
            let lacking = wanted.iter().filter(|token| !held.contains(token)).count();
            prop_assert!(Signature::of(&held).lacks(&Signature::of(&wanted)) <= lacking);
        }
    }
}
