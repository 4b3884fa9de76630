//! Deposits into the vault, and when they count.

use anyhow::bail;
use clap::Args;
use indexer::{At, ContractReader, RpcConfig, Sender};
use schemas::U256;
use schemas::contracts::{OpenToken, PaymentVault};
use schemas::signer::{KeySigner, Signer};
use serde_json::json;

use super::account;
use crate::cli::{Context, SignAs, gas, keys};
use crate::client::Client;
use crate::credit::Statement;
use crate::http::Info;
use crate::output::{Report, open_and_wei, tokens};

#[derive(Debug, Clone, Args)]
pub struct DepositArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// OPEN tokens that the vault shall hold for the payer; what is missing is deposited.
    #[arg(long, value_name = "AMOUNT")]
    pub up_to: String,
}

pub(super) async fn deposit(context: &Context, args: &DepositArgs) -> anyhow::Result<Report> {
    let (info, client) = (context.info().await?, context.client()?);
    let signer = context.signer(&args.signer)?;
    let deposit = Deposit::plan(&info, &signer, keys::wei(&args.up_to)?).await?;
    deposit.make(context, &info, &signer).await?;
    let (payer, counts) = (signer.address(), deposit.counts(&client, &info, &signer).await);
    let text = format!("{} OPEN of {payer} are deposited{}", tokens(deposit.missing), if counts { "" } else { NOT_FINAL });
    Ok(Report::new(text, &json!({ "payer": payer, "deposited_wei": deposit.missing.to_string(), "deposit_counts": counts })))
}

/// What a command says of a deposit that it no longer waits for.
pub(super) const NOT_FINAL: &str = "; a deposit counts once its block is final: `headwater apps show` says when this one does";

/// What brings a payer's balance in the vault up to an amount.
pub(super) struct Deposit {
    wanted: U256,
    missing: U256,
    reader: ContractReader,
}

impl Deposit {
    /// Sends nothing.
    pub(super) async fn plan(info: &Info, signer: &KeySigner, wanted: U256) -> anyhow::Result<Self> {
        let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
        let payer = signer.address();
        let missing = wanted.saturating_sub(reader.vault_balance(payer, At::Latest).await?);
        let held = reader.token_balance(payer, At::Latest).await?;
        if held < missing {
            let faucet = gas::faucet(info.deployment.chain_id, format_args!("{payer} --open {}", tokens(missing - held)));
            let faucet = if faucet.is_empty() { faucet } else { format!("; {faucet}") };
            bail!("{payer} holds {}, and the deposit takes {}{faucet}", open_and_wei(held), open_and_wei(missing));
        }
        Ok(Self { wanted, missing, reader })
    }

    pub(super) async fn make(&self, context: &Context, info: &Info, signer: &KeySigner) -> anyhow::Result<()> {
        if self.missing.is_zero() {
            return Ok(());
        }
        let (token, vault) = (info.deployment.token, info.deployment.vault);
        let sender = Sender::connect(info.node()?, signer.clone(), context.sender_config()).await?;
        let approve = OpenToken::approveCall { spender: vault, amount: self.missing };
        gas::send(info, &sender, (token, &approve), "approving the deposit", "").await?;
        gas::send(info, &sender, (vault, &PaymentVault::depositCall { amount: self.missing }), "depositing", "").await?;
        Ok(())
    }

    /// Where things stand if the app was not registered after it.
    pub(super) fn made(&self) -> String {
        if self.missing.is_zero() {
            "registering the app".to_owned()
        } else {
            format!("{} OPEN are deposited and stay the payer's, but the app is not registered", tokens(self.missing))
        }
    }

    /// Whether the service counts it, within a bounded wait. What was debited or withdrawn since is not waited for.
    pub(super) async fn counts(&self, client: &Client, info: &Info, signer: &KeySigner) -> bool {
        let in_vault = async || self.reader.vault_balance(signer.address(), At::Latest).await.unwrap_or(self.wanted);
        let counts = async |statement: &Statement| statement.deposited_wei >= self.wanted.min(in_vault().await);
        self.wanted.is_zero() || account::counted(client, info, signer, counts).await
    }
}
