//! Putting our contracts on a chain. For development chains: a real network names its deployment.

use schemas::alloy_sol_types::SolValue;
use schemas::contracts::{Contract, Deployment};
use schemas::{Address, U256};

use crate::sender::Sender;
use crate::{IndexerError, Result};

/// What the contracts are deployed with. The sender's account becomes the owner of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeployParams {
    /// The platform's part of every debit, in basis points (1/10,000).
    pub platform_bps: u16,
    pub withdrawal_delay_seconds: u64,
    pub dispute_window_seconds: u64,
    /// Receives the platform's part.
    pub treasury: Address,
    /// Proposes reward roots.
    pub proposer: Address,
}

/// Deploys the token, the distributor, the vault and the registry, and says where they are.
///
/// # Errors
/// [`IndexerError::Reverted`] when a constructor refuses its arguments, and those of the sender.
/// What was deployed before an error stays on the chain, unused.
pub async fn deploy_contracts(sender: &Sender, params: &DeployParams) -> Result<Deployment> {
    let owner = sender.address();
    let (token, start_block) = deploy(sender, Contract::OpenToken, &(owner,).abi_encode_params()).await?;
    let arguments = (token, owner, params.proposer, params.dispute_window_seconds).abi_encode_params();
    let (distributor, _) = deploy(sender, Contract::RewardDistributor, &arguments).await?;
    let arguments = (token, distributor, params.treasury, owner, params.platform_bps, params.withdrawal_delay_seconds).abi_encode_params();
    let (vault, _) = deploy(sender, Contract::PaymentVault, &arguments).await?;
    let (registry, _) = deploy(sender, Contract::DatanetRegistry, &[]).await?;
    let deployment = Deployment { chain_id: sender.chain_id(), registry, vault, distributor, token, start_block };
    tracing::info!(%registry, %vault, %distributor, %token, start_block, "deployed the contracts");
    Ok(deployment)
}

/// The new contract's address, and the block it is in.
async fn deploy(sender: &Sender, contract: Contract, arguments: &[u8]) -> Result<(Address, u64)> {
    let mut code = contract.artifact()?.bytecode.to_vec();
    code.extend_from_slice(arguments);
    let outcome = sender.send(None, code.into(), U256::ZERO).await?;
    let address = outcome.contract_address.ok_or_else(|| IndexerError::RpcMalformed {
        method: "eth_getTransactionReceipt",
        problem: format!("the receipt of the {contract:?} deployment has no contract address"),
    })?;
    Ok((address, outcome.block_number))
}
