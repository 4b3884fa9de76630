//! What the service is and how it is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemas::Address;
use schemas::contracts::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{App, Authenticated, Reply};
use crate::auth::Role;

/// What a client needs to sign and to verify. Public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    pub version: String,
    pub deployment: Deployment,
    pub operator: Address,
    pub rpc_url: String,
    pub price_wei: String,
    /// The model that writes answers; none where they are quoted.
    #[serde(default)]
    pub generator: Option<String>,
}

pub(super) async fn info(State(service): State<App>) -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION").into(),
        deployment: service.deployment,
        operator: service.operator,
        rpc_url: first_url(&service.rpc_url),
        price_wei: service.price_wei.to_string(),
        generator: service.rag.generator().map(|info| info.name.clone()),
    })
}

/// The node that clients are told of.
fn first_url(urls: &str) -> String {
    urls.split(',').next().unwrap_or_default().trim().to_owned()
}

/// The process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The service can do its work: the chain is followed closely and every reconciler works.
pub(super) async fn readyz(State(service): State<App>) -> impl IntoResponse {
    let checks = checks(&service);
    let ready = checks.as_object().is_some_and(|checks| checks.values().all(|check| check["ok"] == true));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "checks": checks })))
}

/// Blocks that the indexer may be behind.
const MAX_LAG_BLOCKS: u64 = 50;

fn checks(service: &App) -> Value {
    let indexer = service.indexer.borrow().clone();
    let troubles = service.troubles.lock().map(|troubles| troubles.clone()).unwrap_or_default();
    // A dispute is no failure of the service: it is shown, and the service is ready all the same.
    let settlement = service.settlement.borrow().clone();
    let lag_ok = indexer.lag_blocks.is_some_and(|lag| lag <= MAX_LAG_BLOCKS) && indexer.last_error.is_none();
    json!({
        "indexer": { "ok": lag_ok, "lag_blocks": indexer.lag_blocks, "error": indexer.last_error, "alarm": indexer.alarm },
        "reconcilers": { "ok": troubles.is_empty(), "errors": troubles },
        "settlement": { "ok": true, "stage": settlement.stage, "halted": settlement.halted },
    })
}

/// Everything in one look.
pub(super) async fn status(State(service): State<App>, key: Authenticated) -> Reply<Json<Value>> {
    key.require(&[Role::App, Role::Analyst])?;
    Ok(Json(json!({
        "checks": checks(&service),
        "indexer": *service.indexer.borrow(),
        "settlement": *service.settlement.borrow(),
        "store": service.store.url(),
    })))
}
