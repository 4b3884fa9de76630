//! The limits of a connection.

/// Limits of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// For one exchange, from sending to the last byte of the reply.
    pub timeout_ms: u64,
    /// Exchanges for one request in all, whatever went wrong with each; at least 1.
    pub max_attempts: u32,
    /// Of those, how many may end without an answer of a node.
    pub max_unreachable_attempts: u32,
    /// Of those, how many may end in a timeout: what took too long once mostly does so again.
    pub max_timeout_attempts: u32,
    /// Of those, how many may end in a reply that cannot be read.
    pub max_malformed_attempts: u32,
    /// The pause before the second try is a random part of this, and of twice as much before each further one.
    pub backoff_ms: u64,
    pub max_backoff_ms: u64,
    /// A node that says how long to wait is obeyed up to this.
    pub max_retry_after_ms: u64,
    /// Requests in one JSON-RPC batch. Halved when a node refuses batches of that size.
    pub max_batch_requests: usize,
    /// A longer reply is not read to its end.
    pub max_reply_bytes: u64,
    /// Exchanges at the same time: halved at rate limits and timeouts, one more after as many answers.
    pub min_in_flight: usize,
    pub start_in_flight: usize,
    pub max_in_flight: usize,
    /// Failures in a row after which another address is used, if there is one.
    pub failures_before_switch: u32,
    /// How long an address that failed is left alone; doubled each time it fails again, up to 16 times.
    pub cool_down_ms: u64,
}

impl Default for RpcConfig {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            max_attempts: 6,
            max_unreachable_attempts: 4,
            max_timeout_attempts: 2,
            max_malformed_attempts: 2,
            backoff_ms: 100,
            max_backoff_ms: 2_000,
            max_retry_after_ms: 30_000,
            max_batch_requests: 100,
            max_reply_bytes: 64 << 20,
            min_in_flight: 1,
            start_in_flight: 4,
            max_in_flight: 16,
            failures_before_switch: 2,
            cool_down_ms: 15_000,
        }
    }
}
