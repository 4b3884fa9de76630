//! The front before a router of its own: no service is needed to be turned away.

use axum::Json;
use axum::http::HeaderName;
use axum::http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, LOCATION, VARY};
use axum::routing::{get, post};
use serde_json::Value;
use tower_service::Service as _;

use super::*;
use crate::config::{Config, Sources};

async fn answer(settings: &[&str], request: Request) -> (StatusCode, HeaderMap, Value) {
    let folder = tempfile::tempdir().unwrap();
    let set = settings.iter().map(|text| (*text).to_owned()).collect();
    let config = Config::load(&Sources { data_dir: folder.path().into(), file: None, set, defaults: &[] }).unwrap();
    let router = Router::new()
        .route("/", get(|| async { "seen" }))
        .route("/body", post(|body: String| async move { body }))
        .route("/small", post(|body: String| async move { body }).layer(from_fn_with_state(10_usize, refuse_too_large)))
        .route("/slow", get(|| async { StatusCode::GATEWAY_TIMEOUT }))
        .route("/busy", get(|| async { ApiError::busy("later") }))
        .route("/keyless", get(|| async { ApiError::unauthorised("no key") }))
        .route("/later", get(|| async { (StatusCode::ACCEPTED, [(LOCATION, "/")]) }))
        .route("/json", post(|body: Result<Json<Value>, axum::extract::rejection::JsonRejection>| async { body.map_err(ApiError::from) }));
    let response = before(router, Front::new(&config.http)).call(request).await.unwrap();
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
    let mut two = request("GET", "/", &[]);
    two.headers_mut().append(HOST, HeaderValue::from_static("127.0.0.1:8480"));
    assert_eq!(answer(&[], two).await.0, StatusCode::BAD_REQUEST, "whichever is meant (RFC 9112, 3.2)");
}

#[tokio::test]
async fn errors_of_the_router_come_in_the_envelope() {
    for method in ["POST", "OPTIONS", "DELETE"] {
        let (status, headers, body) = answer(&[], request(method, "/", &[])).await;
        assert_eq!((status, error(&body).0), (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"), "{method}");
        let allowed = headers[ALLOW].to_str().unwrap();
        assert!(allowed.contains("GET") && error(&body).1.ends_with(&format!("there is: {allowed}")), "{headers:?} {body}");
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
    let (status, _, body) = answer(&[], request("POST", "/json", &[("content-type", "text/plain")])).await;
    assert_eq!((status, error(&body).0), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"));
    let mut large = request("POST", "/json", &[("content-type", "application/json")]);
    *large.body_mut() = Body::from("1".repeat(3 << 20));
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

const LISTED: [&str; 1] = ["http.cors_origins=https://app.example,https://b.example"];

/// A browser's question before a page of `origin` sends `wanted`.
fn preflight(origin: &str, wanted: &[&str]) -> Request {
    let wanted = wanted.iter().map(|names| ("access-control-request-headers", *names));
    let headers: Vec<_> = [("origin", origin), ("access-control-request-method", "POST")].into_iter().chain(wanted).collect();
    request("OPTIONS", "/body", &headers)
}

/// The names in all lines of a header.
fn names(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).iter().flat_map(|line| line.to_str().unwrap().split(',').map(str::trim)).collect()
}

#[tokio::test]
async fn browsers_are_served_by_an_allow_list() {
    let (status, headers, body) = answer(&[], preflight("https://app.example", &["authorization"])).await;
    assert_eq!((status, error(&body).0), (StatusCode::FORBIDDEN, "origin_not_allowed"), "off by default");
    assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) && !headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS), "{headers:?}");
    let (status, headers, _) = answer(&LISTED, preflight("https://app.example", &[])).await;
    assert_eq!((status, &headers[ACCESS_CONTROL_ALLOW_ORIGIN]), (StatusCode::NO_CONTENT, &HeaderValue::from_static("https://app.example")));
    assert_eq!(answer(&LISTED, preflight("https://app.example.evil", &[])).await.0, StatusCode::FORBIDDEN);
    assert_eq!(answer(&["http.cors_origins=*"], preflight("https://any.example", &[])).await.0, StatusCode::NO_CONTENT);
    let (_, headers, _) = answer(&LISTED, request("GET", "/", &[("origin", "https://b.example")])).await;
    assert_eq!(
        (&headers[ACCESS_CONTROL_ALLOW_ORIGIN], &headers[VARY]),
        (&HeaderValue::from_static("https://b.example"), &HeaderValue::from_static("origin"))
    );
    let (_, headers, _) = answer(&LISTED, request("GET", "/nowhere", &[("origin", "https://b.example")])).await;
    assert!(headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "an error too, or a page could not read it");
}

/// What a browser asks for before OpenAI's client for JavaScript sends a question, our own headers, and those of any other client.
#[tokio::test]
async fn a_page_sends_the_headers_that_its_client_wants() {
    let openai = "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,\
        x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout";
    for wanted in [&[openai][..], &["headwater-curator,headwater-contributor,idempotency-key"], &["x-of-tomorrow", "traceparent"], &[]] {
        let (status, headers, _) = answer(&LISTED, preflight("https://app.example", wanted)).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        let asked: Vec<&str> = wanted.iter().flat_map(|names| names.split(',')).collect();
        assert_eq!(names(&headers, ACCESS_CONTROL_ALLOW_HEADERS), asked);
        assert_eq!(names(&headers, VARY), ["access-control-request-headers", "origin"], "caches tell these answers apart");
    }
}

/// Beside what every page may read (<https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name>).
#[tokio::test]
async fn a_page_reads_every_header_of_a_reply() {
    let readable = ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma", "vary"];
    let plain = ("accept", "*/*");
    for (method, path, header, carried) in [
        ("DELETE", "/", plain, "allow"),
        ("POST", "/body", ("content-encoding", "gzip"), "accept-encoding"),
        ("GET", "/busy", plain, "retry-after"),
        ("GET", "/keyless", plain, "www-authenticate"),
        ("GET", "/later", plain, "location"),
    ] {
        let (_, headers, _) = answer(&LISTED, request(method, path, &[("origin", "https://app.example"), header])).await;
        assert!(headers.contains_key(carried), "{path}: {headers:?}");
        let exposed = names(&headers, ACCESS_CONTROL_EXPOSE_HEADERS);
        for name in headers.keys().map(HeaderName::as_str).filter(|name| !name.starts_with("access-control-")) {
            assert!(readable.contains(&name) || exposed.contains(&name), "{path}: {name} is not among {exposed:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_request() {
    let first = futures::stream::iter([Ok::<_, std::io::Error>("x")]);
    let mut stalled = request("POST", "/body", &[]);
    *stalled.body_mut() = Body::from_stream(first.chain(futures::stream::pending()));
    let (status, _, body) = answer(&["http.body_idle_timeout_seconds=1"], stalled).await;
    assert_eq!((status, error(&body).0), (StatusCode::REQUEST_TIMEOUT, "body_timeout"));
}

#[tokio::test]
async fn a_body_that_trickles_ends_its_request() {
    // A byte and more each time, and never too long nothing.
    let trickle = futures::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>("x"), ()))
    });
    let mut trickling = request("POST", "/body", &[]);
    *trickling.body_mut() = Body::from_stream(trickle);
    let (status, _, body) = answer(&["http.body_idle_timeout_seconds=1"], trickling).await;
    assert_eq!((status, error(&body).0), (StatusCode::REQUEST_TIMEOUT, "body_timeout"));
    assert!(error(&body).1.contains("1024 bytes a second"));
}

#[test]
fn what_was_received_earns_time_and_what_the_service_takes_costs_none() {
    let pace = Pace { idle: Duration::from_secs(15), total: Duration::from_secs(100), least_bytes_per_second: 1000 };
    let coming = |received_bytes, waited| {
        let body = Body::empty().into_data_stream();
        let coming = Coming { received_bytes, waited: Duration::from_secs(waited), ..Coming::new(body, pace, Arc::default()) };
        coming.patience(coming.deadline - pace.total).as_secs()
    };
    for (received_bytes, waited, patience) in [(0, 0, 15), (0, 10, 5), (10_000, 10, 15), (10_000, 20, 5), (10_000, 30, 0), (90_000, 90, 15)]
    {
        assert_eq!(coming(received_bytes, waited), patience, "{received_bytes} {waited}");
    }
}

/// Nothing is waited for of a body that is too large by its own words.
#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_at_once() {
    let never = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>());
    for headers in [&[("content-length", "11")][..], &[("content-length", "99999999999"), ("expect", "100-continue")]] {
        let request = request("POST", "/small", headers).map(|_| never());
        let (status, _, body) = answer(&[], request).await;
        let (code, problem) = error(&body);
        assert_eq!((status, code), (StatusCode::PAYLOAD_TOO_LARGE, "too_large"));
        assert!(problem.contains("at most 10"), "{problem}");
    }
    let request = request("POST", "/small", &[("content-length", "10")]).map(|_| Body::from("0123456789"));
    assert_eq!(answer(&[], request).await.0, StatusCode::OK);
}

#[test]
fn a_network_is_one_client() {
    let client = |address: &str| PeerAddress(address.parse().unwrap()).client();
    assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
    assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
}
