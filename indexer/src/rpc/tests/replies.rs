//! Replies that are right in an unusual way, and replies that are wrong.

use super::*;
use crate::rpc::nodes::MAX_INLINE_BYTES;

/// What comes back for `body` with the ids that were asked in it: `<0>`, `<1>`, …
fn rpc(body: &str) -> Rpc {
    let body = body.to_owned();
    answered_by(once(), move |request| {
        let calls = request.as_array().cloned().unwrap_or_else(|| vec![request.clone()]);
        let filled =
            calls.iter().enumerate().fold(body.clone(), |body, (index, call)| body.replace(&format!("<{index}>"), &call["id"].to_string()));
        Ok(filled.into())
    })
}

async fn one(body: &str) -> Result<Option<String>> {
    rpc(body).request("method_one", json!([])).await
}

/// Two calls, the answers written one behind the other.
async fn two(body: &str) -> Result<String> {
    let (first, second) = rpc(body).pair::<u64, String>(("method_one", json!([])), ("method_two", json!([]))).await?;
    let shown = |result: std::result::Result<String, IndexerError>| result.unwrap_or_else(|error| error.to_string());
    Ok(format!("{} | {}", shown(first.map(|number| number.to_string())), shown(second)))
}

#[tokio::test]
async fn unusual_answers_are_answers() {
    for (body, expected) in [
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x"}"#, Some("x")),
        (r#" { "result" : "x" , "id" : <0> , "jsonrpc" : "2.0" } "#, Some("x")),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":null}"#, None),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x","error":null}"#, Some("x")),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x","usage":{"credits":[1,2]}}"#, Some("x")),
    ] {
        assert_eq!(one(body).await.unwrap().as_deref(), expected, "{body}");
    }
}

#[tokio::test]
async fn wrong_replies_to_one_call_say_what_is_wrong() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":<0>,"result":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, problem) in [
        ("", "an empty body"),
        ("<html>502</html>", "a page of HTML or XML"),
        ("null", "invalid type: null"),
        ("[]", "invalid type: sequence"),
        ("\"text\"", "invalid type: string"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x""#, "EOF"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x"} {"more":1}"#, "trailing characters"),
        (r#"{"jsonrpc":"1.0","id":<0>,"result":"x"}"#, "not a reply of JSON-RPC 2.0"),
        (r#"{"id":<0>,"result":"x"}"#, "not a reply of JSON-RPC 2.0"),
        (r#"{"jsonrpc":"2.0","id":999999,"result":"x"}"#, "a reply with id 999999, which was not asked"),
        (r#"{"jsonrpc":"2.0","id":null,"result":"x"}"#, "a reply with id null, which was not asked"),
        (r#"{"jsonrpc":"2.0","id":"<0>","result":"x"}"#, "which was not asked"),
        (r#"{"jsonrpc":"2.0","result":"x"}"#, "a reply with id null, which was not asked"),
        (r#"{"jsonrpc":"2.0","id":<0>}"#, "neither a result nor an error"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":"x","result":"y"}"#, "a field twice"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":7}"#, "invalid type: integer `7`, expected a string"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":["#, "invalid type: sequence"),
        (&deep, "invalid type: sequence"),
    ] {
        match one(body).await {
            Err(IndexerError::RpcMalformed { method: "method_one", blocks: None, problem: said }) => {
                assert!(said.contains(problem), "{body}: {said}")
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn deep_nesting_is_an_error_and_not_the_end_of_the_stack() {
    for depth in [200, 1_000_000] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":<0>,"result":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        let error = rpc(&body).request::<Value>("method_one", json!([])).await.unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
        let unasked = format!(r#"{{"jsonrpc":"2.0","id":<0>,"result":"x","more":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(one(&unasked).await.unwrap().as_deref(), Some("x"));
    }
}

#[tokio::test]
async fn bytes_that_are_not_text_are_an_error() {
    let rpc = answered_by(once(), |request| {
        Ok([format!(r#"{{"jsonrpc":"2.0","id":{},"result":""#, request["id"]).as_bytes(), b"\xff\xfe\"}"].concat().into())
    });
    let error = rpc.request::<String>("method_one", json!([])).await.unwrap_err();
    assert!(matches!(error, IndexerError::RpcMalformed { method: "method_one", .. }), "{error}");
}

#[tokio::test]
async fn errors_of_the_node_are_read_however_they_are_written() {
    for (body, code, message) in [
        (r#"{"jsonrpc":"2.0","id":<0>,"error":{"code":-1,"message":"no"}}"#, -1, "no"),
        (r#"{"jsonrpc":"2.0","id":<0>,"result":null,"error":{"code":-1,"message":"no"}}"#, -1, "no"),
        (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#, -1, "no"),
        (r#"{"error":{"code":"-1","message":"no"}}"#, -1, "no"),
        (r#"{"jsonrpc":"2.0","id":<0>,"error":"no"}"#, 0, "no"),
        (r#"{"jsonrpc":"2.0","id":<0>,"error":{"code":1e99,"message":"no"}}"#, 0, "no"),
        (r#"{"jsonrpc":"2.0","id":<0>,"error":{}}"#, 0, "{}"),
        (r#"{"jsonrpc":"2.0","id":<0>,"error":[1,2]}"#, 0, "[1,2]"),
    ] {
        match one(body).await {
            Err(IndexerError::RpcRefused { method: "method_one", code: found, message: said, .. }) => {
                assert_eq!((found, said.as_str()), (code, message), "{body}")
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let error =
        one(r#"{"jsonrpc":"2.0","id":<0>,"error":{"code":3,"message":"execution reverted","data":"0x08c379a0"}}"#).await.unwrap_err();
    assert!(matches!(&error, IndexerError::RpcRefused { data: Some(data), .. } if data == "\"0x08c379a0\""), "{error:?}");
    let error = one(r#"{"jsonrpc":"2.0","id":77777,"error":{"code":-1,"message":"no"}}"#).await.unwrap_err();
    assert!(matches!(error, IndexerError::RpcMalformed { .. }), "another's error is not ours: {error}");
}

#[tokio::test]
async fn batches_are_read_in_any_order_and_with_errors_in_them() {
    for (body, expected) in [
        (r#"[{"jsonrpc":"2.0","id":<0>,"result":7},{"jsonrpc":"2.0","id":<1>,"result":"x"}]"#, "7 | x"),
        (r#"[{"jsonrpc":"2.0","id":<1>,"result":"x"},{"jsonrpc":"2.0","id":<0>,"result":7}]"#, "7 | x"),
        (
            r#"[{"jsonrpc":"2.0","id":<0>,"result":7},{"jsonrpc":"2.0","id":<1>,"error":{"code":-1,"message":"no"}}]"#,
            "7 | the node refused method_two: no (code -1)",
        ),
        (
            r#"[{"jsonrpc":"2.0","id":<0>,"result":"x"},{"jsonrpc":"2.0","id":<1>,"result":"x"}]"#,
            "the node's answer to method_one cannot be read: invalid type: string \"x\", expected u64 at line 1 column 3 | x",
        ),
        (
            r#"[{"jsonrpc":"2.0","id":<0>,"result":7},{"jsonrpc":"2.0","id":<1>}]"#,
            "7 | the node's answer to method_two cannot be read: neither a result nor an error",
        ),
    ] {
        assert_eq!(two(body).await.unwrap(), expected, "{body}");
    }
}

#[tokio::test]
async fn wrong_replies_to_a_batch_say_what_is_wrong() {
    let zero = r#"{"jsonrpc":"2.0","id":<0>,"result":7}"#;
    let first = r#"{"jsonrpc":"2.0","id":<1>,"result":"x"}"#;
    for (body, problem) in [
        (format!("[{zero}]"), "no reply to call 2 of 2"),
        ("[]".into(), "no reply to call 1 of 2"),
        (format!("[{zero},{first},{zero}]"), "two replies with id"),
        (format!("[{zero},{zero}]"), "two replies with id"),
        (format!(r#"[{zero},{first},{{"jsonrpc":"2.0","id":12345,"result":1}}]"#), "a reply with id 12345"),
        (zero.into(), "expected an array of 2 replies"),
        (format!("[{zero},{first}"), "EOF"),
        (format!("[{zero},7]"), "invalid type"),
        (format!("[{zero},null]"), "invalid type"),
        ("<html>".into(), "a page of HTML or XML"),
        (format!("[{}", "[".repeat(1_000_000)), "invalid type"),
    ] {
        match two(&body).await {
            Err(IndexerError::RpcMalformed { method: "method_one", blocks: None, problem: said }) => {
                assert!(said.contains(problem), "{body:.200}: {said}")
            }
            other => panic!("{body:.200}: {other:?}"),
        }
    }
    for body in [r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#, r#"[{"id":null,"error":{"code":-1,"message":"no"}}]"#]
    {
        let error = two(body).await.unwrap_err();
        assert!(matches!(error, IndexerError::RpcRefused { code: -1, .. }), "{error}");
    }
}

#[tokio::test]
async fn long_replies_are_read_as_short_ones_are() {
    let many: Vec<u64> = (0..200_000).collect();
    let expected = many.clone();
    let rpc = answered_by(once(), move |request| Ok(answer(request, json!(many)).to_string().into()));
    assert_eq!(rpc.request::<Vec<u64>>("method_one", json!([])).await.unwrap(), expected);
    assert!(rpc.stats().received_bytes > MAX_INLINE_BYTES as u64);
    let error = rpc.request::<Vec<String>>("method_one", json!([])).await.unwrap_err();
    assert!(matches!(error, IndexerError::RpcMalformed { method: "method_one", .. }), "{error}");
}

#[tokio::test]
async fn what_is_longer_than_allowed_is_not_read() {
    let config = RpcConfig { max_reply_bytes: 1_000, ..once() };
    let rpc = answered_by(config, |request| Ok(answer(request, json!("x".repeat(1_000))).to_string().into()));
    let error = rpc.request::<String>("method_one", json!([])).await.unwrap_err();
    assert!(matches!(error, IndexerError::RangeTooLarge { method: "method_one", max_blocks: None, .. }), "{error}");
}
