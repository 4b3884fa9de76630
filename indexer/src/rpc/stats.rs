//! What a connection has done so far, for metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How one call of one exchange ended; also the class by which it is decided whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Answered,
    /// The answer would be too long, or the request is over a limit of the node: ask for less.
    RangeTooLarge,
    /// Ask later.
    RateLimited,
    TimedOut,
    /// The reply is not what the method returns.
    Malformed,
    /// The node understood, and answers with an error of its own.
    Refused,
    /// The endpoint does not serve us: wrong path, key or method of HTTP.
    Denied,
    Unreachable,
}

/// A snapshot of a connection's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RpcStats {
    /// Calls by method and outcome; a call that is tried twice counts twice.
    pub calls: BTreeMap<(&'static str, Outcome), u64>,
    /// Exchanges.
    pub exchanges: u64,
    /// Exchanges that repeat one that failed.
    pub retries: u64,
    /// Bodies only.
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// How often another endpoint became the one in use.
    pub endpoint_switches: u64,
    /// Exchanges that may run at once now.
    pub in_flight_limit: usize,
    /// In the order of preference.
    pub endpoints: Vec<EndpointStats>,
}

/// One endpoint's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStats {
    /// Scheme, host and port.
    pub shown_url: String,
    pub in_use: bool,
    /// Left alone for now because it failed repeatedly.
    pub cooling_down: bool,
    pub failures_in_a_row: u32,
}

/// The counters behind a snapshot.
#[derive(Debug, Default)]
pub(super) struct Counters {
    counted: Mutex<RpcStats>,
}

impl Counters {
    pub(super) fn exchange(&self, sent_bytes: usize, received_bytes: usize) {
        let mut counted = self.lock();
        counted.exchanges += 1;
        counted.sent_bytes += sent_bytes as u64;
        counted.received_bytes += received_bytes as u64;
    }

    pub(super) fn calls(&self, outcomes: impl Iterator<Item = (&'static str, Outcome)>) {
        let mut counted = self.lock();
        for outcome in outcomes {
            *counted.calls.entry(outcome).or_default() += 1;
        }
    }

    pub(super) fn retry(&self) {
        self.lock().retries += 1;
    }

    pub(super) fn snapshot(&self) -> RpcStats {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, RpcStats> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
