//! From a closed epoch to a claimable root: debit the payers, propose the root, wait out the
//! dispute window, accept. Every step looks at the chain first, so it can be repeated.

use std::time::Duration;

use anyhow::{Context, bail};
use indexer::{At, HeadTag};
use rag::{ClosedEpoch, EpochCut};
use schemas::contracts::{PaymentVault, RewardDistributor};
use schemas::signed::{SignedSpendingLimit, spending_limit_digest};
use schemas::tables::{EpochRow, Millis, Wei};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::service::Service;

/// Where the newest epoch stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SettlementStatus {
    /// 0 before the first epoch.
    pub epoch: u64,
    pub stage: Stage,
    pub reward_root: B256,
    pub receipt_count: u64,
    pub total_wei: Wei,
    pub pool_wei: Wei,
    /// Unix seconds from which the root can be accepted; 0 until it is proposed.
    pub disputable_until: u64,
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
    /// The root can be claimed from.
    Accepted,
}

/// Longest wait for the indexer to hold a finalized block.
const INDEXER_PATIENCE: Duration = Duration::from_secs(15);

/// Closes the next epoch at the newest finalized block that the indexer holds.
pub async fn close(service: &Service) -> anyhow::Result<ClosedEpoch> {
    if let Some(last) = newest(service).await?
        && service.reader.accepted_epoch(At::Latest).await? < last.epoch
    {
        bail!("epoch {} is still being settled; wait until it is accepted", last.epoch);
    }
    let mut indexer = service.indexer.clone();
    // Just after a start the indexer has yet to find its place.
    let placed = tokio::time::timeout(INDEXER_PATIENCE, indexer.wait_for(|status| status.indexed_finalized.is_some())).await;
    let cut = placed.ok().and_then(Result::ok).and_then(|status| status.indexed_finalized);
    let cut = cut.context("the indexer holds no finalized block yet; try again shortly")?;
    let closed = service
        .rag
        .close_epoch(EpochCut {
            chain_id: service.deployment.chain_id,
            distributor: service.deployment.distributor,
            to_block: cut.number,
            to_block_hash: cut.hash,
            data_bps: service.config.settlement.data_bps,
        })
        .await?;
    service.settlement.send_replace(status(&closed.row, Stage::Closed, 0));
    Ok(closed)
}

/// Brings the newest epoch one stage further, if it can be.
pub(crate) async fn step(service: &Service) -> anyhow::Result<()> {
    let Some(epoch) = newest(service).await? else { return Ok(()) };
    let known = service.settlement.borrow().clone();
    if known.epoch == epoch.epoch && known.stage == Stage::Accepted {
        return Ok(());
    }
    let (stage, disputable_until) = advance(service, &epoch).await?;
    service.settlement.send_replace(status(&epoch, stage, disputable_until));
    Ok(())
}

async fn newest(service: &Service) -> anyhow::Result<Option<EpochRow>> {
    let Some(number) = service.store.max::<EpochRow>("epoch").await? else { return Ok(None) };
    Ok(service.store.scan(Some(&format!("epoch = {number}"))).await?.pop())
}

fn status(epoch: &EpochRow, stage: Stage, disputable_until: u64) -> SettlementStatus {
    SettlementStatus {
        epoch: epoch.epoch,
        stage,
        reward_root: epoch.reward_root,
        receipt_count: epoch.receipt_count,
        total_wei: epoch.total_wei,
        pool_wei: epoch.pool_wei,
        disputable_until,
    }
}

async fn advance(service: &Service, epoch: &EpochRow) -> anyhow::Result<(Stage, u64)> {
    let (reader, deployment) = (&service.reader, &service.deployment);
    if reader.accepted_epoch(At::Latest).await? >= epoch.epoch {
        return Ok((Stage::Accepted, 0));
    }
    if reader.batch_count(At::Latest).await? < epoch.epoch {
        debit(service, epoch).await.context("debiting the payers")?;
        return Ok((Stage::Debited, 0));
    }
    let pending = reader.call(deployment.distributor, &RewardDistributor::pendingCall {}, At::Latest).await?;
    if pending.epoch == 0 {
        let call = RewardDistributor::proposeRootCall {
            epoch: epoch.epoch,
            root: epoch.reward_root,
            artifactHash: epoch.artifact_hash,
            totalCumulative: U256::from(epoch.total_cumulative_wei.0),
            toBlock: epoch.to_block,
            toBlockHash: epoch.to_block_hash,
            indexDigest: B256::ZERO,
        };
        service.sender.call(deployment.distributor, &call).await.context("proposing the reward root")?;
        return Ok((Stage::Proposed, 0));
    }
    if pending.epoch != epoch.epoch || pending.root != epoch.reward_root {
        bail!(
            "the distributor holds a proposal for epoch {} with root {:#x}, not ours ({:#x}): payouts stay halted until its owner resolves it",
            pending.epoch,
            pending.root,
            epoch.reward_root
        );
    }
    let now = reader.block(HeadTag::Latest).await?.map_or(0, |block| block.timestamp);
    if now >= pending.disputableUntil {
        let call = RewardDistributor::acceptRootCall { epoch: epoch.epoch };
        service.sender.call(deployment.distributor, &call).await.context("accepting the reward root")?;
        return Ok((Stage::Accepted, pending.disputableUntil));
    }
    Ok((Stage::Proposed, pending.disputableUntil))
}

/// Debits every payer of the epoch under a limit that it signed. One batch per epoch.
async fn debit(service: &Service, epoch: &EpochRow) -> anyhow::Result<()> {
    let closed = service.rag.closed_epoch(epoch.epoch).await?;
    let mut debits = Vec::with_capacity(closed.debits.len());
    for debit in &closed.debits {
        let limit = limit_for(service, debit.payer, debit.amount_wei.0).await?;
        let signature = hex::decode(limit.signature.trim_start_matches("0x")).context("a stored spending limit's signature")?;
        debits.push(PaymentVault::Debit {
            limit: PaymentVault::SpendingLimit {
                payer: limit.payer,
                spender: limit.spender,
                maxAmount: limit.max_amount,
                expiry: limit.expiry,
                nonce: limit.nonce,
            },
            signature: signature.into(),
            amount: U256::from(debit.amount_wei.0),
        });
    }
    let call = PaymentVault::debitBatchCall {
        batchId: epoch.epoch,
        receiptsRoot: epoch.receipts_root,
        prevRoot: service.reader.last_batch_root(At::Latest).await?,
        debits,
        dataPool: U256::from(epoch.pool_wei.0),
    };
    service.sender.call(service.deployment.vault, &call).await?;
    Ok(())
}

/// The first limit of `payer` with room for `amount`.
async fn limit_for(service: &Service, payer: Address, amount: u128) -> anyhow::Result<SignedSpendingLimit> {
    for limit in service.keys.limits_of(payer) {
        if limit_room(service, &limit).await? >= U256::from(amount) {
            return Ok(limit);
        }
    }
    bail!("{payer} has signed no spending limit with room for {amount} wei; it has to sign a new one (`headwater apps register`)")
}

/// The largest room that one of the payer's limits has: a debit is made under a single limit.
pub async fn largest_room(service: &Service, payer: Address) -> anyhow::Result<U256> {
    let mut largest = U256::ZERO;
    for limit in service.keys.limits_of(payer) {
        largest = largest.max(limit_room(service, &limit).await?);
    }
    Ok(largest)
}

/// What is left of a spending limit on chain; nothing once it has expired.
async fn limit_room(service: &Service, limit: &SignedSpendingLimit) -> anyhow::Result<U256> {
    if limit.expiry <= Millis::now().unix_seconds() {
        return Ok(U256::ZERO);
    }
    let digest = spending_limit_digest(service.deployment.chain_id, service.deployment.vault, &limit.limit());
    let spent = service.reader.limit_spent(digest, At::Latest).await?;
    Ok(limit.max_amount.saturating_sub(spent))
}
