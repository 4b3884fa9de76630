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

/// Which logs are wanted: those of the addresses, of some with one of their first topics only, and those of any address whose
/// first topic is one of the topics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFilter {
    /// By address, each once.
    contracts: Vec<Wanted>,
    topics: Vec<B256>,
    topic_hashes: Vec<B256>,
}

/// A contract whose logs are wanted. Hashes are keccak256, which a bloom filter is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    address: Address,
    address_hash: B256,
    /// First topics to which its logs are restricted, ascending; empty: all.
    events: Vec<B256>,
    event_hashes: Vec<B256>,
}

impl Wanted {
    fn new(address: Address) -> Self {
        Self { address, address_hash: keccak256(address), events: Vec::new(), event_hashes: Vec::new() }
    }

    fn restrict(&mut self, events: impl IntoIterator<Item = B256>) {
        self.events = sorted(events);
        self.event_hashes = self.events.iter().map(keccak256).collect();
    }
}

/// What a node is asked for: logs of one of the addresses, or of any where there is none, with one of the first topics, or with
/// any where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub addresses: Vec<Address>,
    pub topics: Vec<B256>,
}

impl LogQuery {
    pub fn matches(&self, log: &LogRef<'_>) -> bool {
        (self.addresses.is_empty() || self.addresses.binary_search(&log.address).is_ok())
            && (self.topics.is_empty() || is_one_of(&self.topics, log))
    }
}

impl LogFilter {
    pub fn new(addresses: impl IntoIterator<Item = Address>, topics: impl IntoIterator<Item = B256>) -> Self {
        let (addresses, topics) = (sorted(addresses), sorted(topics));
        let topic_hashes = topics.iter().map(keccak256).collect();
        Self { contracts: addresses.into_iter().map(Wanted::new).collect(), topics, topic_hashes }
    }

    /// Wants of the addresses only logs with one of these first topics; all if there is none.
    pub fn only_events(mut self, events: impl IntoIterator<Item = B256>) -> Self {
        let events = sorted(events);
        self.contracts.iter_mut().for_each(|wanted| wanted.restrict(events.iter().copied()));
        self
    }

    /// Wants of one of the addresses only logs with one of these first topics; all if there is none.
    pub fn only_events_of(mut self, address: Address, events: impl IntoIterator<Item = B256>) -> Self {
        if let Some(wanted) = self.place_of(address).and_then(|place| self.contracts.get_mut(place)) {
            wanted.restrict(events);
        }
        self
    }

    pub fn of_addresses(addresses: &[Address]) -> Self {
        Self::new(addresses.iter().copied(), [])
    }

    fn place_of(&self, address: Address) -> Option<usize> {
        self.contracts.binary_search_by_key(&address, |wanted| wanted.address).ok()
    }

    /// Whether logs of this address are wanted, be it for some first topics only.
    pub fn names(&self, address: Address) -> bool {
        self.place_of(address).is_some()
    }

    /// What to ask a node for. It may answer more than is wanted: contracts that are restricted are asked for together.
    pub fn queries(&self) -> Vec<LogQuery> {
        let (restricted, whole): (Vec<&Wanted>, Vec<&Wanted>) = self.contracts.iter().partition(|wanted| !wanted.events.is_empty());
        let addresses = |wanted: &[&Wanted]| wanted.iter().map(|wanted| wanted.address).collect::<Vec<_>>();
        let events = sorted(restricted.iter().flat_map(|wanted| wanted.events.iter().copied()));
        let queries = [
            LogQuery { addresses: addresses(&whole), topics: Vec::new() },
            LogQuery { addresses: addresses(&restricted), topics: events },
            LogQuery { addresses: Vec::new(), topics: self.topics.clone() },
        ];
        queries.into_iter().filter(|query| !query.addresses.is_empty() || !query.topics.is_empty()).collect()
    }

    /// Whether no log at all is wanted.
    pub fn is_empty(&self) -> bool {
        self.contracts.is_empty() && self.topics.is_empty()
    }

    pub fn admits(&self, log: &LogRef<'_>) -> bool {
        let wanted = self.place_of(log.address).and_then(|place| self.contracts.get(place));
        wanted.is_some_and(|wanted| wanted.events.is_empty() || is_one_of(&wanted.events, log)) || is_one_of(&self.topics, log)
    }

    /// False is proof that a block with this bloom filter holds no wanted log.
    pub fn may_be_in(&self, bloom: &Bloom) -> bool {
        let holds = |hash: &B256| bloom.contains_input(BloomInput::Hash(*hash));
        let may_hold =
            |wanted: &Wanted| holds(&wanted.address_hash) && (wanted.event_hashes.is_empty() || wanted.event_hashes.iter().any(holds));
        self.contracts.iter().any(may_hold) || self.topic_hashes.iter().any(holds)
    }
}

/// Whether a log's first topic is one of these, which ascend.
fn is_one_of(topics: &[B256], log: &LogRef<'_>) -> bool {
    log.topic0().is_some_and(|topic| topics.binary_search(&topic).is_ok())
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
