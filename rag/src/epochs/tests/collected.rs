//! `rewards/2`: what is paid is what was collected.

use schemas::allocation::PPM;
use schemas::receipt::ReceiptBody;
use schemas::tables::{ClosingRow, DebtRow, Millis, RewardRow, Wei};
use schemas::{Address, B256};

use super::receipt;
use crate::RagError;
use crate::epochs::entries::entries;
use crate::epochs::rewards::{self, receipts_root};
use crate::epochs::{Asked, Collected, Collection, EpochComputation, EpochInputs, recompute_epoch};

pub(super) fn closing(epoch: u64, receipts: &[ReceiptBody], first_sequence: u64, data_bps: u64, reserve_wei: u128) -> ClosingRow {
    let own: Vec<&ReceiptBody> = receipts.iter().filter(|receipt| receipt.sequence >= first_sequence).collect();
    ClosingRow {
        epoch,
        first_sequence,
        last_sequence: own.last().map_or(first_sequence - 1, |last| last.sequence),
        receipt_count: own.len() as u64,
        total_wei: Wei(own.iter().map(|receipt| receipt.fee_wei.0).sum()),
        receipts_root: receipts_root(own.iter().map(|receipt| receipt.canonical().unwrap().1)).unwrap(),
        data_bps,
        reserve_wei: Wei(reserve_wei),
        block_number: 5,
        block_hash: B256::repeat_byte(5),
        closed_at: Millis(0),
    }
}

pub(super) fn asked(closing: &ClosingRow, receipts: &[ReceiptBody], debts: &[DebtRow]) -> Result<Vec<Asked>, RagError> {
    rewards::asked(closing, None, &entries(receipts)?, debts)
}

pub(super) fn payer(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// `collected`: payer byte, amount, and what of it went into the pool.
pub(super) fn collection(collected: &[(u8, u128, u128)], funded: u128) -> Collection {
    let one = |(byte, amount, data): &(u8, u128, u128)| Collected { payer: payer(*byte), amount_wei: Wei(*amount), data_wei: Wei(*data) };
    Collection {
        chain_id: 1,
        distributor: Address::repeat_byte(0xdd),
        to_block: 10,
        to_block_hash: B256::repeat_byte(1),
        collected: collected.iter().map(one).collect(),
        funded_wei: Wei(funded),
    }
}

/// An epoch after `before`, over all receipts given.
fn epoch(before: Option<&EpochComputation>, receipts: &[ReceiptBody], first: u64, reserve: u128, chain: &Collection) -> EpochComputation {
    try_epoch(before, receipts, first, reserve, chain).unwrap()
}

fn try_epoch(
    before: Option<&EpochComputation>,
    receipts: &[ReceiptBody],
    first: u64,
    reserve: u128,
    chain: &Collection,
) -> Result<EpochComputation, RagError> {
    let (debts, rewards): (&[DebtRow], &[RewardRow]) = before.map_or((&[], &[]), |before| (&before.debts, &before.rewards));
    let number = rewards.first().map_or(1, |row| row.epoch + 1);
    let closing = closing(number, receipts, first, 7_000, reserve);
    recompute_epoch(&EpochInputs { closing: &closing, policy: None, receipts, debts, rewards, collection: chain })
}

fn amounts(epoch: &EpochComputation) -> Vec<(u8, u128, u128)> {
    epoch.rewards.iter().map(|row| (row.account[0], row.amount_wei.0, row.cumulative_wei.0)).collect()
}

/// Payer, unpaid, credit, covered to, rewarded to, pool credit.
fn debts(epoch: &EpochComputation) -> Vec<(u8, u128, u128, u64, u64, u128)> {
    let row = |row: &DebtRow| (row.payer[0], row.unpaid_wei.0, row.credit_wei.0, row.covered_to, row.rewarded_to, row.pool_credit_wei.0);
    epoch.debts.iter().map(row).collect()
}

fn three() -> Vec<ReceiptBody> {
    vec![
        receipt(1, 1000, Some(9), &[(1, 500_000), (2, 250_000)]),
        receipt(2, 0, None, &[]),
        receipt(3, 11, Some(8), &[(2, PPM)]),
        receipt(4, 100, Some(9), &[(3, PPM)]),
    ]
}

#[test]
fn what_is_collected_is_paid() {
    let receipts = three();
    let asked = asked(&closing(1, &receipts, 1, 7_000, 0), &receipts, &[]).unwrap();
    // 350 and 175 of the first, 70 of the last
    let expected = [
        Asked { payer: payer(8), amount_wei: Wei(11), data_wei: Wei(7), is_new: true },
        Asked { payer: payer(9), amount_wei: Wei(1100), data_wei: Wei(595), is_new: true },
    ];
    assert_eq!(asked, expected);
    let first = epoch(None, &receipts, 1, 0, &collection(&[(8, 11, 7), (9, 1100, 595)], 602));
    assert_eq!(amounts(&first), [(1, 350, 350), (2, 182, 182), (3, 70, 70)]);
    assert_eq!((first.pool_wei, first.data_wei, first.unpaid_wei, first.reserve_used_wei), (Wei(602), Wei(602), Wei(0), Wei(0)));
    // the next one adds up; whoever earned nothing keeps the row
    let more = [receipt(5, 10, Some(9), &[(4, PPM)])];
    let second = epoch(Some(&first), &more, 5, 0, &collection(&[(9, 10, 7)], 609));
    assert_eq!(amounts(&second), [(1, 0, 350), (2, 0, 182), (3, 0, 70), (4, 7, 7)]);
    insta::assert_snapshot!(format!("{}\n{}\n{}", first.reward_root, first.artifact_hash, second.artifact_hash));
}

#[test]
fn a_default_costs_its_payers_receipts_and_nobody_elses() {
    // 9 pays nothing: 8's contributor is paid in full all the same.
    let first = epoch(None, &three(), 1, 0, &collection(&[(8, 11, 7)], 7));
    assert_eq!(amounts(&first), [(2, 7, 7)]);
    assert_eq!(debts(&first), [(8, 0, 0, 3, 3, 0), (9, 1100, 0, 0, 0, 0)]);
    assert_eq!(first.unpaid_wei, Wei(1100));
}

#[test]
fn what_came_short_stays_owed_and_is_covered_in_order() {
    // 1050 of 1100: the first receipt is paid for, 50 wei and 35 in the pool stay to the second's credit.
    let receipts = three();
    let first = epoch(None, &receipts, 1, 0, &collection(&[(8, 11, 7), (9, 1050, 595)], 602));
    assert_eq!(amounts(&first), [(1, 350, 350), (2, 182, 182)]);
    assert_eq!(debts(&first), [(8, 0, 0, 3, 3, 0), (9, 50, 50, 1, 1, 70)]);
    // Asked again with the next epoch, which has a receipt of another payer only.
    let mut later = vec![receipts[3].clone(), receipt(5, 10, Some(8), &[(2, PPM)])];
    let again = asked(&closing(2, &later, 5, 7_000, 0), &later, &first.debts).unwrap();
    let expected = [
        Asked { payer: payer(8), amount_wei: Wei(10), data_wei: Wei(7), is_new: true },
        Asked { payer: payer(9), amount_wei: Wei(50), data_wei: Wei(0), is_new: false },
    ];
    assert_eq!(again, expected);
    let second = epoch(Some(&first), &later, 5, 0, &collection(&[(8, 10, 7), (9, 50, 0)], 609));
    assert_eq!(amounts(&second), [(1, 0, 350), (2, 7, 189), (3, 70, 70)]);
    assert_eq!(second.unpaid_wei, Wei(0));
    // Whoever leaves the unpaid receipt out is told.
    later.remove(0);
    let error = try_epoch(Some(&first), &later, 5, 0, &collection(&[(8, 10, 7)], 609)).unwrap_err();
    assert!(error.to_string().contains("owes 50 wei"), "{error}");
}

/// An operator that asks for less than the receipts attribute takes it from contributors, and everybody can see it.
#[test]
fn what_an_operator_withholds_is_told() {
    let receipts = [receipt(1, 1000, Some(9), &[(1, 500_000), (2, 500_000)])];
    let first = epoch(None, &receipts, 1, 0, &collection(&[(9, 1000, 501)], 501));
    assert_eq!(amounts(&first), [(1, 251, 251), (2, 250, 250)]);
    assert_eq!((first.withheld_wei, first.debts[0].withheld_wei), (Wei(199), Wei(199)));
}

#[test]
fn the_operators_reserve_pays_in_order_and_is_given_back() {
    let mut receipts = three();
    receipts.push(receipt(5, 100, Some(7), &[(4, PPM)]));
    // Nobody pays; the reserve of 600 that the pool holds pays receipts 1 (525), 3 (7), and not 4 (70), which does not fit.
    let first = epoch(None, &receipts, 1, 600, &collection(&[], 600));
    assert_eq!(first.reserve_used_wei, Wei(532));
    assert_eq!(amounts(&first), [(1, 350, 350), (2, 182, 182)]);
    assert_eq!(debts(&first), [(7, 100, 0, 0, 0, 0), (8, 11, 0, 0, 3, 0), (9, 1100, 0, 0, 1, 0)]);
    // What the reserve paid is asked of the payer all the same, and not for the pool.
    let again = asked(&closing(2, &receipts, 6, 7_000, 0), &receipts, &first.debts).unwrap();
    assert_eq!(again.iter().map(|asked| (asked.amount_wei.0, asked.data_wei.0)).collect::<Vec<_>>(), [(100, 70), (11, 0), (1100, 70)]);
    // Never more than stated, and never more than the pool holds beyond its promises.
    assert_eq!(epoch(None, &receipts, 1, 530, &collection(&[], 10_000)).reserve_used_wei, Wei(525));
    assert_eq!(epoch(None, &receipts, 1, 10_000, &collection(&[], 526)).reserve_used_wei, Wei(525));
    assert_eq!(epoch(None, &receipts, 1, 10_000, &collection(&[(9, 1100, 595)], 595)).reserve_used_wei, Wei(0));
}

#[test]
fn an_epoch_that_pays_nobody_has_a_root() {
    let receipts = [receipt(1, 100, Some(9), &[(1, PPM)])];
    let first = epoch(None, &receipts, 1, 0, &collection(&[], 0));
    assert_eq!(amounts(&first), [(0, 0, 0)]);
    // An epoch without receipts of its own, for the debt alone.
    let second = epoch(Some(&first), &receipts, 2, 0, &collection(&[(9, 100, 70)], 70));
    assert_eq!(amounts(&second), [(1, 70, 70)]);
    assert_ne!(first.reward_root, second.reward_root);
}

#[test]
fn whoever_has_paid_starts_anew() {
    let mut receipts = vec![receipt(1, 100, Some(9), &[(1, PPM)]), receipt(2, 100, Some(8), &[(1, PPM)])];
    let first = epoch(None, &receipts, 1, 0, &collection(&[(9, 100, 70), (8, 100, 70)], 140));
    receipts.push(receipt(3, 100, Some(8), &[(1, PPM)]));
    let second = epoch(Some(&first), &receipts, 3, 0, &collection(&[(8, 100, 70)], 210));
    assert_eq!(debts(&second), [(8, 0, 0, 3, 3, 0)], "9 is not listed any more");
    receipts.push(receipt(4, 100, Some(9), &[(1, PPM)]));
    let third = epoch(Some(&second), &receipts, 4, 0, &collection(&[], 210));
    assert_eq!(debts(&third), [(9, 100, 0, 3, 3, 0)]);
    let again = asked(&closing(4, &receipts, 5, 7_000, 0), &receipts, &third.debts).unwrap();
    assert_eq!((again.len(), again[0].amount_wei), (1, Wei(100)), "the first receipt is paid for and stays so");
}

#[test]
fn whom_nobody_asked_keeps_a_credit() {
    let receipts = [receipt(1, 100, Some(9), &[(1, PPM)])];
    let first = epoch(None, &receipts, 1, 0, &collection(&[(9, 130, 70), (6, 5, 0)], 70));
    assert_eq!(debts(&first), [(6, 0, 5, 0, 0, 0), (9, 0, 30, 1, 1, 0)]);
    let more = [receipt(2, 100, Some(9), &[(1, PPM)])];
    let asked = asked(&closing(2, &more, 2, 7_000, 0), &more, &first.debts).unwrap();
    assert_eq!((asked[0].amount_wei, asked[0].data_wei), (Wei(70), Wei(70)));
}

#[test]
fn bad_input_is_refused() {
    let receipts = three();
    let refused = |receipts: &[ReceiptBody], chain: &Collection| try_epoch(None, receipts, 1, 0, chain).unwrap_err().to_string();
    let nothing = collection(&[], 0);
    assert!(refused(&[receipt(1, 100, None, &[(1, PPM)])], &nothing).contains("nobody pays"));
    let mut skewed = receipts.clone();
    skewed[0].unattributed_ppm = 5;
    assert!(refused(&skewed, &nothing).contains("sum"));
    assert!(refused(&receipts, &collection(&[(9, 1, 0), (9, 1, 0)], 0)).contains("twice"));
    assert!(refused(&receipts, &collection(&[(9, 1100, 595)], 594)).contains("less than the 595"));
    let huge = 10u128.pow(38) - 1;
    let two = [receipt(1, huge, Some(9), &[(1, PPM)]), receipt(2, huge, Some(9), &[(1, PPM)])];
    assert!(refused(&two, &nothing).contains("range"));
    // Other receipts than those that were closed over.
    let closed = closing(1, &receipts, 1, 7_000, 0);
    for given in [&receipts[..3], &receipts[1..]] {
        let inputs = EpochInputs { closing: &closed, policy: None, receipts: given, debts: &[], rewards: &[], collection: &nothing };
        assert!(recompute_epoch(&inputs).unwrap_err().to_string().contains("closed over"));
    }
    let steep = ClosingRow { data_bps: 10_001, ..closed };
    let inputs = EpochInputs { closing: &steep, policy: None, receipts: &receipts, debts: &[], rewards: &[], collection: &nothing };
    assert!(recompute_epoch(&inputs).unwrap_err().to_string().contains("data_bps"));
}
