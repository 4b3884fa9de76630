//! Typed reading of our contracts' state with `eth_call`. Nothing here changes the chain. One node answers, and may lie: what
//! the service decides about money rests on [`crate::events`].

mod code;

use schemas::alloy_primitives::{Bytes, U64};
use schemas::alloy_sol_types::SolCall;
use schemas::contracts::{DatanetRegistry, Deployment, ModelRegistry, OpenToken, PaymentVault, RewardDistributor};
use schemas::ids::DatanetId;
use schemas::{Address, B256, U256};
use serde_json::{Value, json};

use crate::revert::Revert;
use crate::rpc::{Rpc, RpcConfig};
use crate::source::{ChainSource, HeadTag, Header, RpcSource};
use crate::{IndexerError, Result};
pub use code::{Standing, standing};

/// The block at which state is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Latest,
    Safe,
    Finalized,
    Number(u64),
    /// Exactly this block; an error if it was reorganised away.
    Hash(B256),
}

impl At {
    fn json(self) -> Value {
        match self {
            Self::Latest => json!("latest"),
            Self::Safe => json!("safe"),
            Self::Finalized => json!("finalized"),
            Self::Number(number) => json!(format!("{number:#x}")),
            Self::Hash(hash) => json!({ "blockHash": hash, "requireCanonical": true }),
        }
    }
}

/// Reads the contracts of one deployment.
#[derive(Debug, Clone)]
pub struct ContractReader {
    rpc: Rpc,
    source: RpcSource,
    deployment: Deployment,
}

impl ContractReader {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`].
    pub fn connect(url: &str, config: RpcConfig, deployment: Deployment) -> Result<Self> {
        let rpc = Rpc::connect(url, config)?;
        Ok(Self { source: RpcSource::over(rpc.clone()), rpc, deployment })
    }

    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Calls a contract function without a transaction.
    ///
    /// # Errors
    /// [`IndexerError::Reverted`], [`IndexerError::NoContract`], and what the node says.
    pub async fn call<C: SolCall>(&self, to: Address, call: &C, at: At) -> Result<C::Return> {
        let data = Bytes::from(call.abi_encode());
        let params = json!([{ "to": to, "data": data }, at.json()]);
        let answer: Bytes = match self.rpc.request("eth_call", params).await {
            Ok(answer) => answer,
            Err(IndexerError::RpcRefused { data, .. }) if Revert::from_rpc(data.as_deref()).is_some() => {
                let revert = Revert::from_rpc(data.as_deref()).unwrap_or_else(|| Revert::decode(&Bytes::new()));
                return Err(IndexerError::Reverted { to: format!("{to}"), action: C::SIGNATURE, revert });
            }
            Err(error) => return Err(error),
        };
        if answer.is_empty() {
            return Err(IndexerError::NoContract { address: to, at: format!("{at:?}") });
        }
        C::abi_decode_returns(&answer).map_err(|error| IndexerError::RpcMalformed {
            method: "eth_call",
            blocks: Some(format!("block {at:?}")),
            problem: format!("{}: {error}", C::SIGNATURE),
        })
    }

    /// The root of a version; `None` when it was never committed.
    pub async fn version_root(&self, datanet: DatanetId, version: u64, at: At) -> Result<Option<B256>> {
        let call = DatanetRegistry::versionRootCall { datanetId: datanet.0, version };
        let root = self.call(self.deployment.registry, &call, at).await?;
        Ok((root != B256::ZERO).then_some(root))
    }

    /// The newest version and its root; `None` when there is none.
    pub async fn registry_head(&self, datanet: DatanetId, at: At) -> Result<Option<(u64, B256)>> {
        let head = self.call(self.deployment.registry, &DatanetRegistry::headCall { datanetId: datanet.0 }, at).await?;
        Ok((head.version > 0).then_some((head.version, head.root)))
    }

    /// A Datanet's owner; `None` when the registry does not know it.
    pub async fn owner_of(&self, datanet: DatanetId, at: At) -> Result<Option<Address>> {
        let owner = self.call(self.deployment.registry, &DatanetRegistry::ownerOfCall { datanetId: datanet.0 }, at).await?;
        Ok((owner != Address::ZERO).then_some(owner))
    }

    /// The content hash of a model's version; `None` when it was never committed. Files that hash to
    /// anything else are not that version.
    pub async fn model_hash(&self, model_id: B256, version: u64, at: At) -> Result<Option<B256>> {
        let call = ModelRegistry::versionHashCall { modelId: model_id, version };
        let hash = self.call(self.deployment.models, &call, at).await?;
        Ok((hash != B256::ZERO).then_some(hash))
    }

    /// The fee schedule in force.
    pub async fn fees(&self, at: At) -> Result<PaymentVault::FeeSchedule> {
        self.call(self.deployment.vault, &PaymentVault::feesCall {}, at).await
    }

    /// The first second (Unix time) at which a payer's limits of a nonce allow no debit; `None` while they are not cancelled.
    pub async fn limit_cancelled_from(&self, payer: Address, nonce: U256, at: At) -> Result<Option<u64>> {
        let from = self.call(self.deployment.vault, &PaymentVault::cancelledFromCall { payer, nonce }, at).await?;
        Ok((from != 0).then_some(from))
    }

    /// What a payer has deposited and not spent, in token wei.
    pub async fn vault_balance(&self, payer: Address, at: At) -> Result<U256> {
        self.call(self.deployment.vault, &PaymentVault::balanceOfCall { payer }, at).await
    }

    /// The last debit batch; all zero before the first.
    pub async fn last_batch(&self, at: At) -> Result<PaymentVault::lastBatchReturn> {
        self.call(self.deployment.vault, &PaymentVault::lastBatchCall {}, at).await
    }

    /// The reward root in force; zero before the first.
    pub async fn reward_root(&self, at: At) -> Result<B256> {
        self.call(self.deployment.distributor, &RewardDistributor::rootCall {}, at).await
    }

    /// What an account has been paid so far, in token wei.
    pub async fn claimed(&self, account: Address, at: At) -> Result<U256> {
        self.call(self.deployment.distributor, &RewardDistributor::claimedCall { account }, at).await
    }

    /// An account's token balance, in token wei.
    pub async fn token_balance(&self, account: Address, at: At) -> Result<U256> {
        self.call(self.deployment.token, &OpenToken::balanceOfCall { account }, at).await
    }

    /// An account's balance for gas, in wei.
    pub async fn gas_balance(&self, account: Address, at: At) -> Result<U256> {
        self.rpc.request("eth_getBalance", json!([account, at.json()])).await
    }

    pub async fn chain_id(&self) -> Result<u64> {
        let id: U64 = self.rpc.request("eth_chainId", json!([])).await?;
        Ok(id.to())
    }

    /// Number, hash and time of the block at a tag; `None` when the chain has no such block yet.
    pub async fn block(&self, tag: HeadTag) -> Result<Option<Header>> {
        self.source.head(tag).await
    }
}
