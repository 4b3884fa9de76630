//! Apps that pay, epochs that settle, contributors who are paid.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use rag::RewardProof;
use schemas::ids::parse_address;
use schemas::signed::{SignedSpendingLimit, check_signature, spending_limit_digest};
use schemas::tables::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, App, Reply};
use crate::auth::Role;
use crate::settlement::{self, SettlementStatus};

/// A payer's signed spending limit, in return for an API key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRequest {
    pub name: String,
    pub limit: SignedSpendingLimit,
}

/// The payer's signature is the authorisation. The key is shown this once.
pub(super) async fn register(State(service): State<App>, body: Result<Json<AppRequest>, JsonRejection>) -> Reply<Json<Value>> {
    let AppRequest { name, limit } = body?.0;
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request("name: use 1 to 100 visible characters"));
    }
    if limit.spender != service.operator {
        return Err(ApiError::bad_request(format!(
            "the limit's spender is {}; this service debits as {}",
            limit.spender, service.operator
        )));
    }
    if limit.expiry <= Millis::now().unix_seconds().saturating_add(settlement::LIMIT_MARGIN_SECONDS) {
        return Err(ApiError::bad_request("the spending limit has expired, or ends within the hour"));
    }
    let digest = spending_limit_digest(service.deployment.chain_id, service.deployment.vault, &limit.limit());
    check_signature(digest, &limit.signature, limit.payer)?;
    let key = service.keys.issue(&name, &[Role::App], Some(limit)).await?;
    Ok(Json(json!({ "api_key": key })))
}

/// Closes an epoch; the reconciler carries it on chain.
pub(super) async fn settle(State(service): State<App>) -> Reply<Json<SettlementStatus>> {
    settlement::close(&service).await?;
    Ok(Json(service.settlement.borrow().clone()))
}

pub(super) async fn latest(State(service): State<App>) -> Reply<Json<Value>> {
    Ok(Json(json!({ "settlement": *service.settlement.borrow(), "error": service.trouble_with("settlement") })))
}

/// Public: what an account may claim, with its proof.
pub(super) async fn reward(State(service): State<App>, Path(address): Path<String>) -> Reply<Json<RewardProof>> {
    Ok(Json(service.rag.reward_proof(parse_address(&address)?).await?))
}
