//! HTTP doors. One table ([`doors`]) says of every route who may call it; what is not in it does not exist.

mod access;
mod analysts;
mod answers;
mod apps;
mod chain;
mod chat;
mod contracts;
mod datanets;
mod epochs;
mod error;
mod form;
mod front;
mod metrics;
mod models;
mod page;
mod pages;
mod payments;
mod query;
mod rows;
mod serve;
mod submissions;
mod system;
mod trace;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use schemas::events::MAX_ABI_BYTES;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::auth::Role::{Analyst, App as AppRole};
use crate::metrics::Underway;
use crate::service::Service;
use access::Who::{self, Curators, CuratorsAndContributors, Keys, Public, Signed};
use access::{Authenticated, Insider, Optional};
pub use access::{CONTRIBUTOR_HEADER, CURATOR_HEADER, contributor_header, curator_header, sign_listing};
pub use analysts::AnalystRequest;
pub use answers::Reexecution;
pub use apps::AppRequest;
pub use chain::{ChainView, Fees};
pub use chat::{AskReply, AttributionObject};
pub use epochs::Epoch;
pub(crate) use epochs::MAX_RECEIPTS;
pub use error::ApiError;
pub(crate) use pages::MAX_ITEMS;
pub use query::{RowForm, SqlReply, SqlRequest};
pub use serve::serve;
pub use submissions::{ListedFile, SubmissionFields};
pub use system::{Info, TableUpkeep};
pub use trace::{NamedTrace, OneOrMore, TextToTrace, TraceReply};
pub use uploads::Uploads;

type App = Arc<Service>;
type Reply<T> = Result<T, ApiError>;

/// One route: its method, its path, who may call it, and what answers.
struct Door(&'static str, &'static str, Who, MethodRouter<App>);

/// Every route there is.
fn doors() -> Vec<Door> {
    vec![
        Door("GET", "/", Public, get(page::show)),
        Door("GET", "/livez", Public, get(system::livez)),
        Door("GET", "/readyz", Public, get(system::readyz)),
        Door("GET", "/metrics", Public, get(metrics::show)),
        Door("GET", "/v1/info", Public, get(system::info)),
        Door("POST", "/v1/upkeep", Keys(&[]), post(system::put_in_order)),
        Door("GET", "/v1/status", Keys(&[AppRole, Analyst]), get(system::status)),
        Door("GET", "/v1/datanets", Public, get(datanets::list)),
        Door("POST", "/v1/datanets", Keys(&[]), post(datanets::create)),
        Door("GET", "/v1/datanets/{name}/queue", Curators, get(datanets::queue)),
        Door("GET", "/v1/datanets/{name}/curators", Keys(&[AppRole, Analyst]), get(datanets::curators)),
        Door("POST", "/v1/datanets/{name}/curators", Signed, post(datanets::change_curator)),
        Door("POST", "/v1/datanets/{name}/accept-fork", Keys(&[]), post(datanets::accept_fork)),
        Door("GET", "/v1/datanets/{name}/preview", Curators, get(datanets::preview)),
        Door("GET", "/v1/datanets/{name}/versions", Keys(&[AppRole, Analyst]), get(datanets::versions)),
        Door("POST", "/v1/datanets/{name}/versions", Signed, post(datanets::publish)),
        Door("GET", "/v1/documents/{id}", Curators, get(submissions::document)),
        Door("POST", submissions::PATH, Signed, post(submissions::submit)),
        Door("POST", "/v1/submissions/list", Signed, post(submissions::list_own)),
        Door("GET", "/v1/submissions/{id}", CuratorsAndContributors, get(submissions::show)),
        Door("POST", "/v1/reviews", Signed, post(submissions::review)),
        Door("POST", "/v1/chat/completions", Keys(&[AppRole]), post(chat::chat)),
        Door("GET", "/v1/models", Keys(&[AppRole, Analyst]), get(models::list)),
        Door("GET", "/v1/models/{*id}", Keys(&[AppRole, Analyst]), get(models::show)),
        Door("GET", "/v1/receipts", Public, get(epochs::receipts)),
        Door("GET", "/v1/receipts/{id}", Public, get(answers::receipt)),
        Door("GET", "/v1/receipts/{id}/inclusion", Public, get(answers::inclusion)),
        Door("GET", "/v1/receipts/{id}/evidence", Keys(&[AppRole, Analyst]), get(answers::evidence)),
        Door("GET", "/v1/receipts/{id}/reexecution", Keys(&[AppRole]), get(answers::reexecute)),
        Door("GET", contracts::PATH, Keys(&[Analyst]), get(contracts::list)),
        Door("POST", contracts::PATH, Keys(&[]), post(contracts::add)),
        Door("DELETE", "/v1/index/contracts/{name}", Keys(&[]), delete(contracts::remove)),
        Door("POST", "/v1/sql", Keys(&[AppRole, Analyst]), post(query::sql)),
        Door("POST", "/v1/trace", Keys(&[AppRole, Analyst]), post(trace::trace)),
        Door("POST", "/v1/analysts", Keys(&[]), post(analysts::issue)),
        Door("GET", "/v1/apps", Keys(&[AppRole]), get(apps::list)),
        Door("POST", "/v1/apps", Signed, post(apps::register)),
        Door("POST", "/v1/apps/check", Signed, post(apps::check)),
        Door("POST", "/v1/apps/list", Signed, post(apps::list_signed)),
        Door("POST", "/v1/apps/revoke", Signed, post(apps::revoke_signed)),
        Door("POST", "/v1/apps/{key_id}/revoke", Keys(&[]), post(apps::revoke)),
        Door("POST", "/v1/limits", Signed, post(apps::limit)),
        Door("GET", "/v1/account", Keys(&[AppRole]), get(apps::account)),
        Door("POST", "/v1/account", Signed, post(apps::account_signed)),
        Door("POST", "/v1/settlements", Keys(&[]), post(payments::settle)),
        Door("GET", "/v1/settlements/latest", Keys(&[AppRole, Analyst]), get(payments::latest)),
        Door("GET", "/v1/chain", Keys(&[]), get(chain::show)),
        Door("POST", "/v1/chain", Keys(&[]), post(chain::act)),
        Door("GET", "/v1/epochs/{epoch}", Public, get(epochs::show)),
        Door("GET", "/v1/epochs/{epoch}/debts", Public, get(epochs::debts)),
        Door("GET", "/v1/epochs/{epoch}/rewards", Public, get(epochs::rewards)),
        Door("GET", "/v1/rewards/{address}", Public, get(payments::reward)),
    ]
}

/// Method and path of every route.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    doors().into_iter().map(|Door(method, path, ..)| (method, path))
}

/// All routes, each behind its guard, all behind what every request passes.
pub fn router(service: App) -> Router {
    let timeout = Duration::from_secs(service.config.http.request_timeout_seconds);
    let front = front::Front::new(&service.config.http);
    let mut router = Router::new();
    for Door(method, path, who, handler) in doors() {
        let limit = body_limit(path, service.config.ingest.max_submission_bytes);
        let handler = handler.layer(DefaultBodyLimit::max(limit));
        let guard = access::Guard { service: service.clone(), who };
        let counted = metrics::Counted { service: service.clone(), method, path };
        let handler = handler.route_layer(from_fn_with_state(guard, access::admit));
        let handler = handler.route_layer(from_fn_with_state(limit, front::refuse_too_large));
        router = router.route(path, handler.route_layer(from_fn_with_state(counted, metrics::count)));
    }
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, timeout);
    let router = router.fallback(nowhere).layer(timeout).with_state(service);
    // an error says itself what failed (`ApiError`), and that not all is there yet (`/readyz`) is none
    front::before(router, front).layer(TraceLayer::new_for_http().on_failure(()))
}

/// Bytes that a body may have: of an upload the files, and as much for what stands around them.
fn body_limit(path: &str, max_submission_bytes: u64) -> usize {
    match path {
        submissions::PATH => usize::try_from(max_submission_bytes).unwrap_or(usize::MAX).saturating_add(1 << 20),
        contracts::PATH => 2 * MAX_ABI_BYTES,
        _ => 2 << 20,
    }
}

async fn nowhere(State(service): State<App>, uri: axum::http::Uri) -> ApiError {
    Underway::new(&service.metrics, "any", "none").done(StatusCode::NOT_FOUND.as_u16());
    ApiError::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {}", uri.path()))
}
