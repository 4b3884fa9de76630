//! Blocks of the scripted chain, with real receipts, bloom filters, roots and hashes.

use alloy_consensus::Header as ConsensusHeader;
use schemas::alloy_primitives::{Bloom, Bytes, Keccak256, Log as PrimitiveLog, LogData};
use schemas::tables::{LogRef, Logs};
use schemas::{Address, B256};

use crate::source::Header;
use crate::verify::{BlockReceipts, ReceiptMeta};

/// EIP-2718 type of an OP-Stack deposit.
const DEPOSIT: u8 = 0x7e;

/// An event as a test gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedLog {
    pub address: Address,
    /// At most four.
    pub topics: Vec<B256>,
    pub data: Bytes,
}

/// A transaction as a test gives it. Its hash follows from what is in it, not from where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedTransaction {
    /// EIP-2718 type; 0x7e is an OP-Stack deposit, whose receipt has a nonce and a version.
    pub transaction_type: u8,
    pub logs: Vec<ScriptedLog>,
}

impl ScriptedTransaction {
    pub fn new(logs: Vec<ScriptedLog>) -> Self {
        Self { transaction_type: 2, logs }
    }

    fn hash(&self) -> B256 {
        let mut hasher = Keccak256::new();
        hasher.update([self.transaction_type]);
        for log in &self.logs {
            hasher.update(log.address);
            log.topics.iter().for_each(|topic| hasher.update(topic));
            hasher.update(&log.data);
        }
        hasher.finalize()
    }
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) header: Header,
    /// What the header's hash covers.
    pub(super) consensus: ConsensusHeader,
    pub(super) receipts: BlockReceipts,
    /// Hashes, one for each receipt.
    pub(super) transactions: Vec<B256>,
}

impl Block {
    /// Its hash covers everything in it.
    pub(super) fn new(number: u64, parent_hash: B256, salt: u64, transactions: &[ScriptedTransaction]) -> Self {
        let timestamp = 1_700_000_000 + 2 * number;
        let metas = metas(transactions);
        let mut logs_bloom = Bloom::ZERO;
        metas.iter().for_each(|meta| logs_bloom.accrue_bloom(&meta.logs_bloom));
        let hashes: Vec<B256> = transactions.iter().map(ScriptedTransaction::hash).collect();
        let logs = |block_hash| place(transactions, &hashes, number, block_hash, timestamp);
        // The block's hash follows from the root, which does not cover it.
        let mut receipts = BlockReceipts { receipts: metas, logs: logs(B256::ZERO) };
        let receipts_root = receipts.root();
        let consensus = ConsensusHeader {
            number,
            parent_hash,
            timestamp,
            logs_bloom,
            receipts_root,
            extra_data: Bytes::copy_from_slice(&salt.to_be_bytes()),
            ..ConsensusHeader::default()
        };
        let hash = consensus.hash_slow();
        receipts.logs = logs(hash);
        let header = Header { number, hash, parent_hash, timestamp, logs_bloom, receipts_root, sealed: true };
        Self { header, consensus, receipts, transactions: hashes }
    }
}

fn metas(transactions: &[ScriptedTransaction]) -> Vec<ReceiptMeta> {
    let mut logs_end = 0;
    let meta = |(transaction, place): (&ScriptedTransaction, u64)| {
        let mut logs_bloom = Bloom::ZERO;
        for log in &transaction.logs {
            let data = LogData::new_unchecked(log.topics.clone(), log.data.clone());
            logs_bloom.accrue_log(&PrimitiveLog { address: log.address, data });
        }
        logs_end += transaction.logs.len();
        let is_deposit = transaction.transaction_type == DEPOSIT;
        ReceiptMeta {
            transaction_type: transaction.transaction_type,
            succeeded: true,
            cumulative_gas_used: 21_000 * (1 + place),
            logs_bloom,
            deposit_nonce: is_deposit.then_some(place),
            deposit_receipt_version: is_deposit.then_some(1),
            logs_end,
        }
    };
    transactions.iter().zip(0..).map(meta).collect()
}

fn place(transactions: &[ScriptedTransaction], hashes: &[B256], block_number: u64, block_hash: B256, block_timestamp: u64) -> Logs {
    let mut logs = Logs::default();
    for ((transaction, hash), transaction_index) in transactions.iter().zip(hashes).zip(0..) {
        for log in &transaction.logs {
            // A scripted log has at most four topics.
            let _ = logs.push(LogRef {
                block_number,
                block_hash,
                block_timestamp,
                transaction_hash: *hash,
                transaction_index,
                log_index: logs.len() as u64,
                address: log.address,
                topics: &log.topics,
                data: &log.data,
            });
        }
    }
    logs
}
