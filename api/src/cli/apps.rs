//! `headwater apps`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indexer::{At, ContractReader, RpcConfig, Sender};
use schemas::U256;
use schemas::contracts::{OpenToken, PaymentVault};
use schemas::hashing::sha256;
use schemas::signed::apps::{AppAuthorisation, AppListing, AppRevocation};
use schemas::signed::{SignedSpendingLimit, SigningDomain, SpendingLimit, spending_limit_digest};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::Millis;
use serde_json::{Value, json};

use super::{Context, SignAs, keys};
use crate::auth::{ListedKey, new_key};
use crate::http::{AppRequest, Info};
use crate::identity;
use crate::output::{Report, table, tokens};

/// How long what is signed here can be handed in.
const DEADLINE_SECONDS: u64 = 600;

#[derive(Debug, Clone, Subcommand)]
pub enum AppsCommand {
    /// Deposit into the vault, sign a spending limit, and make an API key that is paid for under it.
    Register(RegisterArgs),
    /// Sign another spending limit, for all apps of its payer.
    Limit(LimitArgs),
    /// List a payer's keys [without --as or --key-file: all, as the operator].
    List(ListArgs),
    /// End a key at once, as its payer [without --as or --key-file: as the operator].
    Revoke(RevokeArgs),
    /// End the payer's limits of a nonce; debits reach them for the vault's withdrawal delay.
    CancelLimit(CancelArgs),
    /// Ask for a part of the deposit back; asked again after the vault's delay, it is paid.
    Withdraw(WithdrawArgs),
}

#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// The nonce that `apps register` or `apps limit` gave.
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
    #[arg(long, default_value = "0")]
    pub deposit: String,
    /// OPEN tokens that the service may debit in all [default: no new limit; those that the payer has pay for this app too].
    #[arg(long)]
    pub limit: Option<String>,
    /// Days until the limit expires.
    #[arg(long, default_value_t = 365)]
    pub days: u64,
    /// Where to write the API key [default: NAME.apikey in the data folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// OPEN tokens that the service may debit in all.
    #[arg(long)]
    pub limit: String,
    /// Days until the limit expires.
    #[arg(long, default_value_t = 365)]
    pub days: u64,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub signer: SignAs,
}

#[derive(Debug, Clone, Args)]
pub struct RevokeArgs {
    /// As `apps list` gives it.
    pub key_id: String,
    #[command(flatten)]
    pub signer: SignAs,
}

/// Where an app's API key is kept.
pub fn key_path(context: &Context, name: &str) -> PathBuf {
    context.data_dir.join(format!("{name}.apikey"))
}

pub async fn apps(context: &Context, command: &AppsCommand) -> anyhow::Result<Report> {
    match command {
        AppsCommand::Register(args) => register(context, args).await,
        AppsCommand::Limit(args) => limit(context, args).await,
        AppsCommand::List(args) => list(context, args).await,
        AppsCommand::Revoke(args) => revoke(context, args).await,
        AppsCommand::CancelLimit(args) => cancel(context, args).await,
        AppsCommand::Withdraw(args) => withdraw(context, args).await,
    }
}

fn domain(info: &Info) -> SigningDomain {
    SigningDomain { chain_id: info.deployment.chain_id, registry: info.deployment.registry }
}

/// The payer who signs; `None` where nobody is named, for the operator.
fn payer(context: &Context, who: &SignAs) -> anyhow::Result<Option<KeySigner>> {
    if who.name.is_none() && who.key_file.is_none() { Ok(None) } else { context.signer(who).map(Some) }
}

async fn list(context: &Context, args: &ListArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let listed: Vec<ListedKey> = match payer(context, &args.signer)? {
        None => client.get("/v1/apps").await?,
        Some(signer) => {
            let deadline = Millis::now().unix_seconds() + DEADLINE_SECONDS;
            let listing = AppListing::sign(&signer, &domain(&context.info().await?), deadline)?;
            client.post("/v1/apps/list", &listing).await?
        }
    };
    let row = |key: &ListedKey| {
        let payer = key.payer.map_or_else(|| "–".to_owned(), |payer| payer.to_string());
        vec![key.key_id.clone(), key.name.clone(), payer, if key.revoked { "revoked" } else { "good" }.to_owned()]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    Ok(Report::new(table(&["key", "name", "payer", "state"], &rows), &listed))
}

async fn revoke(context: &Context, args: &RevokeArgs) -> anyhow::Result<Report> {
    let client = context.client()?;
    let revoked: ListedKey = match payer(context, &args.signer)? {
        None => client.post(&format!("/v1/apps/{}/revoke", args.key_id), &json!({})).await?,
        Some(signer) => {
            let revocation = AppRevocation::sign(&signer, &domain(&context.info().await?), &args.key_id)?;
            client.post("/v1/apps/revoke", &revocation).await?
        }
    };
    Ok(Report::new(format!("key {} of app {} is revoked", revoked.key_id, revoked.name), &revoked))
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

/// Signs a limit with a nonce of its own.
fn sign_limit(info: &Info, signer: &KeySigner, open: &str, days: u64) -> anyhow::Result<SignedSpendingLimit> {
    let limit = SpendingLimit {
        payer: signer.address(),
        spender: info.operator,
        maxAmount: keys::wei(open)?,
        expiry: Millis::now().unix_seconds() + days * 86_400,
        nonce: U256::from(rand::random::<u128>()),
    };
    Ok(SignedSpendingLimit {
        payer: limit.payer,
        spender: limit.spender,
        max_amount: limit.maxAmount,
        expiry: limit.expiry,
        nonce: limit.nonce,
        signature: signer.sign_digest(spending_limit_digest(info.deployment.chain_id, info.deployment.vault, &limit))?,
    })
}

async fn limit(context: &Context, args: &LimitArgs) -> anyhow::Result<Report> {
    let info = context.info().await?;
    let signed = sign_limit(&info, &context.signer(&args.signer)?, &args.limit, args.days)?;
    let kept: Value = context.client()?.post("/v1/limits", &signed).await?;
    let text = format!("{} OPEN of {} can be debited under the limit of nonce {}", args.limit, signed.payer, signed.nonce);
    let json = json!({ "payer": signed.payer, "nonce": signed.nonce.to_string(), "limit_hash": kept["limit_hash"] });
    Ok(Report::new(text, &json))
}

async fn register(context: &Context, args: &RegisterArgs) -> anyhow::Result<Report> {
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let limit = args.limit.as_ref().map(|open| sign_limit(&info, &signer, open, args.days)).transpose()?;
    deposit(context, &info, &signer, keys::wei(&args.deposit)?).await?;
    let key = new_key();
    let deadline = Millis::now().unix_seconds() + DEADLINE_SECONDS;
    let authorisation = AppAuthorisation::sign(&signer, &domain(&info), sha256(key.as_bytes()), &args.name, deadline)?;
    let app: ListedKey = context.client()?.post("/v1/apps", &AppRequest { authorisation, limit: limit.clone() }).await?;
    let path = args.out.clone().unwrap_or_else(|| key_path(context, &args.name));
    identity::write_secret(&path, &format!("{key}\n"))?;
    let (payer, nonce) = (signer.address(), limit.map(|limit| limit.nonce.to_string()));
    let under = nonce.as_ref().map_or(String::new(), |nonce| format!(" under the limit of nonce {nonce}"));
    let text = format!("app {} pays as {payer}{under}; its API key is in {}", args.name, path.display());
    let json = json!({ "name": args.name, "payer": payer, "nonce": nonce, "key_id": app.key_id, "key_file": path });
    Ok(Report::new(text, &json))
}

/// Brings the payer's balance in the vault up to an amount.
async fn deposit(context: &Context, info: &Info, signer: &KeySigner, wanted: U256) -> anyhow::Result<()> {
    let deployment = info.deployment;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), deployment)?;
    let missing = wanted.saturating_sub(reader.vault_balance(signer.address(), At::Latest).await?);
    if missing.is_zero() {
        return Ok(());
    }
    let sender = Sender::connect(info.node()?, signer.clone(), context.sender_config()).await?;
    let approve = OpenToken::approveCall { spender: deployment.vault, amount: missing };
    sender.call(deployment.token, &approve).await.context("approving the deposit")?;
    sender.call(deployment.vault, &PaymentVault::depositCall { amount: missing }).await.context("depositing")?;
    Ok(())
}
