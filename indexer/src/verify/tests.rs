//! Against op-alloy, which encodes receipts for nodes.

use super::*;
use alloy_consensus::{Eip658Value, Receipt, ReceiptWithBloom, proofs::calculate_receipt_root};
use op_alloy_consensus::{OpDepositReceipt, OpDepositReceiptWithBloom, OpReceiptEnvelope};
use proptest::prelude::*;
use schemas::alloy_primitives::{Log, LogData};

fn theirs(receipt: &ReceiptMeta, logs: Vec<Log>) -> OpReceiptEnvelope {
    let inner = Receipt { status: Eip658Value::Eip658(receipt.succeeded), cumulative_gas_used: receipt.cumulative_gas_used, logs };
    let with_bloom = |receipt: &ReceiptMeta, inner| ReceiptWithBloom { receipt: inner, logs_bloom: receipt.logs_bloom };
    match receipt.transaction_type {
        0 => OpReceiptEnvelope::Legacy(with_bloom(receipt, inner)),
        1 => OpReceiptEnvelope::Eip2930(with_bloom(receipt, inner)),
        2 => OpReceiptEnvelope::Eip1559(with_bloom(receipt, inner)),
        4 => OpReceiptEnvelope::Eip7702(with_bloom(receipt, inner)),
        _ => OpReceiptEnvelope::Deposit(OpDepositReceiptWithBloom {
            receipt: OpDepositReceipt {
                inner,
                deposit_nonce: receipt.deposit_nonce,
                deposit_receipt_version: receipt.deposit_receipt_version,
            },
            logs_bloom: receipt.logs_bloom,
        }),
    }
}

type Shape = (usize, bool, u64, Option<u64>, Vec<(u8, usize, usize)>);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let logs = prop::collection::vec((any::<u8>(), 0usize..=4, 0usize..120), 0..4);
    prop::collection::vec((0usize..5, any::<bool>(), any::<u64>(), any::<Option<u64>>(), logs), 0..9)
}

proptest! {
    #[test]
    fn the_root_is_the_one_nodes_compute(shapes in shapes()) {
        let mut block = BlockReceipts::default();
        let mut envelopes = Vec::new();
        for (kind, succeeded, gas, nonce, shape) in shapes {
            let mut logs = Vec::new();
            let mut logs_bloom = Bloom::ZERO;
            for (byte, topics, data) in shape {
                let log = Log {
                    address: Address::repeat_byte(byte),
                    data: LogData::new_unchecked(vec![B256::repeat_byte(byte ^ 1); topics], vec![byte; data].into()),
                };
                logs_bloom.accrue_log(&log);
                block.logs.push(LogRef {
                    block_number: 1, block_hash: B256::ZERO, block_timestamp: 0, transaction_hash: B256::ZERO, transaction_index: 0,
                    log_index: block.logs.len() as u64, address: log.address, topics: log.topics(), data: &log.data.data,
                }).unwrap();
                logs.push(log);
            }
            let receipt = ReceiptMeta {
                transaction_type: [0, 1, 2, 4, DEPOSIT][kind], succeeded, cumulative_gas_used: gas, logs_bloom,
                deposit_nonce: nonce, deposit_receipt_version: nonce.map(|_| 1), logs_end: block.logs.len(),
            };
            envelopes.push(theirs(&receipt, logs));
            block.receipts.push(receipt);
        }
        let root = block.root();
        prop_assert_eq!(root, calculate_receipt_root(&envelopes));
        // The filter never misses a log that is there.
        for log in block.logs.iter() {
            let mut bloom = Bloom::ZERO;
            block.receipts.iter().for_each(|receipt| bloom.accrue_bloom(&receipt.logs_bloom));
            prop_assert!(LogFilter::of_addresses(&[log.address]).may_be_in(&bloom));
            let by_topic = LogFilter::new([], log.topic0());
            prop_assert_eq!(by_topic.admits(&log), log.topic0().is_some());
            prop_assert_eq!(by_topic.may_be_in(&bloom), log.topic0().is_some());
            let restricted = |topic| LogFilter::of_addresses(&[log.address]).only_events([topic]);
            prop_assert!(log.topic0().is_none_or(|topic| restricted(topic).admits(&log) && restricted(topic).may_be_in(&bloom)));
            prop_assert!(!restricted(keccak256("another")).admits(&log));
        }
    }

    /// Any change to a log changes the root.
    #[test]
    fn a_changed_log_shows(byte in any::<u8>(), data in prop::collection::vec(any::<u8>(), 1..90), flip in any::<prop::sample::Index>()) {
        let block = |data: &[u8]| {
            let mut block = BlockReceipts::default();
            block.logs.push(LogRef {
                block_number: 1, block_hash: B256::ZERO, block_timestamp: 0, transaction_hash: B256::ZERO, transaction_index: 0,
                log_index: 0, address: Address::repeat_byte(byte), topics: &[B256::ZERO], data,
            }).unwrap();
            block.receipts.push(ReceiptMeta {
                transaction_type: 2, succeeded: true, cumulative_gas_used: 1, logs_bloom: Bloom::ZERO,
                deposit_nonce: None, deposit_receipt_version: None, logs_end: 1,
            });
            block.root()
        };
        let mut changed = data.clone();
        changed[flip.index(data.len())] ^= 1;
        prop_assert_ne!(block(&data), block(&changed));
    }
}

/// Each contract has events of its own: what one is followed for is not wanted of the other, by filter, bloom or query.
#[test]
fn each_contract_is_restricted_to_its_own_events() {
    let [whole, transfers, mints] = [1, 2, 3].map(Address::repeat_byte);
    let [transfer, mint, other] = ["transfer", "mint", "other"].map(keccak256);
    let filter = LogFilter::of_addresses(&[mints, whole, transfers]).only_events_of(transfers, [transfer]).only_events_of(mints, [mint]);
    assert_eq!(
        filter.queries(),
        [
            LogQuery { addresses: vec![whole], topics: Vec::new() },
            LogQuery { addresses: vec![transfers, mints], topics: sorted([transfer, mint]) },
        ]
    );
    let cases = [
        (whole, Some(other), true),
        (whole, None, true),
        (transfers, Some(transfer), true),
        (transfers, Some(mint), false),
        (transfers, None, false),
        (mints, Some(mint), true),
        (mints, Some(transfer), false),
        (Address::ZERO, Some(transfer), false),
    ];
    for (address, topic, is_wanted) in cases {
        let topics: Vec<B256> = topic.into_iter().collect();
        let log = LogRef {
            block_number: 1,
            block_hash: B256::ZERO,
            block_timestamp: 0,
            transaction_hash: B256::ZERO,
            transaction_index: 0,
            log_index: 0,
            address,
            topics: &topics,
            data: &[],
        };
        let mut bloom = Bloom::ZERO;
        bloom.accrue_log(&Log { address, data: LogData::new_unchecked(topics.clone(), Default::default()) });
        assert_eq!((filter.admits(&log), filter.may_be_in(&bloom)), (is_wanted, is_wanted), "{address} {topic:?}");
        assert!(!is_wanted || filter.queries().iter().any(|query| query.matches(&log)), "what is wanted is asked for");
    }
    assert!(filter.names(mints) && !filter.names(Address::ZERO));
    let by_topic = LogFilter::new([], [transfer]).queries();
    assert_eq!(by_topic, [LogQuery { addresses: Vec::new(), topics: vec![transfer] }]);
}

#[test]
fn an_empty_filter_wants_nothing() {
    let filter = LogFilter::default();
    assert!(filter.is_empty() && !filter.may_be_in(&Bloom::repeat_byte(0xff)));
}
