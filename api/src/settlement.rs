//! From receipts to a claimable root: close an epoch, debit the payers, compute rewards from what was collected, propose the
//! root, wait out the dispute window, accept.
//!
//! What the chain says is read from its indexed events: what counts for money is final there, and nothing is sent while
//! something that is not final yet may change what is to be sent. So a step can be repeated, a restart goes on, and one node that
//! lies neither pays nor stops anybody who follows the others.
//!
//! What a person has to decide halts payouts and is never decided by the service: a disputed root, and one that the
//! distributor's owner removed. Payers are debited meanwhile.

mod actions;
mod debit;
mod due;
mod plan;
mod reserve;
mod roots;

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indexer::events::{self, roots::RootBook};
use rag::{ClosingTerms, MOST_FUNDERS, Policy};
use schemas::contracts::PaymentVault;
use schemas::tables::{ClosingRow, EpochRow, Wei};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};
use store::Finality;

use crate::service::Service;
pub use actions::{ChainAction, act};
pub(crate) use due::Clock;

/// What a payer's limits must outlive the interval between settlements by: time to debit, also on a chain that is slow.
pub const LIMIT_MARGIN_SECONDS: u64 = 3_600;

/// How long a person who asks for a settlement waits for the step that is under way.
const SETTLING_PATIENCE: Duration = Duration::from_secs(30);

/// Where the oldest epoch stands that is not finished, or else the newest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettlementStatus {
    /// 0 before the first epoch.
    pub epoch: u64,
    pub stage: Stage,
    /// Whether the acceptance stands in a finalized block.
    pub finalized: bool,
    pub reward_root: B256,
    pub receipt_count: u64,
    /// Fees of the epoch's receipts.
    pub total_wei: Wei,
    pub collected_wei: Wei,
    /// What payers still owe.
    pub unpaid_wei: Wei,
    /// What contributors earn.
    pub pool_wei: Wei,
    /// Unix seconds from which the root can be accepted; 0 until it is proposed.
    pub disputable_until: u64,
    /// Why payouts wait for a person; `None` when they do not.
    pub halted: Option<String>,
    /// The open dispute over the root.
    pub dispute: Option<Dispute>,
}

/// Who says that a root is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    pub by: Address,
    /// keccak256 of the published evidence.
    pub evidence_hash: B256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No epoch was closed yet.
    #[default]
    None,
    /// Its receipts are fixed; payers are being debited.
    Closed,
    /// Payers are debited, rewards are computed.
    Debited,
    /// The root is on chain and can be disputed.
    Proposed,
    /// The root is disputed; its owner has to decide.
    Disputed,
    /// The distributor's owner removed the root.
    Removed,
    /// The root can be claimed from.
    Accepted,
}

/// What one settlement must know of the one before.
#[derive(Debug, Default)]
pub struct Settling {
    /// The block from which it is known what the reserve was last given.
    reserve_known_at: u64,
}

/// What lets settlement go on without anything new in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The indexer holds a final block.
    is_placed: bool,
    /// The proposed root can be disputed no more.
    is_undisputed: bool,
}

impl Moment {
    pub(crate) fn now(service: &Service) -> Self {
        Self {
            is_placed: service.indexer.borrow().indexed_finalized.is_some(),
            is_undisputed: roots::newest_second(service) >= service.settlement.borrow().disputable_until,
        }
    }
}

/// Closes the next epoch, for a person who asked for it: not while one is being settled.
pub async fn close(service: &Service) -> anyhow::Result<SettlementStatus> {
    let mut settling = tokio::time::timeout(SETTLING_PATIENCE, service.settling.lock())
        .await
        .map_err(|_| anyhow!("an epoch is being settled, and waits for the chain; try again shortly"))?;
    if let Some(closing) = service.rag.closing().await? {
        bail!("epoch {} is still being settled; wait until it is accepted", closing.epoch);
    }
    let accepted = RootBook::read(&service.store, &service.deployment, Finality::Any).await?.accepted_epoch();
    if let Some(last) = service.store.max::<EpochRow>("epoch").await?.filter(|last| *last > accepted) {
        let why = service.settlement.borrow().halted.clone();
        bail!("epoch {last} is still being settled; {}", why.unwrap_or_else(|| "wait until it is accepted".into()));
    }
    service.indexer_placed().await?;
    let closing = close_now(service, &mut settling).await?;
    let status = closed(&closing);
    service.settlement.send_replace(status.clone());
    Ok(status)
}

/// Closes the next epoch at the newest finalized block that the indexer holds, by the fee schedule in force at that block.
async fn close_now(service: &Service, settling: &mut Settling) -> anyhow::Result<ClosingRow> {
    let cut = service.indexer.borrow().indexed_finalized.context("the indexer holds no finalized block yet; try again shortly")?;
    let fees = events::fees_at(&service.store, &service.deployment, cut.number).await?;
    let fees = fees.context("the vault's fee schedule is in no finalized block yet; try again shortly")?;
    let reserve_wei = Wei(service.config.settlement.reserve_wei()?);
    let deposits = events::all::<PaymentVault::Deposited>(&service.store, service.deployment.vault, Finality::Finalized).await?;
    let policy = Policy {
        block_number: cut.number,
        cap_wei: Wei(service.config.settlement.contributor_cap_wei()?),
        funded_by: events::payers::funders(&deposits, cut.number, MOST_FUNDERS),
        linked: service.config.settlement.linked()?,
    };
    let terms = ClosingTerms { block_number: cut.number, block_hash: cut.hash, data_bps: fees.dataBps, reserve_wei, policy };
    let closing = service.rag.close_epoch(terms, &debit::payable(service).await?).await?;
    // Before the payers are debited: what is collected tells which block's pool the epoch has.
    if let Err(error) = reserve::fill(service, settling, reserve_wei).await {
        tracing::warn!(error = format!("{error:#}"), "the operator's reserve is not in the pool; the epoch goes on with what is");
    }
    Ok(closing)
}

/// Brings everything one stage further, as far as it can be.
pub(crate) async fn step(service: &Service, clock: &mut Clock) -> anyhow::Result<()> {
    if !service.follows_closely() {
        return Ok(());
    }
    let mut settling = service.settling.lock().await;
    let due = due::close_when_due(service, clock, &mut settling).await.context("closing an epoch");
    let debited = match service.rag.closing().await? {
        Some(closing) => debit::advance(service, &closing).await.context("debiting the payers"),
        None => Ok(()),
    };
    drop(settling);
    let known = service.settlement.borrow().clone();
    let paid = roots::advance(service, &known).await;
    let next = match &paid {
        Ok(reached) => Some(reached.clone()),
        Err(_) => None,
    };
    // While every root is in force, what is being debited is what there is to see.
    let next = match (next, service.rag.closing().await?) {
        (None, _) => None,
        (Some(reached), Some(closing)) if reached.stage == Stage::None || reached.stage == Stage::Accepted => Some(closed(&closing)),
        (Some(reached), _) => Some(reached),
    };
    if let Some(next) = next {
        tell(service, &known, next);
    }
    due.and(debited).and(paid.map(drop))
}

fn tell(service: &Service, known: &SettlementStatus, next: SettlementStatus) {
    if next.halted != known.halted {
        match &next.halted {
            Some(why) => tracing::error!(epoch = next.epoch, why, "payouts are halted"),
            None => tracing::info!(epoch = next.epoch, "payouts go on"),
        }
    }
    if next != *known {
        service.settlement.send_replace(next);
    }
}

fn closed(closing: &ClosingRow) -> SettlementStatus {
    SettlementStatus {
        epoch: closing.epoch,
        stage: Stage::Closed,
        receipt_count: closing.receipt_count,
        total_wei: closing.total_wei,
        ..SettlementStatus::default()
    }
}

/// An amount of the chain as the tables hold it.
pub(crate) fn wei(amount: schemas::U256) -> anyhow::Result<Wei> {
    let amount: u128 = amount.try_into().ok().filter(|wei| *wei < 10u128.pow(38)).context("an amount on chain is beyond 10^38 wei")?;
    Ok(Wei(amount))
}
