//! The front before a router of its own: no service is needed to be turned away.

use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;
use tower_service::Service as _;

use super::*;
use crate::config::{Config, Sources};

async fn answer(settings: &[&str], request: Request) -> (StatusCode, HeaderMap, Value) {
    let folder = tempfile::tempdir().unwrap();
    let set = settings.iter().map(|text| (*text).to_owned()).collect();
    let config = Config::load(&Sources { data_dir: folder.path().into(), file: None, set, defaults: &[] }).unwrap();
    let front = Arc::new(Front::new(&config.http));
    let mut router: Router = Router::new()
        .route("/", get(|| async { "seen" }))
        .route("/body", post(|body: String| async move { body }))
        .route("/slow", get(|| async { StatusCode::GATEWAY_TIMEOUT }))
        .layer(axum::middleware::from_fn(in_envelope))
        .layer(axum::middleware::from_fn_with_state(front, pass));
    let response = router.call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:8480");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn error(body: &Value) -> (&str, &str) {
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()) && error["type"].is_string(), "{body}");
    (error["code"].as_str().unwrap(), error["message"].as_str().unwrap())
}

#[tokio::test]
async fn foreign_hosts_are_refused_and_own_ones_served() {
    let own = ["localhost", "LOCALHOST:1", "127.0.0.1:8480", "127.9.9.9", "[::1]:8480", "localhost.", "app.localhost:3"];
    for host in own {
        assert_eq!(answer(&[], request("GET", "/", &[("host", host)])).await.0, StatusCode::OK, "{host}");
    }
    let foreign = ["evil.example", "evil.example:8480", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.7", "", "[::2]"];
    for host in foreign {
        let (status, _, body) = answer(&[], request("GET", "/", &[("host", host)])).await;
        assert_eq!((status, error(&body).0), (StatusCode::MISDIRECTED_REQUEST, "foreign_host"), "{host}");
    }
    let (status, ..) = answer(&[], request("GET", "http://evil.example/", &[])).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "the absolute form counts too");
    let named = ["http.hosts=data.example,other.example"];
    assert_eq!(answer(&named, request("GET", "/", &[("host", "Data.Example:443")])).await.0, StatusCode::OK);
    let bound = ["http.bind=10.0.0.7:80"];
    assert_eq!(answer(&bound, request("GET", "/", &[("host", "10.0.0.7")])).await.0, StatusCode::OK);
    let mut arrived = request("GET", "/", &[("host", "192.168.0.9:8480")]);
    arrived.extensions_mut().insert(LocalAddress("192.168.0.9:8480".parse().unwrap()));
    assert_eq!(answer(&["http.bind=0.0.0.0:8480"], arrived).await.0, StatusCode::OK, "the address it came in at");
    let mut none = request("GET", "/", &[]);
    none.headers_mut().remove(HOST);
    assert_eq!(answer(&[], none).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn errors_of_the_router_come_in_the_envelope() {
    for method in ["POST", "OPTIONS", "DELETE"] {
        let (status, headers, body) = answer(&[], request(method, "/", &[])).await;
        assert_eq!((status, error(&body).0), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"), "{method}");
        assert!(headers[ALLOW].to_str().unwrap().contains("GET"), "{headers:?}");
    }
    let (status, _, body) = answer(&[], request("GET", "/slow", &[])).await;
    assert_eq!((status, error(&body).0), (StatusCode::GATEWAY_TIMEOUT, "request_timeout"));
    let long = "x".repeat(40_000);
    let (status, _, body) = answer(&[], request("GET", "/", &[("x-long", &long)])).await;
    assert_eq!((status, error(&body).0), (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"));
    let mut large = request("POST", "/body", &[]);
    *large.body_mut() = Body::from("x".repeat(3 << 20));
    let (status, _, body) = answer(&[], large).await;
    assert_eq!((status, error(&body).0), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
}

#[tokio::test]
async fn an_encoded_body_is_refused_by_what_it_is() {
    for encoding in ["gzip", "br", "zstd", "GZIP", "gzip, identity"] {
        let (status, headers, body) = answer(&[], request("POST", "/body", &[("content-encoding", encoding)])).await;
        assert_eq!((status, error(&body).0), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding"));
        assert!(error(&body).1.contains(encoding));
        assert_eq!(headers[ACCEPT_ENCODING], "identity");
    }
    assert_eq!(answer(&[], request("POST", "/body", &[("content-encoding", "identity")])).await.0, StatusCode::OK);
}

#[tokio::test]
async fn browsers_are_served_by_an_allow_list() {
    let preflight = |origin: &str| request("OPTIONS", "/body", &[("origin", origin), ("access-control-request-method", "POST")]);
    let (status, headers, body) = answer(&[], preflight("https://app.example")).await;
    assert_eq!((status, error(&body).0), (StatusCode::FORBIDDEN, "origin_not_allowed"), "off by default");
    assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    let listed = ["http.cors_origins=https://app.example,https://b.example"];
    let (status, headers, _) = answer(&listed, preflight("https://app.example")).await;
    assert_eq!((status, &headers[ACCESS_CONTROL_ALLOW_ORIGIN]), (StatusCode::NO_CONTENT, &HeaderValue::from_static("https://app.example")));
    assert!(headers[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().contains("authorization"));
    assert_eq!(answer(&listed, preflight("https://app.example.evil")).await.0, StatusCode::FORBIDDEN);
    let (_, headers, _) = answer(&listed, request("GET", "/", &[("origin", "https://b.example")])).await;
    assert_eq!(
        (&headers[ACCESS_CONTROL_ALLOW_ORIGIN], &headers[VARY]),
        (&HeaderValue::from_static("https://b.example"), &HeaderValue::from_static("origin"))
    );
    let (_, headers, _) = answer(&listed, request("GET", "/nowhere", &[("origin", "https://b.example")])).await;
    assert!(headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "an error too, or a page could not read it");
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_request() {
    let first = futures::stream::iter([Ok::<_, std::io::Error>("x")]);
    let mut stalled = request("POST", "/body", &[]);
    *stalled.body_mut() = Body::from_stream(first.chain(futures::stream::pending()));
    let (status, _, body) = answer(&["http.body_idle_timeout_seconds=1"], stalled).await;
    assert_eq!((status, error(&body).0), (StatusCode::REQUEST_TIMEOUT, "body_timeout"));
}
