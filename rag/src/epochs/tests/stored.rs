//! Epochs over tables, read a part at a time.

use std::collections::{BTreeMap, BTreeSet};

use schemas::receipt::ReceiptBody;
use schemas::tables::{DebtRow, EpochRow, Millis, ReceiptRow, RewardRow, Wei};
use schemas::{Address, B256};
use store::Store;

use super::collected::{asked, collection};
use super::receipt;
use crate::RagError;
use crate::epochs::{self, ClosingTerms, EpochInputs, Policy, recompute_epoch};
use crate::receipts::RECEIPTS_AT_ONCE;

const POLICY: Policy = Policy { block_number: 5, cap_wei: Wei(0), funded_by: BTreeMap::new(), linked: Vec::new() };
const TERMS: ClosingTerms =
    ClosingTerms { block_number: 5, block_hash: B256::ZERO, data_bps: 7_000, reserve_wei: Wei(900), policy: POLICY };

fn bodies(count: u64) -> Vec<ReceiptBody> {
    let body = |n: u64| {
        let fee = n % 7 * 100;
        let (payer, contributor) = ((n % 5 + 20) as u8, (n % 9 + 2) as u8);
        receipt(n, fee.into(), (fee > 0).then_some(payer), &[(1, 300_000), (contributor, 500_000)])
    };
    (1..=count).map(body).collect()
}

fn row(body: &ReceiptBody) -> ReceiptRow {
    let (text, body_hash) = body.canonical().unwrap();
    ReceiptRow {
        answer_id: body.answer_id,
        sequence: body.sequence,
        datanet_id: body.datanet_id,
        version: body.version,
        fee_wei: body.fee_wei,
        payer: body.payer,
        body: text,
        body_hash,
        signer: Address::ZERO,
        signature: String::new(),
        issued_at: Millis(0),
    }
}

async fn insert(store: &Store, bodies: &[ReceiptBody]) {
    let mut rows: Vec<ReceiptRow> = bodies.iter().map(row).collect();
    // The order in a table is nobody's.
    rows.sort_by_key(|row| row.body_hash);
    store.insert_new(&rows).await.unwrap();
}

/// Some payers pay nothing and some a part, so that the second epoch reads receipts of the first again.
#[tokio::test]
async fn epochs_over_tables_are_those_of_their_receipts() {
    let store = Store::in_memory().await.unwrap();
    let per_epoch = RECEIPTS_AT_ONCE as u64 * 2 + 3;
    let all = bodies(2 * per_epoch);
    let (mut debts, mut rewards): (Vec<DebtRow>, Vec<RewardRow>) = Default::default();
    for epoch in 1..=2u64 {
        let upto = &all[..(epoch * per_epoch) as usize];
        insert(&store, upto).await;
        let closing = epochs::close(&store, TERMS, &BTreeSet::new()).await.unwrap();
        assert_eq!((closing.first_sequence, closing.last_sequence), ((epoch - 1) * per_epoch + 1, epoch * per_epoch));
        let wanted = asked(&closing, upto, &debts).unwrap();
        assert_eq!(epochs::asked(&store, closing.clone()).await.unwrap(), wanted);
        let taken: Vec<(u8, u128, u128)> = (wanted.iter().zip([0, 1, 2, 2, 2]))
            .map(|(asked, halves)| (asked.payer[0], asked.amount_wei.0 * halves / 2, asked.data_wei.0 * halves / 2))
            .collect();
        let chain = collection(&taken, 10u128.pow(9));
        let settled = epochs::settle(&store, closing.clone(), chain.clone()).await.unwrap();
        let inputs =
            EpochInputs { closing: &closing, policy: Some(&POLICY), receipts: upto, debts: &debts, rewards: &rewards, collection: &chain };
        let computed = recompute_epoch(&inputs).unwrap();
        assert_eq!((settled.reward_root, settled.artifact_hash), (computed.reward_root, computed.artifact_hash));
        assert!(computed.unpaid_wei.0 > 0 && computed.reserve_used_wei.0 > 0);
        (debts, rewards) = (computed.debts, computed.rewards);
    }
    assert_eq!(store.count::<EpochRow>(None).await.unwrap(), 2);
}

#[tokio::test]
async fn receipts_that_are_missing_or_changed_stop_an_epoch() {
    let store = Store::in_memory().await.unwrap();
    let all = bodies(6);
    insert(&store, &[&all[..2], &all[3..]].concat()).await;
    let refused = epochs::close(&store, TERMS, &BTreeSet::new()).await.unwrap_err();
    assert!(matches!(&refused, RagError::Unproven(problem) if problem.contains("1 to 6")), "{refused}");
    let mut changed = row(&all[2]);
    changed.body = changed.body.replace("300000", "300001");
    store.insert_new(&[changed]).await.unwrap();
    let closing = epochs::close(&store, TERMS, &BTreeSet::new()).await.unwrap();
    let refused = epochs::asked(&store, closing).await.unwrap_err();
    assert!(matches!(&refused, RagError::Unproven(problem) if problem.contains("receipt 3")), "{refused}");
}

/// An attempt that was killed between the policy and the closing leaves nothing that binds the next one.
#[tokio::test]
async fn an_epoch_has_the_policy_that_it_was_closed_by() {
    let store = Store::in_memory().await.unwrap();
    insert(&store, &bodies(9)).await;
    let funders = |byte: u8| (Address::repeat_byte(byte), BTreeSet::from([Address::repeat_byte(0xf0)]));
    Policy { cap_wei: Wei(5), ..POLICY }.keep(&store, 1).await.unwrap();
    let policy = Policy { funded_by: BTreeMap::from([funders(21), funders(99)]), ..POLICY };
    let terms = ClosingTerms { policy: policy.clone(), ..TERMS };
    epochs::close(&store, terms, &BTreeSet::new()).await.unwrap();
    let kept = epochs::policy_of(&store, 1).await.unwrap();
    assert_eq!(kept, Some(Policy { funded_by: BTreeMap::from([funders(21)]), ..policy }), "what concerns nobody who pays is left out");
    assert_eq!(epochs::policy_of(&store, 2).await.unwrap(), None);
    // Closed once, it is fixed.
    epochs::close(&store, TERMS, &BTreeSet::new()).await.unwrap();
    assert_eq!(epochs::policy_of(&store, 1).await.unwrap(), kept);
}
