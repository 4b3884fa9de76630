//! Reward roots on chain, one epoch at a time: proposed, disputable, accepted.

use anyhow::{Context, bail};
use indexer::events::roots::RootBook;
use schemas::contracts::RewardDistributor;
use schemas::tables::{BlockRow, EpochRow};
use schemas::{B256, U256};
use store::Finality;

use super::{Dispute, SettlementStatus, Stage};
use crate::service::Service;

/// Brings the oldest root that is not in force one stage further; says where it stands, or the newest where all are.
pub(super) async fn advance(service: &Service, known: &SettlementStatus) -> anyhow::Result<SettlementStatus> {
    let Some(newest) = service.store.max::<EpochRow>("epoch").await? else { return Ok(SettlementStatus::default()) };
    if known.epoch == newest && known.finalized {
        return Ok(known.clone());
    }
    let (store, deployment) = (&service.store, &service.deployment);
    let fixed = RootBook::read(store, deployment, Finality::Finalized).await?;
    let seen = RootBook::read(store, deployment, Finality::Any).await?;
    if let Some((epoch, root)) = fixed.accepted {
        check_ours(service, epoch, root).await?;
    }
    let epoch = epoch_row(service, newest.min(fixed.accepted_epoch() + 1)).await?;
    let mut reached = at(&epoch, &seen);
    if fixed.accepted_epoch() >= newest {
        reached.finalized = true;
    } else if fixed == seen {
        reached = act(service, &epoch, &fixed, reached).await?;
    }
    Ok(reached)
}

/// Sends what is next. What the chain says is final, so nothing is sent twice.
async fn act(service: &Service, epoch: &EpochRow, book: &RootBook, reached: SettlementStatus) -> anyhow::Result<SettlementStatus> {
    match &book.pending {
        Some(pending) if (pending.epoch, pending.root) != (epoch.epoch, epoch.reward_root) => bail!(
            "the distributor holds a proposal for epoch {} with root {:#x}, not ours ({:#x}): payouts stay halted until its owner removes it (`headwater chain revoke`)",
            pending.epoch,
            pending.root,
            epoch.reward_root
        ),
        None if reached.stage == Stage::Removed => Ok(reached),
        None => {
            propose(service, epoch).await?;
            Ok(SettlementStatus { stage: Stage::Proposed, ..reached })
        }
        Some(pending) if pending.dispute.is_some() || newest_second(service) < pending.disputable_until => Ok(reached),
        Some(_) => {
            let call = RewardDistributor::acceptRootCall { epoch: epoch.epoch };
            let outcome = service.sender.call(service.deployment.distributor, &call).await.context("accepting the reward root")?;
            service.saw(outcome.block_number).await;
            Ok(SettlementStatus { stage: Stage::Accepted, ..reached })
        }
    }
}

pub(super) async fn propose(service: &Service, epoch: &EpochRow) -> anyhow::Result<()> {
    let call = RewardDistributor::proposeRootCall {
        epoch: epoch.epoch,
        root: epoch.reward_root,
        artifactHash: epoch.artifact_hash,
        totalCumulative: U256::from(epoch.total_cumulative_wei.0),
        toBlock: epoch.to_block,
        toBlockHash: epoch.to_block_hash,
        indexDigest: index_digest(service, epoch.to_block).await?,
    };
    let outcome = service.sender.call(service.deployment.distributor, &call).await.context("proposing the reward root")?;
    service.saw(outcome.block_number).await;
    Ok(())
}

/// The epoch whose root is next: what `headwater chain propose-root` proposes again.
pub(super) async fn next(service: &Service) -> anyhow::Result<EpochRow> {
    let book = RootBook::read(&service.store, &service.deployment, Finality::Any).await?;
    epoch_row(service, book.accepted_epoch() + 1).await
}

async fn epoch_row(service: &Service, epoch: u64) -> anyhow::Result<EpochRow> {
    let rows: Vec<EpochRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    rows.into_iter().next().with_context(|| format!("epoch {epoch} is not settled yet"))
}

async fn check_ours(service: &Service, epoch: u64, root: B256) -> anyhow::Result<()> {
    let rows: Vec<EpochRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    match rows.first() {
        Some(row) if row.reward_root == root => Ok(()),
        Some(row) => bail!("the distributor accepted {root:#x} for epoch {epoch}, not our root {:#x}", row.reward_root),
        None => bail!("the distributor accepted epoch {epoch}, which this data folder does not hold: restore the newest backup"),
    }
}

/// An epoch's status as events tell it, whether or not they are final.
fn at(epoch: &EpochRow, book: &RootBook) -> SettlementStatus {
    let pending = book.pending.filter(|pending| (pending.epoch, pending.root) == (epoch.epoch, epoch.reward_root));
    let stage = match &pending {
        _ if book.accepted_epoch() >= epoch.epoch => Stage::Accepted,
        Some(pending) if pending.dispute.is_some() => Stage::Disputed,
        Some(_) => Stage::Proposed,
        None if book.removed == Some((epoch.epoch, epoch.reward_root)) => Stage::Removed,
        None => Stage::Debited,
    };
    let dispute = pending.and_then(|pending| pending.dispute).map(|(by, evidence_hash)| Dispute { by, evidence_hash });
    SettlementStatus {
        epoch: epoch.epoch,
        stage,
        finalized: false,
        reward_root: epoch.reward_root,
        receipt_count: epoch.receipt_count,
        total_wei: epoch.total_wei,
        collected_wei: epoch.collected_wei,
        unpaid_wei: epoch.unpaid_wei,
        pool_wei: epoch.pool_wei,
        disputable_until: pending.map_or(0, |pending| pending.disputable_until),
        halted: halted(epoch.epoch, stage, dispute),
        dispute,
    }
}

/// What a person has to decide, in words.
fn halted(epoch: u64, stage: Stage, dispute: Option<Dispute>) -> Option<String> {
    match (stage, dispute) {
        (Stage::Disputed, Some(Dispute { by, evidence_hash })) => Some(format!(
            "{by} disputes the reward root of epoch {epoch} with the evidence {evidence_hash}: payouts wait until the owner of the distributor decides (`headwater chain resolve`)"
        )),
        (Stage::Removed, _) => Some(format!(
            "the owner of the distributor removed the reward root of epoch {epoch}: payouts wait until it is proposed again (`headwater chain propose-root`), if it is right after all"
        )),
        _ => None,
    }
}

/// Time of the newest block that is held.
pub(super) fn newest_second(service: &Service) -> u64 {
    service.store.hot().blocks.last().map_or(0, |block| block.timestamp)
}

/// The indexer's digest of the chain up to a block that it holds as final. Without full verification
/// not every block has a row; the digest is then that of the last block with logs before it.
async fn index_digest(service: &Service, block: u64) -> anyhow::Result<B256> {
    if let Some(row) = service.store.hot().blocks.iter().find(|row| row.number == block) {
        return Ok(row.digest);
    }
    let at: Vec<BlockRow> = service.store.scan(Some(&format!("number = {block}"))).await?;
    if let Some(row) = at.first() {
        return Ok(row.digest);
    }
    let before: Vec<BlockRow> = service.store.scan(Some(&format!("number < {block}"))).await?;
    let last = before.iter().max_by_key(|row| row.number).context("the indexer holds no block before the epoch's end")?;
    Ok(last.digest)
}
