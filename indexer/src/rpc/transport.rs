//! How one body reaches a node and its reply comes back: the seam under [`super::Rpc`], and HTTP. A
//! transport knows nothing of JSON-RPC and never tries twice.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode, Url, header};

use super::address::{bad_url, is_loopback, parse, shown, with_causes};
use super::config::RpcConfig;
use crate::Result;

/// Of a reply that is not a success, this much is read: enough for a JSON-RPC error.
const MAX_REFUSAL_BYTES: u64 = 64 << 10;

/// What came instead of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportFailure {
    /// No connection, or it broke.
    Unreachable { problem: String },
    /// The time was up.
    Timeout,
    /// An HTTP status other than success.
    Status { status: u16, retry_after_ms: Option<u64>, body: Bytes },
    /// The reply is longer than was allowed.
    TooLarge { limit_bytes: u64 },
}

/// One way to one node.
#[async_trait]
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Sends one body and returns the reply's. Dropping the future abandons the exchange.
    async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure>;

    /// The address without path, query and credentials.
    fn shown_url(&self) -> &str;
}

/// A node's HTTP endpoint. Connections are kept open.
#[derive(Debug)]
pub(super) struct HttpTransport {
    client: reqwest::Client,
    url: Url,
    shown_url: String,
    max_reply_bytes: u64,
}

impl HttpTransport {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::IndexerError::BadUrl`].
    pub(super) fn new(url: &str, config: &RpcConfig) -> Result<Self> {
        let parsed = parse(url, ["http", "https"])?;
        // Installing a second time is refused, which is fine: one is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(config.timeout_ms))
            .pool_max_idle_per_host(config.max_in_flight)
            .tcp_nodelay(true);
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        if parsed.scheme() == "http" {
            // Reading every root certificate of the system takes long, and nothing here leads to TLS.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| bad_url(url, &error.without_url()))?;
        Ok(Self { client, shown_url: shown(&parsed), url: parsed, max_reply_bytes: config.max_reply_bytes })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure> {
        let request = self.client.post(self.url.clone()).header(header::CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        if status == StatusCode::OK {
            return read(response, self.max_reply_bytes).await;
        }
        let retry_after_ms = retry_after_ms(&response);
        let body = read(response, MAX_REFUSAL_BYTES.min(self.max_reply_bytes)).await.unwrap_or_default();
        Err(TransportFailure::Status { status: status.as_u16(), retry_after_ms, body })
    }

    fn shown_url(&self) -> &str {
        &self.shown_url
    }
}

async fn read(mut response: Response, limit_bytes: u64) -> std::result::Result<Bytes, TransportFailure> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit_bytes {
        return Err(TransportFailure::TooLarge { limit_bytes });
    }
    let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if (body.len() + chunk.len()) as u64 > limit_bytes {
            return Err(TransportFailure::TooLarge { limit_bytes });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `Retry-After` in seconds. Its other form, a date, is taken as not given: it needs clocks that agree.
fn retry_after_ms(response: &Response) -> Option<u64> {
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(1_000))
}

fn failure(error: &reqwest::Error) -> TransportFailure {
    if error.is_timeout() { TransportFailure::Timeout } else { TransportFailure::Unreachable { problem: with_causes(error) } }
}
