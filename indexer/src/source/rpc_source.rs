//! A node over JSON-RPC. Blocks are asked for without their transactions; a query for logs carries
//! the header that proves the node has the block in the same exchange, because a node that is behind
//! answers `[]` (go-ethereum #24078).

use async_trait::async_trait;
use schemas::B256;
use schemas::alloy_primitives::U64;
use schemas::tables::Logs;
use serde_json::{Value, json};

use super::wire::{WireHeader, WireLogs, WireReceipts};
use super::{BlockId, ChainSource, HeadTag, Header, Heads};
use crate::rpc::{Call, Rpc, RpcConfig, RpcStats};
use crate::verify::{BlockReceipts, LogFilter};
use crate::{IndexerError, Result};

const BY_NUMBER: &str = "eth_getBlockByNumber";
const BY_HASH: &str = "eth_getBlockByHash";
const GET_LOGS: &str = "eth_getLogs";
const RECEIPTS: &str = "eth_getBlockReceipts";

/// A [`ChainSource`] over JSON-RPC.
#[derive(Debug, Clone)]
pub struct RpcSource {
    rpc: Rpc,
}

impl RpcSource {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`].
    pub fn connect(url: &str, config: RpcConfig) -> Result<Self> {
        Ok(Self { rpc: Rpc::connect(url, config)? })
    }

    pub fn over(rpc: Rpc) -> Self {
        Self { rpc }
    }

    async fn header(&self, method: &'static str, block: &str) -> Result<Option<Header>> {
        let wire: Option<WireHeader> = self.rpc.request(method, json!([block, false])).await?;
        Ok(wire.map(Into::into))
    }

    /// `eth_getLogs` for each kind of wanted logs, each beside the header of a block that the answer
    /// must cover.
    async fn logs_beside_header(&self, range: &Value, header: Call, filter: &LogFilter, block: &str) -> Result<(Header, Logs)> {
        let (mut seen, mut logs) = (None, Logs::default());
        for query in filter.queries() {
            let mut wanted = range.clone();
            if !query.addresses.is_empty() {
                wanted["address"] = json!(query.addresses);
            }
            if !query.topics.is_empty() {
                wanted["topics"] = json!([query.topics]);
            }
            let (wire, found) = self.rpc.pair::<Option<WireHeader>, WireLogs>(header.clone(), (GET_LOGS, json!([wanted]))).await?;
            let wire = wire?.ok_or_else(|| IndexerError::BlockUnknown { block: block.to_owned() })?;
            let found = found?.0;
            if found.iter().all(|log| filter.admits(&log)) {
                merge(&mut logs, found)?;
            } else if found.iter().all(|log| query.matches(&log)) {
                merge(&mut logs, found.filtered(|log| filter.admits(log)))?;
            } else {
                return Err(malformed(GET_LOGS, block.to_owned(), "it holds logs that were not asked for".into()));
            }
            let wire = Header::from(wire);
            if seen.is_some_and(|seen: Header| seen.hash != wire.hash) {
                return Err(IndexerError::Inconsistent { block: wire.number, problem: "it changed while its logs were read".into() });
            }
            seen = Some(wire);
        }
        match seen {
            Some(header) => Ok((header, logs)),
            None => {
                let (method, params) = header;
                let wire: Option<WireHeader> = self.rpc.request(method, params).await?;
                let wire = wire.ok_or_else(|| IndexerError::BlockUnknown { block: block.to_owned() })?;
                Ok((wire.into(), logs))
            }
        }
    }
}

/// Adds logs to others, in the order of the chain; a log that both hold is kept once.
fn merge(logs: &mut Logs, more: Logs) -> Result<()> {
    if logs.is_empty() {
        *logs = more;
        logs.sort();
        return Ok(());
    }
    let known: std::collections::HashSet<(u64, u64)> = logs.iter().map(|log| log.position()).collect();
    logs.append(more.filtered(|log| !known.contains(&log.position())))?;
    logs.sort();
    Ok(())
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn malformed(method: &'static str, block: String, problem: String) -> IndexerError {
    IndexerError::RpcMalformed { method, blocks: Some(format!("block {block}")), problem }
}

/// A reply about another block than the one that was asked for.
fn expect_number(method: &'static str, header: &Header, number: u64) -> Result<()> {
    if header.number == number {
        return Ok(());
    }
    Err(malformed(method, number.to_string(), format!("block {} instead of {number}", header.number)))
}

#[async_trait]
impl ChainSource for RpcSource {
    fn stats(&self) -> Vec<RpcStats> {
        vec![self.rpc.stats()]
    }

    async fn chain_id(&self) -> Result<u64> {
        let id: U64 = self.rpc.request("eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    async fn head(&self, tag: HeadTag) -> Result<Option<Header>> {
        let (name, answer) = match tag {
            HeadTag::Latest => ("latest", self.header(BY_NUMBER, "latest").await),
            HeadTag::Safe => ("safe", self.header(BY_NUMBER, "safe").await),
            HeadTag::Finalized => ("finalized", self.header(BY_NUMBER, "finalized").await),
        };
        absent_tag(name, answer)
    }

    async fn heads(&self) -> Result<Heads> {
        let tags = ["finalized", "safe", "latest"];
        let calls = tags.map(|tag| (BY_NUMBER, json!([tag, false])));
        let answers = self.rpc.batch::<Option<WireHeader>>(&calls).await?;
        let mut headers = answers.into_iter().zip(tags).map(|(answer, tag)| absent_tag(tag, answer.map(|wire| wire.map(Header::from))));
        let mut next = || headers.next().unwrap_or(Ok(None));
        let (finalized, safe, latest) = (next()?, next()?, next()?);
        Ok(Heads { latest, safe, finalized })
    }

    async fn header_by_number(&self, number: u64) -> Result<Option<Header>> {
        let header = self.header(BY_NUMBER, &quantity(number)).await?;
        header.iter().try_for_each(|header| expect_number(BY_NUMBER, header, number))?;
        Ok(header)
    }

    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>> {
        let header = self.header(BY_HASH, &format!("{hash:#x}")).await?;
        match header {
            Some(header) if header.hash != hash => {
                Err(malformed(BY_HASH, format!("{hash:#x}"), format!("block {:#x} instead of {hash:#x}", header.hash)))
            }
            other => Ok(other),
        }
    }

    async fn headers(&self, numbers: &[u64]) -> Result<Vec<Header>> {
        let mut headers = Vec::with_capacity(numbers.len());
        for chunk in numbers.chunks(self.rpc.max_batch_requests()) {
            let calls: Vec<Call> = chunk.iter().map(|number| (BY_NUMBER, json!([quantity(*number), false]))).collect();
            for (answer, number) in self.rpc.batch::<Option<WireHeader>>(&calls).await?.into_iter().zip(chunk) {
                let wire = answer?.ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })?;
                let header = Header::from(wire);
                expect_number(BY_NUMBER, &header, *number)?;
                headers.push(header);
            }
        }
        Ok(headers)
    }

    async fn logs_in_range(&self, from: u64, to: u64, filter: &LogFilter) -> Result<(Header, Logs)> {
        let range = json!({ "fromBlock": quantity(from), "toBlock": quantity(to) });
        let header = (BY_NUMBER, json!([quantity(to), false]));
        let (header, logs) = self.logs_beside_header(&range, header, filter, &to.to_string()).await?;
        expect_number(BY_NUMBER, &header, to)?;
        if let Some(log) = logs.iter().find(|log| !(from..=to).contains(&log.block_number)) {
            let problem = format!("its log came with those of blocks {from} to {to}");
            return Err(IndexerError::Inconsistent { block: log.block_number, problem });
        }
        Ok((header, logs))
    }

    async fn logs_of_block(&self, block: BlockId, filter: &LogFilter) -> Result<Logs> {
        let hash = format!("{:#x}", block.hash);
        let (header, logs) = self.logs_beside_header(&json!({ "blockHash": hash }), (BY_HASH, json!([hash, false])), filter, &hash).await?;
        if header.id() != block {
            let problem = format!("block {:#x} instead of {hash}", header.hash);
            return Err(malformed(BY_HASH, hash, problem));
        }
        if let Some(log) = logs.iter().find(|log| log.block_hash != block.hash || log.block_number != block.number) {
            let problem = format!("logs of {hash} were asked for, and one of {:#x} came", log.block_hash);
            return Err(IndexerError::Inconsistent { block: block.number, problem });
        }
        Ok(logs)
    }

    async fn receipts(&self, blocks: &[BlockId]) -> Result<Vec<BlockReceipts>> {
        let mut receipts = Vec::with_capacity(blocks.len());
        for chunk in blocks.chunks(self.rpc.max_batch_requests()) {
            let calls: Vec<Call> = chunk.iter().map(|block| (RECEIPTS, json!([block.hash]))).collect();
            for (answer, block) in self.rpc.batch::<Option<WireReceipts>>(&calls).await?.into_iter().zip(chunk) {
                let wire = answer?.ok_or_else(|| IndexerError::BlockUnknown { block: format!("{:#x}", block.hash) })?;
                receipts.push(wire.of(*block)?);
            }
        }
        Ok(receipts)
    }
}

/// A node that has no such block yet says so with an error: geth "finalized block not found".
fn absent_tag(tag: &str, answer: Result<Option<Header>>) -> Result<Option<Header>> {
    match answer {
        Err(IndexerError::RpcRefused { message, .. }) if tag != "latest" && message.contains("not found") => Ok(None),
        other => other,
    }
}
