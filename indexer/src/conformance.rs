//! What every [`ChainSource`] keeps, as one function that each implementation passes.

use schemas::{Address, B256};

use crate::source::{ChainSource, HeadTag};
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
    promise(finalized <= safe && safe <= latest, "finalized, safe and latest are in order")
}

async fn check_headers(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let headers = source.headers_in_range(expected.from, expected.to).await?;
    promise(headers.len() as u64 == expected.to - expected.from + 1, "a range has one header per height")?;
    promise(headers.windows(2).all(|pair| matches!(pair, [a, b] if b.parent_hash == a.hash && b.number == a.number + 1)), "headers link")?;
    for header in &headers {
        promise(source.header_by_number(header.number).await? == Some(*header), "a header is the same by number and in a range")?;
        promise(source.header_by_hash(header.hash).await? == Some(*header), "a header is the same by hash and by number")?;
    }
    Ok(())
}

async fn check_logs(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let followed = [expected.address];
    let ranged = source.logs_in_range(expected.from, expected.to, &followed).await?;
    promise(ranged.len() == expected.logs, "the range holds the expected number of logs")?;
    promise(ranged.iter().all(|log| log.address == expected.address), "only logs of the asked address come")?;
    let mut single = Vec::new();
    for header in source.headers_in_range(expected.from, expected.to).await? {
        let logs = source.logs_of_block(header.hash, &followed).await?;
        promise(logs.iter().all(|log| log.block_hash == header.hash && log.block_number == header.number), "a log names its block")?;
        single.extend(logs);
    }
    promise(single == ranged, "logs are the same by block and by range, in order")?;
    promise(source.logs_in_range(expected.from, expected.to, &[]).await?.is_empty(), "no address means no log")
}

async fn check_unknown_blocks(source: &dyn ChainSource, expected: &Expected) -> Result<()> {
    let nowhere = B256::repeat_byte(0xee);
    let beyond = u64::from(u32::MAX);
    let followed = [expected.address];
    promise(source.header_by_hash(nowhere).await?.is_none(), "an unknown hash has no header")?;
    promise(source.header_by_number(beyond).await?.is_none(), "a height beyond the head has no header")?;
    promise(source.headers_in_range(beyond, beyond).await.is_err(), "headers beyond the head are an error")?;
    promise(source.logs_in_range(expected.from, beyond, &followed).await.is_err(), "logs beyond the head are an error, not cut off")?;
    for addresses in [&followed[..], &[]] {
        promise(source.logs_of_block(nowhere, addresses).await.is_err(), "logs of an unknown block are an error, not empty")?;
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
