//! `logs`: every event of the followed contracts, undecoded, hashes and data as bytes. SQL sees a view
//! with `0x` text over it, and the decoded tables are views too.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::cell::Raw;
use super::{Row, WriteMode, table};
use crate::SchemaError;

table! {
    /// One log; `(block_hash, log_index)` identifies it.
    LogRow = "logs", WriteMode::Append, indexed ["block_number", "address", "topic0"];
    block_number: u64,
    block_hash: Raw<B256>,
    /// Unix seconds of the block.
    block_timestamp: u64,
    transaction_hash: Raw<B256>,
    transaction_index: u64,
    log_index: u64,
    address: Raw<Address>,
    topic0: Option<Raw<B256>>,
    topic1: Option<Raw<B256>>,
    topic2: Option<Raw<B256>>,
    topic3: Option<Raw<B256>>,
    data: Bytes,
}

/// A log as it is read and written, without its own allocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRef<'a> {
    pub block_number: u64,
    pub block_hash: B256,
    /// Unix seconds of the block; 0 while it is not known.
    pub block_timestamp: u64,
    pub transaction_hash: B256,
    pub transaction_index: u64,
    /// Position among all logs of the block.
    pub log_index: u64,
    pub address: Address,
    /// 0 to 4.
    pub topics: &'a [B256],
    pub data: &'a [u8],
}

impl LogRef<'_> {
    pub fn topic0(&self) -> Option<B256> {
        self.topics.first().copied()
    }

    /// The position that orders the logs of a chain.
    pub fn position(&self) -> (u64, u64) {
        (self.block_number, self.log_index)
    }
}

/// Many logs, column by column: what a node's reply is read into and a record batch is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    block_number: Vec<i64>,
    block_hash: Vec<[u8; 32]>,
    block_timestamp: Vec<i64>,
    transaction_hash: Vec<[u8; 32]>,
    transaction_index: Vec<i64>,
    log_index: Vec<i64>,
    address: Vec<[u8; 20]>,
    topic_count: Vec<u8>,
    /// Four for each log; those beyond `topic_count` are zero.
    topics: Vec<[B256; 4]>,
    /// Where each log's data ends in `data`.
    data_end: Vec<i32>,
    data: Vec<u8>,
}

impl Logs {
    pub fn len(&self) -> usize {
        self.log_index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.log_index.is_empty()
    }

    /// Bytes held, about.
    pub fn size_bytes(&self) -> usize {
        self.len() * (4 * 8 + 2 * 32 + 20 + 4 * 32 + 5) + self.data.len()
    }

    /// # Errors
    /// [`SchemaError::BadColumn`] for numbers above 63 bits, more than 4 topics, or 2 GiB of data in all.
    pub fn push(&mut self, log: LogRef<'_>) -> Result<(), SchemaError> {
        let number = |column: &'static str, value: u64| i64::try_from(value).map_err(|_| bad(column, format!("{value} exceeds 63 bits")));
        let end = i32::try_from(self.data.len() + log.data.len()).map_err(|_| bad("data", "exceeds 2 GiB".into()))?;
        let mut topics = [B256::ZERO; 4];
        topics
            .get_mut(..log.topics.len())
            .ok_or_else(|| bad("topic3", format!("{} topics", log.topics.len())))?
            .copy_from_slice(log.topics);
        let (block_number, block_timestamp) = (number("block_number", log.block_number)?, number("block_timestamp", log.block_timestamp)?);
        let (transaction_index, log_index) = (number("transaction_index", log.transaction_index)?, number("log_index", log.log_index)?);
        self.block_number.push(block_number);
        self.block_hash.push(log.block_hash.0);
        self.block_timestamp.push(block_timestamp);
        self.transaction_hash.push(log.transaction_hash.0);
        self.transaction_index.push(transaction_index);
        self.log_index.push(log_index);
        self.address.push(log.address.0.0);
        self.topic_count.push(log.topics.len() as u8);
        self.topics.push(topics);
        self.data.extend_from_slice(log.data);
        self.data_end.push(end);
        Ok(())
    }

    /// The log at `index`; `None` beyond the end.
    pub fn get(&self, index: usize) -> Option<LogRef<'_>> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.data_end.get(before)?,
            None => 0,
        };
        let unsigned = |column: &[i64]| column.get(index).map(|value| value.unsigned_abs());
        Some(LogRef {
            block_number: unsigned(&self.block_number)?,
            block_hash: B256::new(*self.block_hash.get(index)?),
            block_timestamp: unsigned(&self.block_timestamp)?,
            transaction_hash: B256::new(*self.transaction_hash.get(index)?),
            transaction_index: unsigned(&self.transaction_index)?,
            log_index: unsigned(&self.log_index)?,
            address: Address::new(*self.address.get(index)?),
            topics: self.topics.get(index)?.get(..usize::from(*self.topic_count.get(index)?))?,
            data: self.data.get(start as usize..*self.data_end.get(index)? as usize)?,
        })
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = LogRef<'_>> + ExactSizeIterator {
        // Every index below the length is there.
        (0..self.len()).map(|index| self.get(index).unwrap_or(EMPTY))
    }

    /// Those logs for which `keep` says so, in order.
    pub fn filtered(&self, mut keep: impl FnMut(&LogRef<'_>) -> bool) -> Self {
        let mut kept = Self::default();
        for log in self.iter().filter(|log| keep(log)) {
            // It was taken before, so its numbers fit.
            let _ = kept.push(log);
        }
        kept
    }

    /// Adds the logs of `other` at the end.
    ///
    /// # Errors
    /// [`SchemaError::BadColumn`] when the data would exceed 2 GiB.
    pub fn append(&mut self, mut other: Self) -> Result<(), SchemaError> {
        if self.is_empty() {
            *self = other;
            return Ok(());
        }
        let offset = self.data.len();
        if i32::try_from(offset + other.data.len()).is_err() {
            return Err(bad("data", "exceeds 2 GiB".into()));
        }
        self.block_number.append(&mut other.block_number);
        self.block_hash.append(&mut other.block_hash);
        self.block_timestamp.append(&mut other.block_timestamp);
        self.transaction_hash.append(&mut other.transaction_hash);
        self.transaction_index.append(&mut other.transaction_index);
        self.log_index.append(&mut other.log_index);
        self.address.append(&mut other.address);
        self.topic_count.append(&mut other.topic_count);
        self.topics.append(&mut other.topics);
        self.data.append(&mut other.data);
        self.data_end.extend(other.data_end.iter().map(|end| end + offset as i32));
        Ok(())
    }

    /// Sets the time of every log from its block's number.
    pub fn set_timestamps(&mut self, timestamp_of: impl Fn(u64) -> Option<u64>) {
        for (number, timestamp) in self.block_number.iter().zip(&mut self.block_timestamp) {
            if let Some(known) = timestamp_of(number.unsigned_abs()) {
                *timestamp = i64::try_from(known).unwrap_or(i64::MAX);
            }
        }
    }

    /// Numbers the logs of one block by their places: those before the first of `transaction_ends` are
    /// of transaction 0, and so on.
    pub fn renumber(&mut self, transaction_ends: impl IntoIterator<Item = usize>) {
        let mut start = 0;
        for (transaction, end) in transaction_ends.into_iter().enumerate() {
            for index in start..end {
                if let (Some(place), Some(of)) = (self.log_index.get_mut(index), self.transaction_index.get_mut(index)) {
                    (*place, *of) = (index as i64, transaction as i64);
                }
            }
            start = end;
        }
    }

    /// Whether the logs are in the order of the chain, each position once.
    pub fn is_ordered(&self) -> bool {
        let positions = || self.block_number.iter().zip(&self.log_index);
        positions().zip(positions().skip(1)).all(|(before, after)| before < after)
    }

    /// Puts the logs into the order of the chain.
    pub fn sort(&mut self) {
        if self.is_ordered() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|index| self.get(*index).map(|log| log.position()));
        let mut sorted = Self::default();
        for log in order.into_iter().filter_map(|index| self.get(index)) {
            // It was taken before, so its numbers fit.
            let _ = sorted.push(log);
        }
        *self = sorted;
    }

    /// `[len]` rows of the table.
    ///
    /// # Errors
    /// [`SchemaError::BadColumn`] never for logs that were pushed.
    pub fn into_batch(self) -> Result<RecordBatch, SchemaError> {
        let rows = self.len();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.block_number)),
            fixed(self.block_hash)?,
            Arc::new(Int64Array::from(self.block_timestamp)),
            fixed(self.transaction_hash)?,
            Arc::new(Int64Array::from(self.transaction_index)),
            Arc::new(Int64Array::from(self.log_index)),
            fixed(self.address)?,
        ];
        for topic in 0..4u8 {
            let mut bytes = Vec::with_capacity(32 * rows);
            for topics in &self.topics {
                bytes.extend_from_slice(topics.get(usize::from(topic)).map_or(&[0; 32], |word| &word.0));
            }
            let nulls = NullBuffer::from_iter(self.topic_count.iter().map(|count| *count > topic));
            let nulls = (nulls.null_count() > 0).then_some(nulls);
            let array = FixedSizeBinaryArray::try_new(32, Buffer::from_vec(bytes), nulls);
            columns.push(Arc::new(array.map_err(|error| bad("topic", error.to_string()))?));
        }
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.data_end);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let data = BinaryArray::try_new(offsets, Buffer::from_vec(self.data), None).map_err(|error| bad("data", error.to_string()))?;
        columns.push(Arc::new(data));
        RecordBatch::try_new(LogRow::schema(), columns).map_err(|error| bad("*", error.to_string()))
    }

    /// The logs as rows.
    pub fn rows(&self) -> Vec<LogRow> {
        self.iter()
            .map(|log| {
                let topic = |index: usize| log.topics.get(index).copied().map(Raw);
                LogRow {
                    block_number: log.block_number,
                    block_hash: Raw(log.block_hash),
                    block_timestamp: log.block_timestamp,
                    transaction_hash: Raw(log.transaction_hash),
                    transaction_index: log.transaction_index,
                    log_index: log.log_index,
                    address: Raw(log.address),
                    topic0: topic(0),
                    topic1: topic(1),
                    topic2: topic(2),
                    topic3: topic(3),
                    data: Bytes::copy_from_slice(log.data),
                }
            })
            .collect()
    }
}

const EMPTY: LogRef<'_> = LogRef {
    block_number: 0,
    block_hash: B256::ZERO,
    block_timestamp: 0,
    transaction_hash: B256::ZERO,
    transaction_index: 0,
    log_index: 0,
    address: Address::ZERO,
    topics: &[],
    data: &[],
};

fn fixed<const N: usize>(values: Vec<[u8; N]>) -> Result<ArrayRef, SchemaError> {
    let array = FixedSizeBinaryArray::try_new(N as i32, Buffer::from_vec(values.into_flattened()), None);
    Ok(Arc::new(array.map_err(|error| bad("*", error.to_string()))?))
}

fn bad(column: &str, problem: String) -> SchemaError {
    SchemaError::BadColumn { table: LogRow::TABLE.name, column: column.into(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(number: u64, index: u64, topics: &[B256], data: &[u8]) -> Logs {
        let mut logs = Logs::default();
        logs.push(LogRef {
            block_number: number,
            block_hash: B256::repeat_byte(number as u8),
            block_timestamp: 5 * number,
            transaction_hash: B256::repeat_byte(7),
            transaction_index: 1,
            log_index: index,
            address: Address::repeat_byte(index as u8),
            topics,
            data,
        })
        .unwrap();
        logs
    }

    proptest! {
        /// Columns, rows and record batches say the same.
        #[test]
        fn logs_survive_the_round_trip(shapes in prop::collection::vec((0u64..5, 0u64..5, 0usize..=4, 0usize..70), 0..20)) {
            let mut logs = Logs::default();
            for (number, index, topics, data) in shapes {
                let topics = vec![B256::repeat_byte(9); topics];
                logs.append(log(number, index, &topics, &vec![3; data])).unwrap();
            }
            let batch = logs.clone().into_batch().unwrap();
            prop_assert_eq!(LogRow::from_batch(&batch).unwrap(), logs.rows());
            prop_assert_eq!(LogRow::to_batch(&logs.rows()).unwrap(), batch);
            let mut sorted = logs.clone();
            sorted.sort();
            let mut rows = logs.rows();
            rows.sort_by_key(|row| (row.block_number, row.log_index));
            prop_assert_eq!(sorted.rows(), rows);
            let kept = logs.filtered(|log| log.log_index > 2);
            prop_assert_eq!(kept.len(), logs.iter().filter(|log| log.log_index > 2).count());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut logs = log(1, 0, &[], &[]);
        let good = logs.clone();
        let Some(one) = good.get(0) else { panic!("one log") };
        assert!(logs.push(LogRef { block_number: u64::MAX, ..one }).is_err());
        assert!(logs.push(LogRef { topics: &[B256::ZERO; 5], ..one }).is_err());
        assert_eq!(logs, good);
        assert_eq!(logs.get(1), None);
    }
}
