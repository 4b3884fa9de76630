//! Receipts of one block.

use std::fmt;

use schemas::alloy_primitives::Bloom;
use schemas::tables::Logs;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::logs::LogList;
use super::{Fixed, Quantity};
use crate::source::BlockId;
use crate::verify::{BlockReceipts, ReceiptMeta};
use crate::{IndexerError, Result as IndexerResult};

/// The reply to `eth_getBlockReceipts`.
#[derive(Debug, Default)]
pub(crate) struct WireReceipts(BlockReceipts);

impl WireReceipts {
    /// Checks that every log says that it is of `block`, and numbers the logs by their places.
    ///
    /// # Errors
    /// [`IndexerError::Inconsistent`].
    pub(crate) fn of(self, block: BlockId) -> IndexerResult<BlockReceipts> {
        let BlockReceipts { receipts, mut logs } = self.0;
        if let Some(log) = logs.iter().find(|log| log.block_hash != block.hash || log.block_number != block.number) {
            return Err(IndexerError::Inconsistent {
                block: block.number,
                problem: format!("receipts of {:#x} were asked for, and a log of {:#x} came", block.hash, log.block_hash),
            });
        }
        logs.renumber(receipts.iter().map(|receipt| receipt.logs_end));
        Ok(BlockReceipts { receipts, logs })
    }
}

impl<'de> Deserialize<'de> for WireReceipts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = WireReceipts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of receipts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<WireReceipts, A::Error> {
                let mut block = BlockReceipts::default();
                while let Some(receipt) = list.next_element_seed(OneReceipt(&mut block.logs))? {
                    block.receipts.push(receipt);
                }
                Ok(WireReceipts(block))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct OneReceipt<'a>(&'a mut Logs);

impl<'de> DeserializeSeed<'de> for OneReceipt<'_> {
    type Value = ReceiptMeta;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ReceiptMeta, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Type,
    Status,
    CumulativeGasUsed,
    LogsBloom,
    Logs,
    DepositNonce,
    DepositReceiptVersion,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for OneReceipt<'_> {
    type Value = ReceiptMeta;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a receipt")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<ReceiptMeta, A::Error> {
        let (mut kind, mut status, mut gas, mut bloom) = (None, None, None, None);
        let (mut deposit_nonce, mut deposit_receipt_version) = (None, None);
        let mut has_logs = false;
        while let Some(field) = fields.next_key::<Field>()? {
            match field {
                Field::Type => kind = Some(fields.next_value::<Quantity>()?.0),
                Field::Status => status = Some(fields.next_value::<Quantity>()?.0),
                Field::CumulativeGasUsed => gas = Some(fields.next_value::<Quantity>()?.0),
                Field::LogsBloom => bloom = Some(fields.next_value::<Fixed<256>>()?.0),
                Field::Logs if has_logs => return Err(de::Error::duplicate_field("logs")),
                Field::Logs => {
                    fields.next_value_seed(LogList(&mut *self.0))?;
                    has_logs = true;
                }
                Field::DepositNonce => deposit_nonce = fields.next_value::<Option<Quantity>>()?,
                Field::DepositReceiptVersion => deposit_receipt_version = fields.next_value::<Option<Quantity>>()?,
                Field::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let missing = |field: &'static str| move || de::Error::missing_field(field);
        if !has_logs {
            return Err(missing("logs")());
        }
        let kind = kind.unwrap_or(0);
        Ok(ReceiptMeta {
            transaction_type: u8::try_from(kind).map_err(|_| de::Error::custom(format_args!("{kind:#x} is not a transaction type")))?,
            succeeded: match status.ok_or_else(missing("status"))? {
                0 => false,
                1 => true,
                other => return Err(de::Error::custom(format_args!("{other:#x} is not a status"))),
            },
            cumulative_gas_used: gas.ok_or_else(missing("cumulativeGasUsed"))?,
            logs_bloom: Bloom::from(bloom.ok_or_else(missing("logsBloom"))?),
            deposit_nonce: deposit_nonce.map(|nonce| nonce.0),
            deposit_receipt_version: deposit_receipt_version.map(|version| version.0),
            logs_end: self.0.len(),
        })
    }
}
