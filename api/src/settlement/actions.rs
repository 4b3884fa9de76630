//! What the contracts' owner and proposer decide, sent by the operator's account. Whether that account
//! may, the contracts say.

use anyhow::Context;
use indexer::{At, TxOutcome};
use schemas::contracts::{PaymentVault, RewardDistributor};
use schemas::ids::typed_address;
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

use super::roots;
use crate::service::Service;

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChainAction {
    /// Announces a fee schedule; it can be activated when the vault's notice is over.
    ProposeFees {
        platform_bps: u16,
        model_bps: u16,
        stakers_bps: u16,
        data_bps: u16,
        #[serde(default, deserialize_with = "typed_address::optional")]
        stakers_pool: Option<Address>,
    },
    ActivateFees,
    /// Decides the open dispute: a valid one removes the root.
    Resolve {
        epoch: u64,
        valid: bool,
    },
    /// Removes the pending root.
    Revoke {
        epoch: u64,
    },
    /// Proposes the root that is next again after it was removed.
    ProposeRoot,
}

/// Sends it, and returns its transaction; `None` where several were needed.
pub async fn act(service: &Service, action: ChainAction) -> anyhow::Result<Option<B256>> {
    let (vault, distributor) = (service.deployment.vault, service.deployment.distributor);
    let outcome: TxOutcome = match action {
        ChainAction::ProposeFees { platform_bps, model_bps, stakers_bps, data_bps, stakers_pool } => {
            let proposed = PaymentVault::FeeSchedule {
                platformBps: platform_bps,
                modelBps: model_bps,
                stakersBps: stakers_bps,
                dataBps: data_bps,
                stakersPool: stakers_pool.unwrap_or_default(),
            };
            service.sender.call(vault, &PaymentVault::proposeFeesCall { proposed }).await?
        }
        ChainAction::ActivateFees => service.sender.call(vault, &PaymentVault::activateFeesCall {}).await?,
        ChainAction::Resolve { epoch, valid } => {
            let dispute = service.reader.call(distributor, &RewardDistributor::openDisputeCall {}, At::Latest).await?;
            let outcome = service.sender.call(distributor, &RewardDistributor::resolveDisputeCall { epoch, valid }).await?;
            pay_bonds(service, dispute.by).await?;
            outcome
        }
        ChainAction::Revoke { epoch } => {
            let dispute = service.reader.call(distributor, &RewardDistributor::openDisputeCall {}, At::Latest).await?;
            let outcome = service.sender.call(distributor, &RewardDistributor::revokeRootCall { epoch }).await?;
            pay_bonds(service, dispute.by).await?;
            outcome
        }
        ChainAction::ProposeRoot => {
            roots::propose(service, &roots::next(service).await?).await?;
            return Ok(None);
        }
    };
    Ok(Some(outcome.hash))
}

/// Pays out the bonds that a decision released, to whom they belong.
async fn pay_bonds(service: &Service, disputer: Address) -> anyhow::Result<()> {
    let distributor = service.deployment.distributor;
    let recipient = service.reader.call(distributor, &RewardDistributor::bondRecipientCall {}, At::Latest).await?;
    for account in [disputer, recipient] {
        let owed = service.reader.call(distributor, &RewardDistributor::bondOfCall { account }, At::Latest).await?;
        if !owed.is_zero() {
            service.sender.call(distributor, &RewardDistributor::withdrawBondCall { account }).await.context("paying a bond out")?;
        }
    }
    Ok(())
}
