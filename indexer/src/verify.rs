//! What a block's own hash proves about its logs.
//!
//! A block hash commits to the header, the header to a bloom filter and to the root over all receipts,
//! and the receipts hold all logs. So a filter that the bloom rules out has no log in the block, and logs
//! taken from receipts with the right root are all there are, whatever node served them. Not covered:
//! the hashes of transactions, which the receipts do not hold. Pure functions; Ethereum Yellow Paper
//! 4.3, receipts of deposit transactions as in the OP Stack's specification.

use alloy_consensus::proofs::ordered_trie_root_with_encoder;
use alloy_rlp::{Encodable, Header as RlpHeader};
use schemas::alloy_primitives::{Bloom, BloomInput, keccak256};
use schemas::tables::{LogRef, Logs};
use schemas::{Address, B256};

/// Type byte of an OP-Stack deposit transaction.
const DEPOSIT: u8 = 0x7e;

/// Which logs are wanted: those of the addresses, and those of any address whose first topic is one of
/// the topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    addresses: Vec<Address>,
    /// First topics to which the addresses' logs are restricted; empty: all.
    events: Vec<B256>,
    topics: Vec<B256>,
    /// keccak256 of every address, event and topic: what a bloom filter is made of.
    address_hashes: Vec<B256>,
    event_hashes: Vec<B256>,
    topic_hashes: Vec<B256>,
}

impl LogFilter {
    pub fn new(addresses: impl IntoIterator<Item = Address>, topics: impl IntoIterator<Item = B256>) -> Self {
        let (addresses, topics) = (sorted(addresses), sorted(topics));
        let address_hashes = addresses.iter().map(keccak256).collect();
        let topic_hashes = topics.iter().map(keccak256).collect();
        Self { addresses, topics, address_hashes, topic_hashes, ..Self::default() }
    }

    /// Wants of the addresses only logs with one of these first topics; all if there is none.
    pub fn only_events(mut self, events: impl IntoIterator<Item = B256>) -> Self {
        self.events = sorted(events);
        self.event_hashes = self.events.iter().map(keccak256).collect();
        self
    }

    pub fn of_addresses(addresses: &[Address]) -> Self {
        Self::new(addresses.iter().copied(), [])
    }

    /// Ascending, each once.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// First topics to which the logs of the addresses are restricted; empty: all. Ascending, each once.
    pub fn events(&self) -> &[B256] {
        &self.events
    }

    /// First topics that are wanted whatever address emits them. Ascending, each once.
    pub fn topics(&self) -> &[B256] {
        &self.topics
    }

    /// Whether no log at all is wanted.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.topics.is_empty()
    }

    pub fn admits(&self, log: &LogRef<'_>) -> bool {
        let is_one_of = |topics: &[B256]| log.topic0().is_some_and(|topic| topics.binary_search(&topic).is_ok());
        let of_address = self.addresses.binary_search(&log.address).is_ok();
        (of_address && (self.events.is_empty() || is_one_of(&self.events))) || is_one_of(&self.topics)
    }

    /// False is proof that a block with this bloom filter holds no wanted log.
    pub fn may_be_in(&self, bloom: &Bloom) -> bool {
        let holds_any = |hashes: &[B256]| hashes.iter().any(|hash| bloom.contains_input(BloomInput::Hash(*hash)));
        let of_address = holds_any(&self.address_hashes) && (self.events.is_empty() || holds_any(&self.event_hashes));
        of_address || holds_any(&self.topic_hashes)
    }
}

fn sorted<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// A receipt without its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptMeta {
    /// EIP-2718 type; 0 for legacy.
    pub transaction_type: u8,
    pub succeeded: bool,
    pub cumulative_gas_used: u64,
    pub logs_bloom: Bloom,
    /// Only in receipts of deposits, since Regolith.
    pub deposit_nonce: Option<u64>,
    /// Only in receipts of deposits, since Canyon.
    pub deposit_receipt_version: Option<u64>,
    /// Where its logs end among those of the block.
    pub logs_end: usize,
}

/// All receipts of a block, as a node gave them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockReceipts {
    pub receipts: Vec<ReceiptMeta>,
    /// The logs of all receipts, in order, numbered as they stand there.
    pub logs: Logs,
}

impl BlockReceipts {
    /// The root that the header of their block must state.
    pub fn root(&self) -> B256 {
        let starts = std::iter::once(0).chain(self.receipts.iter().map(|receipt| receipt.logs_end));
        let placed: Vec<(&ReceiptMeta, usize)> = self.receipts.iter().zip(starts).collect();
        ordered_trie_root_with_encoder(&placed, |(receipt, logs_start), out: &mut Vec<u8>| {
            encode_receipt(receipt, &self.logs, *logs_start..receipt.logs_end, out);
        })
    }
}

fn encode_receipt(receipt: &ReceiptMeta, logs: &Logs, range: std::ops::Range<usize>, out: &mut Vec<u8>) {
    let logs = || range.clone().filter_map(|index| logs.get(index));
    let logs_payload: usize = logs().map(|log| list_length(log_payload(&log))).sum();
    let is_deposit = receipt.transaction_type == DEPOSIT;
    let nonce = receipt.deposit_nonce.filter(|_| is_deposit);
    let version = receipt.deposit_receipt_version.filter(|_| is_deposit);
    let payload_length = receipt.succeeded.length()
        + receipt.cumulative_gas_used.length()
        + receipt.logs_bloom.length()
        + list_length(logs_payload)
        + nonce.map_or(0, |nonce| nonce.length())
        + version.map_or(0, |version| version.length());
    if receipt.transaction_type != 0 {
        out.push(receipt.transaction_type);
    }
    RlpHeader { list: true, payload_length }.encode(out);
    receipt.succeeded.encode(out);
    receipt.cumulative_gas_used.encode(out);
    receipt.logs_bloom.encode(out);
    RlpHeader { list: true, payload_length: logs_payload }.encode(out);
    logs().for_each(|log| encode_log(&log, out));
    nonce.inspect(|nonce| nonce.encode(out));
    version.inspect(|version| version.encode(out));
}

/// Bytes of an RLP list with this payload.
fn list_length(payload_length: usize) -> usize {
    RlpHeader { list: true, payload_length }.length() + payload_length
}

/// Bytes of a 32-byte word in RLP.
const WORD: usize = 33;

fn log_payload(log: &LogRef<'_>) -> usize {
    log.address.length() + list_length(WORD * log.topics.len()) + log.data.length()
}

fn encode_log(log: &LogRef<'_>, out: &mut Vec<u8>) {
    RlpHeader { list: true, payload_length: log_payload(log) }.encode(out);
    log.address.encode(out);
    RlpHeader { list: true, payload_length: WORD * log.topics.len() }.encode(out);
    log.topics.iter().for_each(|topic| topic.encode(out));
    log.data.encode(out);
}

#[cfg(test)]
mod tests;
