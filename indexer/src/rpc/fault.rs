//! Why a call has no answer, before it becomes an error of the crate: the class decides about
//! trying again, the words are for people.

use super::address::safe_text;
use super::envelope::Call;
use super::stats::Outcome;
use super::subject;
use super::transport::TransportFailure;
use crate::IndexerError;

/// A failed call or exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Never [`Outcome::Answered`].
    pub(super) outcome: Outcome,
    /// Free of paths and not long.
    pub(super) message: String,
    /// Of the node's own error; 0 otherwise.
    pub(super) code: i64,
    /// The node's data on its error, as JSON text.
    pub(super) data: Option<String>,
    /// How many blocks the node would take, if it says so.
    pub(super) max_blocks: Option<u64>,
    pub(super) retry_after_ms: Option<u64>,
    /// The words fit a rate limit as well as a range that is too large.
    pub(super) is_ambiguous: bool,
    /// The number of calls in the exchange was too high.
    pub(super) is_about_batch: bool,
}

impl Fault {
    pub(super) fn new(outcome: Outcome, message: &str) -> Self {
        Self {
            outcome,
            message: safe_text(message),
            code: 0,
            data: None,
            max_blocks: None,
            retry_after_ms: None,
            is_ambiguous: false,
            is_about_batch: false,
        }
    }

    pub(super) fn malformed(problem: &dyn std::fmt::Display) -> Self {
        Self::new(Outcome::Malformed, &problem.to_string())
    }

    /// A failure to get a reply. A status whose body is a JSON-RPC error is read by the caller first.
    pub(super) fn of_transport(failure: &TransportFailure, timeout_ms: u64) -> Self {
        match failure {
            TransportFailure::Unreachable { problem } => Self::new(Outcome::Unreachable, problem),
            TransportFailure::Timeout => Self::new(Outcome::TimedOut, &format!("no complete reply within {timeout_ms} ms")),
            TransportFailure::TooLarge { limit_bytes } => {
                Self::new(Outcome::RangeTooLarge, &format!("the reply is longer than {limit_bytes} bytes"))
            }
            TransportFailure::Status { status, retry_after_ms, .. } => {
                let retry_after_ms = *retry_after_ms;
                Self { retry_after_ms, ..Self::new(outcome_of_status(*status), &format!("HTTP status {status}")) }
            }
        }
    }

    pub(super) fn into_error(self, (method, params): &Call, url: &str) -> IndexerError {
        let method = *method;
        let (url, problem) = (url.to_owned(), self.message);
        match self.outcome {
            Outcome::RangeTooLarge => IndexerError::RangeTooLarge { method, message: problem, max_blocks: self.max_blocks },
            Outcome::RateLimited => IndexerError::RpcRateLimited { url, method, problem },
            Outcome::TimedOut => IndexerError::RpcTimeout { url, method, problem },
            Outcome::Malformed => IndexerError::RpcMalformed { method, blocks: subject::blocks(method, params), problem },
            Outcome::Refused => IndexerError::RpcRefused { method, code: self.code, message: problem, data: self.data },
            Outcome::Denied | Outcome::Unreachable | Outcome::Answered => IndexerError::RpcUnreachable { url, method, problem },
        }
    }
}

fn outcome_of_status(status: u16) -> Outcome {
    match status {
        429 => Outcome::RateLimited,
        // 522 and 524 are Cloudflare's.
        408 | 504 | 522 | 524 => Outcome::TimedOut,
        413 => Outcome::RangeTooLarge,
        500.. => Outcome::Unreachable,
        // 204 and the like: success, but no reply.
        200..300 => Outcome::Malformed,
        _ => Outcome::Denied,
    }
}
