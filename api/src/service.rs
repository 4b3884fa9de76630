//! The service: every part, built once, and the loops that keep the world level.

mod account;
pub mod contracts;
pub(crate) mod embedder;
pub(crate) mod generator;
pub(crate) mod reconcile;
pub(crate) mod reranker;
mod start;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use indexer::{ChainSource, ContractReader, IndexerStatus, Sender};
use ingest::Ingest;
use rag::Rag;
use schemas::Address;
use schemas::contracts::Deployment;
use schemas::signed::SigningDomain;
use schemas::tables::{DatanetRow, Millis};
use store::sql::QueryLimits;
use store::workers::QueryWorkers;
use store::{Memo, Store};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::auth::Keys;
use crate::config::Config;
use crate::credit::Credit;
use crate::http::Uploads;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::settlement::{LIMIT_MARGIN_SECONDS, SettlementStatus, Settling};
use contracts::Contracts;
use generator::Writer;
pub(crate) use start::rag_config;
pub use start::{Running, start};

/// All parts of a running service.
#[derive(Debug)]
pub struct Service {
    pub config: Config,
    pub metrics: Arc<Metrics>,
    pub data_dir: PathBuf,
    pub store: Store,
    pub ingest: Ingest,
    pub rag: Rag,
    /// None where answers are quoted.
    pub writer: Option<Writer>,
    pub keys: Keys,
    pub uploads: Uploads,
    pub limits: Limits,
    pub contracts: Contracts,
    pub reader: ContractReader,
    pub sender: Sender,
    pub deployment: Deployment,
    pub operator: Address,
    pub started: Millis,
    pub rpc_url: String,
    /// The node that strangers are told of; empty for none.
    pub public_rpc_url: String,
    /// The chain as the indexer reads it.
    pub source: Arc<dyn ChainSource>,
    pub price_wei: u128,
    pub query_limits: QueryLimits,
    pub operator_query_limits: QueryLimits,
    /// Processes that queries run in.
    pub workers: QueryWorkers,
    /// Queries under way.
    pub queries: Arc<Places>,
    /// Texts being traced, or waiting for it.
    pub traces: Arc<Places>,
    /// Lists being made of what contributors sent in, of receipts and of rows of epochs.
    pub listings: Arc<Places>,
    pub indexer: watch::Receiver<IndexerStatus>,
    /// The node's head when it was first seen, and whether the indexer held it once.
    pub(crate) first_head: OnceLock<u64>,
    pub(crate) is_chain_known: AtomicBool,
    pub settlement: watch::Sender<SettlementStatus>,
    /// Held while an epoch is closed or debited, and the reserve filled.
    pub settling: tokio::sync::Mutex<Settling>,
    /// What each reconciler last failed with; absent when it succeeded.
    pub troubles: Mutex<HashMap<&'static str, String>>,
    /// Datanets that were asked for, by name or id.
    pub datanets: Memo<[u64; 2], String, DatanetRow>,
    /// Datanets as the page at `/` lists them, until there is another one or a version.
    pub listed: Memo<[u64; 2], (), Arc<str>>,
    /// What payers have, owe and allow.
    pub credit: Credit,
    /// Answers being made; those that somebody pays for and was told of are waited for at the end.
    pub answers: TaskTracker,
}

impl Service {
    pub fn domain(&self) -> SigningDomain {
        SigningDomain { chain_id: self.deployment.chain_id, registry: self.deployment.registry }
    }

    /// Seconds within which an answer given now is debited: the interval of settlements, and time to debit.
    pub fn debited_within_seconds(&self) -> u64 {
        debited_within_seconds(&self.config)
    }

    /// Waits until the indexer has found its place, which it has yet to do just after a start.
    pub async fn indexer_placed(&self) -> anyhow::Result<()> {
        let mut indexer = self.indexer.clone();
        let placed = tokio::time::timeout(INDEXER_PATIENCE, indexer.wait_for(|status| status.indexed_finalized.is_some())).await;
        placed.ok().and_then(Result::ok).map(drop).context("the indexer holds no finalized block yet; try again shortly")
    }

    /// Waits a while until the indexer holds the head that the node had when this process first saw it: what came in the last
    /// blocks before a restart (debits, withdrawals) is in no table yet. True ever after.
    pub async fn knows_the_chain(&self) -> bool {
        let mut indexer = self.indexer.clone();
        let knows = |status: &IndexerStatus| {
            let Some(head) = status.head else { return false };
            let first = *self.first_head.get_or_init(|| head.number);
            self.is_chain_known.load(Ordering::Relaxed) || status.indexed_hot.is_some_and(|held| held.number >= first.min(head.number))
        };
        let known = tokio::time::timeout(INDEXER_PATIENCE, indexer.wait_for(knows)).await.is_ok_and(|known| known.is_ok());
        self.is_chain_known.fetch_or(known, Ordering::Relaxed) || known
    }

    /// Waits a while until the indexer holds a block, so that what was sent is not sent again.
    pub async fn saw(&self, block: u64) {
        let mut indexer = self.indexer.clone();
        let held = indexer.wait_for(|status| status.indexed_hot.is_some_and(|held| held.number >= block));
        drop(tokio::time::timeout(INDEXER_PATIENCE, held).await);
    }

    /// Whether the tables hold nearly all that the chain has: what is to be sent is decided by them.
    pub fn follows_closely(&self) -> bool {
        self.indexer.borrow().lag_blocks.is_some_and(|lag| lag <= MAX_LAG_BLOCKS)
    }

    /// What a reconciler last failed with.
    pub fn trouble_with(&self, what: &str) -> Option<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned()
    }

    fn trouble(&self, what: &'static str, result: anyhow::Result<()>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => {
                if troubles.remove(what).is_some() {
                    tracing::info!(reconciler = what, "works again");
                }
            }
            Err(error) => {
                let text = format!("{error:#}");
                if troubles.get(what) != Some(&text) {
                    tracing::warn!(reconciler = what, error = %text, "will be tried again");
                    troubles.insert(what, text);
                }
            }
        }
    }
}

/// Names of Datanets, or ids, that are kept at most.
const MAX_DATANET_NAMES: usize = 1_000;

fn debited_within_seconds(config: &Config) -> u64 {
    config.settlement.interval_seconds.saturating_add(LIMIT_MARGIN_SECONDS)
}

/// Longest wait for the indexer to hold a block.
const INDEXER_PATIENCE: Duration = Duration::from_secs(15);
/// Blocks that the indexer may be behind when something is sent.
const MAX_LAG_BLOCKS: u64 = 10;
/// Pause between two rounds of the reconcilers.
const ROUND: Duration = Duration::from_millis(300);
