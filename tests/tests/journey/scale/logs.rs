//! Blocks and logs as they grow: what analysts ask of them.

use std::path::Path;

use anyhow::ensure;
use schemas::tables::{BlockRow, LogRef, LogRow, Logs};
use schemas::{Address, B256, U256};
use store::{Durability, Effort, Retention, Store, StoreConfig};

use super::Measured;
use super::measure::{query_ms, stored};

pub(super) const STEPS: [&str; 2] = ["fill", "read"];
const LOGS_PER_BLOCK: u64 = 50;
/// Of one commit, as the indexer makes them while it catches up.
const BLOCKS_PER_BATCH: u64 = 1000;
const CONTRACTS: u64 = 20;
const EVENTS: u64 = 7;
const SECONDS_PER_BLOCK: u64 = 2;

pub(super) async fn step(step: &str, size: usize, folder: &Path) -> anyhow::Result<Measured> {
    let url = format!("file://{}/store", folder.display());
    let store = Store::open(&StoreConfig::new(url, Durability::Fast)).await?;
    let mut measured = Measured::new();
    match step {
        "fill" => fill(&store, size as u64).await?,
        "read" => read(&store, size as u64, &mut measured).await?,
        other => anyhow::bail!("there is no step {other:?}"),
    }
    Ok(measured)
}

async fn read(store: &Store, size: u64, measured: &mut Measured) -> anyhow::Result<()> {
    let (topic, contract) = (topic(3), contract(5));
    let queries = [
        ("count_logs_ms", "SELECT count(*) FROM logs".to_owned()),
        ("of_block_ms", format!("SELECT * FROM logs WHERE block_number = {}", size / LOGS_PER_BLOCK / 2)),
        (
            "of_event_ms",
            format!("SELECT count(*), max(block_number) FROM logs WHERE address = X'{contract:x}' AND topic0 = X'{topic:x}'"),
        ),
        (
            "join_ms",
            "SELECT b.timestamp / 3600, count(*) FROM logs l JOIN blocks b ON b.number = l.block_number GROUP BY 1 ORDER BY 1 DESC LIMIT 10"
                .to_owned(),
        ),
        ("latest_ms", "SELECT number, hash, timestamp FROM blocks ORDER BY number DESC LIMIT 1".to_owned()),
    ];
    for (name, sql) in queries {
        let (took, result) = query_ms(store, &sql).await?;
        ensure!(result.batches.iter().any(|batch| batch.num_rows() > 0), "nothing was found: {sql}");
        measured.insert(name.to_owned(), took);
    }
    measured.extend(stored(store).await?);
    Ok(())
}

fn hash(of: u64) -> B256 {
    schemas::alloy_primitives::keccak256(of.to_be_bytes())
}

fn contract(number: u64) -> Address {
    Address::left_padding_from(&(0xc0_0000 + number).to_be_bytes())
}

fn topic(number: u64) -> B256 {
    hash(u64::MAX - number)
}

async fn fill(store: &Store, size: u64) -> anyhow::Result<()> {
    let blocks: Vec<u64> = (0..size.div_ceil(LOGS_PER_BLOCK)).collect();
    for numbers in blocks.chunks(BLOCKS_PER_BATCH as usize) {
        let mut logs = Logs::default();
        let mut rows = Vec::new();
        for number in numbers {
            let (block_hash, timestamp) = (hash(*number), number * SECONDS_PER_BLOCK);
            for index in 0..LOGS_PER_BLOCK {
                let at = number * LOGS_PER_BLOCK + index;
                let transaction = at / 3;
                logs.push(LogRef {
                    block_number: *number,
                    block_hash,
                    block_timestamp: timestamp,
                    transaction_hash: hash(transaction),
                    transaction_index: index / 3,
                    log_index: index,
                    address: contract(at % CONTRACTS),
                    topics: &[topic(at / CONTRACTS % EVENTS), B256::left_padding_from(&(at % 1009).to_be_bytes())],
                    data: &U256::from(at * 1_000_003).to_be_bytes::<32>(),
                })?;
            }
            rows.push(BlockRow {
                number: *number,
                hash: block_hash,
                parent_hash: number.checked_sub(1).map(hash),
                timestamp,
                log_count: LOGS_PER_BLOCK,
                verified: 0,
                digest: block_hash,
            });
        }
        store.append_batches::<LogRow>(vec![logs.into_batch()?]).await?;
        store.append(&rows).await?;
        // as it would have been meanwhile
        store.upkeep(&Retention::default(), Effort::Due).await?;
    }
    ensure!(store.count::<LogRow>(None).await? == size.next_multiple_of(LOGS_PER_BLOCK), "not all logs were written");
    Ok(())
}
