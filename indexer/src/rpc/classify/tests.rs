//! Errors as nodes and services send them, and what they mean.

use super::*;
use Outcome::{RangeTooLarge, RateLimited, Refused, TimedOut, Unreachable};

const LOGS: &str = "eth_getLogs";

#[track_caller]
fn check(method: &str, code: i64, message: &str, expected: Outcome, blocks: Option<u64>) {
    let fault = classify(method, code, message, None);
    assert_eq!((fault.outcome, fault.max_blocks), (expected, blocks), "{method}, {code}, {message}");
}

#[test]
fn ranges_that_are_too_large() {
    for (code, message, blocks) in [
        (-32005, "query returned more than 10000 results. Try with this block range [0x10, 0x1F].", Some(16)),
        (-32005, "query returned more than 10000 results", None),
        (
            -32602,
            "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range and no limit on the response size, or you can request any block range with a cap of 10K logs in the response. Based on your parameters and the response size limit, this block range should work: [0x64, 0xc7]",
            Some(100),
        ),
        (-32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range.", Some(10)),
        (-32600, "block range is too wide", None),
        (-32602, "query exceeds max results 20000, retry with the range 4-5", Some(2)),
        (-32602, "query exceeds max block range 100000", Some(100_000)),
        (-32614, "eth_getLogs is limited to a 10,000 range", Some(10_000)),
        (-32000, "eth_getLogs is limited to 1024 block range. Please check the parameter requirements", Some(1_024)),
        (-32000, "requested too many blocks from 1 to 9000, maximum is set to 2048", Some(2_048)),
        (-32047, "Max range: 800", Some(800)),
        (-32005, "Maximum allowed number of requested blocks is 3500", Some(3_500)),
        (-32000, "eth_getLogs range is too large, max is 1k blocks", Some(1_000)),
        (-32000, "exceed maximum block range: 50000", Some(50_000)),
        (-32000, "block range greater than 20000 max", Some(20_000)),
        (-32000, "block range is too wide (maximum 1024)", Some(1_024)),
        (-32000, "exceeds the range allowed for your plan (6000 > 3000)", Some(3_000)),
        (-32000, "please limit the query to at most 1,000 blocks", Some(1_000)),
        (-32005, "Requested range exceeds maximum RPC range limit", None),
        (-32000, "Block range limit exceeded. See more details at https://docs.example/limits?key=1", None),
        (-32000, "logs matched by query exceeds limit of 10000", None),
        (-32020, "backend response too large", None),
        (-32000, "response size should not greater than 10000000 bytes", None),
        (35, "ranges over 10000 blocks are not supported on freetier", Some(10_000)),
        (-32000, "Query timeout exceeded. Consider reducing your block range.", None),
        (-32000, "this block range should work: [0xff, 0x1]", None),
        (-32000, "eth_getLogs requests are limited to a 99999999999999999999 range", None),
    ] {
        check(LOGS, code, message, RangeTooLarge, blocks);
    }
    check("eth_getBlockReceipts", -32003, "response too large", RangeTooLarge, None);
    for message in ["batch too large", "batch limit 100 exceeded (can increase by --rpc.batch.limit)", "maximum 10 calls in 1 batch"] {
        check("eth_getBlockByNumber", -32000, message, RangeTooLarge, None);
        assert!(classify("eth_getBlockByNumber", -32000, message, None).is_about_batch);
    }
}

#[test]
fn rates() {
    for (code, message) in [
        (
            429,
            "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message.",
        ),
        (-32005, "daily request count exceeded, request rate limited"),
        (-32007, "50/second request limit reached - reduce calls per second or upgrade your account"),
        (-32016, "over rate limit"),
        (-32000, "Too Many Requests"),
        (429, "no words at all"),
    ] {
        check(LOGS, code, message, RateLimited, None);
        check("eth_call", code, message, RateLimited, None);
    }
    let data = r#"{"see":"…","rate":{"allowed_rps":1,"backoff_seconds":24.0,"current_rps":1.4}}"#;
    let fault = classify(LOGS, -32005, "project ID request rate exceeded", Some(data.into()));
    assert_eq!(fault.retry_after_ms, Some(24_000));
}

#[test]
fn words_that_fit_both_are_a_rate_limit_first() {
    for (code, message) in [(-32005, "limit exceeded"), (-32000, "limit exceeded"), (-32600, "exceeds the maximum allowed")] {
        let fault = classify(LOGS, code, message, None);
        assert!(fault.outcome == RateLimited && fault.is_ambiguous, "{fault:?}");
    }
    let fault = classify("eth_getBlockByNumber", -32005, "limit exceeded", None);
    assert!(fault.outcome == RateLimited && !fault.is_ambiguous, "{fault:?}");
}

#[test]
fn nodes_that_are_slow_or_have_no_backend() {
    check("eth_call", -32016, "Timeout", TimedOut, None);
    check(LOGS, -32002, "request timed out", TimedOut, None);
    check(LOGS, -32000, "context deadline exceeded", TimedOut, None);
    check(LOGS, -32011, "no backend is currently healthy to serve traffic", Unreachable, None);
}

#[test]
fn refusals_stay_refusals() {
    for (method, code, message) in [
        ("eth_estimateGas", 3, "execution reverted: rate limit"),
        ("eth_call", -32000, "execution reverted: too many requests"),
        ("eth_sendRawTransaction", -32000, "exceeds block gas limit"),
        ("eth_sendRawTransaction", -32000, "nonce too low"),
        ("eth_sendRawTransaction", -32000, "insufficient funds for gas * price + value"),
        ("eth_sendRawTransaction", -32000, "max initcode size exceeded"),
        ("eth_getBlockByNumber", -39001, "finalized block not found"),
        (LOGS, -32000, "unknown block"),
        (LOGS, -32602, "invalid block range params"),
        ("eth_foo", -32601, "Method not found"),
    ] {
        check(method, code, message, Refused, None);
    }
}

#[test]
fn keys_in_messages_do_not_come_through() {
    let fault = classify(LOGS, -32000, "upgrade at https://node.example/v2/secret now", None);
    assert_eq!(fault.message, "upgrade at https://node.example now");
}
