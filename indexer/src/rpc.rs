//! One JSON-RPC connection over HTTP: deadlines, bounded retries with jitter, batches, and errors
//! that name the method but never the whole URL.

use std::sync::Arc;
use std::time::Duration;

use alloy_rpc_client::RpcClient;
use alloy_transport::{RpcError, TransportError, TransportErrorKind};
use rand::Rng;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{IndexerError, Result};

/// Limits of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// For one HTTP exchange.
    pub timeout_ms: u64,
    /// Tries of one request in all; at least 1.
    pub max_attempts: u32,
    /// Pause before the second try; it doubles with every further one, and half of it is random.
    pub backoff_ms: u64,
    pub max_backoff_ms: u64,
    /// Requests in one JSON-RPC batch.
    pub max_batch_requests: usize,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self { timeout_ms: 10_000, max_attempts: 4, backoff_ms: 100, max_backoff_ms: 2_000, max_batch_requests: 100 }
    }
}

/// One request of a batch.
pub(crate) type Call = (&'static str, Value);

/// A connection to one node. Cheap to clone.
#[derive(Clone)]
pub struct Rpc {
    client: RpcClient,
    /// Scheme, host and port.
    shown_url: Arc<str>,
    config: RpcConfig,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rpc({})", self.shown_url)
    }
}

impl Rpc {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`IndexerError::BadUrl`].
    pub fn connect(url: &str, config: RpcConfig) -> Result<Self> {
        let parsed: reqwest::Url = url.parse().map_err(|error| bad_url(url, &error))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(bad_url(url, &"not an http address"));
        }
        // Installing a second time is refused, which is fine: one is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder =
            reqwest::Client::builder().timeout(Duration::from_millis(config.timeout_ms)).redirect(reqwest::redirect::Policy::none());
        if is_loopback(&parsed) {
            builder = builder.no_proxy();
        }
        if parsed.scheme() == "http" {
            // Reading every root certificate of the system takes long, and nothing here leads to TLS.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| bad_url(url, &error.without_url()))?;
        Ok(Self { shown_url: shown(&parsed).into(), client: RpcClient::new_http_with_client(http, parsed), config })
    }

    /// The node's address without path, query and credentials.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    pub(crate) fn max_batch_requests(&self) -> usize {
        self.config.max_batch_requests.max(1)
    }

    /// One request; transport failures are retried.
    pub(crate) async fn request<R: DeserializeOwned>(&self, method: &'static str, params: Value) -> Result<R> {
        let mut attempt = 1;
        let value: Value = loop {
            match self.client.request::<_, Value>(method, params.clone()).await {
                Ok(value) => break value,
                Err(error) => self.retry_or_fail(method, &error, &mut attempt).await?,
            }
        };
        parse(method, value)
    }

    /// Several requests in one exchange: `[calls.len()]` answers in the order of `calls`. At most
    /// [`RpcConfig::max_batch_requests`]. The exchange is retried as a whole; an answer that is an
    /// error of the node is not.
    pub(crate) async fn pair<A, B>(&self, first: Call, second: Call) -> Result<(Result<A>, Result<B>)>
    where
        A: DeserializeOwned + Send + 'static,
        B: DeserializeOwned + Send + 'static,
    {
        let (a, b) = (first.0, second.0);
        let mut answers = self.values(&[first, second]).await?.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Err(IndexerError::RpcMalformed { method: a, problem: "short batch".into() }));
        Ok((next().and_then(|value| parse(a, value)), next().and_then(|value| parse(b, value))))
    }

    pub(crate) async fn batch<R: DeserializeOwned + Send + 'static>(&self, calls: &[Call]) -> Result<Vec<Result<R>>> {
        let answers = self.values(calls).await?;
        Ok(answers.into_iter().zip(calls).map(|(answer, (method, _))| answer.and_then(|value| parse(method, value))).collect())
    }

    async fn values(&self, calls: &[Call]) -> Result<Vec<Result<Value>>> {
        let method = calls.first().map_or("batch", |(method, _)| *method);
        let mut attempt = 1;
        loop {
            match self.try_batch(calls).await {
                Ok(answers) => {
                    let answers = answers.into_iter().zip(calls);
                    return Ok(answers.map(|(answer, (method, _))| answer.map_err(|error| self.typed(method, &error))).collect());
                }
                Err(error) => self.retry_or_fail(method, &error, &mut attempt).await?,
            }
        }
    }

    async fn try_batch(&self, calls: &[Call]) -> std::result::Result<Vec<std::result::Result<Value, TransportError>>, TransportError> {
        let mut batch = self.client.new_batch();
        let mut waiters = Vec::with_capacity(calls.len());
        for (method, params) in calls {
            waiters.push(batch.add_call::<_, Value>(*method, params)?);
        }
        batch.send().await?;
        let mut answers = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            let answer = waiter.await;
            if let Err(error @ RpcError::Transport(_)) = answer {
                return Err(error);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Sleeps before the next try, or says why there is none.
    async fn retry_or_fail(&self, method: &'static str, error: &TransportError, attempt: &mut u32) -> Result<()> {
        let typed = self.typed(method, error);
        if !is_worth_retrying(error) || *attempt >= self.config.max_attempts {
            return Err(typed);
        }
        let doubled = self.config.backoff_ms.saturating_mul(1 << (*attempt - 1).min(16));
        let ceiling = doubled.min(self.config.max_backoff_ms).max(1);
        let pause_ms = ceiling / 2 + rand::rng().random_range(0..=ceiling / 2);
        tracing::debug!(method, attempt = *attempt, pause_ms, error = %typed, "retrying a request to the node");
        *attempt += 1;
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok(())
    }

    fn typed(&self, method: &'static str, error: &TransportError) -> IndexerError {
        match error {
            RpcError::ErrorResp(payload) => IndexerError::RpcRefused {
                method,
                code: payload.code,
                message: payload.message.chars().take(500).collect(),
                data: payload.data.as_ref().map(|data| data.get().to_owned()),
            },
            RpcError::DeserError { err, .. } => IndexerError::RpcMalformed { method, problem: err.to_string() },
            RpcError::NullResp => IndexerError::RpcMalformed { method, problem: "null".into() },
            RpcError::Transport(TransportErrorKind::HttpError(http)) => self.unreachable(method, format!("HTTP status {}", http.status)),
            other => self.unreachable(method, with_causes(other)),
        }
    }

    fn unreachable(&self, method: &'static str, problem: String) -> IndexerError {
        let problem = without_paths(&problem).chars().take(500).collect();
        IndexerError::RpcUnreachable { url: self.shown_url.to_string(), method, problem }
    }
}

/// Reads a value as the type that a method returns.
pub(crate) fn parse<R: DeserializeOwned>(method: &'static str, value: Value) -> Result<R> {
    serde_json::from_value(value).map_err(|error| IndexerError::RpcMalformed { method, problem: error.to_string() })
}

fn is_worth_retrying(error: &TransportError) -> bool {
    match error {
        RpcError::Transport(TransportErrorKind::HttpError(http)) => http.status == 429 || http.status >= 500,
        RpcError::Transport(_) => true,
        RpcError::ErrorResp(payload) => payload.is_retry_err(),
        _ => false,
    }
}

/// An error with its causes: reqwest's own text stops at "error sending request".
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

/// The text with every address in it cut down to scheme, host and port.
fn without_paths(text: &str) -> String {
    let word_ends = |letter: char| letter.is_whitespace() || matches!(letter, ')' | '"' | '\'' | '>' | ',');
    let mut cut = String::with_capacity(text.len());
    for word in text.split_inclusive(word_ends) {
        match word.find("http").map(|start| word.split_at(start)) {
            Some((before, address)) => {
                let end = address.find(word_ends).unwrap_or(address.len());
                let (address, after) = address.split_at(end);
                cut.push_str(before);
                cut.push_str(&address.parse().map_or_else(|_| address.to_owned(), |url| shown(&url)));
                cut.push_str(after);
            }
            None => cut.push_str(word),
        }
    }
    cut
}

fn shown(url: &reqwest::Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

fn is_loopback(url: &reqwest::Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

fn bad_url(url: &str, problem: &dyn std::fmt::Display) -> IndexerError {
    let shown = url.parse::<reqwest::Url>().map_or_else(|_| "(unreadable)".to_owned(), |url| shown(&url));
    IndexerError::BadUrl { url: shown, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_hide_the_path_and_retries_end() {
        let config = RpcConfig { max_attempts: 2, backoff_ms: 1, ..RpcConfig::default() };
        // Port 9 (discard) on loopback is closed.
        let rpc = Rpc::connect("http://user:password@127.0.0.1:9/v2/secret-key", config).unwrap();
        let error = rpc.request::<Value>("eth_chainId", Value::Array(vec![])).await.unwrap_err();
        assert!(matches!(error, IndexerError::RpcUnreachable { .. }), "{error:?}");
        let text = format!("{error} {error:?} {rpc:?}");
        assert!(text.contains("http://127.0.0.1:9") && !text.contains("secret") && !text.contains("password"), "{text}");
    }

    #[test]
    fn addresses_in_text_are_cut() {
        let text = "error for url (https://a.example:8443/v2/key?x=1): see http://b/c, or httpd";
        assert_eq!(without_paths(text), "error for url (https://a.example:8443): see http://b, or httpd");
    }

    #[test]
    fn addresses_are_checked() {
        for bad in ["", "127.0.0.1:8545", "ws://127.0.0.1:8545", "file:///etc/passwd"] {
            assert!(matches!(Rpc::connect(bad, RpcConfig::default()), Err(IndexerError::BadUrl { .. })), "{bad}");
        }
    }
}
