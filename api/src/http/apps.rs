//! Apps and what their payers allow. What a payer signed is the authorisation: it names the hash of the app's key, so that
//! whoever else shows it gets nothing.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use indexer::events::payers::PayerBook;
use schemas::Address;
use schemas::signed::apps::{AppAuthorisation, AppListing, AppRevocation};
use schemas::signed::{SignedSpendingLimit, check_signature};
use schemas::tables::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::ListedKey;

/// How long before its deadline a signed message can be handed in at most.
const MAX_DEADLINE_SECONDS: u64 = 86_400;

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
    let name = &authorisation.name;
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request("name: use 1 to 100 visible characters"));
    }
    check_deadline(authorisation.deadline)?;
    authorisation.check(&service.domain())?;
    if let Some(limit) = limit {
        if limit.payer != authorisation.payer {
            return Err(ApiError::bad_request(format!("the limit is of {}, the app of {}", limit.payer, authorisation.payer)));
        }
        keep_limit(&service, &limit).await?;
    }
    Ok(Json(service.keys.register(&authorisation).await?))
}

/// A payer's own keys, or all for the operator.
pub(super) async fn list(State(service): State<App>, key: Authenticated) -> Reply<Json<Vec<ListedKey>>> {
    let Authenticated(caller) = key;
    let payer = caller.payer.filter(|_| !caller.may(&[]));
    Ok(Json(service.keys.list(payer)))
}

pub(super) async fn list_signed(State(service): State<App>, body: Result<Json<AppListing>, JsonRejection>) -> Reply<Json<Vec<ListedKey>>> {
    let listing = body?.0;
    check_deadline(listing.deadline)?;
    listing.check(&service.domain())?;
    Ok(Json(service.keys.list(Some(listing.payer))))
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
    if deadline > now.saturating_add(MAX_DEADLINE_SECONDS) {
        return Err(ApiError::bad_request(format!("deadline: at most {MAX_DEADLINE_SECONDS} seconds from now")));
    }
    Ok(())
}

async fn keep_limit(service: &App, limit: &SignedSpendingLimit) -> Reply<()> {
    let limit_hash = limit.digest(service.deployment.chain_id, service.deployment.vault);
    check_signature(limit_hash, &limit.signature, limit.payer)?;
    if service.limits.knows(limit.payer, limit_hash) {
        return Ok(());
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
    let least = service.config.settlement.limit_least_wei()?;
    if limit.max_amount < schemas::U256::from(least) {
        return Err(ApiError::bad_request(format!("the spending limit is of {} wei: let it be of {least} wei or more", limit.max_amount)));
    }
    let _registering = service.limits.registering().await;
    check_count(service, limit.payer, now).await?;
    Ok(service.limits.keep(limit_hash, limit).await?)
}

/// Each debit costs gas: many small limits of one payer would cost more than they pay.
async fn check_count(service: &App, payer: Address, now: u64) -> Reply<()> {
    let book = PayerBook::read(&service.store, &service.deployment, payer).await?;
    let live = service.limits.standing(payer, service.operator, &book).iter().filter(|limit| limit.allows(now)).count();
    let most = service.config.settlement.limits_per_payer_max;
    if live >= most {
        return Err(ApiError::bad_request(format!(
            "{payer} has {live} spending limits with room, and {most} are allowed: let some be used up, or cancel them (`headwater apps cancel-limit`)"
        )));
    }
    Ok(())
}
