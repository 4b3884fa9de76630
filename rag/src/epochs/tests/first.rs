//! `rewards/1`, as it was.

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::allocation::{PPM, largest_remainder};
use schemas::receipt::ReceiptBody;
use schemas::tables::{RewardRow, Wei};
use schemas::{Address, B256};

use super::receipt;
use crate::RagError;
use crate::epochs::first::{EpochComputation, EpochCut, recompute_epoch};

fn cut(data_bps: u16) -> EpochCut {
    EpochCut { chain_id: 1, distributor: Address::repeat_byte(0xdd), to_block: 10, to_block_hash: B256::repeat_byte(1), data_bps }
}

fn amounts(epoch: &EpochComputation) -> Vec<(u8, u128, u128)> {
    epoch.rewards.iter().map(|row| (row.account[0], row.amount_wei.0, row.cumulative_wei.0)).collect()
}

#[test]
fn a_known_epoch() {
    let receipts = [
        receipt(1, 1000, Some(9), &[(1, 500_000), (2, 250_000)]),
        receipt(2, 0, None, &[]),
        receipt(3, 11, Some(8), &[(2, 1_000_000)]),
        receipt(4, 100, Some(9), &[]),
    ];
    let first = recompute_epoch(&receipts, &[], &cut(7000)).unwrap();
    // 700 of 1000: 350, 175, 175 unattributed; 7 of 11; 70 of 100 unattributed
    assert_eq!(amounts(&first), [(1, 350, 350), (2, 182, 182)]);
    assert_eq!((first.total_wei, first.pool_wei, first.platform_wei), (Wei(1111), Wei(532), Wei(579)));
    assert_eq!((first.epoch, first.first_sequence, first.last_sequence, first.receipt_count), (1, 1, 4, 4));
    // the next one adds up; whoever earned nothing keeps the row
    let second = recompute_epoch(&[receipt(5, 10, Some(9), &[(3, 1_000_000)])], &first.rewards, &cut(10_000)).unwrap();
    assert_eq!(amounts(&second), [(1, 0, 350), (2, 0, 182), (3, 10, 10)]);
    assert_eq!((second.epoch, second.total_cumulative_wei), (2, Wei(542)));
    insta::assert_snapshot!(format!("{}\n{}\n{}\n{}", first.reward_root, first.receipts_root, first.artifact_hash, second.artifact_hash));
}

#[test]
fn nothing_to_settle() {
    let nothing = |receipts: &[ReceiptBody]| matches!(recompute_epoch(receipts, &[], &cut(7000)), Err(RagError::NothingToSettle { .. }));
    assert!(nothing(&[]));
    assert!(nothing(&[receipt(1, 0, None, &[(1, PPM)])]), "not paid");
    assert!(nothing(&[receipt(1, 100, Some(9), &[])]), "nobody ever earned anything, so there is no root to propose");
}

#[test]
fn bad_input_is_refused() {
    let good = receipt(1, 100, Some(9), &[(1, PPM)]);
    let refused = |receipts: &[ReceiptBody]| recompute_epoch(receipts, &[], &cut(7000)).unwrap_err().to_string();
    assert!(refused(&[good.clone(), receipt(3, 1, Some(9), &[])]).contains("[1, 3]"), "a gap");
    assert!(refused(&[good.clone(), good.clone()]).contains("[1, 1]"), "twice the same");
    assert!(refused(&[receipt(1, 100, None, &[(1, PPM)])]).contains("nobody pays"));
    let mut skewed = good.clone();
    skewed.unattributed_ppm = 5;
    assert!(refused(&[skewed]).contains("sum"));
    let huge = 10u128.pow(38) - 1;
    assert!(refused(&[receipt(1, huge, Some(9), &[(1, PPM)]), receipt(2, huge, Some(9), &[(1, PPM)])]).contains("range"));
    assert!(matches!(recompute_epoch(&[good], &[], &cut(10_001)), Err(RagError::Config(_))));
}

fn receipts() -> impl Strategy<Value = Vec<ReceiptBody>> {
    let one = (prop_oneof![0u128..50, 0u128..10u128.pow(30)], 1u8..4, proptest::collection::btree_map(1u8..6, 1u128..100, 0..4), 0u128..50);
    proptest::collection::vec(one, 1..12).prop_map(|receipts| {
        (1..)
            .zip(receipts)
            .map(|(sequence, (fee, payer, owners, rest))| {
                let weights: Vec<u128> = owners.values().copied().chain([rest.max(1)]).collect();
                let parts = largest_remainder(PPM.into(), &weights);
                let shares: Vec<(u8, u64)> = owners.keys().copied().zip(parts.iter().map(|part| *part as u64)).collect();
                receipt(sequence, fee, Some(payer), &shares)
            })
            .collect()
    })
}

proptest! {
    /// Over any epochs: no wei is created or lost, cumulative amounts never fall, the order of
    /// receipts is irrelevant, and each account gets within one wei per receipt of its exact part.
    #[test]
    fn value_is_conserved(receipts in receipts(), at in any::<prop::sample::Index>(), data_bps in 0u16..=10_000) {
        let at = at.index(receipts.len());
        let mut previous: Vec<RewardRow> = vec![];
        for part in [&receipts[..at], &receipts[at..]] {
            let epoch = match recompute_epoch(part, &previous, &cut(data_bps)) {
                Ok(epoch) => epoch,
                Err(RagError::NothingToSettle { .. }) => return Ok(()),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            let fees: u128 = part.iter().map(|receipt| receipt.fee_wei.0).sum();
            prop_assert_eq!(epoch.total_wei.0, fees);
            prop_assert_eq!(epoch.pool_wei.0 + epoch.platform_wei.0, fees);
            prop_assert_eq!(epoch.rewards.iter().map(|row| row.amount_wei.0).sum::<u128>(), epoch.pool_wei.0);
            prop_assert_eq!(epoch.rewards.iter().map(|row| row.cumulative_wei.0).sum::<u128>(), epoch.total_cumulative_wei.0);
            let before: BTreeMap<Address, u128> = previous.iter().map(|row| (row.account, row.cumulative_wei.0)).collect();
            for row in &epoch.rewards {
                prop_assert_eq!(row.cumulative_wei.0, before.get(&row.account).copied().unwrap_or(0) + row.amount_wei.0);
            }
            prop_assert!(before.keys().all(|account| epoch.rewards.iter().any(|row| row.account == *account)));
            for row in &epoch.rewards {
                let mut exact = 0u128;
                for receipt in part {
                    let share = receipt.shares.iter().find(|s| s.contributor == row.account).map_or(0, |s| s.share_ppm);
                    exact += receipt.fee_wei.0 * u128::from(data_bps) / 10_000 * u128::from(share) / 1_000_000;
                }
                prop_assert!(row.amount_wei.0 >= exact && row.amount_wei.0 <= exact + part.len() as u128);
            }
            let mut shuffled = part.to_vec();
            shuffled.reverse();
            prop_assert_eq!(&recompute_epoch(&shuffled, &previous, &cut(data_bps)).unwrap(), &epoch);
            previous = epoch.rewards;
        }
    }
}
