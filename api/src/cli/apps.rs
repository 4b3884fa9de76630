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
use crate::output::{Report, tokens};

#[derive(Debug, Clone, Subcommand)]
pub enum AppsCommand {
    /// Deposit into the vault, sign a spending limit, and get an API key for it.
    Register(RegisterArgs),
    /// End the payer's limits of a nonce; debits reach them for the vault's withdrawal delay.
    CancelLimit(CancelArgs),
    /// Ask for a part of the deposit back; asked again after the vault's delay, it is paid.
    Withdraw(WithdrawArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// The nonce that `apps register` gave.
    #[arg(long)]
    pub nonce: U256,
}

#[derive(Debug, Clone, Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// OPEN tokens to ask for; not needed to be paid what was asked for.
    #[arg(long)]
    pub amount: Option<String>,
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
    match command {
        AppsCommand::Register(args) => register(context, args).await,
        AppsCommand::CancelLimit(args) => cancel(context, args).await,
        AppsCommand::Withdraw(args) => withdraw(context, args).await,
    }
}

async fn cancel(context: &Context, args: &CancelArgs) -> anyhow::Result<Report> {
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let payer = signer.address();
    let sender = Sender::connect(info.node()?, signer, context.sender_config()).await?;
    let call = PaymentVault::cancelLimitCall { nonce: args.nonce };
    sender.call(info.deployment.vault, &call).await.context("cancelling the limit")?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    let from = reader.limit_cancelled_from(payer, args.nonce, At::Latest).await?;
    let text = format!("the limits of nonce {} of {payer} allow no debit from Unix time {} on", args.nonce, from.unwrap_or_default());
    Ok(Report::new(text, &json!({ "payer": payer, "nonce": args.nonce.to_string(), "cancelled_from": from })))
}

async fn withdraw(context: &Context, args: &WithdrawArgs) -> anyhow::Result<Report> {
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let (payer, vault) = (signer.address(), info.deployment.vault);
    let sender = Sender::connect(info.node()?, signer, context.sender_config()).await?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    if let Some(amount) = &args.amount {
        let call = PaymentVault::requestWithdrawalCall { amount: keys::wei(amount)? };
        sender.call(vault, &call).await.context("asking for a withdrawal")?;
        let request = reader.call(vault, &PaymentVault::withdrawalOfCall { payer }, At::Latest).await?;
        let text = format!("{} OPEN can be withdrawn from Unix time {} on, by `headwater apps withdraw`", amount, request.availableAt);
        let json = json!({ "payer": payer, "amount_wei": request.amount.to_string(), "available_at": request.availableAt });
        return Ok(Report::new(text, &json));
    }
    sender.call(vault, &PaymentVault::withdrawCall {}).await.context("withdrawing")?;
    let balance = reader.token_balance(payer, At::Latest).await?;
    let text = format!("withdrawn; the balance of {payer} is {} OPEN", tokens(balance));
    Ok(Report::new(text, &json!({ "payer": payer, "balance_wei": balance.to_string() })))
}

async fn register(context: &Context, args: &RegisterArgs) -> anyhow::Result<Report> {
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
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), deployment)?;
    let missing = deposit.saturating_sub(reader.vault_balance(signer.address(), At::Latest).await?);
    if !missing.is_zero() {
        let sender = Sender::connect(info.node()?, signer.clone(), context.sender_config()).await?;
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
    let (payer, nonce) = (limit.payer, limit.nonce);
    let text = format!("app {} pays as {payer} under the limit of nonce {nonce}; its API key is in {}", args.name, path.display());
    Ok(Report::new(text, &json!({ "name": args.name, "payer": payer, "nonce": nonce.to_string(), "key_file": path })))
}
