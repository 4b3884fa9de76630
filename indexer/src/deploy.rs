//! Putting our contracts on a chain. For development chains: a real network names its deployment.

use schemas::alloy_sol_types::SolValue;
use schemas::contracts::{Contract, Deployment, PaymentVault};
use schemas::{Address, U256};

use crate::sender::Sender;
use crate::{IndexerError, Result};

/// What the contracts are deployed with. The sender's account becomes the owner of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployParams {
    /// How debits are divided at first, in basis points (1/10,000) that sum to 10,000.
    pub fees: PaymentVault::FeeSchedule,
    pub withdrawal_delay_seconds: u64,
    /// Notice before another fee schedule; at least the withdrawal delay.
    pub fee_notice_seconds: u64,
    pub dispute_window_seconds: u64,
    /// What a dispute costs until it is decided, in token wei.
    pub dispute_bond_wei: U256,
    /// Receives the platform's part, and the bonds of disputes found invalid.
    pub treasury: Address,
    /// Debits payers.
    pub operator: Address,
    /// Proposes reward roots.
    pub proposer: Address,
}

/// Deploys the token, the distributor, the vault and the two registries, and says where they are.
///
/// # Errors
/// [`IndexerError::Reverted`] when a constructor refuses its arguments, and those of the sender.
/// What was deployed before an error stays on the chain, unused.
pub async fn deploy_contracts(sender: &Sender, params: &DeployParams) -> Result<Deployment> {
    let owner = sender.address();
    let (token, start_block) = deploy(sender, Contract::OpenToken, &(owner,).abi_encode_params()).await?;
    let arguments = (token, owner, params.proposer, params.dispute_window_seconds, params.dispute_bond_wei, params.treasury);
    let (distributor, _) = deploy(sender, Contract::RewardDistributor, &arguments.abi_encode_params()).await?;
    let delays = (params.withdrawal_delay_seconds, params.fee_notice_seconds);
    let arguments = (token, distributor, params.treasury, owner, params.operator, params.fees.clone(), delays.0, delays.1);
    let (vault, _) = deploy(sender, Contract::PaymentVault, &arguments.abi_encode_params()).await?;
    let (registry, _) = deploy(sender, Contract::DatanetRegistry, &[]).await?;
    let (models, _) = deploy(sender, Contract::ModelRegistry, &(registry,).abi_encode_params()).await?;
    let deployment = Deployment { chain_id: sender.chain_id(), registry, models, vault, distributor, token, start_block };
    tracing::info!(%registry, %models, %vault, %distributor, %token, start_block, "deployed the contracts");
    Ok(deployment)
}

/// The new contract's address, and the block it is in.
async fn deploy(sender: &Sender, contract: Contract, arguments: &[u8]) -> Result<(Address, u64)> {
    let mut code = contract.artifact()?.bytecode.to_vec();
    code.extend_from_slice(arguments);
    let outcome = sender.send(None, code.into(), U256::ZERO).await?;
    let address = outcome.contract_address.ok_or_else(|| IndexerError::RpcMalformed {
        method: "eth_getTransactionReceipt",
        blocks: Some(format!("block {}", outcome.block_number)),
        problem: format!("the receipt of the {contract:?} deployment has no contract address"),
    })?;
    Ok((address, outcome.block_number))
}
