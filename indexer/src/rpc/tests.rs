//! The connection as a whole: in process where the reply is the matter, over HTTP where the
//! connection is.

mod fuzz;
mod http;
mod replies;
mod stub;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::IndexerError;

/// A transport that answers as a function says.
struct Scripted<F>(F);

impl<F> std::fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl<F: Fn(&Value) -> std::result::Result<Bytes, TransportFailure> + Send + Sync> Transport for Scripted<F> {
    async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure> {
        (self.0)(&serde_json::from_slice(&body).unwrap())
    }

    fn shown_url(&self) -> &str {
        "http://scripted"
    }
}

/// Tries without pauses.
fn quick() -> RpcConfig {
    RpcConfig { backoff_ms: 0, max_backoff_ms: 0, ..RpcConfig::default() }
}

fn once() -> RpcConfig {
    RpcConfig { max_attempts: 1, ..quick() }
}

/// A connection whose node answers as the function says.
fn answered_by<F>(config: RpcConfig, answer: F) -> Rpc
where
    F: Fn(&Value) -> std::result::Result<Bytes, TransportFailure> + Send + Sync + 'static,
{
    Rpc::over(Arc::new(Scripted(answer)), config)
}

fn answer(request: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

fn error(request: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": message } })
}

/// Which of the typed errors it is.
fn outcome<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Answered,
        Err(IndexerError::RangeTooLarge { .. }) => Outcome::RangeTooLarge,
        Err(IndexerError::RpcRateLimited { .. }) => Outcome::RateLimited,
        Err(IndexerError::RpcTimeout { .. }) => Outcome::TimedOut,
        Err(IndexerError::RpcMalformed { .. }) => Outcome::Malformed,
        Err(IndexerError::RpcRefused { .. }) => Outcome::Refused,
        Err(IndexerError::RpcUnreachable { .. }) => Outcome::Unreachable,
        Err(other) => panic!("{other}"),
    }
}

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
fn addresses_are_checked() {
    for bad in ["", "127.0.0.1:8545", "ws://127.0.0.1:8545", "file:///etc/passwd"] {
        assert!(matches!(Rpc::connect(bad, RpcConfig::default()), Err(IndexerError::BadUrl { .. })), "{bad}");
    }
    assert!(matches!(Rpc::connect_all(&[], RpcConfig::default()), Err(IndexerError::BadUrl { .. })));
}

#[tokio::test]
async fn a_rate_limited_call_of_a_batch_repeats_the_batch() {
    let seen = AtomicUsize::new(0);
    let rpc = answered_by(quick(), move |request| {
        let is_first = seen.fetch_add(1, Ordering::Relaxed) == 0;
        let calls = request.as_array().unwrap().iter().enumerate();
        let replies =
            calls.map(|(index, call)| if is_first && index == 1 { error(call, 429, "slow down") } else { answer(call, json!(index)) });
        Ok(Value::from(replies.collect::<Vec<_>>()).to_string().into())
    });
    let answers = rpc.batch::<u64>(&[("a", json!([])), ("b", json!([])), ("c", json!([]))]).await.unwrap();
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    let stats = rpc.stats();
    assert_eq!((stats.exchanges, stats.retries), (2, 1));
    assert_eq!(stats.calls.get(&("a", Outcome::Answered)), Some(&2));
    assert_eq!(stats.calls.get(&("b", Outcome::Answered)), Some(&1));
    assert_eq!(stats.calls.get(&("b", Outcome::RateLimited)), Some(&1));
    assert_eq!(stats.in_flight_limit, 2, "a rate limit halves what may be under way");
    assert!(stats.sent_bytes > 100 && stats.received_bytes > 100, "{stats:?}");
}

#[tokio::test]
async fn a_limit_that_waiting_does_not_lift_is_a_range_that_is_too_large() {
    let rpc = answered_by(quick(), |request| Ok(error(request, -32005, "limit exceeded").to_string().into()));
    assert_eq!(outcome(&rpc.request::<Value>("eth_getLogs", json!([])).await), Outcome::RangeTooLarge);
    assert_eq!(rpc.stats().exchanges, 2);
    assert_eq!(outcome(&rpc.request::<Value>("eth_call", json!([])).await), Outcome::RateLimited);
}

#[tokio::test]
async fn batches_shrink_when_a_node_refuses_their_size() {
    let rpc = answered_by(quick(), |request| {
        let calls = request.as_array().unwrap();
        let replies: Vec<Value> = match calls.len() {
            // geth's way: one error, with the first id.
            11.. => vec![error(&calls[0], -32600, "batch too large")],
            _ => calls.iter().map(|call| answer(call, json!(null))).collect(),
        };
        Ok(Value::from(replies).to_string().into())
    });
    let calls: Vec<Call> = (0..40).map(|_| ("eth_getBlockByNumber", json!([]))).collect();
    let mut sizes = Vec::new();
    loop {
        let size = rpc.max_batch_requests().min(calls.len());
        sizes.push(size);
        match rpc.batch::<Option<u64>>(&calls[..size]).await {
            Ok(answers) => break assert_eq!(answers.len(), size),
            Err(error) => assert!(matches!(error, IndexerError::RangeTooLarge { method: "eth_getBlockByNumber", .. }), "{error}"),
        }
    }
    assert_eq!(sizes, [40, 20, 10]);
}

#[tokio::test]
async fn no_more_exchanges_are_under_way_than_the_limit() {
    #[derive(Debug, Default)]
    struct Counting {
        now: AtomicUsize,
        most: AtomicUsize,
    }
    #[async_trait]
    impl Transport for Counting {
        async fn exchange(&self, body: Bytes) -> std::result::Result<Bytes, TransportFailure> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(answer(&serde_json::from_slice(&body).unwrap(), json!(1)).to_string().into())
        }
        fn shown_url(&self) -> &str {
            "http://counting"
        }
    }
    let counting = Arc::new(Counting::default());
    let rpc = Rpc::over(counting.clone(), RpcConfig { start_in_flight: 3, max_in_flight: 5, ..quick() });
    let asked = (0..200).map(|_| {
        let rpc = rpc.clone();
        async move { rpc.request::<u64>("a", json!([])).await.unwrap() }
    });
    assert_eq!(futures::future::join_all(asked).await.len(), 200);
    assert_eq!(counting.most.load(Ordering::SeqCst), 5, "it grows to the maximum, and not above");
}
