//! Contracts followed beside our own.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use schemas::followed::NewContract;

use super::{App, Authenticated, Reply};
use crate::auth::Role;
use crate::service::contracts::ListedContract;

/// For operators.
pub(super) async fn add(
    State(service): State<App>,
    key: Authenticated,
    body: Result<Json<NewContract>, JsonRejection>,
) -> Reply<Json<ListedContract>> {
    key.require(&[])?;
    Ok(Json(service.contracts.add(&body?.0, |address| service.reader.standing(address)).await?))
}

pub(super) async fn list(State(service): State<App>, key: Authenticated) -> Reply<Json<Vec<ListedContract>>> {
    key.require(&[Role::Analyst])?;
    Ok(Json(service.contracts.list().await?))
}

/// For operators.
pub(super) async fn remove(State(service): State<App>, key: Authenticated, Path(name): Path<String>) -> Reply<Json<ListedContract>> {
    key.require(&[])?;
    Ok(Json(service.contracts.remove(&name).await?))
}
