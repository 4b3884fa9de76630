//! Which limits a payer is debited under: the fewest that hold what it owes. Pure.

use rag::Asked;
use schemas::alloy_primitives::Bytes;
use schemas::contracts::PaymentVault;
use schemas::signed::{SignedSpendingLimit, signature_bytes};
use schemas::{Address, U256};

use crate::limits::Standing;

/// A payer's debits, under so many limits at most; none where an earlier debt could not be collected now, which stays on record as it is.
pub(super) fn debits(
    asked: &Asked,
    mut limits: Vec<Standing>,
    balance: U256,
    now: u64,
    spender: Address,
    most: usize,
) -> Vec<PaymentVault::Debit> {
    let owed = U256::from(asked.amount_wei.0);
    limits.sort_by_key(|limit| (limit.allows(now), limit.room, limit.ends_at, limit.limit_hash));
    let (live, last) = (limits.iter().rev().filter(|limit| limit.allows(now)).take(most), limits.last());
    let mut parts: Vec<(&Standing, U256)> = Vec::new();
    let mut left = owed;
    for limit in live {
        let part = left.min(limit.room);
        if part.is_zero() {
            break;
        }
        parts.push((limit, part));
        left -= part;
    }
    if !asked.is_new && (parts.is_empty() || balance.is_zero()) {
        return Vec::new();
    }
    // What no limit has room for goes to one all the same: the vault says on chain that it was short.
    match (parts.last_mut(), last) {
        (Some((_, part)), _) => *part += left,
        (None, Some(limit)) => parts.push((limit, owed)),
        (None, None) => return vec![unsigned(spender, asked)],
    }
    let mut debits: Vec<_> = parts.into_iter().map(|(limit, amount)| signed(&limit.signed, amount)).collect();
    if let Some(first) = debits.first_mut() {
        first.dataPart = U256::from(asked.data_wei.0);
    }
    debits
}

/// A signature that is none after all is the vault's to refuse: that is its payer's loss, and holds up nobody.
fn signed(limit: &SignedSpendingLimit, amount: U256) -> PaymentVault::Debit {
    let signature = signature_bytes(&limit.signature).map(Bytes::from).unwrap_or_default();
    let limit = PaymentVault::SpendingLimit {
        payer: limit.payer,
        spender: limit.spender,
        maxAmount: limit.max_amount,
        expiry: limit.expiry,
        nonce: limit.nonce,
    };
    PaymentVault::Debit { limit, signature, amount, dataPart: U256::ZERO, modelPart: U256::ZERO }
}

/// A debit that takes nothing, so that the debt stands on chain: its limit ended long ago.
fn unsigned(spender: Address, asked: &Asked) -> PaymentVault::Debit {
    let limit = PaymentVault::SpendingLimit { payer: asked.payer, spender, maxAmount: U256::ZERO, expiry: 0, nonce: U256::ZERO };
    let signature = Bytes::new();
    PaymentVault::Debit { limit, signature, amount: U256::from(asked.amount_wei.0), dataPart: U256::ZERO, modelPart: U256::ZERO }
}

#[cfg(test)]
mod tests {
    use schemas::tables::Wei;

    use super::*;
    use crate::limits::tests::limit;

    const NOW: u64 = 100;

    fn asked(owed: u64, is_new: bool) -> Asked {
        Asked { payer: Address::repeat_byte(9), amount_wei: Wei(owed.into()), data_wei: Wei(u128::from(owed) / 2), is_new }
    }

    /// `limits`: room and end; expected: nonce of the limit (its room at first) and amount.
    fn check(owed: u64, is_new: bool, balance: u64, limits: &[(u64, u64)], expected: &[(u64, u64)]) {
        let standing = limits.iter().map(|(room, ends_at)| limit(*room, *ends_at, false)).collect();
        let debits = debits(&asked(owed, is_new), standing, U256::from(balance), NOW, Address::ZERO, 8);
        let found: Vec<(u64, u64)> = debits.iter().map(|debit| (debit.limit.nonce.to(), debit.amount.to())).collect();
        assert_eq!(found, expected, "{owed} over {limits:?}");
        let data: U256 = debits.iter().map(|debit| debit.dataPart).sum();
        assert!(data.is_zero() || data == U256::from(owed / 2));
    }

    #[test]
    fn the_fewest_limits_are_chosen() {
        check(7, true, 99, &[(10, 200)], &[(10, 7)]);
        check(7, true, 99, &[(1, 200), (2, 200), (9, 200)], &[(9, 7)]);
        check(7, true, 99, &[(5, 200), (1, 200), (4, 200)], &[(5, 5), (4, 2)]);
        // Ended ones and those without room are left alone.
        check(7, true, 99, &[(50, 100), (8, 101), (0, 200)], &[(8, 7)]);
    }

    #[test]
    fn what_is_short_is_put_on_record_once() {
        check(7, true, 99, &[(5, 200), (1, 200)], &[(5, 5), (1, 2)]);
        check(7, true, 99, &[(50, 100)], &[(50, 7)]);
        check(7, true, 99, &[], &[(0, 7)]);
        // A debt of before is asked for again only when something can be taken.
        check(7, false, 99, &[], &[]);
        check(7, false, 99, &[(50, 100)], &[]);
        check(7, false, 0, &[(9, 200)], &[]);
        check(7, false, 1, &[(9, 200)], &[(9, 7)]);
    }

    #[test]
    fn no_payer_needs_more_limits_than_are_allowed() {
        let limits: Vec<Standing> = (0..300).map(|_| limit(1, 200, false)).collect();
        let debits = debits(&asked(300, true), limits, U256::from(999u64), NOW, Address::ZERO, 8);
        assert_eq!(debits.iter().map(|debit| debit.amount).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 1, 293].map(U256::from));
    }

    #[test]
    fn a_signature_that_is_none_holds_up_nobody() {
        for signature in ["0X11", "", "0xzz", "é"] {
            let mut bad = limit(9, 200, false);
            bad.signed.signature = signature.into();
            let debits = debits(&asked(7, true), vec![bad], U256::from(99u64), NOW, Address::ZERO, 8);
            assert!(debits.len() == 1 && debits[0].signature.is_empty() && debits[0].amount == U256::from(7u64));
        }
    }

    /// Every debt up to 12 over every three limits up to 5: nothing is added or lost, and no room exceeded where there is enough.
    #[test]
    fn debts_are_divided_exactly() {
        for code in 0..13u64 * 6 * 6 * 6 {
            let (owed, rooms) = (code % 13, [code / 13 % 6, code / 78 % 6, code / 468]);
            if owed == 0 {
                continue;
            }
            let standing: Vec<Standing> = rooms.iter().map(|room| limit(*room, 200, false)).collect();
            let debits = debits(&asked(owed, true), standing, U256::from(99u64), NOW, Address::ZERO, 8);
            assert_eq!(debits.iter().map(|debit| debit.amount).sum::<U256>(), U256::from(owed));
            assert!(debits.iter().all(|debit| !debit.amount.is_zero()));
            if rooms.iter().sum::<u64>() >= owed {
                assert!(debits.iter().all(|debit| debit.amount <= debit.limit.nonce), "{owed} over {rooms:?}");
            }
        }
    }
}
