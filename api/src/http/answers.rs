//! Receipts and evidence of answers.

use axum::Json;
use axum::extract::{Path, State};
use rag::Evidence;
use schemas::ids::AnswerId;
use schemas::receipt::Receipt;

use super::{ApiError, App, Authenticated, Reply};

/// Public: a receipt names no question and no text, and is for everybody to check.
pub(super) async fn receipt(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Receipt>> {
    Ok(Json(service.rag.receipt(id.parse::<AnswerId>()?).await?))
}

/// With the question, the answer and the source texts: for those who may see them.
pub(super) async fn evidence(
    State(service): State<App>,
    Authenticated(caller): Authenticated,
    Path(id): Path<String>,
) -> Reply<Json<Evidence>> {
    let id = id.parse::<AnswerId>()?;
    let payer = service.rag.receipt(id).await?.body.payer;
    if !caller.may(&[]) && (payer.is_none() || payer != caller.payer) {
        return Err(ApiError::forbidden("the question and the answer are for who paid for them, and for the operator"));
    }
    Ok(Json(service.rag.evidence(id).await?))
}
