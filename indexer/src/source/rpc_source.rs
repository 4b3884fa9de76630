//! A node over JSON-RPC. Blocks are asked for without their transactions; a query for logs carries
//! the header that proves the node has the block in the same batch, because a node that is behind
//! answers `[]` (go-ethereum #24078).

use async_trait::async_trait;
use schemas::alloy_primitives::U64;
use schemas::{Address, B256};
use serde_json::{Value, json};

use super::wire::{WireHeader, WireLog};
use super::{ChainSource, HeadTag, Header, Log};
use crate::rpc::{Call, Rpc, RpcConfig};
use crate::{IndexerError, Result};

const BY_NUMBER: &str = "eth_getBlockByNumber";
const BY_HASH: &str = "eth_getBlockByHash";
const GET_LOGS: &str = "eth_getLogs";

/// A [`ChainSource`] over HTTP.
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

    pub(crate) fn over(rpc: Rpc) -> Self {
        Self { rpc }
    }

    async fn header(&self, method: &'static str, block: &str) -> Result<Option<Header>> {
        let wire: Option<WireHeader> = self.rpc.request(method, json!([block, false])).await?;
        Ok(wire.map(Into::into))
    }

    /// `eth_getLogs` beside the header of a block that the answer must cover.
    async fn logs_beside_header(&self, filter: Value, header: Call, block: String) -> Result<(Header, Vec<Log>)> {
        let (header, logs) = self.rpc.pair::<Option<WireHeader>, Vec<WireLog>>(header, (GET_LOGS, json!([filter]))).await?;
        let Some(header) = header? else {
            return Err(IndexerError::BlockUnknown { block });
        };
        let mut logs: Vec<Log> = logs?.into_iter().map(Into::into).collect();
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        Ok((header.into(), logs))
    }
}

fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

#[async_trait]
impl ChainSource for RpcSource {
    async fn chain_id(&self) -> Result<u64> {
        let id: U64 = self.rpc.request("eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    async fn head(&self, tag: HeadTag) -> Result<Option<Header>> {
        let name = match tag {
            HeadTag::Latest => "latest",
            HeadTag::Safe => "safe",
            HeadTag::Finalized => "finalized",
        };
        match self.header(BY_NUMBER, name).await {
            // A node that has no such block yet says so with an error: geth "finalized block not found".
            Err(IndexerError::RpcRefused { message, .. }) if tag != HeadTag::Latest && message.contains("not found") => Ok(None),
            other => other,
        }
    }

    async fn header_by_number(&self, number: u64) -> Result<Option<Header>> {
        let header = self.header(BY_NUMBER, &quantity(number)).await?;
        match header {
            Some(header) if header.number != number => {
                Err(IndexerError::RpcMalformed { method: BY_NUMBER, problem: format!("block {} instead of {number}", header.number) })
            }
            other => Ok(other),
        }
    }

    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>> {
        let header = self.header(BY_HASH, &format!("{hash:#x}")).await?;
        match header {
            Some(header) if header.hash != hash => {
                Err(IndexerError::RpcMalformed { method: BY_HASH, problem: format!("block {:#x} instead of {hash:#x}", header.hash) })
            }
            other => Ok(other),
        }
    }

    async fn headers_in_range(&self, from: u64, to: u64) -> Result<Vec<Header>> {
        let numbers: Vec<u64> = (from..=to).collect();
        let mut headers = Vec::with_capacity(numbers.len());
        for chunk in numbers.chunks(self.rpc.max_batch_requests()) {
            let calls: Vec<Call> = chunk.iter().map(|number| (BY_NUMBER, json!([quantity(*number), false]))).collect();
            let answers = self.rpc.batch::<Option<WireHeader>>(&calls).await?;
            for (answer, number) in answers.into_iter().zip(chunk) {
                let wire = answer?;
                headers.push(wire.ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })?.into());
            }
        }
        Ok(headers)
    }

    async fn logs_in_range(&self, from: u64, to: u64, addresses: &[Address]) -> Result<Vec<Log>> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let filter = json!({ "fromBlock": quantity(from), "toBlock": quantity(to), "address": addresses });
        let header = (BY_NUMBER, json!([quantity(to), false]));
        Ok(self.logs_beside_header(filter, header, to.to_string()).await?.1)
    }

    async fn logs_of_block(&self, hash: B256, addresses: &[Address]) -> Result<Vec<Log>> {
        let filter = json!({ "blockHash": hash, "address": addresses });
        let header = (BY_HASH, json!([hash, false]));
        if addresses.is_empty() {
            return match self.header_by_hash(hash).await? {
                Some(_) => Ok(Vec::new()),
                None => Err(IndexerError::BlockUnknown { block: format!("{hash:#x}") }),
            };
        }
        let (header, logs) = self.logs_beside_header(filter, header, format!("{hash:#x}")).await?;
        match logs.iter().find(|log| log.block_hash != hash || log.block_number != header.number) {
            None => Ok(logs),
            Some(log) => Err(IndexerError::Inconsistent {
                block: header.number,
                problem: format!("logs of {hash:#x} were asked for, and one of {:#x} came", log.block_hash),
            }),
        }
    }
}
