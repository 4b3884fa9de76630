//! From a closed epoch to a claimable root: debit the payers, fill the pool, propose the root, wait
//! out the dispute window, accept. Every step looks at the chain first, so it can be repeated.
//!
//! What a person has to decide halts here and is never decided by the service: a disputed root, and
//! one that the distributor's owner removed.

mod actions;
mod debit;
mod limits;

use std::time::Duration;

use anyhow::{Context, bail};
use indexer::{At, HeadTag, events};
use rag::{ClosedEpoch, EpochCut};
use schemas::contracts::{OpenToken, RewardDistributor};
use schemas::tables::{BlockRow, EpochRow, Wei};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::service::Service;
pub use actions::{ChainAction, act};
pub use limits::{LIMIT_MARGIN_SECONDS, limit_room};

/// Where the newest epoch stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettlementStatus {
    /// 0 before the first epoch.
    pub epoch: u64,
    pub stage: Stage,
    /// Whether the acceptance stands in a finalized block.
    pub finalized: bool,
    pub reward_root: B256,
    pub receipt_count: u64,
    pub total_wei: Wei,
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
    /// Rewards are computed.
    Closed,
    /// Payers are debited, the pool is funded.
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

/// Longest wait for the indexer to hold a finalized block.
const INDEXER_PATIENCE: Duration = Duration::from_secs(15);

/// Closes the next epoch at the newest finalized block that the indexer holds, by the fee schedule in
/// force at that block.
pub async fn close(service: &Service) -> anyhow::Result<ClosedEpoch> {
    if let Some(last) = newest(service).await?
        && service.reader.accepted_epoch(At::Latest).await? < last.epoch
    {
        let why = service.settlement.borrow().halted.clone();
        bail!("epoch {} is still being settled; {}", last.epoch, why.unwrap_or_else(|| "wait until it is accepted".into()));
    }
    let mut indexer = service.indexer.clone();
    // Just after a start the indexer has yet to find its place.
    let placed = tokio::time::timeout(INDEXER_PATIENCE, indexer.wait_for(|status| status.indexed_finalized.is_some())).await;
    let cut = placed.ok().and_then(Result::ok).and_then(|status| status.indexed_finalized);
    let cut = cut.context("the indexer holds no finalized block yet; try again shortly")?;
    let fees = events::fees_at(&service.store, &service.deployment, cut.number).await?;
    let fees = fees.context("the vault's fee schedule is in no finalized block yet; try again shortly")?;
    let closed = service
        .rag
        .close_epoch(EpochCut {
            chain_id: service.deployment.chain_id,
            distributor: service.deployment.distributor,
            to_block: cut.number,
            to_block_hash: cut.hash,
            data_bps: fees.dataBps,
        })
        .await?;
    service.settlement.send_replace(status(&closed.row, Position::at(Stage::Closed)));
    Ok(closed)
}

/// Brings the newest epoch one stage further, if it can be.
pub(crate) async fn step(service: &Service) -> anyhow::Result<()> {
    let Some(epoch) = newest(service).await? else { return Ok(()) };
    let known = service.settlement.borrow().clone();
    if known.epoch == epoch.epoch && known.finalized {
        return Ok(());
    }
    let reached = advance(service, &epoch).await?;
    let next = status(&epoch, reached);
    if next.halted != known.halted {
        match &next.halted {
            Some(why) => tracing::error!(epoch = epoch.epoch, why, "payouts are halted"),
            None => tracing::info!(epoch = epoch.epoch, "payouts go on"),
        }
    }
    service.settlement.send_replace(next);
    Ok(())
}

async fn newest(service: &Service) -> anyhow::Result<Option<EpochRow>> {
    let Some(number) = service.store.max::<EpochRow>("epoch").await? else { return Ok(None) };
    Ok(service.store.scan(Some(&format!("epoch = {number}"))).await?.pop())
}

/// What the chain says of an epoch.
#[derive(Debug, Clone, Copy)]
struct Position {
    stage: Stage,
    finalized: bool,
    disputable_until: u64,
    dispute: Option<Dispute>,
}

impl Position {
    fn at(stage: Stage) -> Self {
        Self { stage, finalized: false, disputable_until: 0, dispute: None }
    }
}

fn status(epoch: &EpochRow, position: Position) -> SettlementStatus {
    SettlementStatus {
        epoch: epoch.epoch,
        stage: position.stage,
        finalized: position.finalized,
        reward_root: epoch.reward_root,
        receipt_count: epoch.receipt_count,
        total_wei: epoch.total_wei,
        pool_wei: epoch.pool_wei,
        disputable_until: position.disputable_until,
        halted: halted(epoch, position),
        dispute: position.dispute,
    }
}

/// What a person has to decide, in words.
fn halted(epoch: &EpochRow, position: Position) -> Option<String> {
    let number = epoch.epoch;
    match (position.stage, position.dispute) {
        (Stage::Disputed, Some(Dispute { by, evidence_hash })) => Some(format!(
            "{by} disputes the reward root of epoch {number} with the evidence {evidence_hash}: payouts wait until the owner of the distributor decides (`headwater chain resolve`)"
        )),
        (Stage::Removed, _) => Some(format!(
            "the owner of the distributor removed the reward root of epoch {number}: payouts wait until it is proposed again (`headwater chain propose-root`), if it is right after all"
        )),
        _ => None,
    }
}

async fn advance(service: &Service, epoch: &EpochRow) -> anyhow::Result<Position> {
    let (reader, distributor) = (&service.reader, service.deployment.distributor);
    if reader.accepted_epoch(At::Latest).await? >= epoch.epoch {
        return accepted(service, epoch).await;
    }
    if reader.batch_count(At::Latest).await? < epoch.epoch {
        debit::debit(service, epoch).await.context("debiting the payers")?;
        return Ok(Position::at(Stage::Debited));
    }
    let pending = reader.call(distributor, &RewardDistributor::pendingCall {}, At::Latest).await?;
    if pending.epoch == 0 {
        let removed = reader.call(distributor, &RewardDistributor::removedRootCall {}, At::Latest).await?;
        if removed == epoch.reward_root {
            return Ok(Position::at(Stage::Removed));
        }
        propose(service, epoch).await?;
        return Ok(Position::at(Stage::Proposed));
    }
    if pending.epoch != epoch.epoch || pending.root != epoch.reward_root {
        bail!(
            "the distributor holds a proposal for epoch {} with root {:#x}, not ours ({:#x}): payouts stay halted until its owner removes it (`headwater chain revoke`)",
            pending.epoch,
            pending.root,
            epoch.reward_root
        );
    }
    let proposed = Position { disputable_until: pending.disputableUntil, ..Position::at(Stage::Proposed) };
    let dispute = reader.call(distributor, &RewardDistributor::openDisputeCall {}, At::Latest).await?;
    if dispute.by != Address::ZERO {
        let dispute = Dispute { by: dispute.by, evidence_hash: dispute.evidenceHash };
        return Ok(Position { stage: Stage::Disputed, dispute: Some(dispute), ..proposed });
    }
    let now = reader.block(HeadTag::Latest).await?.map_or(0, |block| block.timestamp);
    if now < pending.disputableUntil {
        return Ok(proposed);
    }
    let call = RewardDistributor::acceptRootCall { epoch: epoch.epoch };
    service.sender.call(distributor, &call).await.context("accepting the reward root")?;
    Ok(Position { stage: Stage::Accepted, ..proposed })
}

/// An accepted root is looked at until no reorganisation can take it back.
async fn accepted(service: &Service, epoch: &EpochRow) -> anyhow::Result<Position> {
    let root = service.reader.reward_root(At::Latest).await?;
    if root != epoch.reward_root && service.reader.accepted_epoch(At::Latest).await? == epoch.epoch {
        bail!("the distributor accepted {root:#x} for epoch {}, not our root {:#x}", epoch.epoch, epoch.reward_root);
    }
    // A chain so young that the contracts are in no finalized block has none to ask.
    let finalized = service.reader.accepted_epoch(At::Finalized).await.is_ok_and(|accepted| accepted >= epoch.epoch);
    Ok(Position { finalized, ..Position::at(Stage::Accepted) })
}

async fn propose(service: &Service, epoch: &EpochRow) -> anyhow::Result<()> {
    fill_pool(service, epoch).await.context("filling the reward pool")?;
    let call = RewardDistributor::proposeRootCall {
        epoch: epoch.epoch,
        root: epoch.reward_root,
        artifactHash: epoch.artifact_hash,
        totalCumulative: U256::from(epoch.total_cumulative_wei.0),
        toBlock: epoch.to_block,
        toBlockHash: epoch.to_block_hash,
        indexDigest: index_digest(service, epoch.to_block).await?,
    };
    service.sender.call(service.deployment.distributor, &call).await.context("proposing the reward root")?;
    Ok(())
}

/// Contributors are owed their rewards whether or not every payer could be debited: what payers came
/// short of, the operator adds.
async fn fill_pool(service: &Service, epoch: &EpochRow) -> anyhow::Result<()> {
    let (reader, deployment) = (&service.reader, &service.deployment);
    let needed = U256::from(epoch.total_cumulative_wei.0);
    let missing = needed.saturating_sub(reader.total_funded(At::Latest).await?);
    if missing.is_zero() {
        return Ok(());
    }
    let held = reader.token_balance(service.operator, At::Latest).await?;
    if held < missing {
        bail!(
            "payers came short and the reward pool lacks {missing} wei of token {}; the operator {} holds {held} wei: send it the rest, and the service goes on by itself",
            deployment.token,
            service.operator
        );
    }
    let approve = OpenToken::approveCall { spender: deployment.distributor, amount: missing };
    service.sender.call(deployment.token, &approve).await.context("approving what the pool lacks")?;
    let outcome = service.sender.call(deployment.distributor, &RewardDistributor::fundCall { amount: missing }).await?;
    tracing::warn!(epoch = epoch.epoch, missing_wei = %missing, transaction = %outcome.hash, "payers came short; the operator filled the pool");
    Ok(())
}

/// The indexer's digest of the chain up to a block that it holds as final. Without full verification
/// not every block has a row; the digest is then that of the last block with logs before it.
async fn index_digest(service: &Service, block: u64) -> anyhow::Result<B256> {
    let at: Vec<BlockRow> = service.store.scan(Some(&format!("number = {block}"))).await?;
    if let Some(row) = at.first() {
        return Ok(row.digest);
    }
    let before: Vec<BlockRow> = service.store.scan(Some(&format!("number < {block}"))).await?;
    let last = before.iter().max_by_key(|row| row.number).context("the indexer holds no block before the epoch's end")?;
    Ok(last.digest)
}
