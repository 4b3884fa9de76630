//! The contracts as they stand, and what their owner decides.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use indexer::At;
use schemas::contracts::{PaymentVault, RewardDistributor};
use schemas::{Address, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, Reply};
use crate::settlement::{self, ChainAction, SettlementStatus};

/// What is in force on chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ChainView {
    pub vault_owner: Address,
    pub distributor_owner: Address,
    pub operator: Address,
    pub proposer: Address,
    pub fees: Fees,
    /// The announced fee schedule, and the Unix second from which it can be activated.
    pub proposed_fees: Option<(Fees, u64)>,
    /// What a dispute costs until it is decided, in token wei.
    pub dispute_bond_wei: U256,
    pub settlement: SettlementStatus,
    /// What the settlement last failed with; it is tried again all the time.
    pub trouble: Option<String>,
}

/// How debits are divided, in basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    pub platform_bps: u16,
    pub model_bps: u16,
    pub stakers_bps: u16,
    pub data_bps: u16,
    pub stakers_pool: Address,
}

impl From<PaymentVault::FeeSchedule> for Fees {
    fn from(fees: PaymentVault::FeeSchedule) -> Self {
        Self {
            platform_bps: fees.platformBps,
            model_bps: fees.modelBps,
            stakers_bps: fees.stakersBps,
            data_bps: fees.dataBps,
            stakers_pool: fees.stakersPool,
        }
    }
}

pub(super) async fn show(State(service): State<App>) -> Reply<Json<ChainView>> {
    let reader = &service.reader;
    let (vault, distributor) = (service.deployment.vault, service.deployment.distributor);
    let proposed = reader.call(vault, &PaymentVault::proposedFeesCall {}, At::Latest).await?;
    Ok(Json(ChainView {
        vault_owner: reader.call(vault, &PaymentVault::ownerCall {}, At::Latest).await?,
        distributor_owner: reader.call(distributor, &RewardDistributor::ownerCall {}, At::Latest).await?,
        operator: reader.call(vault, &PaymentVault::operatorCall {}, At::Latest).await?,
        proposer: reader.call(distributor, &RewardDistributor::proposerCall {}, At::Latest).await?,
        fees: reader.fees(At::Latest).await?.into(),
        proposed_fees: (proposed.activatableAt != 0).then(|| (proposed.proposed.into(), proposed.activatableAt)),
        dispute_bond_wei: reader.call(distributor, &RewardDistributor::disputeBondCall {}, At::Latest).await?,
        settlement: service.settlement.borrow().clone(),
        trouble: service.trouble_with("settlement"),
    }))
}

/// The operator's account sends it; a contract that does not take its word says so.
pub(super) async fn act(State(service): State<App>, body: Result<Json<ChainAction>, JsonRejection>) -> Reply<Json<Value>> {
    let transaction = settlement::act(&service, body?.0).await?;
    Ok(Json(json!({ "transaction": transaction })))
}
