//! What every [`ChainSource`] keeps, as one function that each implementation passes.

use schemas::tables::Logs;
use schemas::{Address, B256};

use crate::source::{ChainSource, HeadTag};
use crate::verify::LogFilter;
use crate::{IndexerError, Result};

/// What the chain under test holds. It must not change during the check.
#[derive(Debug, Clone)]
pub struct Expected {
    pub chain_id: u64,
    /// An address with at least one log in `from..=to`.
    pub address: Address,
    pub from: u64,
    /// At most the head.
    pub to: u64,
    pub logs: usize,
}

/// Runs every check; the text of the first one that fails is in the error.
///
/// # Errors
/// [`IndexerError::Inconsistent`] for a broken promise, otherwise what the source said.
pub async fn check(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    check_heads(source, expected).await?;
    check_headers(source, expected).await?;
    check_logs(source, expected).await?;
    check_unknown_blocks(source, expected).await
}

fn promise(kept: bool, what: &str) -> Result<()> {
    if kept { Ok(()) } else { Err(IndexerError::Inconsistent { block: 0, problem: format!("conformance: {what}") }) }
}

async fn check_heads(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    promise(source.chain_id().await? == expected.chain_id, "the chain id is the configured one")?;
    let number = |header: Option<crate::Header>| header.map(|header| header.number);
    let finalized = number(source.head(HeadTag::Finalized).await?);
    let safe = number(source.head(HeadTag::Safe).await?);
    let latest = number(source.head(HeadTag::Latest).await?);
    promise(latest.is_some_and(|latest| latest >= expected.to), "the head is at or above the expected range")?;
    promise(finalized <= safe && safe <= latest, "finalized, safe and latest are in order")?;
    let heads = source.heads().await?;
    let together = [heads.finalized, heads.safe, heads.latest].map(number);
    promise(together == [finalized, safe, latest], "the heads are the same one by one and together")
}

async fn check_headers(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let numbers: Vec<u64> = (expected.from..=expected.to).collect();
    let headers = source.headers(&numbers).await?;
    promise(headers.iter().map(|header| header.number).eq(numbers), "there is one header for each height asked for, in order")?;
    promise(headers.windows(2).all(|pair| matches!(pair, [a, b] if b.parent_hash == a.hash)), "headers link")?;
    promise(headers.iter().all(|header| header.sealed), "headers hash to their hashes")?;
    for header in &headers {
        promise(source.header_by_number(header.number).await? == Some(*header), "a header is the same by number and in a range")?;
        promise(source.header_by_hash(header.hash).await? == Some(*header), "a header is the same by hash and by number")?;
    }
    let reversed: Vec<u64> = headers.iter().rev().map(|header| header.number).collect();
    promise(source.headers(&reversed).await?.iter().rev().eq(&headers), "headers come in the order asked for")
}

async fn check_logs(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let filter = LogFilter::of_addresses(&[expected.address]);
    let (last, ranged) = source.logs_in_range(expected.from, expected.to, &filter).await?;
    promise(last.number == expected.to, "a range comes with the header of its last block")?;
    promise(ranged.len() == expected.logs, "the range holds the expected number of logs")?;
    promise(ranged.iter().all(|log| log.address == expected.address), "only logs of the asked address come")?;
    promise(ranged.is_ordered(), "logs come in order")?;
    let (mut single, mut proven) = (Logs::default(), Logs::default());
    for number in expected.from..=expected.to {
        let [header] = source.headers(&[number]).await?[..] else { return promise(false, "one header was asked for") };
        let logs = source.logs_of_block(header.id(), &filter).await?;
        promise(logs.iter().all(|log| log.block_hash == header.hash && log.block_number == number), "a log names its block")?;
        promise(logs.is_empty() || filter.may_be_in(&header.logs_bloom), "the bloom filter does not deny a log that is there")?;
        single.append(logs)?;
        let [receipts] = &source.receipts(&[header.id()]).await?[..] else { return promise(false, "one block's receipts were asked for") };
        promise(receipts.root() == header.receipts_root, "receipts hash to the header's root")?;
        proven.append(receipts.logs.filtered(|log| filter.admits(log)))?;
    }
    promise(same(&single, &ranged), "logs are the same by block and by range, in order")?;
    promise(same(&proven, &ranged), "logs are the same in receipts and by range, in order")?;
    let topics: Vec<B256> = ranged.iter().filter_map(|log| log.topic0()).collect();
    let (_, by_topic) = source.logs_in_range(expected.from, expected.to, &LogFilter::new([], topics)).await?;
    let with_topic = ranged.filtered(|log| log.topic0().is_some());
    promise(same(&by_topic.filtered(|log| log.address == expected.address), &with_topic), "logs are the same by address and by topic")?;
    let (_, none) = source.logs_in_range(expected.from, expected.to, &LogFilter::default()).await?;
    promise(none.is_empty(), "no filter means no log")
}

/// Equal but for the times, which a source need not tell.
fn same(one: &Logs, other: &Logs) -> bool {
    let timeless = |logs: &Logs| {
        let mut logs = logs.clone();
        logs.set_timestamps(|_| Some(0));
        logs
    };
    timeless(one) == timeless(other)
}

async fn check_unknown_blocks(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let nowhere = B256::repeat_byte(0xee);
    let beyond = u64::from(u32::MAX);
    let filter = LogFilter::of_addresses(&[expected.address]);
    promise(source.header_by_hash(nowhere).await?.is_none(), "an unknown hash has no header")?;
    promise(source.header_by_number(beyond).await?.is_none(), "a height beyond the head has no header")?;
    promise(source.headers(&[expected.from, beyond]).await.is_err(), "headers beyond the head are an error")?;
    promise(source.logs_in_range(expected.from, beyond, &filter).await.is_err(), "logs beyond the head are an error, not cut off")?;
    let unknown = crate::BlockId { number: expected.from, hash: nowhere };
    promise(source.receipts(&[unknown]).await.is_err(), "receipts of an unknown block are an error, not empty")?;
    for filter in [filter, LogFilter::default()] {
        promise(source.logs_of_block(unknown, &filter).await.is_err(), "logs of an unknown block are an error, not empty")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{ScriptedChain, ScriptedLog};

    #[tokio::test]
    async fn the_scripted_chain_conforms() {
        let chain = ScriptedChain::new(7);
        let log =
            |byte: u8| ScriptedLog { address: Address::repeat_byte(byte), topics: vec![B256::repeat_byte(byte)], data: vec![byte].into() };
        chain.mine(0, &[]);
        chain.mine(0, &[log(1), log(2), log(1)]);
        chain.mine(0, &[log(2)]);
        chain.mine(0, &[log(1)]);
        chain.finalize(2);
        let expected = Expected { chain_id: 7, address: Address::repeat_byte(1), from: 1, to: 4, logs: 3 };
        check(&chain, &expected).await.unwrap();
        chain.set_orphans_known(false);
        check(&chain, &expected).await.unwrap();
    }
}
