//! The one place where errors become statuses. The body is OpenAI's error envelope.

use std::borrow::Cow;
use std::io::ErrorKind;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::EngineError;
use indexer::IndexerError;
use ingest::IngestError;
use rag::RagError;
use schemas::SchemaError;
use serde_json::{Value, json};
use store::StoreError;

use crate::auth::KeyError;
use crate::limits::TooManyLimits;
use crate::service::contracts::FollowError;

/// An error as a client sees it.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// The field of the request that is wrong.
    parameter: Option<Cow<'static, str>>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), parameter: None, header: None }
    }

    /// The same with a header that says what would do.
    pub(crate) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// A field of the request that is wrong; one inside another by its path, like `messages[0].role`.
    pub(crate) fn parameter(parameter: impl Into<Cow<'static, str>>, problem: impl std::fmt::Display) -> Self {
        let parameter = parameter.into();
        let message = format!("{parameter}: {problem}");
        Self { parameter: Some(parameter), ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(crate) fn unauthorised(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// What failed inside is for the log: it can name files, addresses and texts that are nobody's business.
    pub(crate) fn internal(error: &impl std::fmt::Display) -> Self {
        let reference = format!("{:08x}", rand::random::<u32>());
        tracing::error!(%error, reference, "request failed");
        let message = format!("the service failed at this request; its operator finds why in the log under {reference}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// No room on the disk. Nothing of the request was kept.
    fn full(error: &impl std::fmt::Display) -> Self {
        tracing::error!(%error, "the disk is full");
        let message = "the service has no room on its disk, and kept nothing of this: its operator has to free some, then try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage_full", message)
    }

    /// Too much at once; when there is room again is not known.
    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }

    /// As [`ApiError::parameter`], for a value that names what is not there.
    pub(crate) fn not_there(parameter: &'static str, code: &'static str, problem: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, ..Self::parameter(parameter, problem) }
    }

    /// Tells the log what failed at this service, or behind it; not what was only too much, and not again what is there.
    fn note(&self) {
        let is_told = matches!(self.code, "internal" | "storage_full" | "busy" | "generator_busy" | "too_many_apps" | "too_many_limits");
        if self.status.is_server_error() && !is_told {
            tracing::warn!(status = self.status.as_u16(), code = self.code, problem = self.message, "request failed");
        }
    }

    /// OpenAI's error envelope.
    pub(crate) fn body(&self) -> Value {
        let kind = if self.status.is_server_error() { "server_error" } else { "invalid_request_error" };
        json!({ "error": { "message": self.message, "type": kind, "code": self.code, "param": self.parameter } })
    }

    /// When trying again makes sense: what is busy is soon free, what failed elsewhere or waits for work to be done takes longer,
    /// and a day's quota or an operator much longer.
    fn retry_after_seconds(&self) -> Option<HeaderValue> {
        let seconds = match (self.status, self.code) {
            (StatusCode::TOO_MANY_REQUESTS, "over_quota") | (StatusCode::SERVICE_UNAVAILABLE, "too_many_apps" | "too_many_limits") => {
                "3600"
            }
            (StatusCode::SERVICE_UNAVAILABLE, "storage_full") => "60",
            (StatusCode::SERVICE_UNAVAILABLE, _) => "1",
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY, _) => "5",
            _ => return None,
        };
        Some(HeaderValue::from_static(seconds))
    }
}

/// Every 401 names the scheme that would do (RFC 9110, 11.6.1), and with Bearer a parameter (RFC 6750, 3).
const CHALLENGE: &str = "Bearer realm=\"headwater\"";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.note();
        let mut response = (self.status, Json(self.body())).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        if let Some((name, value)) = self.header.map(|header| *header) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            StoreError::Query(_) => (StatusCode::BAD_REQUEST, "invalid_query"),
            StoreError::QueryLimit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "query_limit"),
            StoreError::Conflict(_) | StoreError::Stale { .. } | StoreError::Unknown { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "storage_busy")
            }
            StoreError::Full(_) => return Self::full(&error),
            _ => return Self::internal(&error),
        };
        Self::new(status, code, error.to_string())
    }
}

/// Of a file of the service's own.
impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        if is_full(&error) { Self::full(&error) } else { Self::internal(&error) }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let (status, code) = match &error {
            IngestError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            IngestError::Unauthorised(_) => (StatusCode::UNAUTHORIZED, "bad_signature"),
            IngestError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            IngestError::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            IngestError::OverQuota(_) => (StatusCode::TOO_MANY_REQUESTS, "over_quota"),
            IngestError::TooManyUnderWay(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_under_way"),
            IngestError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            IngestError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            IngestError::Expired(_) => (StatusCode::BAD_REQUEST, "expired"),
            IngestError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            IngestError::NothingToPublish(_) => (StatusCode::CONFLICT, "nothing_to_publish"),
            IngestError::Interrupted(_) => (StatusCode::SERVICE_UNAVAILABLE, "interrupted"),
            IngestError::Store(_) => return store_error(error),
            _ => return Self::internal(&error),
        };
        Self::new(status, code, error.to_string())
    }
}

fn store_error(error: IngestError) -> ApiError {
    match error {
        IngestError::Store(error) => error.into(),
        error => ApiError::internal(&error),
    }
}

impl From<RagError> for ApiError {
    fn from(error: RagError) -> Self {
        let (status, code) = match error {
            RagError::Store(error) => return error.into(),
            RagError::Parameter { parameter, problem } => return Self::parameter(parameter, problem),
            RagError::Generator(ref cause) => match generator_status(cause) {
                Some(found) => found,
                None => return Self::internal(&error),
            },
            RagError::InvalidQuestion(_) | RagError::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            RagError::NothingPublished(_) => (StatusCode::CONFLICT, "nothing_published"),
            RagError::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
            RagError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            RagError::Busy { .. } => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            RagError::NothingToSettle { .. } => (StatusCode::CONFLICT, "nothing_to_settle"),
            RagError::Unproven(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unproven"),
            RagError::Io { ref source, .. } if is_full(source) => return Self::full(&error),
            error => return Self::internal(&error),
        };
        Self::new(status, code, error.to_string())
    }
}

/// A generator that is busy, one that failed elsewhere, and a request that it does not take.
fn generator_status(error: &EngineError) -> Option<(StatusCode, &'static str)> {
    match error {
        EngineError::Overloaded { .. } | EngineError::Remote { status: Some(429 | 503), .. } => {
            Some((StatusCode::SERVICE_UNAVAILABLE, "generator_busy"))
        }
        EngineError::Remote { .. } => Some((StatusCode::BAD_GATEWAY, "generator_failed")),
        EngineError::Prompt { .. } => Some((StatusCode::BAD_REQUEST, "invalid_request")),
        _ => None,
    }
}

impl From<IndexerError> for ApiError {
    fn from(error: IndexerError) -> Self {
        match error {
            IndexerError::Store(error) => error.into(),
            error @ (IndexerError::RpcUnreachable { .. }
            | IndexerError::RpcRateLimited { .. }
            | IndexerError::RpcTimeout { .. }
            | IndexerError::RangeTooLarge { .. }
            | IndexerError::RpcRefused { .. }
            | IndexerError::RpcMalformed { .. }
            | IndexerError::NodesDisagree { .. }) => Self::new(
                StatusCode::BAD_GATEWAY,
                "chain_unreachable",
                format!("{error}; nothing was lost, try again when the node is back"),
            ),
            error @ IndexerError::Reverted { .. } => Self::new(StatusCode::CONFLICT, "reverted", error.to_string()),
            error @ IndexerError::Policy { .. } => Self::new(StatusCode::FORBIDDEN, "spending_policy", error.to_string()),
            error @ (IndexerError::QueueBusy { .. }
            | IndexerError::OutboxLocked { .. }
            | IndexerError::NonceTaken { .. }
            | IndexerError::TransactionUnknown { .. }
            | IndexerError::TransactionCancelled { .. }
            | IndexerError::FeeAboveCap { .. }) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "transaction_pending", error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<SchemaError> for ApiError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::BadId { .. } | SchemaError::BadAbi { .. } | SchemaError::BadContract { .. } => {
                Self::bad_request(error.to_string())
            }
            SchemaError::BadSignature(_) => Self::new(StatusCode::UNAUTHORIZED, "bad_signature", error.to_string()),
            error => Self::internal(&error),
        }
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => error.into(),
            KeyError::Name => Self::bad_request(error.to_string()),
            KeyError::Taken | KeyError::Revoked => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            KeyError::TooMany { .. } => Self::new(StatusCode::CONFLICT, "too_many_apps", error.to_string()),
            KeyError::Full { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_apps", error.to_string()),
            KeyError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
        }
    }
}

impl From<TooManyLimits> for ApiError {
    fn from(error: TooManyLimits) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_limits", error.to_string())
    }
}

impl From<FollowError> for ApiError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Schema(error) => error.into(),
            FollowError::Store(error) => error.into(),
            FollowError::NoCode { .. } | FollowError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
        }
    }
}

/// Errors of the wiring: the typed one inside decides.
impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        let error = match error.downcast::<RagError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<StoreError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        match error.downcast::<IndexerError>() {
            Ok(error) => error.into(),
            Err(error) => Self::new(StatusCode::CONFLICT, "conflict", format!("{error:#}")),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(error: JsonRejection) -> Self {
        let code = match error.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            _ => "invalid_request",
        };
        Self::new(error.status(), code, error.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(error: PathRejection) -> Self {
        Self::bad_request(error.body_text())
    }
}

#[cfg(test)]
mod tests {
    use schemas::Address;

    use super::*;
    use crate::asking::AskError;
    use crate::credit::Refusal;
    use crate::querying::QueryError;

    #[test]
    fn a_generators_failures_are_told_apart() {
        let remote = |status| EngineError::Remote { status, reason: "x".into() };
        for (error, status, code, retry_after) in [
            (EngineError::Overloaded { waiting: 1 }, 503, "generator_busy", Some("1")),
            (remote(Some(429)), 503, "generator_busy", Some("1")),
            (remote(Some(401)), 502, "generator_failed", Some("5")),
            (remote(None), 502, "generator_failed", Some("5")),
            (EngineError::Prompt { reason: "x".into() }, 400, "invalid_request", None),
            (EngineError::Library { operation: "x", reason: "x".into() }, 500, "internal", None),
        ] {
            let error = ApiError::from(RagError::Generator(error));
            assert_eq!(error.code, code, "{error:?}");
            let response = error.into_response();
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), header), (status, retry_after));
        }
    }

    #[test]
    fn whoever_is_refused_for_load_is_told_when_to_try_again() {
        let problem = String::new;
        let busy = AskError::Refused(Refusal::Busy { payer: Address::ZERO });
        for (error, status, seconds) in [
            (ApiError::busy(""), 503, "1"),
            (busy.into(), 503, "1"),
            (QueryError::Full.into(), 503, "1"),
            (IngestError::Busy(problem()).into(), 503, "1"),
            (IngestError::Interrupted("x").into(), 503, "1"),
            (IngestError::TooManyUnderWay(problem()).into(), 429, "5"),
            (IngestError::OverQuota(problem()).into(), 429, "3600"),
            (KeyError::Full { limit: 1 }.into(), 503, "3600"),
            (StoreError::Conflict(problem()).into(), 503, "1"),
            (StoreError::Full(problem()).into(), 503, "60"),
            (std::io::Error::from(ErrorKind::StorageFull).into(), 503, "60"),
        ] {
            let error: ApiError = error;
            let shown = format!("{error:?}");
            let response = error.into_response();
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), header), (status, Some(seconds)), "{shown}");
        }
        assert!(ApiError::bad_request("").into_response().headers().get(RETRY_AFTER).is_none());
    }

    #[test]
    fn whoever_is_not_known_is_told_the_scheme() {
        let bad_signature = SchemaError::BadSignature("x".into());
        for error in [ApiError::unauthorised(""), IngestError::Unauthorised("x".into()).into(), bad_signature.into()] {
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(response.headers()[WWW_AUTHENTICATE], CHALLENGE);
        }
        assert!(!ApiError::forbidden("").into_response().headers().contains_key(WWW_AUTHENTICATE));
    }

    #[test]
    fn a_wrong_field_is_named_as_openai_names_it() {
        let error = ApiError::from(RagError::Parameter { parameter: "top_p", problem: "it must be above 0".into() });
        let expected =
            json!({ "message": "top_p: it must be above 0", "type": "invalid_request_error", "code": "invalid_value", "param": "top_p" });
        assert_eq!((error.status, &error.body()["error"]), (StatusCode::BAD_REQUEST, &expected));
    }
}
