//! Logs, read into columns.

mod quick;

use std::fmt;

use schemas::tables::{LogRef, Logs};
use schemas::{Address, B256};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Fixed, Quantity, decode, shortened};
use crate::rpc::Quick;

/// The reply to `eth_getLogs`.
#[derive(Debug, Default)]
pub(crate) struct WireLogs(pub(crate) Logs);

impl<'de> Deserialize<'de> for WireLogs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut logs = Logs::default();
        LogList(&mut logs).deserialize(deserializer)?;
        Ok(Self(logs))
    }
}

impl Quick for WireLogs {
    fn quick(text: &[u8]) -> Option<(Self, usize)> {
        quick::read(text).map(|(logs, length)| (Self(logs), length))
    }
}

/// Adds a list of logs to those that are there.
pub(super) struct LogList<'a>(pub(super) &'a mut Logs);

impl<'de> DeserializeSeed<'de> for LogList<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LogList<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of logs")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut data = Vec::new();
        while list.next_element_seed(OneLog { logs: self.0, data: &mut data })?.is_some() {}
        Ok(())
    }
}

struct OneLog<'a> {
    logs: &'a mut Logs,
    /// Holds one log's data; kept from log to log.
    data: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for OneLog<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Address,
    Topics,
    Data,
    BlockHash,
    BlockNumber,
    BlockTimestamp,
    TransactionHash,
    TransactionIndex,
    LogIndex,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for OneLog<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a log")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut address, mut topics, mut block_hash, mut block_number) = (None, None, None, None);
        let (mut block_timestamp, mut transaction_hash, mut transaction_index, mut log_index) = (None, None, None, None);
        let mut has_data = false;
        while let Some(field) = fields.next_key::<Field>()? {
            match field {
                Field::Address => address = Some(fields.next_value::<Fixed<20>>()?.0),
                Field::Topics => topics = Some(fields.next_value::<Topics>()?),
                Field::Data => {
                    fields.next_value_seed(Data(&mut *self.data))?;
                    has_data = true;
                }
                Field::BlockHash => block_hash = Some(fields.next_value::<Fixed<32>>()?.0),
                Field::BlockNumber => block_number = Some(fields.next_value::<Quantity>()?.0),
                Field::BlockTimestamp => block_timestamp = fields.next_value::<Option<Quantity>>()?,
                Field::TransactionHash => transaction_hash = Some(fields.next_value::<Fixed<32>>()?.0),
                Field::TransactionIndex => transaction_index = Some(fields.next_value::<Quantity>()?.0),
                Field::LogIndex => log_index = Some(fields.next_value::<Quantity>()?.0),
                Field::Other => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        let missing = |field: &'static str| move || de::Error::missing_field(field);
        if !has_data {
            return Err(missing("data")());
        }
        let topics = topics.ok_or_else(missing("topics"))?;
        let log = LogRef {
            block_number: block_number.ok_or_else(missing("blockNumber"))?,
            block_hash: B256::from(block_hash.ok_or_else(missing("blockHash"))?),
            block_timestamp: block_timestamp.unwrap_or_default().0,
            transaction_hash: B256::from(transaction_hash.ok_or_else(missing("transactionHash"))?),
            transaction_index: transaction_index.ok_or_else(missing("transactionIndex"))?,
            log_index: log_index.ok_or_else(missing("logIndex"))?,
            address: Address::from(address.ok_or_else(missing("address"))?),
            topics: topics.words.get(..topics.count).unwrap_or_default(),
            data: self.data,
        };
        self.logs.push(log).map_err(de::Error::custom)
    }
}

#[derive(Default)]
struct Topics {
    words: [B256; 4],
    count: usize,
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Topics;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of at most 4 topics")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Topics, A::Error> {
                let mut topics = Topics::default();
                while let Some(word) = list.next_element::<Fixed<32>>()? {
                    *topics.words.get_mut(topics.count).ok_or_else(|| de::Error::invalid_length(5, &self))? = B256::from(word.0);
                    topics.count += 1;
                }
                Ok(topics)
            }
        }
        deserializer.deserialize_seq(Words)
    }
}

/// Hexadecimal bytes of any length, into a buffer that is used again.
struct Data<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Data<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in hexadecimal")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.0.resize(text.len().saturating_sub(2) / 2, 0);
        decode(text, self.0).map_err(|()| E::custom(format_args!("{:?} is not bytes in hexadecimal", shortened(text))))
    }
}
