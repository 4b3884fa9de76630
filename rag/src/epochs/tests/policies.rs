//! Whom an epoch does not pay.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use schemas::Address;
use schemas::allocation::PPM;
use schemas::receipt::ReceiptBody;
use schemas::tables::Wei;

use super::collected::{closing, collection, payer};
use super::receipt;
use crate::epochs::entries::entries;
use crate::epochs::{EpochComputation, EpochInputs, Policy, recompute_epoch, rewards};

/// By contributor, what each earns; and what was asked of payers for the pool.
fn paid(receipts: &[ReceiptBody], policy: Option<&Policy>) -> (BTreeMap<u8, u128>, u128, EpochComputation) {
    let closing = closing(1, receipts, 1, 10_000, 0);
    let asked = rewards::asked(&closing, policy, &entries(receipts).unwrap(), &[]).unwrap();
    let taken: Vec<(u8, u128, u128)> = asked.iter().map(|asked| (asked.payer[0], asked.amount_wei.0, asked.data_wei.0)).collect();
    let pool = asked.iter().map(|asked| asked.data_wei.0).sum();
    let chain = collection(&taken, pool);
    let inputs = EpochInputs { closing: &closing, policy, receipts, debts: &[], rewards: &[], collection: &chain };
    let computed = recompute_epoch(&inputs).unwrap();
    let earned = computed.rewards.iter().filter(|row| row.amount_wei.0 > 0).map(|row| (row.account[0], row.amount_wei.0)).collect();
    (earned, pool, computed)
}

fn two_answers() -> Vec<ReceiptBody> {
    let shares = [(1, 400_000), (2, 300_000), (3, 200_000)];
    vec![receipt(1, 1000, Some(1), &shares), receipt(2, 1000, Some(9), &shares)]
}

fn accounts(bytes: &[u8]) -> BTreeSet<Address> {
    bytes.iter().copied().map(payer).collect()
}

#[test]
fn who_asks_does_not_pay_themselves() {
    let (earned, pool, before) = paid(&two_answers(), None);
    assert_eq!((earned, pool), (BTreeMap::from([(1, 800), (2, 600), (3, 400)]), 1800));
    let (earned, pool, computed) = paid(&two_answers(), Some(&Policy::default()));
    assert_eq!((earned, pool), (BTreeMap::from([(1, 400), (2, 600), (3, 400)]), 1400), "others neither gain nor lose");
    assert_ne!(computed.artifact_hash, before.artifact_hash);
    let other = Policy { block_number: 7, ..Policy::default() };
    assert_ne!(paid(&two_answers(), Some(&other)).2.artifact_hash, computed.artifact_hash, "the artifact binds the policy");
}

#[test]
fn a_link_is_between_a_payer_and_an_account() {
    let funded_by = BTreeMap::from([(payer(9), accounts(&[2]))]);
    let (earned, ..) = paid(&two_answers(), Some(&Policy { funded_by, ..Policy::default() }));
    assert_eq!(earned, BTreeMap::from([(1, 400), (2, 300), (3, 400)]), "2 paid in for 9, and earns in the answer of 1 alone");
    // 2 pays in for both: that ties 1 to nobody
    let funded_by = BTreeMap::from([(payer(9), accounts(&[2])), (payer(1), accounts(&[2]))]);
    let (earned, ..) = paid(&two_answers(), Some(&Policy { funded_by, ..Policy::default() }));
    assert_eq!(earned, BTreeMap::from([(1, 400), (3, 400)]));
    let linked = vec![accounts(&[9, 3, 7]), accounts(&[3, 1])];
    let (earned, ..) = paid(&two_answers(), Some(&Policy { linked, ..Policy::default() }));
    assert_eq!(earned, BTreeMap::from([(1, 400), (2, 600)]), "3 is of both parties, which are not one");
}

#[test]
fn what_is_beyond_the_cap_stays_in_the_pool() {
    let (earned, pool, computed) = paid(&two_answers(), Some(&Policy { cap_wei: Wei(450), ..Policy::default() }));
    assert_eq!((earned, pool), (BTreeMap::from([(1, 400), (2, 450), (3, 400)]), 1400));
    assert_eq!((computed.pool_wei, computed.withheld_wei), (Wei(1250), Wei(0)));
}

proptest! {
    /// Whatever the policy, nobody earns more than without one, and nothing is promised that is not there.
    #[test]
    fn a_policy_gives_nobody_anything(
        answers in proptest::collection::vec((1u128..10_000, 1u8..6, proptest::collection::btree_map(1u8..6, 1u64..200_000, 0..4)), 1..6),
        funded in proptest::collection::btree_map(1u8..6, proptest::collection::vec(1u8..6, 0..3), 0..3),
        linked in proptest::collection::vec(proptest::collection::vec(1u8..6, 0..4), 0..3),
        cap in prop_oneof![Just(0u128), 1u128..5_000],
    ) {
        let body = |(at, (fee, who, shares)): (usize, &(u128, u8, BTreeMap<u8, u64>))| {
            receipt(at as u64 + 1, *fee, Some(*who), &shares.iter().map(|(who, share)| (*who, *share)).collect::<Vec<_>>())
        };
        let receipts: Vec<ReceiptBody> = answers.iter().enumerate().map(body).collect();
        prop_assume!(receipts.iter().all(|receipt| receipt.shares.iter().map(|share| share.share_ppm).sum::<u64>() <= PPM));
        let policy = Policy {
            block_number: 0,
            cap_wei: Wei(cap),
            funded_by: funded.iter().map(|(who, funders)| (payer(*who), accounts(funders))).collect(),
            linked: linked.iter().map(|party| accounts(party)).collect(),
        };
        let (all, all_pool, _) = paid(&receipts, None);
        let (some, some_pool, _) = paid(&receipts, Some(&policy));
        prop_assert!(some_pool <= all_pool && some.values().sum::<u128>() <= some_pool);
        prop_assert!(some.iter().all(|(who, amount)| all.get(who).is_some_and(|before| amount <= before) && (cap == 0 || *amount <= cap)));
    }
}
