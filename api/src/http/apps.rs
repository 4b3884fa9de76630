//! Apps and what their payers allow. What a payer signed is the authorisation: it names the hash of the app's key, so that
//! whoever else shows it gets nothing.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use schemas::signed::apps::{AppAuthorisation, AppListing, AppRevocation};
use schemas::signed::{SignedSpendingLimit, check_signature};
use schemas::tables::Millis;
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pages::{AskedPage, page};
use super::{ApiError, App, Authenticated, Reply};
use crate::asking::AskError;
use crate::auth::{AUTHORISATION_SECONDS_MAX, ListedKey, check_name};
use crate::credit::{Refusal, Statement};
use crate::limits;
use crate::output::open_and_wei;

/// An app as its payer authorised it, and the limit that shall pay for it where none does yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRequest {
    pub authorisation: AppAuthorisation,
    #[serde(default)]
    pub limit: Option<SignedSpendingLimit>,
}

/// The key was made by who holds it; its hash is in what the payer signed.
pub(super) async fn register(State(service): State<App>, body: Result<Json<AppRequest>, JsonRejection>) -> Reply<Json<ListedKey>> {
    let AppRequest { authorisation, limit } = body?.0;
    check_app(&service, &authorisation, limit.as_ref())?;
    // Before anything is kept.
    if service.keys.check(&authorisation)?.is_none() {
        service.keys.check_room(|payer| has_paid(service.clone(), payer)).await?;
    }
    if let Some(limit) = limit {
        keep_limit(&service, &limit).await?;
    }
    service.keys.register(&authorisation, |payer| has_paid(service.clone(), payer)).await.map(Json)
}

/// Whether a payer paid for anything, or has as much in the vault as the least limit is of.
async fn has_paid(service: App, payer: Address) -> Reply<bool> {
    let least = U256::from(service.config.settlement.limit_least_wei()?);
    Ok(service.credit.book(payer).await?.has_paid(least))
}

/// Refuses what [`register`] would refuse, and keeps nothing: for payers who want to know before they deposit.
pub(super) async fn check(State(service): State<App>, body: Result<Json<AppRequest>, JsonRejection>) -> Reply<Json<Value>> {
    let AppRequest { authorisation, limit } = body?.0;
    check_app(&service, &authorisation, limit.as_ref())?;
    if service.keys.check(&authorisation)?.is_none() {
        service.keys.check_room(|payer| has_paid(service.clone(), payer)).await?;
    }
    if let Some(limit) = limit
        && check_terms(&service, &limit)?.is_some()
    {
        check_history(&service, &limit).await?;
    }
    Ok(Json(json!({ "payer": authorisation.payer, "name": authorisation.name })))
}

fn check_app(service: &App, authorisation: &AppAuthorisation, limit: Option<&SignedSpendingLimit>) -> Reply<()> {
    check_name(&authorisation.name)?;
    check_deadline(authorisation.deadline)?;
    authorisation.check(&service.domain())?;
    match limit {
        Some(limit) if limit.payer != authorisation.payer => {
            Err(ApiError::bad_request(format!("the limit is of {}, the app of {}", limit.payer, authorisation.payer)))
        }
        _ => Ok(()),
    }
}

/// A payer's own keys, or all for the operator.
pub(super) async fn list(State(service): State<App>, key: Authenticated, asked: AskedPage) -> Reply<Json<Vec<ListedKey>>> {
    let Authenticated(caller) = key;
    let payer = caller.payer.filter(|_| !caller.may(&[]));
    page(asked, service.keys.list(payer), |key| key.key_id.clone()).map(Json)
}

pub(super) async fn list_signed(
    State(service): State<App>,
    asked: AskedPage,
    body: Result<Json<AppListing>, JsonRejection>,
) -> Reply<Json<Vec<ListedKey>>> {
    let listing = body?.0;
    check_deadline(listing.deadline)?;
    listing.check(&service.domain())?;
    page(asked, service.keys.list(Some(listing.payer)), |key| key.key_id.clone()).map(Json)
}

/// What the payer of the caller's key has, owes and allows.
pub(super) async fn account(State(service): State<App>, Authenticated(caller): Authenticated) -> Reply<Json<Statement>> {
    let payer = caller.payer.ok_or_else(|| {
        ApiError::bad_request("nobody pays for this key: use an app's, or sign as the payer (`headwater apps show --as NAME`)")
    })?;
    Ok(Json(statement(&service, payer).await?))
}

pub(super) async fn account_signed(State(service): State<App>, body: Result<Json<AppListing>, JsonRejection>) -> Reply<Json<Statement>> {
    let listing = body?.0;
    check_deadline(listing.deadline)?;
    listing.check(&service.domain())?;
    Ok(Json(statement(&service, listing.payer).await?))
}

async fn statement(service: &App, payer: Address) -> Reply<Statement> {
    if !service.knows_the_chain().await {
        return Err(AskError::Refused(Refusal::Starting { payer }).into());
    }
    Ok(service.credit.statement(&service.rag, payer, U256::from(service.price_wei)).await?)
}

/// By the operator.
pub(super) async fn revoke(State(service): State<App>, Path(key_id): Path<String>) -> Reply<Json<ListedKey>> {
    Ok(Json(service.keys.revoke(&key_id, None).await?))
}

/// By the payer. Handed in again it changes nothing, so it needs no deadline.
pub(super) async fn revoke_signed(State(service): State<App>, body: Result<Json<AppRevocation>, JsonRejection>) -> Reply<Json<ListedKey>> {
    let revocation = body?.0;
    revocation.check(&service.domain())?;
    Ok(Json(service.keys.revoke(&revocation.key_id, Some(revocation.payer)).await?))
}

/// Registers a limit. It gives room to the payer who signed it, whoever hands it in.
pub(super) async fn limit(State(service): State<App>, body: Result<Json<SignedSpendingLimit>, JsonRejection>) -> Reply<Json<Value>> {
    let limit = body?.0;
    keep_limit(&service, &limit).await?;
    let limit_hash = limit.digest(service.deployment.chain_id, service.deployment.vault);
    Ok(Json(json!({ "limit_hash": limit_hash, "payer": limit.payer })))
}

fn check_deadline(deadline: u64) -> Reply<()> {
    let now = Millis::now().unix_seconds();
    if deadline < now {
        return Err(ApiError::bad_request(format!("what was signed was good until {deadline}, and it is {now}: sign it again")));
    }
    if deadline > now.saturating_add(AUTHORISATION_SECONDS_MAX) {
        return Err(ApiError::bad_request(format!("deadline: at most {AUTHORISATION_SECONDS_MAX} seconds from now")));
    }
    Ok(())
}

async fn keep_limit(service: &App, limit: &SignedSpendingLimit) -> Reply<()> {
    if let Some(limit_hash) = check_terms(service, limit)? {
        let _registering = service.limits.registering().await;
        check_history(service, limit).await?;
        service.limits.make_room(Millis::now().unix_seconds(), |payer| has_paid(service.clone(), payer)).await?;
        service.limits.keep(limit_hash, limit).await?;
    }
    Ok(())
}

/// What can be said of a limit by itself; its digest, where it is not kept already.
fn check_terms(service: &App, limit: &SignedSpendingLimit) -> Reply<Option<B256>> {
    let limit_hash = limit.digest(service.deployment.chain_id, service.deployment.vault);
    check_signature(limit_hash, &limit.signature, limit.payer)?;
    if service.limits.knows(limit.payer, limit_hash) {
        return Ok(None);
    }
    if limit.spender != service.operator {
        return Err(ApiError::bad_request(format!(
            "the limit's spender is {}; this service debits as {}",
            limit.spender, service.operator
        )));
    }
    let (now, within) = (Millis::now().unix_seconds(), service.debited_within_seconds());
    if limit.expiry <= now.saturating_add(within) {
        return Err(ApiError::bad_request(format!(
            "the spending limit has expired, or ends before answers given now are debited: let it last longer than {within} seconds"
        )));
    }
    let least = U256::from(service.config.settlement.limit_least_wei()?);
    if limit.max_amount < least {
        let (amount, least) = (open_and_wei(limit.max_amount), open_and_wei(least));
        return Err(ApiError::bad_request(format!("the spending limit is of {amount}: let it be of {least} or more")));
    }
    Ok(Some(limit_hash))
}

/// What its payer's other limits, and what it did on chain, say of a limit.
async fn check_history(service: &App, limit: &SignedSpendingLimit) -> Reply<()> {
    let book = service.credit.book(limit.payer).await?;
    if book.cancelled_from(limit.nonce).is_some() {
        return Err(ApiError::bad_request(format!("limits of nonce {} were cancelled by {}: use another nonce", limit.nonce, limit.payer)));
    }
    let now = Millis::now().unix_seconds();
    let standing = service.limits.standing(limit.payer, service.operator, &book);
    let (live, most) = (limits::live(&standing, now).count(), service.config.settlement.limits_per_payer_max);
    // Each debit costs gas: many small limits of one payer would cost more than they pay. What is cancelled takes no place, or who
    // cancels all could have no other while they end.
    if live >= most {
        return Err(ApiError::bad_request(format!(
            "{} has {live} spending limits with room, and {most} are allowed: let some be used up, or cancel them (`headwater apps \
             cancel-limit`; `headwater apps show` lists them)",
            limit.payer
        )));
    }
    Ok(())
}
