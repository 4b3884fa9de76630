//! The nodes behind one connection: one exchange with one of them, and what is learnt from it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::answers::Answers;
use super::config::RpcConfig;
use super::endpoints::Endpoints;
use super::envelope::{self, Asked, Call};
use super::fault::Fault;
use super::gate::Gate;
use super::loose;
use super::stats::{Counters, EndpointStats, Outcome, RpcStats};
use super::transport::{Transport, TransportFailure};

/// A reply above this is parsed off the runtime's threads: a mebibyte takes milliseconds.
pub(super) const MAX_INLINE_BYTES: usize = 256 << 10;

pub(super) struct Nodes {
    /// At least one, the preferred one first.
    transports: Vec<Arc<dyn Transport>>,
    endpoints: Mutex<Endpoints>,
    gate: Gate,
    counters: Counters,
    next_id: AtomicU64,
    batch_limit: AtomicUsize,
    config: RpcConfig,
}

impl Nodes {
    pub(super) fn new(transports: Vec<Arc<dyn Transport>>, config: RpcConfig) -> Self {
        Self {
            endpoints: Mutex::new(Endpoints::new(transports.len())),
            gate: Gate::new(config.min_in_flight, config.start_in_flight, config.max_in_flight),
            counters: Counters::default(),
            next_id: AtomicU64::new(1),
            batch_limit: AtomicUsize::new(config.max_batch_requests.max(1)),
            transports,
            config,
        }
    }

    pub(super) fn config(&self) -> &RpcConfig {
        &self.config
    }

    pub(super) fn count(&self) -> usize {
        self.transports.len()
    }

    pub(super) fn max_batch_requests(&self) -> usize {
        self.batch_limit.load(Ordering::Relaxed)
    }

    pub(super) fn shown_urls(&self) -> String {
        let urls: Vec<&str> = self.transports.iter().map(|transport| transport.shown_url()).collect();
        urls.join(", ")
    }

    pub(super) fn count_retry(&self) {
        self.counters.retry();
    }

    pub(super) fn stats(&self) -> RpcStats {
        let endpoints = self.endpoints();
        let now = Instant::now();
        let states = endpoints.health().iter().enumerate().map(|(index, health)| EndpointStats {
            shown_url: self.shown_url(index).to_owned(),
            in_use: index == endpoints.in_use(),
            cooling_down: health.is_cooling(now),
            failures_in_a_row: health.failures_in_a_row,
        });
        RpcStats {
            endpoint_switches: endpoints.switches(),
            in_flight_limit: self.gate.limit(),
            endpoints: states.collect(),
            ..self.counters.snapshot()
        }
    }

    pub(super) fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown_url(&self, endpoint: usize) -> &str {
        self.transports.get(endpoint).map_or("", |transport| transport.shown_url())
    }

    /// One exchange, and what is learnt from it.
    pub(super) async fn attempt<A: Answers>(&self, endpoint: usize, calls: &[Call], is_batch: bool) -> std::result::Result<A, Fault> {
        let pass = self.gate.enter().await;
        let first_id = self.next_id.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let asked = Asked { first_id, methods: calls.iter().map(|(method, _)| *method).collect(), is_batch };
        let result = match self.exchange(endpoint, envelope::body(&asked, calls), &asked).await {
            Ok(body) => parse(body, asked).await,
            Err(fault) => Err(fault),
        };
        self.count_calls(calls, &result);
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
        let Some(inner) = loose::error_in(body, asked) else { return of_status };
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

    fn count_calls<A: Answers>(&self, calls: &[Call], result: &std::result::Result<A, Fault>) {
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
pub(super) fn worst_fault<A: Answers>(result: &std::result::Result<A, Fault>, calls: usize) -> Option<&Fault> {
    worst_of(result, calls, |fault| !matches!(fault.outcome, Outcome::Refused | Outcome::RangeTooLarge))
}

fn worst_of<A: Answers>(result: &std::result::Result<A, Fault>, calls: usize, counts: impl Fn(&Fault) -> bool) -> Option<&Fault> {
    match result {
        Ok(answers) => (0..calls).filter_map(|index| answers.fault(index)).find(|fault| counts(fault)),
        Err(fault) => Some(fault).filter(|fault| counts(fault)),
    }
}
