//! Contracts followed beside our own.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use schemas::followed::NewContract;

use super::{App, Reply};
use crate::service::contracts::ListedContract;

pub(super) async fn add(State(service): State<App>, body: Result<Json<NewContract>, JsonRejection>) -> Reply<Json<ListedContract>> {
    Ok(Json(service.contracts.add(&body?.0, |address| service.reader.standing(address)).await?))
}

pub(super) async fn list(State(service): State<App>) -> Reply<Json<Vec<ListedContract>>> {
    Ok(Json(service.contracts.list().await?))
}

pub(super) async fn remove(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<ListedContract>> {
    Ok(Json(service.contracts.remove(&name).await?))
}
