//! ABIs of others, logs that their contracts could emit, and addresses that people type.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use schemas::alloy_primitives::{Bytes, keccak256};
use schemas::events::{Abi, AbiEvent, Emitter, contract_tables};
use schemas::ids::parse_address;
use schemas::tables::{BlockRow, LogRow, Raw};
use schemas::{Address, B256};
use serde::Deserialize;
use store::Store;

use super::Bench;
use super::expected::Expected;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContractCase {
    pub(super) about: String,
    /// A file.
    abi: Option<String>,
    /// Its tables begin with it.
    #[serde(default = "named")]
    name: String,
    /// Names of all its tables, ascending; none: they are not looked at.
    #[serde(default)]
    tables: Vec<String>,
    #[serde(default)]
    log: Vec<CaseLog>,
    /// Queries, each answered as `name=value name=value` in a line for each row.
    #[serde(default)]
    check: Vec<ContractCheck>,
    /// `SELECT column FROM table` must plan for every column of every table, without quotes.
    #[serde(default)]
    every_column: bool,
    #[serde(default)]
    address: Vec<TypedAddress>,
}

fn named() -> String {
    "c".to_owned()
}

/// A log of the contract.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseLog {
    /// The first may be an event's signature, such as `Transfer(address,address,uint256)`.
    topics: Vec<String>,
    /// Words of 32 bytes as `0x` text, or one text of any length.
    data: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ContractCheck {
    query: String,
    #[serde(flatten)]
    rows: Expected,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TypedAddress {
    typed: String,
    right: bool,
}

impl ContractCase {
    pub(super) fn run(&self, folder: &Path, bench: &Bench) -> Vec<anyhow::Result<()>> {
        let mut outcomes: Vec<anyhow::Result<()>> = self.address.iter().map(TypedAddress::run).collect();
        if let Some(abi) = &self.abi {
            match self.store(&folder.join(abi), bench) {
                Ok(store) => outcomes.extend(self.check.iter().map(|check| {
                    let shown = bench.runtime.block_on(shown(&store, &check.query))?;
                    check.rows.check(&check.query, &shown)
                })),
                Err(error) => outcomes.push(Err(error)),
            }
        }
        outcomes
    }

    /// A store with the contract's tables and logs.
    fn store(&self, path: &Path, bench: &Bench) -> anyhow::Result<Store> {
        let abi = Abi::parse(&fs::read_to_string(path).with_context(|| path.display().to_string())?)?;
        let address = Address::repeat_byte(0xc0);
        let tables = contract_tables(&self.name, &abi, Emitter::Contract(address), &Default::default());
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        ensure!(self.tables.is_empty() || self.tables == names, "its tables are {names:?}");
        bench.runtime.block_on(async {
            let store = Store::in_memory().await?;
            store.set_event_tables(tables.clone());
            let logs = self.log.iter().zip(0..).map(|(log, index)| log.row(address, index, &abi)).collect::<anyhow::Result<Vec<_>>>()?;
            store.append(&[block()]).await?;
            store.append(&logs).await?;
            for table in tables.iter().filter(|_| self.every_column) {
                for column in &table.columns {
                    let query = format!("SELECT {0} FROM {1} WHERE {0} IS NULL GROUP BY {0} ORDER BY {0}", column.name, table.name);
                    shown(&store, &query).await.with_context(|| query.clone())?;
                }
            }
            Ok(store)
        })
    }
}

impl TypedAddress {
    fn run(&self) -> anyhow::Result<()> {
        match (parse_address(&self.typed), self.right) {
            (Ok(_), false) => bail!("{} is taken for an address", self.typed),
            (Err(error), true) => bail!("{error}"),
            _ => Ok(()),
        }
    }
}

impl CaseLog {
    fn row(&self, address: Address, log_index: u64, abi: &Abi) -> anyhow::Result<LogRow> {
        let topic = |text: &String| -> anyhow::Result<B256> {
            match text.strip_prefix("0x") {
                Some(_) => Ok(text.parse()?),
                None => Ok(named_topic(text, abi)),
            }
        };
        let topics = self.topics.iter().map(topic).collect::<anyhow::Result<Vec<_>>>()?;
        let topic = |index: usize| topics.get(index).copied().map(Raw);
        let words = self.data.iter().map(|word| Ok(word.parse::<Bytes>()?)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(LogRow {
            block_number: 1,
            block_hash: Raw(block().hash),
            block_timestamp: 1,
            transaction_hash: Raw(B256::repeat_byte(7)),
            transaction_index: 0,
            log_index,
            address: Raw(address),
            topic0: topic(0),
            topic1: topic(1),
            topic2: topic(2),
            topic3: topic(3),
            data: words.concat().into(),
        })
    }
}

fn named_topic(name: &str, abi: &Abi) -> B256 {
    let event = abi.events().iter().find(|event| event.name == name);
    event.map_or_else(|| keccak256(name.as_bytes()), AbiEvent::topic0)
}

fn block() -> BlockRow {
    BlockRow { number: 1, hash: B256::repeat_byte(1), parent_hash: None, timestamp: 1, log_count: 0, verified: 0, digest: B256::ZERO }
}

async fn shown(store: &Store, query: &str) -> anyhow::Result<String> {
    use schemas::arrow::util::display::{ArrayFormatter, FormatOptions};
    let result = store.query(query, &Default::default(), None).await?;
    let mut text = String::new();
    for batch in &result.batches {
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            let cells =
                result.schema.fields().iter().zip(&columns).map(|(field, column)| format!("{}={}", field.name(), column.value(row)));
            text.push_str(&format!("{}\n", cells.collect::<Vec<_>>().join(" ")));
        }
    }
    Ok(text)
}
