//! Over a real connection: retries by class, rests, failover and return, limits on the reply.

use super::stub::{Reply, Stub};
use super::*;

fn status(status: u16) -> Reply {
    Reply::Status(status, "", "oops".into())
}

fn ok() -> Reply {
    Reply::Answer(json!(7))
}

async fn ask(rpc: &Rpc) -> Result<u64> {
    rpc.request("eth_chainId", json!([])).await
}

/// One request to a server with this script; the last reply repeats.
async fn check(config: RpcConfig, script: &[Reply], expected: Outcome, requests: usize) {
    let replies = script.to_vec();
    let stub = Stub::start(move |number| replies[number.min(replies.len() - 1)].clone()).await;
    let rpc = Rpc::connect(&stub.url, config).unwrap();
    let result = ask(&rpc).await;
    assert_eq!((outcome(&result), stub.requests()), (expected, requests), "{script:?}: {result:?}");
    if let Err(error) = result {
        assert!(error.to_string().contains("eth_chainId") && !format!("{error:?}").contains("/key"), "{error:?}");
    }
}

#[tokio::test]
async fn every_class_is_tried_again_as_often_as_it_makes_sense() {
    let refused = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no such method"}}"#;
    let throttled = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"slow down"}}"#;
    let json = |body: &str| Reply::Status(200, "", body.into());
    check(quick(), &[ok()], Outcome::Answered, 1).await;
    check(quick(), &[status(503), status(502), Reply::Close, ok()], Outcome::Answered, 4).await;
    check(quick(), &[status(503)], Outcome::Unreachable, 4).await;
    check(quick(), &[status(429), status(429), json(throttled), status(429), ok()], Outcome::Answered, 5).await;
    check(quick(), &[status(429)], Outcome::RateLimited, 6).await;
    check(quick(), &[status(504)], Outcome::TimedOut, 2).await;
    check(quick(), &[json("<html>"), ok()], Outcome::Answered, 2).await;
    check(quick(), &[json("{"), ok()], Outcome::Answered, 2).await;
    check(quick(), &[json("{")], Outcome::Malformed, 2).await;
    check(quick(), &[Reply::Status(204, "", String::new())], Outcome::Malformed, 2).await;
    check(quick(), &[json(refused)], Outcome::Refused, 1).await;
    check(quick(), &[Reply::Status(400, "", refused.into())], Outcome::Refused, 1).await;
    check(quick(), &[Reply::Status(500, "", refused.into()), ok()], Outcome::Answered, 2).await;
    check(quick(), &[Reply::Status(401, "", refused.into())], Outcome::Unreachable, 1).await;
    check(quick(), &[status(404)], Outcome::Unreachable, 1).await;
    check(quick(), &[Reply::Status(302, "location: http://127.0.0.1:9/\r\n", String::new())], Outcome::Unreachable, 1).await;
    check(quick(), &[status(413)], Outcome::RangeTooLarge, 1).await;
    check(once(), &[status(503)], Outcome::Unreachable, 1).await;
}

#[tokio::test]
async fn a_reverted_call_is_not_lost_behind_a_status() {
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":3,"message":"execution reverted","data":"0x01"}}"#;
    check(quick(), &[Reply::Status(500, "", body.into())], Outcome::Refused, 1).await;
}

#[tokio::test]
async fn a_node_that_names_a_time_gets_it() {
    let stub = Stub::start(|number| if number == 0 { Reply::Status(429, "retry-after: 1\r\n", String::new()) } else { ok() }).await;
    let rpc = Rpc::connect(&stub.url, quick()).unwrap();
    assert_eq!(ask(&rpc).await.unwrap(), 7);
    let waited = stub.seen(|seen| seen.requests[1].1 - seen.requests[0].1);
    assert!(waited >= Duration::from_millis(950), "{waited:?}");
}

#[tokio::test]
async fn connections_are_kept_open() {
    let stub = Stub::start(|_| ok()).await;
    let rpc = Rpc::connect(&stub.url, quick()).unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&rpc).await.unwrap(), 7);
    }
    assert_eq!(stub.requests(), 20);
    // A connection may be given back a moment after the next request looked for one.
    assert!(stub.seen(|seen| seen.connections) < 10);
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_not_read_to_its_end() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{".to_vec();
    let config = RpcConfig { max_reply_bytes: 100_000, ..quick() };
    check(config.clone(), &[Reply::Bytes(announced)], Outcome::RangeTooLarge, 1).await;

    let stub = Stub::start(|_| Reply::Endless).await;
    let rpc = Rpc::connect(&stub.url, config).unwrap();
    let error = ask(&rpc).await.unwrap_err();
    assert!(matches!(&error, IndexerError::RangeTooLarge { message, .. } if message.contains("100000 bytes")), "{error}");
    assert!(stub.seen(|seen| seen.endless_bytes) < 32 << 20, "what the system's buffers took, not more");
}

#[tokio::test]
async fn a_body_that_stops_arriving_times_out() {
    let config = RpcConfig { timeout_ms: 300, ..quick() };
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"".to_vec();
    check(config.clone(), &[Reply::Bytes(half)], Outcome::TimedOut, 2).await;
    check(config, &[Reply::Bytes(Vec::new())], Outcome::TimedOut, 2).await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_reply() {
    let short = Reply::Cut("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"");
    check(quick(), &[short, Reply::Close, ok()], Outcome::Answered, 3).await;
}

/// A preferred server that fails twice and then answers 1, and another one that answers 2.
async fn preferred_and_spare(cool_down_ms: u64) -> (Stub, Stub, Rpc) {
    let preferred = Stub::start(|number| if number < 2 { status(503) } else { Reply::Answer(json!(1)) }).await;
    let spare = Stub::start(|_| Reply::Answer(json!(2))).await;
    let config = RpcConfig { failures_before_switch: 2, cool_down_ms, ..quick() };
    let rpc = Rpc::connect_all(&[preferred.url.clone(), spare.url.clone()], config).unwrap();
    (preferred, spare, rpc)
}

#[tokio::test]
async fn another_address_takes_over() {
    let (preferred, spare, rpc) = preferred_and_spare(3_600_000).await;
    for _ in 0..3 {
        assert_eq!(ask(&rpc).await.unwrap(), 2, "the failure is not the caller's");
    }
    assert_eq!((preferred.requests(), spare.requests()), (2, 3), "it is left alone meanwhile");
    let stats = rpc.stats();
    assert_eq!(stats.endpoint_switches, 1);
    assert!(stats.endpoints[0].cooling_down && !stats.endpoints[0].in_use && stats.endpoints[1].in_use, "{stats:?}");
}

#[tokio::test]
async fn the_preferred_address_is_returned_to() {
    let (_preferred, _spare, rpc) = preferred_and_spare(20).await;
    let returned = async {
        while ask(&rpc).await.unwrap() != 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), returned).await.expect("the preferred address is used again");
    let stats = rpc.stats();
    assert!(stats.endpoints[0].in_use && stats.endpoints[0].failures_in_a_row == 0, "{stats:?}");
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_is_asked_of_another_node_once() {
    let [garbled, sound] = [Stub::start(|_| Reply::Status(200, "", "{".into())).await, Stub::start(|_| ok()).await];
    let config = RpcConfig { failures_before_switch: 10, ..quick() };
    let rpc = Rpc::connect_all(&[garbled.url.clone(), sound.url.clone()], config).unwrap();
    assert_eq!(ask(&rpc).await.unwrap(), 7);
    assert_eq!((garbled.requests(), sound.requests(), rpc.stats().endpoint_switches), (1, 1, 0));
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_twice_if_there_is_another() {
    let [locked, open] = [Stub::start(|_| status(401)).await, Stub::start(|_| ok()).await];
    let rpc = Rpc::connect_all(&[locked.url.clone(), open.url.clone()], quick()).unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&rpc).await.unwrap(), 7);
    }
    assert_eq!((locked.requests(), open.requests()), (1, 5));
}

#[tokio::test]
async fn a_batch_is_of_one_node() {
    let [one, two] = [
        Stub::start(|number| if number < 2 { status(503) } else { Reply::Answer(json!(1)) }).await,
        Stub::start(|_| Reply::Answer(json!(2))).await,
    ];
    let rpc = Rpc::connect_all(&[one.url.clone(), two.url.clone()], quick()).unwrap();
    let calls: Vec<Call> = (0..10).map(|_| ("eth_chainId", json!([]))).collect();
    let answers: Vec<u64> = rpc.batch(&calls).await.unwrap().into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers, [2; 10]);
    assert_eq!(two.seen(|seen| seen.requests[0].0.as_array().unwrap().len()), 10);
}
