//! Contracts followed beside our own.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use schemas::followed::NewContract;

use super::{App, Authenticated, Reply};
use crate::auth::Role;
use crate::service::contracts::ListedContract;

/// For operators: what is added is followed for good.
pub(super) async fn add(
    State(service): State<App>,
    key: Authenticated,
    body: Result<Json<NewContract>, JsonRejection>,
) -> Reply<Json<ListedContract>> {
    key.require(&[])?;
    Ok(Json(service.contracts.add(&body?.0).await?))
}

pub(super) async fn list(State(service): State<App>, key: Authenticated) -> Reply<Json<Vec<ListedContract>>> {
    key.require(&[Role::Analyst])?;
    Ok(Json(service.contracts.list().await?))
}
