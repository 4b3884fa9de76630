//! The digest of an index: one hash per block that two indexers of the same contracts compare.
//!
//! `d(0) = 0`. A block without wanted logs keeps the digest of the block before it. Otherwise
//! `d(n) = sha256(d(n-1) || block hash || sha256(log || log || ...))`, each log as its log index (u64),
//! transaction hash, address, number of topics (u8), topics, length of data (u64) and data, integers
//! big-endian. It does not depend on ranges, order of arrival or verification level, so a difference is
//! found by bisection. SHA-256 because processors compute it several times faster than keccak256.

use schemas::B256;
use schemas::hashing::Sha256Hasher;
use schemas::tables::LogRef;

/// The digest after a block with these logs, which must be in order.
pub fn extend<'a>(before: B256, block_hash: B256, logs: impl IntoIterator<Item = LogRef<'a>>) -> B256 {
    let mut logs = logs.into_iter().peekable();
    if logs.peek().is_none() {
        return before;
    }
    let mut hasher = Sha256Hasher::default();
    for log in logs {
        hasher.update(&log.log_index.to_be_bytes());
        hasher.update(log.transaction_hash.as_slice());
        hasher.update(log.address.as_slice());
        hasher.update(&[log.topics.len() as u8]);
        log.topics.iter().for_each(|topic| hasher.update(topic.as_slice()));
        hasher.update(&(log.data.len() as u64).to_be_bytes());
        hasher.update(log.data);
    }
    let logs = hasher.finish();
    let mut hasher = Sha256Hasher::default();
    hasher.update(before.as_slice());
    hasher.update(block_hash.as_slice());
    hasher.update(logs.as_slice());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Address;
    use schemas::hashing::sha256;

    const TOPICS: [B256; 1] = [B256::repeat_byte(6)];

    fn log(index: u64, data: &[u8]) -> LogRef<'_> {
        LogRef {
            block_number: 3,
            block_hash: B256::repeat_byte(3),
            block_timestamp: 9,
            transaction_hash: B256::repeat_byte(4),
            transaction_index: 0,
            log_index: index,
            address: Address::repeat_byte(5),
            topics: &TOPICS,
            data,
        }
    }

    /// The formula of the module's head, spelled out.
    #[test]
    fn the_formula_holds() {
        let (before, block) = (B256::repeat_byte(1), B256::repeat_byte(3));
        assert_eq!(extend(before, block, []), before);
        let mut bytes = Vec::new();
        for (index, data) in [(0u64, &b"ab"[..]), (1, b"")] {
            bytes.extend(index.to_be_bytes());
            bytes.extend([4; 32]);
            bytes.extend([5; 20]);
            bytes.push(1);
            bytes.extend([6; 32]);
            bytes.extend((data.len() as u64).to_be_bytes());
            bytes.extend(data);
        }
        let inner = sha256(&bytes);
        let outer = sha256(&[before.as_slice(), block.as_slice(), inner.0.as_slice()].concat());
        assert_eq!(extend(before, block, [log(0, b"ab"), log(1, b"")]), outer.0);
    }

    #[test]
    fn order_and_bounds_matter() {
        let of = |logs: &[LogRef<'_>]| extend(B256::ZERO, B256::ZERO, logs.iter().copied());
        let digests = [of(&[log(0, b"ab")]), of(&[log(0, b"a"), log(1, b"b")]), of(&[log(1, b"b"), log(0, b"a")]), of(&[log(1, b"ab")])];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest));
        }
    }
}
