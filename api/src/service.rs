//! The service: every part, built once, and the loops that keep the world level.

mod account;
pub mod contracts;
pub(crate) mod embedder;
pub(crate) mod generator;
mod reconcile;
mod start;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexer::{ChainSource, ContractReader, IndexerStatus, Sender, events};
use ingest::Ingest;
use rag::Rag;
use schemas::contracts::{Deployment, PaymentVault};
use schemas::signed::SigningDomain;
use schemas::tables::{EpochRow, Millis, ReceiptRow};
use schemas::{Address, U256};
use store::sql::QueryLimits;
use store::workers::QueryWorkers;
use store::{Finality, Store};
use tokio::sync::{Semaphore, watch};

use crate::auth::Keys;
use crate::config::Config;
use crate::http::Uploads;
use crate::settlement::SettlementStatus;
use contracts::Contracts;
use generator::Writer;
pub use start::{Running, start};

/// All parts of a running service.
#[derive(Debug)]
pub struct Service {
    pub config: Config,
    pub data_dir: PathBuf,
    pub store: Store,
    pub ingest: Ingest,
    pub rag: Rag,
    /// None where answers are quoted.
    pub writer: Option<Writer>,
    pub keys: Keys,
    pub uploads: Uploads,
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
    /// Processes that queries run in.
    pub workers: QueryWorkers,
    pub queries: Semaphore,
    pub indexer: watch::Receiver<IndexerStatus>,
    pub settlement: watch::Sender<SettlementStatus>,
    /// What each reconciler last failed with; absent when it succeeded.
    pub troubles: Mutex<HashMap<&'static str, String>>,
    /// Fees of answers being computed, by payer.
    reserved: Mutex<HashMap<Address, u128>>,
}

impl Service {
    pub fn domain(&self) -> SigningDomain {
        SigningDomain { chain_id: self.deployment.chain_id, registry: self.deployment.registry }
    }

    /// What a payer holds in the vault: deposits less debits and withdrawals, those asked for included.
    /// Read from the tables, so that it needs no node.
    pub async fn deposit_wei(&self, payer: Address) -> anyhow::Result<U256> {
        use PaymentVault::{Debited, Deposited, WithdrawalRequested, Withdrawn};
        let vault = self.deployment.vault;
        let deposited = events::all::<Deposited>(&self.store, vault, Finality::Any).await?;
        let debited = events::all::<Debited>(&self.store, vault, Finality::Any).await?;
        let requested = events::all::<WithdrawalRequested>(&self.store, vault, Finality::Any).await?;
        let withdrawn = events::all::<Withdrawn>(&self.store, vault, Finality::Any).await?;
        let income: U256 = deposited.iter().filter(|log| log.event.payer == payer).map(|log| log.event.amount).sum();
        let mut spent: U256 = debited.iter().filter(|log| log.event.payer == payer).map(|log| log.event.amount).sum();
        let last_withdrawn = withdrawn.iter().filter(|log| log.event.payer == payer).map(|log| log.event.seq).max().unwrap_or(0);
        spent += withdrawn.iter().filter(|log| log.event.payer == payer).map(|log| log.event.amount).sum::<U256>();
        let open = requested.iter().filter(|log| log.event.payer == payer && log.event.seq > last_withdrawn);
        spent += open.max_by_key(|log| log.event.seq).map_or(U256::ZERO, |log| log.event.amount);
        Ok(income.saturating_sub(spent))
    }

    /// What a payer owes: answers that no debit has paid for yet, and answers being computed.
    pub async fn owed_wei(&self, payer: Address) -> anyhow::Result<U256> {
        self.rag.drain().await?;
        let debited = events::batches_debited(&self.store, &self.deployment, Finality::Any).await?;
        let debited = debited.iter().map(|log| log.event.batchId).max().unwrap_or(0);
        // Batch n pays for epoch n; a closed epoch is owed until its batch is seen.
        let epochs: Vec<EpochRow> = self.store.scan(Some(&format!("epoch <= {debited}"))).await?;
        let paid = epochs.iter().map(|epoch| epoch.last_sequence).max().unwrap_or(0);
        let receipts: Vec<ReceiptRow> = self.store.scan(Some(&format!("sequence > {paid} AND payer = '{payer:#x}'"))).await?;
        let unpaid: U256 = receipts.iter().map(|receipt| U256::from(receipt.fee_wei.0)).sum();
        Ok(unpaid + U256::from(self.reserved().get(&payer).copied().unwrap_or(0)))
    }

    fn reserved(&self) -> std::sync::MutexGuard<'_, HashMap<Address, u128>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds `wei` of a payer's credit until the guard is dropped.
    pub fn reserve(self: &Arc<Self>, payer: Address, wei: u128) -> Reservation {
        *self.reserved().entry(payer).or_default() += wei;
        Reservation { service: self.clone(), payer, wei }
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

/// Credit held for an answer being computed.
#[derive(Debug)]
pub struct Reservation {
    service: Arc<Service>,
    payer: Address,
    wei: u128,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.service.reserved();
        if let Some(held) = reserved.get_mut(&self.payer) {
            *held = held.saturating_sub(self.wei);
        }
    }
}

/// Pause between two rounds of the reconcilers.
const ROUND: Duration = Duration::from_millis(300);
