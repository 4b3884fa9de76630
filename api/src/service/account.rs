//! The service's account: whose key it is, and what it may do on chain.

use std::path::Path;

use anyhow::{Context, bail};
use indexer::{At, ContractReader, DevChain, Permission, Sender, SenderConfig, SpendingPolicy};
use schemas::U256;
use schemas::contracts::{DatanetRegistry, Deployment, OpenToken, PaymentVault, RewardDistributor};
use schemas::signer::{KeySigner, Signer};

use crate::config::{Chain, Config, wei};
use crate::identity::{self, keystore};

/// The service's own key: its account owns the contracts of a development chain.
pub(super) async fn operator_signer(chain: &Chain, data_dir: &Path) -> anyhow::Result<KeySigner> {
    let in_environment = identity::from_environment()?;
    if chain.keystore.as_os_str().is_empty() {
        return in_environment.map_or_else(|| load_or_create(data_dir, identity::OPERATOR), Ok);
    }
    if in_environment.is_some() {
        bail!("both chain.keystore and the environment variable {} give the service's key; keep one", identity::KEY_VARIABLE);
    }
    let password_file = Some(chain.keystore_password_file.clone()).filter(|path| !path.as_os_str().is_empty());
    let password = keystore::password(password_file.as_deref())?;
    let keystore = chain.keystore.clone();
    tokio::task::spawn_blocking(move || keystore::open(&keystore, &password)).await.context("decrypting the keystore")?
}

fn load_or_create(data_dir: &Path, name: &str) -> anyhow::Result<KeySigner> {
    if identity::list(data_dir)?.iter().any(|known| known == name) {
        identity::load(data_dir, name)
    } else {
        identity::create(data_dir, name)
    }
}

pub(super) fn sender_config(config: &Config, data_dir: &Path, policy: SpendingPolicy) -> SenderConfig {
    SenderConfig { policy, outbox_dir: Some(data_dir.join("outbox")), ..config.sender.config(config.rpc.config()) }
}

/// The account that `headwater dev fund` gives from: with a key of its own, since the operator's
/// account has one sender, the service.
pub(super) async fn fill_faucet(
    dev_chain: &DevChain,
    reader: &ContractReader,
    operator: &KeySigner,
    data_dir: &Path,
    sender: SenderConfig,
) -> anyhow::Result<()> {
    let faucet = load_or_create(data_dir, identity::FAUCET)?.address();
    let million = U256::from(1_000_000u64) * U256::from(10).pow(U256::from(18));
    dev_chain.fund(faucet, million).await?;
    if reader.token_balance(faucet, At::Latest).await? < million {
        let owner = Sender::connect(dev_chain.rpc_url(), operator.clone(), sender).await?;
        let amount = million * U256::from(1_000_000u64);
        owner.call(reader.deployment().token, &OpenToken::mintCall { to: faucet, amount }).await.context("filling the faucet")?;
    }
    Ok(())
}

/// Exactly what the service does on chain: one line per function; a new call needs a new line. On a
/// development chain gas is free.
pub(super) fn operator_policy(chain: &Chain, deployment: &Deployment, dev_chain: Option<&DevChain>) -> anyhow::Result<SpendingPolicy> {
    let permissions = [
        Permission::call::<DatanetRegistry::createDatanetCall>(deployment.registry),
        Permission::call::<DatanetRegistry::commitVersionCall>(deployment.registry),
        Permission::call::<PaymentVault::debitBatchCall>(deployment.vault),
        Permission::call::<PaymentVault::setOperatorCall>(deployment.vault),
        Permission::call::<PaymentVault::proposeFeesCall>(deployment.vault),
        Permission::call::<PaymentVault::activateFeesCall>(deployment.vault),
        Permission::call::<RewardDistributor::proposeRootCall>(deployment.distributor),
        Permission::call::<RewardDistributor::acceptRootCall>(deployment.distributor),
        Permission::call::<RewardDistributor::fundCall>(deployment.distributor),
        Permission::call::<RewardDistributor::resolveDisputeCall>(deployment.distributor),
        Permission::call::<RewardDistributor::revokeRootCall>(deployment.distributor),
        Permission::call::<RewardDistributor::withdrawBondCall>(deployment.distributor),
        Permission::call::<OpenToken::approveCall>(deployment.token),
    ];
    let policy = SpendingPolicy {
        max_fee_per_gas_wei: wei("chain.max_fee_per_gas_wei", &chain.max_fee_per_gas_wei)?,
        ..SpendingPolicy::only(permissions)
    };
    if dev_chain.is_some() {
        return Ok(policy);
    }
    Ok(SpendingPolicy {
        max_fees_per_day_wei: wei("chain.max_fees_per_day_wei", &chain.max_fees_per_day_wei)?,
        max_transactions_per_day: chain.max_transactions_per_day,
        ..policy
    })
}
