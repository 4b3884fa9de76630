//! The connection as a whole.

use super::*;
use crate::IndexerError;

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
