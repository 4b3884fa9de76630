//! Several nodes of one chain, checked against each other where it counts: nothing is final because
//! one node says so. Everything else is asked of one node as long as it answers, then of the next.
//!
//! Never decides which of two nodes is right: when they disagree, nothing is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use schemas::B256;
use schemas::tables::Logs;

use super::{BlockId, ChainSource, HeadTag, Header, RpcSource};
use crate::rpc::{Rpc, RpcConfig, RpcStats};
use crate::verify::{BlockReceipts, LogFilter};
use crate::{IndexerError, Result};

/// A [`ChainSource`] over several others.
#[derive(Debug)]
pub struct QuorumSource {
    nodes: Vec<Node>,
    /// The one that is asked first; it changes when another one had to help out.
    preferred: AtomicUsize,
    /// The newest block that was agreed to be final: whoever's head is below it stands still.
    agreed_final: AtomicU64,
}

#[derive(Debug)]
struct Node {
    shown_url: String,
    source: Arc<dyn ChainSource>,
}

/// What a method of [`ChainSource`] returns.
type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A node, and what it says the newest block of a tag is.
type Report<'a> = (&'a Node, Option<Header>);

impl QuorumSource {
    /// Prepares connections, the preferred node first; nothing is sent yet.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`], also when there is no address.
    pub fn connect(urls: &[String], config: &RpcConfig) -> Result<Self> {
        let mut nodes = Vec::with_capacity(urls.len());
        for url in urls {
            let rpc = Rpc::connect(url, config.clone())?;
            nodes.push((rpc.shown_url().to_owned(), Arc::new(RpcSource::over(rpc)) as Arc<dyn ChainSource>));
        }
        Self::over(nodes)
    }

    /// A quorum of other sources, each with the name that errors call it.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`] when there is none.
    pub fn over(sources: Vec<(String, Arc<dyn ChainSource>)>) -> Result<Self> {
        if sources.is_empty() {
            return Err(IndexerError::BadUrl { url: String::new(), problem: "there is no address".into() });
        }
        let nodes = sources.into_iter().map(|(shown_url, source)| Node { shown_url, source }).collect();
        Ok(Self { nodes, preferred: AtomicUsize::new(0), agreed_final: AtomicU64::new(0) })
    }

    /// Asks the preferred node, and the others in turn as long as the failure may be the node's.
    async fn first<'a, T>(&'a self, ask: impl Fn(&'a dyn ChainSource) -> Asked<'a, T>) -> Result<T> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut first_error = None;
        for offset in 0..self.nodes.len() {
            let index = (preferred + offset) % self.nodes.len();
            let Some(node) = self.nodes.get(index) else { break };
            match ask(node.source.as_ref()).await {
                Err(error) if may_be_the_nodes(&error) => {
                    tracing::debug!(node = node.shown_url, %error, "asking the next node");
                    first_error.get_or_insert(error);
                }
                answer => {
                    // One that is only behind stays preferred: the next block is there soon.
                    if offset > 0 && !matches!(first_error, Some(IndexerError::BlockUnknown { .. })) {
                        self.preferred.store(index, Ordering::Relaxed);
                    }
                    return answer;
                }
            }
        }
        Err(first_error.unwrap_or(IndexerError::BlockUnknown { block: "of no node".into() }))
    }

    /// The newest header of the preferred node, or of the next one that does not stand still below what is final.
    async fn latest(&self) -> Result<Option<Header>> {
        let agreed_final = self.agreed_final.load(Ordering::Relaxed);
        for _ in 0..self.nodes.len() {
            let head = self.first(|source| source.head(HeadTag::Latest)).await?;
            if head.is_some_and(|head| head.number >= agreed_final) {
                return Ok(head);
            }
            let preferred = self.preferred.load(Ordering::Relaxed);
            if let Some(node) = self.nodes.get(preferred) {
                tracing::warn!(node = node.shown_url, agreed_final, "a node stands still: its newest block is below what is final");
            }
            self.preferred.store((preferred + 1) % self.nodes.len(), Ordering::Relaxed);
        }
        Err(IndexerError::BlockUnknown { block: agreed_final.to_string() })
    }

    /// The newest header of a tag that a majority of those who answer has reached; more than half of the
    /// nodes must answer. Every node that has a block at that height must have this one.
    async fn agreed(&self, tag: HeadTag) -> Result<Option<Header>> {
        let heads = join_all(self.nodes.iter().map(|node| async move { (node, node.source.head(tag).await) })).await;
        let mut reports: Vec<Report<'_>> = Vec::with_capacity(heads.len());
        let mut first_error = None;
        for (node, head) in heads {
            match head {
                Ok(head) => reports.push((node, head)),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::warn!(node = node.shown_url, %error, ?tag, "a node has no say about the head");
                    first_error.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first_error.filter(|_| reports.len() * 2 <= self.nodes.len()) {
            return Err(error);
        }
        let Some(number) = reached_by_majority(reports.iter().map(|(_, head)| head.map(|head| head.number)).collect()) else {
            return Ok(None);
        };
        let header = self.same_on_all(number, &reports).await?;
        if tag == HeadTag::Finalized {
            self.agreed_final.fetch_max(number, Ordering::Relaxed);
        }
        Ok(Some(header))
    }

    async fn same_on_all(&self, number: u64, reports: &[Report<'_>]) -> Result<Header> {
        let at_height = reports.iter().map(|(node, head)| async move {
            match head {
                Some(head) if head.number == number => Result::Ok(Some((*node, *head))),
                _ => Ok(node.source.header_by_number(number).await?.map(|header| (*node, header))),
            }
        });
        let mut agreed: Option<(&Node, Header)> = None;
        for answer in join_all(at_height).await {
            let (node, header) = match answer {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) if !error.is_transient() => return Err(error),
                // Its word on the head stands; the others' on this height are enough.
                Err(_) => continue,
            };
            match agreed {
                None => agreed = Some((node, header)),
                Some((_, first)) if first.hash == header.hash => {}
                Some((first_node, first)) => return Err(disagreement(number, (first_node, first.hash), (node, header.hash))),
            }
        }
        // Whoever reported this number has it, unless the chain changed in between.
        agreed.map(|(_, header)| header).ok_or_else(|| IndexerError::BlockUnknown { block: number.to_string() })
    }
}

/// Whether another node may answer. A request that is too large is made smaller instead, and a
/// contradiction is the caller's to look into.
fn may_be_the_nodes(error: &IndexerError) -> bool {
    error.is_transient() && !matches!(error, IndexerError::RangeTooLarge { .. } | IndexerError::NodesDisagree { .. })
}

fn disagreement(number: u64, first: (&Node, B256), second: (&Node, B256)) -> IndexerError {
    IndexerError::NodesDisagree {
        number,
        first_url: first.0.shown_url.clone(),
        first_hash: first.1,
        second_url: second.0.shown_url.clone(),
        second_hash: second.1,
    }
}

/// The highest number that more than half of the reports have reached; "nothing yet" is below all.
fn reached_by_majority(mut numbers: Vec<Option<u64>>) -> Option<u64> {
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.get(numbers.len() / 2).copied().flatten()
}

#[async_trait]
impl ChainSource for QuorumSource {
    fn stats(&self) -> Vec<RpcStats> {
        self.nodes.iter().flat_map(|node| node.source.stats()).collect()
    }

    /// All nodes that answer must serve one chain.
    async fn chain_id(&self) -> Result<u64> {
        let expected = self.first(|source| source.chain_id()).await?;
        for id in join_all(self.nodes.iter().map(|node| node.source.chain_id())).await {
            match id {
                Ok(found) if found != expected => return Err(IndexerError::WrongChain { expected, found }),
                _ => {}
            }
        }
        Ok(expected)
    }

    async fn head(&self, tag: HeadTag) -> Result<Option<Header>> {
        match tag {
            HeadTag::Latest => self.latest().await,
            HeadTag::Safe | HeadTag::Finalized => self.agreed(tag).await,
        }
    }

    async fn header_by_number(&self, number: u64) -> Result<Option<Header>> {
        self.first(|source| source.header_by_number(number)).await
    }

    async fn header_by_hash(&self, hash: B256) -> Result<Option<Header>> {
        self.first(|source| source.header_by_hash(hash)).await
    }

    async fn headers(&self, numbers: &[u64]) -> Result<Vec<Header>> {
        let numbers: Arc<[u64]> = numbers.into();
        self.first(|source| {
            let numbers = numbers.clone();
            Box::pin(async move { source.headers(&numbers).await })
        })
        .await
    }

    async fn logs_in_range(&self, from: u64, to: u64, filter: &LogFilter) -> Result<(Header, Logs)> {
        let filter = Arc::new(filter.clone());
        self.first(|source| {
            let filter = filter.clone();
            Box::pin(async move { source.logs_in_range(from, to, &filter).await })
        })
        .await
    }

    async fn logs_of_block(&self, block: BlockId, filter: &LogFilter) -> Result<Logs> {
        let filter = Arc::new(filter.clone());
        self.first(|source| {
            let filter = filter.clone();
            Box::pin(async move { source.logs_of_block(block, &filter).await })
        })
        .await
    }

    async fn receipts(&self, blocks: &[BlockId]) -> Result<Vec<BlockReceipts>> {
        let blocks: Arc<[BlockId]> = blocks.into();
        self.first(|source| {
            let blocks = blocks.clone();
            Box::pin(async move { source.receipts(&blocks).await })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
