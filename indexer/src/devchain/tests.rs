//! The real thing: anvil, our contracts, the sender, the reader and the indexer together.

mod crash;
mod live;
mod witness;

use std::sync::Arc;

use super::*;
use crate::LogFilter;
use crate::conformance::{Expected, check};
use crate::deploy::{DeployParams, deploy_contracts};
use crate::events;
use crate::follow::{Followed, Indexer, IndexerConfig, Progress};
use crate::reader::{At, ContractReader};
use crate::sender::{Sender, SenderConfig};
use crate::source::HeadTag;
use schemas::B256;
use schemas::alloy_primitives::{U64, keccak256};
use schemas::contracts::{DatanetRegistry, Deployment, OpenToken, PaymentVault};
use schemas::signer::KeySigner;
use store::{Finality, Store};

fn by_hand() -> DevChainConfig {
    DevChainConfig { block_time_ms: 0, slots_in_an_epoch: 8, ..DevChainConfig::default() }
}

/// Finality, and so the service, needs blocks that come without transactions.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_by_time_until_the_chain_ends() {
    let config = DevChainConfig { block_time_ms: 20, ..DevChainConfig::default() };
    let chain = DevChain::start(&config).await.unwrap();
    let source = RpcSource::connect(chain.rpc_url(), RpcConfig::default()).unwrap();
    let deadline = Instant::now() + START_TIMEOUT;
    while source.head(HeadTag::Finalized).await.unwrap().is_none_or(|header| header.number < 10) {
        assert!(Instant::now() < deadline, "no blocks come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    chain.stop().await.unwrap();
    assert!(source.head(HeadTag::Latest).await.is_err(), "it has ended");
}

async fn funded_sender(chain: &DevChain, secret: u8) -> Sender {
    let signer = KeySigner::from_bytes(&B256::repeat_byte(secret)).unwrap();
    let sender = Sender::connect(chain.rpc_url(), signer, SenderConfig::default()).await.unwrap();
    chain.fund(sender.address(), U256::from(10u64).pow(U256::from(18))).await.unwrap();
    sender
}

async fn deployed(chain: &DevChain) -> (Sender, Deployment, ContractReader) {
    let sender = funded_sender(chain, 7).await;
    let params = DeployParams {
        fees: PaymentVault::FeeSchedule { platformBps: 1_000, modelBps: 500, stakersBps: 0, dataBps: 8_500, stakersPool: Address::ZERO },
        withdrawal_delay_seconds: 3_600,
        fee_notice_seconds: 7_200,
        dispute_window_seconds: 60,
        dispute_bond_wei: U256::from(5u64),
        treasury: Address::repeat_byte(9),
        operator: sender.address(),
        proposer: sender.address(),
    };
    let deployment = deploy_contracts(&sender, &params).await.unwrap();
    let reader = ContractReader::connect(chain.rpc_url(), RpcConfig::default(), deployment).unwrap();
    (sender, deployment, reader)
}

fn follower(chain: &DevChain, store: &Store, followed: Followed) -> Indexer {
    let source = RpcSource::connect(chain.rpc_url(), RpcConfig::default()).unwrap();
    Indexer::new(Arc::new(source), store.clone(), followed, IndexerConfig::default())
}

async fn settle(indexer: &mut Indexer) -> Progress {
    let mut total = Progress::default();
    loop {
        let step = indexer.step().await.unwrap();
        total.undone_blocks += step.undone_blocks;
        if step == Progress::default() {
            return total;
        }
    }
}

fn create(name: u64) -> DatanetRegistry::createDatanetCall {
    DatanetRegistry::createDatanetCall { nameHash: keccak256(name.to_string()), metadataHash: B256::ZERO, policyHash: B256::ZERO }
}

#[tokio::test]
async fn contracts_are_deployed_called_and_indexed() {
    let chain = DevChain::start(&by_hand()).await.unwrap();
    let (sender, deployment, reader) = deployed(&chain).await;
    let me = sender.address();
    let created = sender.call(deployment.registry, &create(1)).await.unwrap();
    assert!(created.gas_used > 21_000 && created.contract_address.is_none());
    let datanet = schemas::hashing::datanet_id(me, "1");

    let commit = |version: u64, parent: B256, root: B256| DatanetRegistry::commitVersionCall {
        datanetId: datanet.0,
        version,
        parentRoot: parent,
        root,
        chunkCount: 3,
        manifestHash: B256::ZERO,
    };
    sender.call(deployment.registry, &commit(1, B256::ZERO, B256::repeat_byte(5))).await.unwrap();
    let error = sender.call(deployment.registry, &commit(1, B256::repeat_byte(5), B256::repeat_byte(6))).await.unwrap_err();
    let IndexerError::Reverted { revert, .. } = &error else { panic!("{error}") };
    assert_eq!(revert.name.as_deref(), Some("WrongVersion"));
    assert!(error.to_string().contains("head=1, given=1"), "{error}");

    let amount = U256::from(1_000u64);
    sender.call(deployment.token, &OpenToken::mintCall { to: me, amount }).await.unwrap();
    sender.call(deployment.token, &OpenToken::approveCall { spender: deployment.vault, amount }).await.unwrap();
    let error = sender.call(deployment.vault, &PaymentVault::depositCall { amount: amount * U256::from(2u64) }).await.unwrap_err();
    assert!(error.to_string().contains("ERC20InsufficientAllowance("), "{error}");
    sender.call(deployment.vault, &PaymentVault::depositCall { amount }).await.unwrap();

    assert_eq!(reader.registry_head(datanet, At::Latest).await.unwrap(), Some((1, B256::repeat_byte(5))));
    assert_eq!(reader.version_root(datanet, 2, At::Latest).await.unwrap(), None);
    assert_eq!(reader.owner_of(datanet, At::Latest).await.unwrap(), Some(me));
    assert_eq!(reader.owner_of(datanet, At::Hash(created.block_hash)).await.unwrap(), Some(me));
    assert_eq!(reader.owner_of(datanet, At::Number(created.block_number - 1)).await.unwrap(), None);
    assert_eq!(reader.vault_balance(me, At::Latest).await.unwrap(), amount);
    let last = reader.last_batch(At::Latest).await.unwrap();
    assert_eq!((last.epoch, last.part, last.receiptsRoot), (0, 0, B256::ZERO));
    assert_eq!(reader.reward_root(At::Latest).await.unwrap(), B256::ZERO);
    assert_eq!(reader.fees(At::Latest).await.unwrap().dataBps, 8_500);
    assert_eq!(reader.model_hash(B256::ZERO, 1, At::Latest).await.unwrap(), None);
    assert_eq!(reader.limit_cancelled_from(me, U256::ZERO, At::Latest).await.unwrap(), None);
    let nowhere = ContractReader::connect(chain.rpc_url(), RpcConfig::default(), Deployment { token: me, ..deployment }).unwrap();
    assert!(matches!(nowhere.token_balance(me, At::Latest).await.unwrap_err(), IndexerError::NoContract { .. }));

    let store = Store::in_memory().await.unwrap();
    let mut indexer = follower(&chain, &store, Followed::deployment(&deployment).unwrap());
    settle(&mut indexer).await;
    let committed = events::versions_committed(&store, &deployment, Finality::Any).await.unwrap();
    assert_eq!(committed.len(), 1);
    assert_eq!((committed[0].datanet_id, committed[0].version, committed[0].seq), (datanet, 1, 2));
    assert!(events::versions_committed(&store, &deployment, Finality::Finalized).await.unwrap().is_empty());
    chain.mine(16).await.unwrap();
    settle(&mut indexer).await;
    assert_eq!(events::versions_committed(&store, &deployment, Finality::Finalized).await.unwrap(), committed);
    assert_eq!(events::datanets_created(&store, &deployment, Finality::Finalized).await.unwrap()[0].event.owner, me);
    let book = events::payers::PayerBook::read(&store, &deployment, me).await.unwrap();
    assert_eq!((book.balance_wei, book.withdrawing_wei, book.arriving_wei), (amount, U256::ZERO, U256::ZERO));
    assert_eq!(reader.vault_balance(me, At::Finalized).await.unwrap(), amount);
    chain.stop().await.unwrap();
}

#[tokio::test]
async fn the_node_source_conforms() {
    let chain = DevChain::start(&by_hand()).await.unwrap();
    let (sender, deployment, _) = deployed(&chain).await;
    let from = deployment.start_block;
    for name in 1..4 {
        sender.call(deployment.registry, &create(name)).await.unwrap();
    }
    deposit_transaction(&chain, deployment.registry).await;
    let source = RpcSource::connect(chain.rpc_url(), RpcConfig { max_batch_requests: 3, ..RpcConfig::default() }).unwrap();
    let to = source.head(HeadTag::Latest).await.unwrap().unwrap().number;
    let expected = Expected { chain_id: CHAIN_ID, address: deployment.registry, from, to, logs: 4 };
    check(&source, &expected).await.unwrap();
}

/// An OP-Stack deposit (type 0x7e, receipt type "0x7E") that calls the registry.
async fn deposit_transaction(chain: &DevChain, registry: Address) {
    use schemas::alloy_sol_types::SolCall;
    let depositor = Address::repeat_byte(0xdd);
    chain.control("anvil_impersonateAccount", json!([depositor])).await.unwrap();
    let data = schemas::alloy_primitives::Bytes::from(create(9).abi_encode());
    let transaction = json!({ "type": "0x7e", "from": depositor, "to": registry, "data": data, "gas": "0x100000", "value": "0x0",
        "sourceHash": B256::repeat_byte(3), "mint": "0x0", "isSystemTx": false });
    let hash = chain.control("eth_sendTransaction", json!([transaction])).await.unwrap();
    loop {
        let receipt = chain.control("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        if !receipt.is_null() {
            assert_eq!(receipt["type"].as_str().unwrap().to_lowercase(), "0x7e");
            assert_eq!(receipt["status"], "0x1");
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn live_reorganisations_are_undone() {
    let chain = DevChain::start(&by_hand()).await.unwrap();
    let (sender, deployment, _) = deployed(&chain).await;
    let store = Store::in_memory().await.unwrap();
    let mut indexer = follower(&chain, &store, Followed::deployment(&deployment).unwrap());
    chain.mine(20).await.unwrap();
    for (depth, mined) in [(1u64, 0u64), (1, 1), (2, 0), (5, 2), (12, 1)] {
        for name in 0..3 {
            sender.call(deployment.registry, &create(depth * 100 + mined * 10 + name)).await.unwrap();
        }
        settle(&mut indexer).await;
        chain.reorg(depth).await.unwrap();
        chain.mine(mined).await.unwrap();
        assert_eq!(settle(&mut indexer).await.undone_blocks, depth, "depth {depth}, then {mined} more");
        check_against_replay(&chain, &store, &deployment).await;
    }
    assert_eq!(indexer.status().borrow().deepest_reorg, 12);
    // Beyond the finalized block.
    chain.reorg(25).await.unwrap();
    let error = indexer.step().await.unwrap_err();
    assert!(matches!(error, IndexerError::ReorgBelowFinalized { .. }), "{error}");
}

/// Tables and window hold what a new indexer reads from nothing.
async fn check_against_replay(chain: &DevChain, store: &Store, deployment: &Deployment) {
    let replay = Store::in_memory().await.unwrap();
    settle(&mut follower(chain, &replay, Followed::deployment(deployment).unwrap())).await;
    for address in [deployment.registry, deployment.token] {
        let topic = <DatanetRegistry::DatanetCreated as schemas::alloy_sol_types::SolEvent>::SIGNATURE_HASH;
        let (ours, theirs) = (store.all_logs(address, topic, Finality::Any), replay.all_logs(address, topic, Finality::Any));
        assert_eq!(ours.await.unwrap(), theirs.await.unwrap());
    }
    let tip = |store: &Store| store.hot().blocks.last().map(|block| block.hash);
    assert_eq!(tip(store), tip(&replay));
}

#[tokio::test]
async fn the_chain_outlives_us() {
    let folder = tempfile::tempdir().unwrap();
    let config = DevChainConfig { state_path: Some(folder.path().join("chain/state.json")), ..by_hand() };
    let chain = DevChain::start(&config).await.unwrap();
    let (sender, deployment, _) = deployed(&chain).await;
    let mut mined = Vec::new();
    mined.push(sender.call(deployment.registry, &create(1)).await.unwrap());
    chain.stop().await.unwrap();

    // Dropped, as when we are killed: the next start waits until the state is written.
    for name in 2..4 {
        let chain = DevChain::start(&config).await.unwrap();
        let sender = funded_sender(&chain, 7).await;
        mined.push(sender.call(deployment.registry, &create(name)).await.unwrap());
        drop((sender, chain));
    }
    let chain = DevChain::start(&config).await.unwrap();
    let source = RpcSource::connect(chain.rpc_url(), RpcConfig::default()).unwrap();
    for outcome in &mined {
        let header = source.header_by_number(outcome.block_number).await.unwrap().unwrap();
        assert_eq!(header.hash, outcome.block_hash);
        assert_eq!(source.logs_of_block(header.id(), &LogFilter::of_addresses(&[deployment.registry])).await.unwrap().len(), 1);
    }
    let reader = ContractReader::connect(chain.rpc_url(), RpcConfig::default(), deployment).unwrap();
    let datanet = schemas::hashing::datanet_id(Address::ZERO, "");
    assert_eq!(reader.owner_of(datanet, At::Finalized).await.unwrap(), None);
    chain.stop().await.unwrap();

    std::fs::write(config.state_path.as_ref().unwrap(), "{\"block\":").unwrap();
    let error = DevChain::start(&config).await.unwrap_err().to_string();
    assert!(error.contains("torn") && error.contains("empty data folder"), "{error}");
}

/// We are killed in the middle of anything. anvil (1.7.1) reads its blocks before its accounts when it writes a state, so that what is
/// mined between has moved money and left no block, and no log for anyone to index.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_holds_the_block_of_whatever_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let config = DevChainConfig { state_path: Some(folder.path().join("chain/state.json")), ..by_hand() };
    let from = Address::repeat_byte(6);
    let sent = async |chain: &DevChain| -> u64 {
        let nonce: U64 = chain.rpc.request("eth_getTransactionCount", json!([from, "latest"])).await.unwrap();
        nonce.to()
    };
    let (mut blocks, mut in_blocks) = (0, 0);
    for round in 0..12 {
        let chain = DevChain::start(&config).await.unwrap();
        let height: U64 = chain.rpc.request("eth_blockNumber", json!([])).await.unwrap();
        while blocks < height.to() {
            blocks += 1;
            let count: U64 = chain.rpc.request("eth_getBlockTransactionCountByNumber", json!([U64::from(blocks)])).await.unwrap();
            in_blocks += count.to::<u64>();
        }
        assert_eq!(sent(&chain).await, in_blocks, "round {round}: a payment was made and is in no block");
        chain.fund(from, U256::from(10u64).pow(U256::from(18))).await.unwrap();
        chain.control("anvil_impersonateAccount", json!([from])).await.unwrap();
        let rpc = chain.rpc.clone();
        let payments = tokio::spawn(async move {
            let payment = json!([{ "from": from, "to": Address::repeat_byte(5), "value": "0x1" }]);
            while rpc.request::<Value>("eth_sendTransaction", payment.clone()).await.is_ok() {}
        });
        // in the middle of them
        while sent(&chain).await < in_blocks + 10 {}
        drop(chain);
        payments.await.unwrap();
    }
}

#[tokio::test]
async fn blocks_keep_coming_and_become_final() {
    let chain = DevChain::start(&DevChainConfig::default()).await.unwrap();
    let sender = funded_sender(&chain, 8).await;
    let outcome = sender.send(Some(Address::repeat_byte(4)), Default::default(), U256::from(5u64)).await.unwrap();
    let source = RpcSource::connect(chain.rpc_url(), RpcConfig::default()).unwrap();
    while source.head(HeadTag::Finalized).await.unwrap().is_none_or(|block| block.number < outcome.block_number) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = funded_sender(&chain, 9).await;
    let error = other.send(Some(Address::ZERO), Default::default(), U256::MAX).await.unwrap_err();
    assert!(matches!(error, IndexerError::Unfunded { .. }), "{error}");
}
