//! Keys for those who query what is published.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, Reply};
use crate::auth::Role;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalystRequest {
    pub name: String,
}

/// The key is shown this once.
pub(super) async fn issue(State(service): State<App>, body: Result<Json<AnalystRequest>, JsonRejection>) -> Reply<Json<Value>> {
    let AnalystRequest { name } = body?.0;
    let key = service.keys.issue(&name, &[Role::Analyst]).await?;
    Ok(Json(json!({ "api_key": key })))
}
