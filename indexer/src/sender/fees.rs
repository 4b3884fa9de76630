//! Fees per unit of gas, in wei. Pure arithmetic.

use crate::{IndexerError, Result};

/// The two limits of an EIP-1559 transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max_fee: u128,
    /// At most `max_fee`.
    pub(super) tip: u128,
}

/// Room for the base fee to double, below the cap.
///
/// # Errors
/// [`IndexerError::FeeAboveCap`] when the base fee alone is above it.
pub(super) fn suggested(base_fee: u128, tip: u128, cap: u128) -> Result<Fees> {
    if base_fee > cap {
        return Err(IndexerError::FeeAboveCap { base_fee_wei: base_fee, cap_wei: cap });
    }
    let tip = tip.min(cap - base_fee);
    Ok(Fees { max_fee: base_fee.saturating_mul(2).saturating_add(tip).min(cap), tip })
}

/// Fees with which a node takes a transaction in the place of `old`: both at least an eighth higher
/// (nodes ask for a tenth), and no lower than what is suggested now. `None` when that is above the cap.
pub(super) fn replacing(old: Fees, suggested: Fees, cap: u128) -> Option<Fees> {
    let tip = raised(old.tip).max(suggested.tip);
    let max_fee = raised(old.max_fee).max(suggested.max_fee).max(tip);
    (max_fee <= cap).then_some(Fees { max_fee, tip })
}

fn raised(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(8).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fees_leave_room_below_the_cap() {
        assert_eq!(suggested(10, 3, 100).unwrap(), Fees { max_fee: 23, tip: 3 });
        assert_eq!(suggested(10, 3, 20).unwrap(), Fees { max_fee: 20, tip: 3 });
        assert_eq!(suggested(10, 30, 20).unwrap(), Fees { max_fee: 20, tip: 10 });
        assert_eq!(suggested(20, 1, 20).unwrap(), Fees { max_fee: 20, tip: 0 });
        assert!(matches!(suggested(21, 0, 20), Err(IndexerError::FeeAboveCap { base_fee_wei: 21, cap_wei: 20 })));
        assert_eq!(replacing(Fees { max_fee: 80, tip: 8 }, Fees { max_fee: 1, tip: 1 }, 90), Some(Fees { max_fee: 90, tip: 9 }));
        assert_eq!(replacing(Fees { max_fee: 81, tip: 8 }, Fees { max_fee: 1, tip: 1 }, 90), None);
    }

    proptest! {
        #[test]
        fn replacements_are_an_eighth_higher_and_below_the_cap(
            max_fee in 0..u128::MAX / 16, tip in 0..u128::MAX / 16, base in 0..1u128 << 100, more in 0..1u128 << 100, cap in 0..u128::MAX / 8,
        ) {
            let old = Fees { max_fee: max_fee.max(tip), tip: tip.min(max_fee) };
            let Ok(now) = suggested(base, more, cap) else { return Ok(()) };
            prop_assert!(now.max_fee <= cap && now.tip <= now.max_fee && now.max_fee >= base);
            let Some(new) = replacing(old, now, cap) else { return Ok(()) };
            prop_assert!(new.max_fee * 8 >= old.max_fee * 9 && new.tip * 8 >= old.tip * 9);
            prop_assert!(new.max_fee > old.max_fee && new.tip > old.tip);
            prop_assert!(new.max_fee <= cap && new.tip <= new.max_fee && new.max_fee >= now.max_fee);
        }
    }
}
