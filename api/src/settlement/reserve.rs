//! The operator's reserve: what it gives the pool so that contributors of receipts that payers came short of are paid. It is in
//! the pool before an epoch can use it, so that nothing ever waits for it.

use anyhow::Context;
use indexer::At;
use indexer::events::roots::funded_at;
use indexer::source::HeadTag;
use schemas::U256;
use schemas::contracts::{OpenToken, RewardDistributor};
use schemas::tables::{DebtRow, EpochRow, Wei};
use store::Finality;

use super::Settling;
use crate::service::Service;

/// Fills the pool up to its promises and the reserve, once what was given before is final. What the tables do not show yet may
/// be the fault of a node that stands still: so what was sent is remembered, and nothing more is sent before its block is final.
pub(super) async fn fill(service: &Service, settling: &mut Settling, reserve: Wei) -> anyhow::Result<()> {
    let known_to = service.indexer.borrow().indexed_finalized.map_or(0, |block| block.number);
    if reserve.0 == 0 || known_to < settling.reserve_known_at {
        return Ok(());
    }
    let (store, deployment) = (&service.store, &service.deployment);
    let funded = funded_at(store, deployment, u64::MAX, Finality::Finalized).await?;
    if funded != funded_at(store, deployment, u64::MAX, Finality::Any).await? {
        return Ok(());
    }
    let missing = (promised(service).await? + U256::from(reserve.0)).saturating_sub(funded);
    if missing.is_zero() {
        return Ok(());
    }
    let held = service.reader.token_balance(service.operator, At::Latest).await?;
    anyhow::ensure!(
        held >= missing,
        "the operator {} holds {held} wei of token {}, and the reserve lacks {missing}",
        service.operator,
        deployment.token
    );
    settling.reserve_known_at = service.reader.block(HeadTag::Latest).await?.map_or(0, |block| block.number).max(known_to + 1);
    let approve = OpenToken::approveCall { spender: deployment.distributor, amount: missing };
    service.sender.call(deployment.token, &approve).await.context("approving the reserve")?;
    let outcome = service.sender.call(deployment.distributor, &RewardDistributor::fundCall { amount: missing }).await?;
    settling.reserve_known_at = settling.reserve_known_at.max(outcome.block_number);
    tracing::info!(missing_wei = %missing, transaction = %outcome.hash, "filled the operator's reserve");
    service.saw(outcome.block_number).await;
    Ok(())
}

/// What the pool owes: all that was ever earned, and what payers have put in for receipts to come.
async fn promised(service: &Service) -> anyhow::Result<U256> {
    let epoch = service.store.max::<EpochRow>("epoch").await?.unwrap_or(0);
    let filter = format!("epoch = {epoch}");
    let earned = service.store.scan::<EpochRow>(Some(&filter)).await?.first().map_or(0, |row| row.total_cumulative_wei.0);
    let credits = service.store.scan::<DebtRow>(Some(&filter)).await?;
    Ok(credits.iter().map(|row| U256::from(row.pool_credit_wei.0)).fold(U256::from(earned), U256::saturating_add))
}
