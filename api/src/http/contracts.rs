//! Contracts followed beside our own.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use schemas::followed::NewContract;

use super::{App, Reply};
use crate::service::contracts::ListedContract;

/// What is added is followed for good.
pub(super) async fn add(State(service): State<App>, body: Result<Json<NewContract>, JsonRejection>) -> Reply<Json<ListedContract>> {
    Ok(Json(service.contracts.add(&body?.0).await?))
}

pub(super) async fn list(State(service): State<App>) -> Reply<Json<Vec<ListedContract>>> {
    Ok(Json(service.contracts.list().await?))
}
