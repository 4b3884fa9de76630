//! `headwater apps`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indexer::{At, ContractReader, RpcConfig, Sender};
use schemas::U256;
use schemas::contracts::{OpenToken, PaymentVault};
use schemas::signed::{SignedSpendingLimit, SpendingLimit, spending_limit_digest};
use schemas::signer::Signer;
use schemas::tables::Millis;
use serde_json::{Value, json};

use super::{Context, SignAs, keys};
use crate::http::AppRequest;
use crate::identity;
use crate::output::Report;

#[derive(Debug, Clone, Subcommand)]
pub enum AppsCommand {
    /// Deposit into the vault, sign a spending limit, and get an API key for it.
    Register(RegisterArgs),
}

#[derive(Debug, Clone, Args)]
pub struct RegisterArgs {
    #[arg(long)]
    pub name: String,
    #[command(flatten)]
    pub signer: SignAs,
    /// OPEN tokens that the vault shall hold for the payer; what is missing is deposited.
    #[arg(long)]
    pub deposit: String,
    /// OPEN tokens that the service may debit in all.
    #[arg(long)]
    pub limit: String,
    /// Days until the limit expires.
    #[arg(long, default_value_t = 365)]
    pub days: u64,
    /// Where to write the API key [default: NAME.apikey in the data folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Where an app's API key is kept.
pub fn key_path(context: &Context, name: &str) -> PathBuf {
    context.data_dir.join(format!("{name}.apikey"))
}

pub async fn apps(context: &Context, command: &AppsCommand) -> anyhow::Result<Report> {
    let AppsCommand::Register(args) = command;
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let (deposit, limit) = (keys::wei(&args.deposit)?, keys::wei(&args.limit)?);
    let deployment = info.deployment;
    let limit = SpendingLimit {
        payer: signer.address(),
        spender: info.operator,
        maxAmount: limit,
        expiry: Millis::now().unix_seconds() + args.days * 86_400,
        nonce: U256::from(rand::random::<u128>()),
    };
    let reader = ContractReader::connect(&info.rpc_url, RpcConfig::default(), deployment)?;
    let missing = deposit.saturating_sub(reader.vault_balance(signer.address(), At::Latest).await?);
    if !missing.is_zero() {
        let sender = Sender::connect(&info.rpc_url, signer.clone(), context.sender_config()).await?;
        sender
            .call(deployment.token, &OpenToken::approveCall { spender: deployment.vault, amount: missing })
            .await
            .context("approving the deposit")?;
        sender.call(deployment.vault, &PaymentVault::depositCall { amount: missing }).await.context("depositing")?;
    }
    let signed = SignedSpendingLimit {
        payer: limit.payer,
        spender: limit.spender,
        max_amount: limit.maxAmount,
        expiry: limit.expiry,
        nonce: limit.nonce,
        signature: signer.sign_digest(spending_limit_digest(deployment.chain_id, deployment.vault, &limit))?,
    };
    let reply: Value = context.client()?.post("/v1/apps", &AppRequest { name: args.name.clone(), limit: signed }).await?;
    let key = reply["api_key"].as_str().context("the service gave no key")?;
    let path = args.out.clone().unwrap_or_else(|| key_path(context, &args.name));
    identity::write_secret(&path, &format!("{key}\n"))?;
    let text = format!("app {} pays as {}; its API key is in {}", args.name, signer.address(), path.display());
    Ok(Report::new(text, &json!({ "name": args.name, "payer": signer.address(), "key_file": path })))
}
