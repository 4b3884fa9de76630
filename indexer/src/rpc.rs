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
mod retry;
mod stats;
mod transport;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::Result;
use answers::{Answers, Many, Two, typed};
pub use config::RpcConfig;
use endpoints::Endpoints;
use envelope::Asked;
pub(crate) use envelope::Call;
use fault::Fault;
use gate::Gate;
use retry::{Next, Tries};
pub use stats::{EndpointStats, Outcome, RpcStats};
use transport::HttpTransport;
pub use transport::{Transport, TransportFailure};

/// A reply above this is parsed off the runtime's threads: a mebibyte takes milliseconds.
const MAX_INLINE_BYTES: usize = 256 << 10;

/// A connection to a node, or to several that stand in for each other. Cheap to clone; clones share
/// everything.
#[derive(Clone)]
pub struct Rpc {
    shared: Arc<Shared>,
}

struct Shared {
    /// At least one.
    transports: Vec<Arc<dyn Transport>>,
    endpoints: Mutex<Endpoints>,
    gate: Gate,
    counters: stats::Counters,
    next_id: AtomicU64,
    batch_limit: AtomicUsize,
    config: RpcConfig,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls: Vec<&str> = self.shared.transports.iter().map(|transport| transport.shown_url()).collect();
        write!(f, "Rpc({})", urls.join(", "))
    }
}

/// Answers or a fault, and the endpoint they are of.
struct Asking<T> {
    endpoint: usize,
    result: std::result::Result<T, Fault>,
}

impl Rpc {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`crate::IndexerError::BadUrl`].
    pub fn connect(url: &str, config: RpcConfig) -> Result<Self> {
        Ok(Self::over(Arc::new(HttpTransport::new(url, &config)?), config))
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
        let shared = Shared {
            endpoints: Mutex::new(Endpoints::new(transports.len())),
            gate: Gate::new(config.min_in_flight, config.start_in_flight, config.max_in_flight),
            counters: stats::Counters::default(),
            next_id: AtomicU64::new(1),
            batch_limit: AtomicUsize::new(config.max_batch_requests.max(1)),
            transports,
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The preferred node's address without path, query and credentials.
    pub fn shown_url(&self) -> &str {
        self.shared.shown_url(0)
    }

    /// What was done so far.
    pub fn stats(&self) -> RpcStats {
        let endpoints = self.shared.endpoints();
        let now = Instant::now();
        let states = endpoints.health().iter().enumerate().map(|(index, health)| EndpointStats {
            shown_url: self.shared.shown_url(index).to_owned(),
            in_use: index == endpoints.in_use(),
            cooling_down: health.is_cooling(now),
            failures_in_a_row: health.failures_in_a_row,
        });
        RpcStats {
            endpoint_switches: endpoints.switches(),
            in_flight_limit: self.shared.gate.limit(),
            endpoints: states.collect(),
            ..self.shared.counters.snapshot()
        }
    }

    /// Requests that may go into one batch now.
    pub(crate) fn max_batch_requests(&self) -> usize {
        self.shared.batch_limit.load(Ordering::Relaxed)
    }

    /// One request.
    pub(crate) async fn request<R: DeserializeOwned + Send + 'static>(&self, method: &'static str, params: Value) -> Result<R> {
        let asking = self.ask::<Many<R>>(&[(method, params)], false).await;
        let answer = asking.result.and_then(|answers| answers.into_iter().next().unwrap_or_else(|| Err(Fault::malformed(&"no answer"))));
        typed(answer, method, self.shared.shown_url(asking.endpoint))
    }

    /// Several requests in one exchange with one node: `[calls.len()]` answers in the order of
    /// `calls`. At most [`RpcConfig::max_batch_requests`]. Tried again as a whole.
    pub(crate) async fn batch<R: DeserializeOwned + Send + 'static>(&self, calls: &[Call]) -> Result<Vec<Result<R>>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let asking = self.ask::<Many<R>>(calls, true).await;
        let url = self.shared.shown_url(asking.endpoint);
        let answers = typed(asking.result, whole(calls), url)?;
        Ok(answers.into_iter().zip(calls).map(|(answer, (method, _))| typed(answer, method, url)).collect())
    }

    /// Two requests in one exchange with one node.
    pub(crate) async fn pair<A, B>(&self, first: Call, second: Call) -> Result<(Result<A>, Result<B>)>
    where
        A: DeserializeOwned + Send + 'static,
        B: DeserializeOwned + Send + 'static,
    {
        let methods = (first.0, second.0);
        let calls = [first, second];
        let asking = self.ask::<Two<A, B>>(&calls, true).await;
        let url = self.shared.shown_url(asking.endpoint);
        let (first, second) = typed(asking.result, whole(&calls), url)?.into_pair();
        Ok((typed(first, methods.0, url), typed(second, methods.1, url)))
    }

    /// Exchanges until there are answers, or no further try is due.
    async fn ask<A: Answers>(&self, calls: &[Call], is_batch: bool) -> Asking<A> {
        let shared = &self.shared;
        let mut tries = Tries::default();
        let mut avoid = None;
        loop {
            let choice = shared.endpoints().choose(Instant::now(), avoid);
            if let Some(until) = choice.not_before {
                tokio::time::sleep_until(until).await;
            }
            let endpoint = choice.index;
            let result = shared.attempt::<A>(endpoint, calls, is_batch).await;
            let next = match worst_fault(&result, calls.len()) {
                None => Next::GiveUp,
                Some(fault) => tries.after(fault, shared.transports.len(), &shared.config),
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
            shared.counters.retry();
            let elsewhere = shared.endpoints().choose(Instant::now(), avoid).index != endpoint;
            let pause_ms = if elsewhere { 0 } else { retry::jittered(pause_ms) };
            tracing::debug!(method = whole(calls), url = shared.shown_url(endpoint), pause_ms, elsewhere, "asking the node again");
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

impl Shared {
    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_url(&self, endpoint: usize) -> &str {
        self.transports.get(endpoint).map_or("", |transport| transport.shown_url())
    }

    /// One exchange, and what is learnt from it.
    async fn attempt<A: Answers>(&self, endpoint: usize, calls: &[Call], is_batch: bool) -> std::result::Result<A, Fault> {
        let pass = self.gate.enter().await;
        let first_id = self.next_id.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let asked = Asked { first_id, methods: calls.iter().map(|(method, _)| *method).collect(), is_batch };
        let result = match self.exchange(endpoint, envelope::body(&asked, calls), &asked).await {
            Ok(body) => parse(body, asked).await,
            Err(fault) => Err(fault),
        };
        self.count(calls, &result);
        match worst_fault(&result, calls.len()) {
            None => {
                pass.answered();
                self.endpoints().answered(endpoint);
            }
            Some(fault) => {
                if matches!(fault.outcome, Outcome::RateLimited | Outcome::TimedOut) {
                    pass.overloaded();
                }
                self.endpoints().failed(endpoint, fault, Instant::now(), &self.config);
            }
        }
        if is_batch && worst_of(&result, calls.len(), |fault| fault.is_about_batch).is_some() {
            self.batch_limit.fetch_min((calls.len() / 2).max(1), Ordering::Relaxed);
        }
        result
    }

    async fn exchange(&self, endpoint: usize, body: Bytes, asked: &Asked) -> std::result::Result<Bytes, Fault> {
        let Some(transport) = self.transports.get(endpoint) else {
            return Err(Fault::new(Outcome::Unreachable, "there is no such endpoint"));
        };
        let sent_bytes = body.len();
        let timeout = Duration::from_millis(self.config.timeout_ms);
        let reply = tokio::time::timeout(timeout, transport.exchange(body)).await.unwrap_or(Err(TransportFailure::Timeout));
        let received_bytes = match &reply {
            Ok(body) | Err(TransportFailure::Status { body, .. }) => body.len(),
            Err(_) => 0,
        };
        self.counters.exchange(sent_bytes, received_bytes);
        let limit_bytes = self.config.max_reply_bytes;
        match reply {
            Ok(body) if body.len() as u64 > limit_bytes => {
                Err(Fault::of_transport(&TransportFailure::TooLarge { limit_bytes }, self.config.timeout_ms))
            }
            Ok(body) => Ok(body),
            Err(failure) => Err(self.fault(&failure, asked)),
        }
    }

    /// Of an HTTP status and a JSON-RPC error beside it, the error mostly says more.
    fn fault(&self, failure: &TransportFailure, asked: &Asked) -> Fault {
        let of_status = Fault::of_transport(failure, self.config.timeout_ms);
        let TransportFailure::Status { status, body, .. } = failure else { return of_status };
        let Some(inner) = envelope::error_in(body, asked) else { return of_status };
        let retry_after_ms = of_status.retry_after_ms.or(inner.retry_after_ms);
        let is_bare_refusal = inner.outcome == Outcome::Refused && inner.data.is_none() && !inner.message.contains("revert");
        let keeps_status = match *status {
            // Of the endpoint, not of the node.
            401 | 403 => true,
            429 => inner.outcome != Outcome::RangeTooLarge,
            500.. => is_bare_refusal,
            _ => false,
        };
        if keeps_status {
            return Fault { message: format!("{}: {}", of_status.message, inner.message), retry_after_ms, ..of_status };
        }
        Fault { retry_after_ms, ..inner }
    }

    fn count<A: Answers>(&self, calls: &[Call], result: &std::result::Result<A, Fault>) {
        let outcome = |index| match result {
            Ok(answers) => answers.fault(index).map_or(Outcome::Answered, |fault| fault.outcome),
            Err(fault) => fault.outcome,
        };
        self.counters.calls(calls.iter().enumerate().map(|(index, (method, _))| (*method, outcome(index))));
    }
}

/// Reads a reply, off the runtime's threads when it is long.
async fn parse<A: Answers>(body: Bytes, asked: Asked) -> std::result::Result<A, Fault> {
    if body.len() <= MAX_INLINE_BYTES {
        return envelope::read(&body, &asked);
    }
    let read = tokio::task::spawn_blocking(move || envelope::read(&body, &asked)).await;
    read.unwrap_or_else(|error| Err(Fault::malformed(&error)))
}

/// The fault that decides about trying again: of the whole exchange or of one call in it. That a
/// node refuses, or wants a smaller range, is an answer.
fn worst_fault<A: Answers>(result: &std::result::Result<A, Fault>, calls: usize) -> Option<&Fault> {
    worst_of(result, calls, |fault| !matches!(fault.outcome, Outcome::Refused | Outcome::RangeTooLarge))
}

fn worst_of<A: Answers>(result: &std::result::Result<A, Fault>, calls: usize, counts: impl Fn(&Fault) -> bool) -> Option<&Fault> {
    match result {
        Ok(answers) => (0..calls).filter_map(|index| answers.fault(index)).find(|fault| counts(fault)),
        Err(fault) => Some(fault).filter(|fault| counts(fault)),
    }
}

/// The method to name for an exchange as a whole.
fn whole(calls: &[Call]) -> &'static str {
    let methods = calls.iter().map(|(method, _)| *method).collect();
    Asked { first_id: 0, methods, is_batch: true }.method()
}

#[cfg(test)]
mod tests;
