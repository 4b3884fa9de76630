//! `headwater apps`.

mod account;
mod deposit;

use std::fs;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use indexer::{At, ContractReader, RpcConfig, Sender};
use schemas::U256;
use schemas::contracts::PaymentVault;
use schemas::hashing::sha256;
use schemas::signed::apps::{AppAuthorisation, AppListing, AppRevocation};
use schemas::signed::{SignedSpendingLimit, SigningDomain, SpendingLimit, spending_limit_digest};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::Millis;
use serde_json::{Value, json};

use super::{Context, SignAs, gas, keys};
use crate::auth::{ListedKey, new_key};
use crate::client::ServiceError;
use crate::credit::{LimitStatement, Statement};
use crate::http::{AppRequest, Info};
use crate::identity;
use crate::limits::LimitState;
use crate::output::{Report, table, tokens, utc};
pub use account::ShowArgs;
pub use deposit::DepositArgs;
use deposit::{Deposit, NOT_FINAL};

/// How long what is signed here can be handed in.
const DEADLINE_SECONDS: u64 = 600;
/// A limit that lasts longer is one that nobody remembers.
const DAYS_MAX: u64 = 36_500;

#[derive(Debug, Clone, Subcommand)]
pub enum AppsCommand {
    /// Deposit into the vault, sign a spending limit, and make an API key that is paid for under it.
    Register(RegisterArgs),
    /// Deposit into the vault, for all apps of the payer.
    Deposit(DepositArgs),
    /// Sign another spending limit, for all apps of its payer.
    Limit(LimitArgs),
    /// Show what a payer has deposited, owes and allows, and what is left [without --as or --key-file: of the API key's payer].
    Show(ShowArgs),
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
    /// The nonce that `apps register` or `apps limit` gave; `apps show` lists them.
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
    /// OPEN tokens that the service may debit in all, at least 0.1 unless its operator set another least [default: no new limit;
    /// those that the payer has pay for this app too].
    #[arg(long)]
    pub limit: Option<String>,
    /// Days until the limit expires.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
    pub days: u64,
    /// Where to write the API key [default: NAME.apikey in the data folder].
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    #[command(flatten)]
    pub signer: SignAs,
    /// OPEN tokens that the service may debit in all, at least 0.1 unless its operator set another least.
    #[arg(long)]
    pub limit: String,
    /// Days until the limit expires.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=DAYS_MAX))]
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

/// The file for a new API key. To be asked for before anything is done for the key: where one is already, it stays.
pub fn new_key_path(context: &Context, name: &str, out: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if out.is_none() && name.contains('/') {
        bail!("{name:?} names no file of the data folder: say where its key goes with --out FILE");
    }
    let path = out.cloned().unwrap_or_else(|| key_path(context, name));
    identity::check_new(&path).map_err(|error| anyhow!("{error}: use another name, or --out FILE"))?;
    Ok(path)
}

pub async fn apps(context: &Context, command: &AppsCommand) -> anyhow::Result<Report> {
    match command {
        AppsCommand::Register(args) => register(context, args).await,
        AppsCommand::Deposit(args) => deposit::deposit(context, args).await,
        AppsCommand::Limit(args) => limit(context, args).await,
        AppsCommand::Show(args) => account::show(context, args).await,
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
        None => client.get_all("/v1/apps", |key: &ListedKey| key.key_id.clone()).await?,
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
    let (info, nonce) = (context.info().await?, args.nonce);
    let signer = context.signer(&args.signer)?;
    let payer = signer.address();
    let sender = Sender::connect(info.node()?, signer.clone(), context.sender_config()).await?;
    let call = PaymentVault::cancelLimitCall { nonce };
    gas::send(&info, &sender, (info.deployment.vault, &call), "cancelling the limit", "").await?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    let from = reader.limit_cancelled_from(payer, nonce, At::Latest).await?.unwrap_or_default();
    let is_cancelled = |limit: &LimitStatement| limit.nonce != nonce || limit.state == LimitState::Cancelled;
    let counts = async |statement: &Statement| statement.limits.iter().all(is_cancelled);
    let seen = account::counted(&context.client()?, &info, &signer, counts).await;
    let seen = if seen { "back no further answer" } else { "will back no further answer once the service has seen it" };
    let text = format!(
        "the limits of nonce {nonce} of {payer} {seen}, and allow no debit from {} on; answers that were given stay payable, under these \
         limits until then",
        utc(from)
    );
    Ok(Report::new(text, &json!({ "payer": payer, "nonce": nonce.to_string(), "cancelled_from": from })))
}

async fn withdraw(context: &Context, args: &WithdrawArgs) -> anyhow::Result<Report> {
    let info = context.info().await?;
    let signer = context.signer(&args.signer)?;
    let (payer, vault) = (signer.address(), info.deployment.vault);
    let sender = Sender::connect(info.node()?, signer, context.sender_config()).await?;
    let reader = ContractReader::connect(info.node()?, RpcConfig::default(), info.deployment)?;
    if let Some(amount) = &args.amount {
        let call = PaymentVault::requestWithdrawalCall { amount: keys::wei(amount)? };
        gas::send(&info, &sender, (vault, &call), "asking for a withdrawal", "").await?;
        let request = reader.call(vault, &PaymentVault::withdrawalOfCall { payer }, At::Latest).await?;
        let text = format!("{amount} OPEN can be withdrawn from {} on, by `headwater apps withdraw`", utc(request.availableAt));
        let json = json!({ "payer": payer, "amount_wei": request.amount.to_string(), "available_at": request.availableAt });
        return Ok(Report::new(text, &json));
    }
    gas::send(&info, &sender, (vault, &PaymentVault::withdrawCall {}), "withdrawing", "").await?;
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
        expiry: Millis::now().unix_seconds().saturating_add(days.saturating_mul(86_400)),
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

/// The service checks everything, and the key is on the disk, before a token moves.
async fn register(context: &Context, args: &RegisterArgs) -> anyhow::Result<Report> {
    let path = new_key_path(context, &args.name, args.out.as_ref())?;
    let (info, client) = (context.info().await?, context.client()?);
    let signer = context.signer(&args.signer)?;
    let limit = args.limit.as_ref().map(|open| sign_limit(&info, &signer, open, args.days)).transpose()?;
    let key = new_key();
    // A deposit takes its time: what was signed before it can be too old after it.
    let request = || -> anyhow::Result<AppRequest> {
        let deadline = Millis::now().unix_seconds() + DEADLINE_SECONDS;
        let authorisation = AppAuthorisation::sign(&signer, &domain(&info), sha256(key.as_bytes()), &args.name, deadline)?;
        Ok(AppRequest { authorisation, limit: limit.clone() })
    };
    client.post::<Value>("/v1/apps/check", &request()?).await?;
    let deposit = Deposit::plan(&info, &signer, keys::wei(&args.deposit)?).await?;
    identity::write_secret(&path, &format!("{key}\n"))?;
    // Refused, it is nobody's key, and would be in the way of the next attempt.
    let forget = || drop(fs::remove_file(&path));
    deposit.make(context, &info, &signer).await.inspect_err(|_| forget())?;
    let app = match client.post::<ListedKey>("/v1/apps", &request()?).await {
        Ok(app) => app,
        Err(error) if error.downcast_ref::<ServiceError>().is_some() => {
            forget();
            return Err(error.context(deposit.made()));
        }
        Err(error) => {
            let kept = path.display();
            return Err(error.context(format!(
                "the service did not say whether the app is registered: `headwater apps list` does, and its key is kept in {kept}"
            )));
        }
    };
    let (payer, nonce) = (signer.address(), limit.map(|limit| limit.nonce.to_string()));
    let under = nonce.as_ref().map_or(String::new(), |nonce| format!(" under the limit of nonce {nonce}"));
    let counts = deposit.counts(&client, &info, &signer).await;
    let later = if counts { "" } else { NOT_FINAL };
    let text = format!("app {} pays as {payer}{under}; its API key is in {}{later}", args.name, path.display());
    let json =
        json!({ "name": args.name, "payer": payer, "nonce": nonce, "key_id": app.key_id, "key_file": path, "deposit_counts": counts });
    Ok(Report::new(text, &json))
}
