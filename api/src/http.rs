//! HTTP doors. Every route says who may call it: `public`, signed by its author, or a role.

mod answers;
mod apps;
mod chain;
mod chat;
mod contracts;
mod datanets;
mod error;
mod metrics;
mod models;
mod page;
mod payments;
mod query;
mod submissions;
mod system;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{get, post};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::auth::{Caller, Role};
use crate::service::Service;
pub use apps::AppRequest;
pub use chain::{ChainView, Fees};
pub use chat::{AskReply, AttributionObject};
pub use error::ApiError;
pub use query::{SqlReply, SqlRequest};
pub use submissions::SubmissionFields;
pub use system::Info;

type App = Arc<Service>;
type Reply<T> = Result<T, ApiError>;

/// All routes.
pub fn router(service: App) -> Router {
    let timeout = Duration::from_secs(service.config.http.request_timeout_seconds);
    let upload_limit = usize::try_from(service.config.ingest.max_submission_bytes).unwrap_or(usize::MAX).saturating_add(1 << 20);
    Router::new()
        .route("/", get(page::show))
        .route("/livez", get(system::livez))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(metrics::show))
        .route("/v1/info", get(system::info))
        .route("/v1/status", get(system::status))
        .route("/v1/datanets", get(datanets::list).post(datanets::create))
        .route("/v1/datanets/{name}/queue", get(datanets::queue))
        .route("/v1/datanets/{name}/curators", get(datanets::curators).post(datanets::change_curator))
        .route("/v1/datanets/{name}/accept-fork", post(datanets::accept_fork))
        .route("/v1/datanets/{name}/preview", get(datanets::preview))
        .route("/v1/datanets/{name}/versions", get(datanets::versions).post(datanets::publish))
        .route("/v1/submissions", post(submissions::submit).layer(DefaultBodyLimit::max(upload_limit)))
        .route("/v1/submissions/{id}", get(submissions::show))
        .route("/v1/reviews", post(submissions::review))
        .route("/v1/chat/completions", post(chat::chat))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
        .route("/v1/receipts/{id}", get(answers::receipt))
        .route("/v1/receipts/{id}/evidence", get(answers::evidence))
        .route("/v1/index/contracts", get(contracts::list).post(contracts::add))
        .route("/v1/sql", post(query::sql))
        .route("/v1/apps", get(apps::list).post(apps::register))
        .route("/v1/apps/list", post(apps::list_signed))
        .route("/v1/apps/revoke", post(apps::revoke_signed))
        .route("/v1/apps/{key_id}/revoke", post(apps::revoke))
        .route("/v1/limits", post(apps::limit))
        .route("/v1/settlements", post(payments::settle))
        .route("/v1/settlements/latest", get(payments::latest))
        .route("/v1/chain", get(chain::show).post(chain::act))
        .route("/v1/rewards/{address}", get(payments::reward))
        .fallback(nowhere)
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::GATEWAY_TIMEOUT, timeout))
        .layer(TraceLayer::new_for_http())
        .with_state(service)
}

async fn nowhere(uri: axum::http::Uri) -> ApiError {
    ApiError::new(axum::http::StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {}", uri.path()))
}

/// A caller with a valid API key. What it may do is asked with [`Authenticated::require`].
struct Authenticated(Caller);

impl Authenticated {
    /// # Errors
    /// 403 unless the key has one of `roles`, or is an operator's.
    fn require(self, roles: &[Role]) -> Reply<Caller> {
        if self.0.may(roles) {
            Ok(self.0)
        } else {
            Err(ApiError::forbidden("this API key may not do that; ask the operator for one with the right role"))
        }
    }
}

impl FromRequestParts<App> for Authenticated {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &App) -> Reply<Self> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
        let caller = key.and_then(|key| service.keys.caller(key));
        caller.map(Authenticated).ok_or_else(|| match key {
            Some(_) => ApiError::unauthorised("the API key is not known or was revoked"),
            None => ApiError::unauthorised("this needs an API key: send `Authorization: Bearer hw_…`"),
        })
    }
}
