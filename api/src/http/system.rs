//! What the service is and how it is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use schemas::Address;
use schemas::contracts::Deployment;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Effort, Upkept};

use super::{App, Authenticated, Optional, Reply};

/// What a client needs to sign and to verify. Public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    pub version: String,
    pub deployment: Deployment,
    pub operator: Address,
    /// A node that everybody may use; empty where the service names none.
    pub rpc_url: String,
    pub price_wei: String,
    /// The model that writes answers; none where they are quoted.
    #[serde(default)]
    pub generator: Option<String>,
}

impl Info {
    /// # Errors
    /// When the service names no node.
    pub fn node(&self) -> anyhow::Result<&str> {
        if self.rpc_url.is_empty() {
            anyhow::bail!("the service names no node to everybody; say which to use: chain.rpc_url in the configuration of this machine");
        }
        Ok(&self.rpc_url)
    }
}

pub(super) async fn info(State(service): State<App>) -> Json<Info> {
    Json(Info {
        version: env!("CARGO_PKG_VERSION").into(),
        deployment: service.deployment,
        operator: service.operator,
        rpc_url: service.public_rpc_url.clone(),
        price_wei: service.price_wei.to_string(),
        generator: service.rag.generator().map(|info| info.name.clone()),
    })
}

/// The process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The service can do its work: the chain is followed closely and every reconciler works. What is wrong in
/// words, which can name addresses and files, is the operator's.
pub(super) async fn readyz(State(service): State<App>, caller: Optional) -> impl IntoResponse {
    let checks = checks(&service, if caller.is_operator() { Detail::Full } else { Detail::Public });
    let ready = checks.as_object().is_some_and(|checks| checks.values().all(|check| check["ok"] == true));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready, "checks": checks })))
}

/// Blocks that the indexer may be behind.
const MAX_LAG_BLOCKS: u64 = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Public,
    Full,
}

fn checks(service: &App, detail: Detail) -> Value {
    let indexer = service.indexer.borrow().clone();
    let troubles = service.troubles.lock().map(|troubles| troubles.clone()).unwrap_or_default();
    // A dispute is no failure of the service: it is shown, and the service is ready all the same.
    let settlement = service.settlement.borrow().clone();
    let lag_ok = indexer.lag_blocks.is_some_and(|lag| lag <= MAX_LAG_BLOCKS) && indexer.last_error.is_none();
    let mut checks = json!({
        "indexer": { "ok": lag_ok, "lag_blocks": indexer.lag_blocks },
        "reconcilers": { "ok": troubles.is_empty() },
        "settlement": { "ok": !troubles.contains_key("settlement"), "stage": settlement.stage, "halted": settlement.halted.is_some() },
    });
    if detail == Detail::Full {
        checks["indexer"]["error"] = json!(indexer.last_error);
        checks["indexer"]["alarm"] = json!(indexer.alarm);
        checks["reconcilers"]["errors"] = json!(troubles);
        checks["settlement"]["halted"] = json!(settlement.halted);
    }
    checks
}

/// When the store was last put in order; null before.
fn upkeep(service: &App) -> Value {
    let last = service.store.last_upkeep();
    last.map_or(Value::Null, |last| {
        let ago = last.at.elapsed().unwrap_or_default().as_secs();
        json!({ "seconds_ago": ago, "took_ms": u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX) })
    })
}

/// What was done to one table, or would be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableUpkeep {
    pub table: String,
    #[serde(flatten)]
    pub upkept: Upkept,
}

/// Looks at everything that upkeep looks at now and then. What it was cut off from goes on in the next round.
pub(super) async fn put_in_order(State(service): State<App>) -> Reply<Json<Vec<TableUpkeep>>> {
    let done = service.store.upkeep(&service.config.store.retention(), Effort::Everything).await?;
    Ok(Json(done.into_iter().map(|(table, upkept)| TableUpkeep { table, upkept }).collect()))
}

/// Everything in one look; the operator sees more of it.
pub(super) async fn status(State(service): State<App>, Authenticated(caller): Authenticated) -> Reply<Json<Value>> {
    if caller.may(&[]) {
        return Ok(Json(json!({
            "checks": checks(&service, Detail::Full),
            "indexer": *service.indexer.borrow(),
            "settlement": *service.settlement.borrow(),
            "submissions": service.ingest.job_counts(),
            "store": service.store.url(),
            "upkeep": upkeep(&service),
        })));
    }
    let mut indexer = service.indexer.borrow().clone();
    indexer.last_error = indexer.last_error.map(|_| "the operator sees why".to_owned());
    Ok(Json(json!({ "checks": checks(&service, Detail::Public), "indexer": indexer })))
}
