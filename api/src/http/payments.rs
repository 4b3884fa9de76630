//! Epochs that settle, contributors who are paid.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use rag::{RagError, RewardProof};
use schemas::Address;
use schemas::ids::parse_address;
use serde_json::{Value, json};

use super::{ApiError, App, Reply};
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
    let account = parse_address(&address)?;
    service.rag.reward_proof(account).await.map(Json).map_err(|error| match error {
        RagError::NotFound { .. } => nothing_earned(account),
        error => error.into(),
    })
}

fn nothing_earned(account: Address) -> ApiError {
    let message = format!(
        "{account} has earned nothing in a settled epoch yet: an answer pays those it rests on once its payer was debited, which the next \
         settlement does (`headwater settle`, or by itself); answers that the operator asks for free pay nobody"
    );
    ApiError::new(StatusCode::NOT_FOUND, "nothing_earned", message)
}
