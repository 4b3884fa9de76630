//! Any mix of payers, over several epochs, against a vault that takes what it may: a balance, limits that may end, and debits
//! in pieces. The oracle knows nothing of debts: a receipt is paid for when its payer's fees up to it are covered by all that
//! was ever taken from it.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::allocation::{PPM, largest_remainder};
use schemas::receipt::ReceiptBody;
use schemas::tables::{DebtRow, RewardRow, Wei};

use super::collected::{asked, closing, collection, payer};
use super::receipt;
use crate::epochs::{EpochInputs, recompute_epoch};

const PAYERS: u8 = 4;
/// This one always pays.
const HONEST: u8 = 1;

/// One epoch: receipts, and what each payer's debits give, in parts per thousand of what is asked.
#[derive(Debug, Clone)]
struct Period {
    receipts: Vec<(u128, u8, BTreeMap<u8, u128>, u128)>,
    takes: [u128; 4],
    pieces: u128,
}

fn periods() -> impl Strategy<Value = Vec<Period>> {
    let fee = prop_oneof![1u128..60, 1u128..10u128.pow(24)];
    let one = (fee, 1..=PAYERS, proptest::collection::btree_map(0xa0u8..0xa5, 1u128..100, 0..4), 0u128..50);
    let take = prop_oneof![Just(0u128), Just(1000u128), 0u128..=1000];
    let period = (proptest::collection::vec(one, 0..6), [take.clone(), take.clone(), take.clone(), take], 1u128..4);
    proptest::collection::vec(period.prop_map(|(receipts, takes, pieces)| Period { receipts, takes, pieces }), 1..5)
}

fn body(sequence: u64, (fee, payer, owners, rest): &(u128, u8, BTreeMap<u8, u128>, u128)) -> ReceiptBody {
    let weights: Vec<u128> = owners.values().copied().chain([(*rest).max(1)]).collect();
    let parts = largest_remainder(PPM.into(), &weights);
    let shares: Vec<(u8, u64)> = owners.keys().copied().zip(parts.iter().map(|part| *part as u64)).collect();
    receipt(sequence, *fee, Some(*payer), &shares)
}

/// As `PaymentVault` divides: a debt in pieces, the data part of each rounded up, what one leaves goes to the next.
fn vault(taken: u128, data_part: u128, pieces: u128, data_bps: u128) -> u128 {
    let mut left = data_part;
    for piece in largest_remainder(taken, &vec![1; pieces as usize]) {
        left -= left.min((piece * data_bps).div_ceil(10_000));
    }
    data_part - left
}

/// What each contributor is due by now, from all receipts and all that was ever taken.
fn oracle(receipts: &[ReceiptBody], taken: &BTreeMap<u8, u128>, data_bps: u128) -> BTreeMap<u8, u128> {
    let (mut due, mut fees): (BTreeMap<u8, u128>, BTreeMap<u8, u128>) = Default::default();
    for receipt in receipts {
        let payer = receipt.payer.unwrap()[0];
        let total = fees.entry(payer).or_default();
        *total += receipt.fee_wei.0;
        if *total > taken.get(&payer).copied().unwrap_or(0) {
            continue;
        }
        let mut weights: Vec<u128> = receipt.shares.iter().map(|share| share.share_ppm.into()).collect();
        weights.push(receipt.unattributed_ppm.into());
        for (share, part) in receipt.shares.iter().zip(largest_remainder(receipt.fee_wei.0 * data_bps / 10_000, &weights)) {
            *due.entry(share.contributor[0]).or_default() += part;
        }
    }
    due.retain(|_, wei| *wei > 0);
    due
}

proptest! {
    /// Contributors are paid exactly what covered receipts say, and so those of honest payers in the epoch, to the wei; never
    /// is more promised than the pool was given; and no wei of it is without an owner.
    #[test]
    fn honest_payers_contributors_are_paid_whatever_others_do(periods in periods(), data_bps in 0u128..=10_000) {
        let (mut receipts, mut taken, mut funded): (Vec<ReceiptBody>, BTreeMap<u8, u128>, u128) = Default::default();
        let (mut debts, mut rewards): (Vec<DebtRow>, Vec<RewardRow>) = Default::default();
        for (number, period) in (1u64..).zip(&periods) {
            let first = receipts.len() as u64 + 1;
            receipts.extend((first..).zip(&period.receipts).map(|(sequence, one)| body(sequence, one)));
            let closing = closing(number, &receipts, first, data_bps as u64, 0);
            let mut chain = Vec::new();
            for asked in asked(&closing, &receipts, &debts).unwrap() {
                let byte = asked.payer[0];
                let take = if byte == HONEST { 1000 } else { period.takes[usize::from(byte) - 1] };
                // Also to the wei around the borders.
                let amount = (asked.amount_wei.0 / 1000 * take + asked.amount_wei.0 % 1000 * take / 1000).min(asked.amount_wei.0);
                let data = vault(amount, asked.data_wei.0, period.pieces, data_bps);
                *taken.entry(byte).or_default() += amount;
                funded += data;
                chain.push((byte, amount, data));
            }
            let chain = collection(&chain, funded);
            let inputs = EpochInputs { closing: &closing, policy: None, receipts: &receipts, debts: &debts, rewards: &rewards, collection: &chain };
            let epoch = recompute_epoch(&inputs).unwrap();
            let paid: BTreeMap<u8, u128> =
                epoch.rewards.iter().filter(|row| row.cumulative_wei.0 > 0).map(|row| (row.account[0], row.cumulative_wei.0)).collect();
            prop_assert_eq!(&paid, &oracle(&receipts, &taken, data_bps));
            prop_assert!(epoch.total_cumulative_wei.0 <= funded && epoch.withheld_wei == Wei(0));
            let credits: u128 = epoch.debts.iter().map(|row| row.pool_credit_wei.0).sum();
            prop_assert_eq!(epoch.total_cumulative_wei.0 + credits, funded);
            let honest = epoch.debts.iter().find(|row| row.payer == payer(HONEST));
            prop_assert!(honest.is_none_or(|row| row.unpaid_wei == Wei(0) && row.pool_credit_wei == Wei(0)));
            let fees: u128 = receipts.iter().map(|receipt| receipt.fee_wei.0).sum();
            prop_assert_eq!(epoch.unpaid_wei.0 + taken.values().sum::<u128>(), fees, "what is not taken stays owed");
            (debts, rewards) = (epoch.debts, epoch.rewards);
        }
    }

    /// With a reserve, and a fee schedule that changes between asking and debiting: never more than the pool was given, never
    /// more of the reserve than stated, and no account's amount falls.
    #[test]
    fn nothing_is_promised_that_is_not_there(periods in periods(), schedule in proptest::collection::vec(0u128..=10_000, 8), reserve in 0u128..10_000) {
        let (mut receipts, mut funded): (Vec<ReceiptBody>, u128) = (Vec::new(), reserve * 2);
        let (mut debts, mut rewards): (Vec<DebtRow>, Vec<RewardRow>) = Default::default();
        for (number, period) in (1u64..).zip(&periods) {
            let first = receipts.len() as u64 + 1;
            receipts.extend((first..).zip(&period.receipts).map(|(sequence, one)| body(sequence, one)));
            let (at_close, at_debit) = (schedule[number as usize], schedule[number as usize + 1]);
            let closing = closing(number, &receipts, first, at_close as u64, reserve);
            let mut chain = Vec::new();
            for asked in asked(&closing, &receipts, &debts).unwrap() {
                let take = period.takes[usize::from(asked.payer[0]) - 1];
                let amount = asked.amount_wei.0 / 1000 * take;
                let data = vault(amount, asked.data_wei.0, period.pieces, at_debit);
                funded += data;
                chain.push((asked.payer[0], amount, data));
            }
            let chain = collection(&chain, funded);
            let inputs = EpochInputs { closing: &closing, policy: None, receipts: &receipts, debts: &debts, rewards: &rewards, collection: &chain };
            let epoch = recompute_epoch(&inputs).unwrap();
            let credits: u128 = epoch.debts.iter().map(|row| row.pool_credit_wei.0).sum();
            prop_assert!(epoch.total_cumulative_wei.0 + credits <= funded);
            prop_assert!(epoch.reserve_used_wei.0 <= reserve);
            prop_assert_eq!(epoch.rewards.iter().map(|row| row.amount_wei).map(|wei| wei.0).sum::<u128>(), epoch.pool_wei.0);
            for row in &rewards {
                let now = epoch.rewards.iter().find(|now| now.account == row.account).map_or(0, |now| now.cumulative_wei.0);
                prop_assert!(now >= row.cumulative_wei.0);
            }
            (debts, rewards) = (epoch.debts, epoch.rewards);
        }
    }
}
