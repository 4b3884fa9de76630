//! Contracts followed beside our own.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use schemas::followed::NewContract;

use super::pages::{AskedPage, page};
use super::{App, Reply};
use crate::service::contracts::ListedContract;

/// Where contracts to be followed go, with their ABI.
pub(super) const PATH: &str = "/v1/index/contracts";

pub(super) async fn add(State(service): State<App>, body: Result<Json<NewContract>, JsonRejection>) -> Reply<Json<ListedContract>> {
    Ok(Json(service.contracts.add(&body?.0, |address| service.reader.standing(address)).await?))
}

pub(super) async fn list(State(service): State<App>, asked: AskedPage) -> Reply<Json<Vec<ListedContract>>> {
    page(asked, service.contracts.list().await?, |contract| contract.name.clone()).map(Json)
}

pub(super) async fn remove(State(service): State<App>, Path(name): Path<String>) -> Reply<Json<ListedContract>> {
    Ok(Json(service.contracts.remove(&name).await?))
}
