//! The same on anvil.

use super::*;
use crate::devchain::{DevChain, DevChainConfig};

/// Anvil answers the parts of a batch each by itself: a nonce may be used in one of them and its receipt not yet there in
/// another. What is missing for a moment is nobody else's.
fn patient() -> SenderConfig {
    SenderConfig { missing_receipt_ms: SenderConfig::default().missing_receipt_ms, ..quick() }
}

fn patient_in(folder: &Path) -> SenderConfig {
    SenderConfig { outbox_dir: Some(folder.to_owned()), ..patient() }
}

async fn start(config: DevChainConfig) -> (DevChain, Rpc) {
    let chain = DevChain::start(&DevChainConfig { block_time_ms: 0, slots_in_an_epoch: 2, ..config }).await.unwrap();
    chain.fund(key().address(), U256::from(10u64).pow(U256::from(18))).await.unwrap();
    let rpc = Rpc::connect(chain.rpc_url(), RpcConfig::default()).unwrap();
    (chain, rpc)
}

async fn ask(rpc: &Rpc, method: &'static str, params: serde_json::Value) -> serde_json::Value {
    rpc.request(method, params).await.unwrap()
}

async fn balance(rpc: &Rpc) -> U256 {
    rpc.request("eth_getBalance", json!([TARGET, "latest"])).await.unwrap()
}

async fn send(sender: &Sender, wei: u64) -> Result<TxOutcome> {
    sender.send(Some(TARGET), Bytes::new(), U256::from(wei)).await
}

#[tokio::test]
async fn anvil_loses_our_block_and_gets_it_again() {
    let (chain, rpc) = start(DevChainConfig::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let sender = Sender::connect(chain.rpc_url(), key(), patient_in(folder.path())).await.unwrap();
    chain.mine(8).await.unwrap();
    for wei in [1, 2, 4] {
        send(&sender, wei).await.unwrap();
    }
    chain.reorg(2).await.unwrap();
    assert_eq!(balance(&rpc).await, U256::from(1u64));
    while balance(&rpc).await != U256::from(7u64) {
        sender.tend().await.unwrap();
        chain.mine(1).await.unwrap();
    }
    assert_eq!(sender.status().reorged_out, 2);
    // And with a restart in between.
    send(&sender, 8).await.unwrap();
    drop(sender);
    chain.reorg(1).await.unwrap();
    let sender = Sender::connect(chain.rpc_url(), key(), patient_in(folder.path())).await.unwrap();
    send(&sender, 16).await.unwrap();
    assert_eq!(balance(&rpc).await, U256::from(31u64));
    for _ in 0..40 {
        chain.mine(1).await.unwrap();
        sender.tend().await.unwrap();
    }
    assert_eq!(sender.statuses().await, []);
    assert_eq!(balance(&rpc).await, U256::from(31u64));
}

#[tokio::test]
async fn anvil_without_mining_takes_a_replacement() {
    let (chain, rpc) = start(DevChainConfig::default()).await;
    ask(&rpc, "evm_setAutomine", json!([false])).await;
    let config = SenderConfig { replace_after_blocks: 0, replace_after_ms: 100, ..patient() };
    let sender = Sender::connect(chain.rpc_url(), key(), config).await.unwrap();
    let miner = async {
        while sender.status().replaced < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        chain.mine(1).await.unwrap();
    };
    let (sent, ()) = tokio::join!(send(&sender, 3), miner);
    sent.unwrap();
    assert_eq!(balance(&rpc).await, U256::from(3u64));
}

#[tokio::test]
async fn a_rising_base_fee_on_anvil_is_followed() {
    let (chain, rpc) = start(DevChainConfig::default()).await;
    ask(&rpc, "evm_setAutomine", json!([false])).await;
    let sender = Sender::connect(chain.rpc_url(), key(), SenderConfig { replace_after_blocks: 1, ..patient() }).await.unwrap();
    let miner = async {
        let pool = || ask(&rpc, "txpool_status", json!([]));
        while pool().await["pending"] == "0x0" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // 20 gwei, where the transaction allows about 3.
        ask(&rpc, "anvil_setNextBlockBaseFeePerGas", json!(["0x4a817c800"])).await;
        while balance(&rpc).await.is_zero() {
            chain.mine(1).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (sent, ()) = tokio::join!(send(&sender, 5), miner);
    sent.unwrap();
    assert!(sender.status().replaced >= 1, "{:?}", sender.status());
    assert_eq!(balance(&rpc).await, U256::from(5u64));
}

#[tokio::test]
async fn an_outbox_outlives_anvil_and_knows_it_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str| DevChainConfig { state_path: Some(folder.path().join(name)), ..DevChainConfig::default() };
    let outbox = patient_in(&folder.path().join("outbox"));
    for round in 1..4u64 {
        let (chain, rpc) = start(state("state.json")).await;
        let sender = Sender::connect(chain.rpc_url(), key(), outbox.clone()).await.unwrap();
        send(&sender, 1).await.unwrap();
        assert_eq!(balance(&rpc).await, U256::from(round));
        chain.stop().await.unwrap();
    }
    // Another development chain of the same id, started anew and gone on from its own state.
    for _ in 0..2 {
        let (chain, _) = start(state("other.json")).await;
        let error = Sender::connect(chain.rpc_url(), key(), outbox.clone()).await.unwrap_err();
        assert!(matches!(error, IndexerError::Outbox { .. }) && error.to_string().contains("must not be sent here"), "{error}");
        chain.stop().await.unwrap();
    }
}
