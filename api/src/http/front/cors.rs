//! Pages of other origins (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>): which may call the service from a browser,
//! and what of a reply they may read. No cookie says who calls, so what a page may send is not limited further.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::http::ApiError;

/// Headers of our replies that a page may read, beside those that every page may.
const EXPOSED: &str = "accept-encoding, allow, location, retry-after, www-authenticate";

/// `http.cors_origins`.
#[derive(Debug)]
pub(super) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.to_vec() }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }

    /// The answer to a browser that asks whether a page of `origin` may send such a request.
    pub(super) fn preflight(&self, origin: &HeaderValue, request: &HeaderMap) -> Response {
        if !self.allows(origin) {
            let problem = "pages of this origin may not call the service: its operator lists those that may in http.cors_origins";
            return ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", problem).into_response();
        }
        let fixed = [(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"), (ACCESS_CONTROL_MAX_AGE, "600")];
        let mut response = (StatusCode::NO_CONTENT, fixed).into_response();
        let headers = response.headers_mut();
        // Clients send headers of their own making (OpenAI's: a dozen `x-stainless-…`), and `*` would leave `authorization` out.
        for wanted in request.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.append(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        headers.append(VARY, HeaderValue::from_static("access-control-request-headers"));
        response
    }

    /// Lets a page of `origin` read `response`, or not.
    pub(super) fn show(&self, origin: HeaderValue, response: &mut Response) {
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("origin"));
        if self.allows(&origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        }
    }
}

pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
