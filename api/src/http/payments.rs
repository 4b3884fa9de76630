//! Epochs that settle, contributors who are paid.

use axum::Json;
use axum::extract::{Path, State};
use rag::RewardProof;
use schemas::ids::parse_address;
use serde_json::{Value, json};

use super::{App, Reply};
use crate::settlement::{self, SettlementStatus};

/// Closes an epoch; the reconciler carries it on chain.
pub(super) async fn settle(State(service): State<App>) -> Reply<Json<SettlementStatus>> {
    Ok(Json(settlement::close(&service).await?))
}

pub(super) async fn latest(State(service): State<App>) -> Reply<Json<Value>> {
    Ok(Json(json!({ "settlement": *service.settlement.borrow(), "error": service.trouble_with("settlement") })))
}

/// Public: what an account may claim, with its proof.
pub(super) async fn reward(State(service): State<App>, Path(address): Path<String>) -> Reply<Json<RewardProof>> {
    Ok(Json(service.rag.reward_proof(parse_address(&address)?).await?))
}
