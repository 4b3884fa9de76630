//! A set of tokens in eight bytes, which tells most sets apart that share little.

/// A bit for each token of a set; several tokens may have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Signature(pub(super) u64);

impl Signature {
    /// Two: by the second most sets are told apart that the first does not tell apart.
    pub(super) fn both_of(tokens: &[u32]) -> [Self; 2] {
        [0x9e37_79b9, 0x85eb_ca6b].map(|multiplier| Self::by(multiplier, tokens))
    }

    fn by(multiplier: u32, tokens: &[u32]) -> Self {
        // multiplicative hashing (Knuth, TAOCP 6.4): the upper six bits of the product name one of 64
        let bit = |token: u32| 1u64 << (token.wrapping_mul(multiplier) >> 26);
        Self(tokens.iter().fold(0, |bits, token| bits | bit(*token)))
    }

    /// Of a set that `other` is of, this one lacks at least so many tokens: each that it holds has its bit here.
    pub(super) fn lacks(self, other: Self) -> usize {
        (other.0 & !self.0).count_ones() as usize
    }
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
            for (held, wanted) in Signature::both_of(&held).into_iter().zip(Signature::both_of(&wanted)) {
                prop_assert!(held.lacks(wanted) <= lacking);
            }
        }
    }
}
