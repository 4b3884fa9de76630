//! Receipts and evidence of answers.

use axum::Json;
use axum::extract::{Path, State};
use rag::Evidence;
use schemas::ids::AnswerId;
use schemas::receipt::Receipt;

use super::{App, Authenticated, Reply};
use crate::auth::Role;

/// Public: a receipt names no question and no text, and is for everybody to check.
pub(super) async fn receipt(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Receipt>> {
    Ok(Json(service.rag.receipt(id.parse::<AnswerId>()?).await?))
}

/// With the question, the answer and the source texts: for those who may see them.
pub(super) async fn evidence(State(service): State<App>, key: Authenticated, Path(id): Path<String>) -> Reply<Json<Evidence>> {
    key.require(&[Role::Analyst])?;
    Ok(Json(service.rag.evidence(id.parse::<AnswerId>()?).await?))
}
