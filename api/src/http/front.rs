//! What every request passes before its route: which host it is for, how large its head is, how its body is
//! encoded and how fast it comes; and what every reply gets: OpenAI's envelope around an error, CORS headers.

mod cors;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::{ApiError, Reply};
use crate::config::Http;
use cors::Cors;

/// The address of ours that a connection came in at.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAddress(pub(super) SocketAddr);

/// Where a connection came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerAddress(pub(super) IpAddr);

impl PeerAddress {
    /// What one client has: an address, or of IPv6 a network, of which each has 2^64 addresses.
    pub(super) fn client(self) -> IpAddr {
        match self.0 {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        }
    }
}

/// Settings of the front, ready to be compared with.
#[derive(Debug)]
pub(super) struct Front {
    bound: IpAddr,
    hosts: Vec<String>,
    cors: Cors,
    max_header_bytes: usize,
    body_pace: Pace,
}

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    idle: Duration,
    total: Duration,
    least_bytes_per_second: u64,
}

impl Front {
    pub(super) fn new(http: &Http) -> Self {
        Self {
            bound: http.bind.ip(),
            hosts: http.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            cors: Cors::new(&http.cors_origins),
            max_header_bytes: http.max_header_bytes,
            body_pace: Pace {
                idle: Duration::from_secs(http.body_idle_timeout_seconds),
                total: Duration::from_secs(http.body_timeout_seconds),
                least_bytes_per_second: http.body_least_bytes_per_second,
            },
        }
    }

    /// A page of somebody else's, whose name was pointed at this machine, sends its own name.
    fn check_host(&self, request: &Request) -> Reply<()> {
        if request.headers().get_all(HOST).iter().count() > 1 {
            return Err(ApiError::bad_request("there is more than one Host header"));
        }
        let of_header = match request.headers().get(HOST).map(HeaderValue::to_str) {
            Some(Ok(host)) => Some(host),
            Some(Err(_)) => return Err(ApiError::bad_request("the Host header is not text")),
            None => None,
        };
        let of_uri = request.uri().authority().map(|authority| authority.as_str());
        if of_header.is_none() && of_uri.is_none() && request.version() > Version::HTTP_10 {
            return Err(ApiError::bad_request("the Host header is missing"));
        }
        let local = request.extensions().get::<LocalAddress>().map(|LocalAddress(address)| address.ip());
        match of_header.into_iter().chain(of_uri).find(|host| !self.knows(host, local)) {
            None => Ok(()),
            Some(foreign) => {
                let shown: String = foreign.chars().take(80).collect();
                Err(ApiError::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "foreign_host",
                    format!("this service is not {shown:?}: use its own address, or let its operator add the name to http.hosts"),
                ))
            }
        }
    }

    fn knows(&self, host: &str, local: Option<IpAddr>) -> bool {
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            let address = address.to_canonical();
            let own = [Some(self.bound), local].into_iter().flatten().any(|own| own.to_canonical() == address);
            return address.is_loopback() || own || self.hosts.contains(&name);
        }
        name == "localhost" || name.ends_with(".localhost") || self.hosts.contains(&name)
    }

    fn check_head(&self, uri: &Uri, headers: &HeaderMap) -> Reply<()> {
        let of_uri = uri.path_and_query().map_or(0, |path| path.as_str().len());
        let of_headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if of_uri + of_headers <= self.max_header_bytes {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_large",
            format!("the head of the request has {} bytes; at most {} are read", of_uri + of_headers, self.max_header_bytes),
        ))
    }
}

/// `host[:port]` without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

/// `router` behind all of this. It stays a router of its own, whose replies are seen when they are whole: what a layer of it
/// sees of a 405 names no method yet.
pub(super) fn before(router: Router, front: Front) -> Router {
    Router::new().fallback_service(router).layer(from_fn(in_envelope)).layer(from_fn_with_state(Arc::new(front), pass))
}

/// Passes a request on when its head is in order, and its body as long as it comes.
async fn pass(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match front.examine(&request) {
        Err(error) => error.into_response(),
        Ok(()) => match &origin {
            Some(origin) if cors::is_preflight(&request) => front.cors.preflight(origin, request.headers()),
            _ => front.timed(request, next).await,
        },
    };
    if let Some(origin) = origin {
        front.cors.show(origin, &mut response);
    }
    response
}

impl Front {
    fn examine(&self, request: &Request) -> Reply<()> {
        self.check_host(request)?;
        self.check_head(request.uri(), request.headers())?;
        let encoded = request.headers().get_all(CONTENT_ENCODING).iter();
        match encoded.map(HeaderValue::as_bytes).find(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
            None => Ok(()),
            Some(encoding) => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                format!("the body is encoded as {:?}; send it as it is, without Content-Encoding", String::from_utf8_lossy(encoding)),
            )
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))),
        }
    }

    /// A body that stops coming, or trickles, ends its request.
    async fn timed(&self, request: Request, next: Next) -> Response {
        if request.body().is_end_stream() {
            return next.run(request).await;
        }
        let (ran_out, pace) = (Arc::new(AtomicBool::new(false)), self.body_pace);
        let flag = ran_out.clone();
        let request = request.map(|body| {
            let coming = Coming::new(body.into_data_stream(), pace, flag);
            Body::from_stream(futures::stream::try_unfold(coming, Coming::next_piece))
        });
        let response = next.run(request).await;
        if ran_out.load(Ordering::Relaxed) {
            let problem = format!(
                "the body did not come in time: at most {} s may pass without a byte, and it must come with {} bytes a second",
                pace.idle.as_secs(),
                pace.least_bytes_per_second
            );
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", problem).into_response();
        }
        response
    }
}

/// What is read of a body that is refused: a client that is still sending would not see why, for the connection would be reset
/// under it.
const REFUSED_BYTES_READ: usize = 4 << 20;
const REFUSED_READ_FOR: Duration = Duration::from_millis(500);

/// Refuses a body that says itself that it is larger than its route takes, before it comes.
pub(super) async fn refuse_too_large(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let Some(bytes) = announced.filter(|bytes| *bytes > limit as u64) else { return next.run(request).await };
    // Who asks first sends nothing yet.
    if !request.headers().contains_key(EXPECT) {
        let mut left = REFUSED_BYTES_READ;
        let mut body = request.into_body().into_data_stream();
        let read = async {
            while let Some(Ok(piece)) = body.next().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(REFUSED_READ_FOR, read).await);
    }
    let problem = format!("the body has {bytes} bytes; at most {limit} are taken here");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", problem).into_response()
}

/// A body on its way.
struct Coming {
    body: BodyDataStream,
    pace: Pace,
    deadline: Instant,
    received_bytes: u64,
    /// For its bytes; what the service takes to use them is not the sender's.
    waited: Duration,
    ran_out: Arc<AtomicBool>,
}

impl Coming {
    fn new(body: BodyDataStream, pace: Pace, ran_out: Arc<AtomicBool>) -> Self {
        Self { body, pace, deadline: Instant::now() + pace.total, received_bytes: 0, waited: Duration::ZERO, ran_out }
    }

    /// The rate counts from when the first byte may be late.
    fn patience(&self, now: Instant) -> Duration {
        let Pace { idle, least_bytes_per_second, .. } = self.pace;
        let earned = self.received_bytes.saturating_mul(1000).checked_div(least_bytes_per_second);
        let at_least_rate =
            earned.map_or(Duration::MAX, |earned| idle.saturating_add(Duration::from_millis(earned)).saturating_sub(self.waited));
        idle.min(self.deadline.saturating_duration_since(now)).min(at_least_rate)
    }

    async fn next_piece(mut self) -> Result<Option<(Bytes, Self)>, axum::BoxError> {
        let began = Instant::now();
        let Ok(piece) = tokio::time::timeout(self.patience(began), self.body.next()).await else {
            self.ran_out.store(true, Ordering::Relaxed);
            return Err("the body did not come in time".into());
        };
        let Some(piece) = piece.transpose()? else { return Ok(None) };
        self.waited += began.elapsed();
        self.received_bytes = self.received_bytes.saturating_add(piece.len() as u64);
        Ok(Some((piece, self)))
    }
}

/// What is kept of an error's text that is not ours.
const PLAIN_TEXT_BYTES: usize = 2048;

/// Errors that are not ours (of the router, of a layer, of an extractor) become OpenAI's envelope.
async fn in_envelope(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, PLAIN_TEXT_BYTES).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let allowed = parts.headers.get(ALLOW).and_then(|allow| allow.to_str().ok()).unwrap_or_default();
    let (code, problem) = match status {
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", format!("{method} is not served at {path}; there is: {allowed}")),
        StatusCode::GATEWAY_TIMEOUT => {
            ("request_timeout", format!("{method} {path}: the answer was not there in time; try again, or ask for less"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", format!("the body is too large: {text}")),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", text.into_owned()),
        _ => ("invalid_request", if text.is_empty() { status.to_string() } else { text.into_owned() }),
    };
    let wrapped = ApiError::new(status, code, problem).into_response();
    parts.headers.remove(CONTENT_LENGTH);
    let (ours, body) = wrapped.into_parts();
    parts.headers.extend(ours.headers);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests;
