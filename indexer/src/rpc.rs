//! JSON-RPC over HTTP, with one address or several: deadlines, bounded retries with jitter by class
//! of failure, failover, batches, a limit on what is under way at once, and errors that name the
//! method but never the whole URL.
//!
//! Owns every exchange with a node. Never decides what an answer means for the chain: nodes that
//! disagree are noticed above it, in [`crate::source`].

pub(crate) mod address;
mod answers;
mod classify;
mod config;
mod endpoints;
mod envelope;
mod fault;
mod gate;
mod loose;
mod nodes;
mod quick;
mod retry;
mod stats;
mod subject;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::Result;
use answers::{Answers, Many, Two, typed};
use classify::is_ranged;
pub use config::RpcConfig;
pub(crate) use envelope::Call;
use fault::Fault;
use nodes::{Nodes, worst_fault};
pub(crate) use quick::Quick;
use retry::{Next, Tries};
pub use stats::{EndpointStats, Outcome, RpcStats};
use transport::HttpTransport;
pub use transport::{Transport, TransportFailure};

/// A connection to a node, or to several that stand in for each other. Cheap to clone; clones share
/// everything.
#[derive(Clone)]
pub struct Rpc {
    nodes: Arc<Nodes>,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rpc({})", self.nodes.shown_urls())
    }
}

/// Answers or a fault, and the endpoint they are of.
struct Asking<T> {
    endpoint: usize,
    result: std::result::Result<T, Fault>,
}

impl Rpc {
    /// Prepares a connection to one address, or to several with commas between them; nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::IndexerError::BadUrl`].
    pub fn connect(urls: &str, config: RpcConfig) -> Result<Self> {
        let urls: Vec<String> = urls.split(',').map(|url| url.trim().to_owned()).collect();
        Self::connect_all(&urls, config)
    }

    /// Prepares a connection to several addresses of one chain's nodes, the preferred one first; nothing
    /// is sent yet. One address is used as long as it works; the answers to one batch are of one node.
    ///
    /// # Errors
    /// [`crate::IndexerError::BadUrl`], also when there is no address.
    pub fn connect_all(urls: &[String], config: RpcConfig) -> Result<Self> {
        let mut transports: Vec<Arc<dyn Transport>> = Vec::with_capacity(urls.len());
        for url in urls {
            transports.push(Arc::new(HttpTransport::new(url, &config)?));
        }
        if transports.is_empty() {
            return Err(address::bad_url("", &"there is no address"));
        }
        Ok(Self::over_all(transports, config))
    }

    /// A connection over another transport than HTTP.
    pub fn over(transport: Arc<dyn Transport>, config: RpcConfig) -> Self {
        Self::over_all(vec![transport], config)
    }

    fn over_all(transports: Vec<Arc<dyn Transport>>, config: RpcConfig) -> Self {
        Self { nodes: Arc::new(Nodes::new(transports, config)) }
    }

    /// The preferred node's address without path, query and credentials.
    pub fn shown_url(&self) -> &str {
        self.nodes.shown_url(0)
    }

    /// What was done so far.
    pub fn stats(&self) -> RpcStats {
        self.nodes.stats()
    }

    /// Requests that may go into one batch now.
    pub(crate) fn max_batch_requests(&self) -> usize {
        self.nodes.max_batch_requests()
    }

    /// One request.
    pub(crate) async fn request<R: DeserializeOwned + Send + 'static>(&self, method: &'static str, params: Value) -> Result<R> {
        let call = (method, params);
        let asking = self.ask::<Many<R>>(std::slice::from_ref(&call), false).await;
        let answer = asking.result.and_then(|answers| answers.into_iter().next().unwrap_or_else(|| Err(Fault::malformed(&"no answer"))));
        typed(answer, &call, self.nodes.shown_url(asking.endpoint))
    }

    /// Several requests in one exchange with one node: `[calls.len()]` answers in the order of
    /// `calls`. At most [`RpcConfig::max_batch_requests`]. Tried again as a whole.
    pub(crate) async fn batch<R: DeserializeOwned + Send + 'static>(&self, calls: &[Call]) -> Result<Vec<Result<R>>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let asking = self.ask::<Many<R>>(calls, true).await;
        let url = self.nodes.shown_url(asking.endpoint);
        let answers = typed(asking.result, whole(calls), url)?;
        Ok(answers.into_iter().zip(calls).map(|(answer, call)| typed(answer, call, url)).collect())
    }

    /// Two requests in one exchange with one node.
    pub(crate) async fn pair<A, B>(&self, first: Call, second: Call) -> Result<(Result<A>, Result<B>)>
    where
        A: Quick,
        B: Quick,
    {
        let calls = [first, second];
        let asking = self.ask::<Two<A, B>>(&calls, true).await;
        let url = self.nodes.shown_url(asking.endpoint);
        let (of_first, of_second) = typed(asking.result, whole(&calls), url)?.into_pair();
        let [first, second] = &calls;
        Ok((typed(of_first, first, url), typed(of_second, second, url)))
    }

    /// Exchanges until there are answers, or no further try is due.
    async fn ask<A: Answers>(&self, calls: &[Call], is_batch: bool) -> Asking<A> {
        let nodes = &self.nodes;
        let mut tries = Tries::default();
        let mut avoid = None;
        loop {
            let choice = nodes.endpoints().choose(Instant::now(), avoid);
            if let Some(until) = choice.not_before {
                tokio::time::sleep_until(until).await;
            }
            let endpoint = choice.index;
            let result = nodes.attempt::<A>(endpoint, calls, is_batch).await;
            let next = match worst_fault(&result, calls.len()) {
                None => Next::GiveUp,
                Some(fault) => tries.after(fault, nodes.count(), nodes.config()),
            };
            let pause_ms = match next {
                Next::GiveUp => return Asking { endpoint, result },
                Next::Again { pause_ms } => {
                    avoid = None;
                    pause_ms
                }
                Next::Elsewhere { pause_ms } => {
                    avoid = Some(endpoint);
                    pause_ms
                }
            };
            nodes.count_retry();
            let elsewhere = nodes.endpoints().choose(Instant::now(), avoid).index != endpoint;
            let pause_ms = if elsewhere { 0 } else { retry::jittered(pause_ms) };
            tracing::debug!(method = whole(calls).0, url = nodes.shown_url(endpoint), pause_ms, elsewhere, "asking the node again");
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

/// The call to name for an exchange as a whole: the one whose answer grows with a range, if there is one.
fn whole(calls: &[Call]) -> &Call {
    static NONE: Call = ("batch", Value::Null);
    calls.iter().find(|(method, _)| is_ranged(method)).or(calls.first()).unwrap_or(&NONE)
}

#[cfg(test)]
mod tests;
