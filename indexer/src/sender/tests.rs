//! The sender on a node that can lose replies, hang, reorganise and starve it, and on anvil.

mod chain;
mod crash;
mod live;
mod stuck;

use std::path::Path;

use super::outbox::Status;
use super::*;
use crate::sender::policy::PolicyViolation;
use chain::{Chain, Fault};
use schemas::signer::KeySigner;

const TARGET: Address = Address::repeat_byte(0x42);

fn key() -> KeySigner {
    KeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap()
}

fn quick() -> SenderConfig {
    SenderConfig {
        rpc: RpcConfig { backoff_ms: 1, max_backoff_ms: 1, ..RpcConfig::default() },
        lock_timeout_ms: 0,
        receipt_timeout_ms: 20_000,
        receipt_poll_ms: 1,
        rebroadcast_ms: 0,
        replace_after_ms: 0,
        missing_receipt_ms: 0,
        tend_ms: 0,
        ..SenderConfig::default()
    }
}

fn stored_in(folder: &Path) -> SenderConfig {
    SenderConfig { outbox_dir: Some(folder.to_owned()), ..quick() }
}

async fn sender(chain: &Chain, config: SenderConfig) -> Sender {
    Sender::connect(&chain.url, key(), config).await.unwrap()
}

fn calldata(number: u8) -> Bytes {
    vec![0xaa, 0xbb, 0xcc, 0xdd, number].into()
}

impl Sender {
    async fn do_it(&self, number: u8) -> Result<TxOutcome> {
        self.send(Some(TARGET), calldata(number), U256::ZERO).await
    }

    async fn statuses(&self) -> Vec<(u64, Status, usize)> {
        let queue = self.queue.lock().await;
        queue.outbox.state.slots.values().map(|slot| (slot.nonce, slot.status, slot.versions.len())).collect()
    }
}

/// Blocks come until everything is final.
async fn finish(chain: &Chain, sender: &Sender) {
    for _ in 0..50 {
        sender.tend().await.unwrap();
        chain.state().mine(1);
        if sender.statuses().await.is_empty() {
            return;
        }
    }
    panic!("not final: {:?}", sender.statuses().await);
}

#[tokio::test]
async fn transactions_are_sent_in_turn_and_become_final() {
    let chain = Chain::start(key().address()).await;
    let sender = sender(&chain, quick()).await;
    let (one, two) = tokio::join!(sender.do_it(1), sender.do_it(2));
    assert_eq!((one.unwrap().gas_used, two.unwrap().block_number), (50_000, 2));
    let error = sender.do_it(1).await.unwrap_err();
    assert!(matches!(error, IndexerError::Reverted { .. }), "{error}");
    assert_eq!(sender.status().unfinished, 2);
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
    let expected = SenderStatus { sent: 2, finalized: 2, ..SenderStatus::default() };
    assert_eq!(sender.status(), expected);
}

#[tokio::test]
async fn lost_replies_send_nothing_twice() {
    let chain = Chain::start(key().address()).await;
    let sender = sender(&chain, quick()).await;
    for (number, automine) in [(1, true), (2, false)] {
        {
            let mut state = chain.state();
            state.automine = automine;
            state.faults = vec![("eth_sendRawTransaction", 0, Fault::LoseReply), ("eth_getTransactionReceipt", 1, Fault::LoseReply)];
        }
        let mining = async {
            while chain.state().pool.is_empty() && !automine {
                tokio::task::yield_now().await;
            }
            chain.state().mine(1);
        };
        let (sent, ()) = tokio::join!(sender.do_it(number), mining);
        sent.unwrap();
    }
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
    assert_eq!(chain.state().nonces(), [0, 1]);
}

#[tokio::test]
async fn refusals_use_up_no_nonce() {
    let chain = Chain::start(key().address()).await;
    let sender = sender(&chain, quick()).await;
    chain.state().faults = vec![("eth_sendRawTransaction", 0, Fault::Refuse("intrinsic gas too low"))];
    let error = sender.do_it(1).await.unwrap_err();
    assert!(matches!(&error, IndexerError::Transaction { problem } if problem.contains("intrinsic")), "{error}");
    // What was refused is not sent behind its caller's back.
    chain.state().mine(5);
    sender.tend().await.unwrap();
    assert!(chain.state().effects().is_empty());
    assert!(chain.state().pool.is_empty());
    // Its nonce is the next one's, whatever that is.
    sender.do_it(2).await.unwrap();
    sender.do_it(1).await.unwrap();
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(2), calldata(1)]);

    chain.state().balance = U256::from(1u64);
    let error = sender.do_it(3).await.unwrap_err();
    assert!(matches!(error, IndexerError::Unfunded { balance_wei, .. } if balance_wei == U256::from(1u64)), "{error}");
    assert!(sender.statuses().await.is_empty(), "it was not even signed");
}

#[tokio::test]
async fn a_refused_transaction_that_another_node_took_is_not_sent_twice() {
    for same in [true, false] {
        let chain = Chain::start(key().address()).await;
        let sender = sender(&chain, quick()).await;
        chain.state().automine = false;
        // Carried out, unheard; then refused for another reason than being known.
        let refused = Fault::Refuse("txpool is full");
        chain.state().faults = vec![("eth_sendRawTransaction", 0, Fault::LoseReply), ("eth_sendRawTransaction", 0, refused)];
        let error = sender.do_it(1).await.unwrap_err();
        assert!(matches!(error, IndexerError::Transaction { .. }), "{error}");
        assert_eq!(chain.state().pool.len(), 1);
        if same {
            // Once it was offered again; the refusal itself never arrived.
            let miner = async {
                while chain.state().offers < 2 {
                    tokio::task::yield_now().await;
                }
                chain.state().mine(1);
            };
            let (sent, ()) = tokio::join!(sender.do_it(1), miner);
            sent.unwrap();
            assert_eq!(sender.status().sent, 1, "the same bytes");
        } else {
            // It takes the place of the one that waits.
            chain.state().automine = true;
            sender.do_it(2).await.unwrap();
        }
        finish(&chain, &sender).await;
        assert_eq!(chain.state().effects(), [calldata(if same { 1 } else { 2 })]);
        assert_eq!(chain.state().nonces(), [0]);
    }
}

#[tokio::test]
async fn a_foreign_sender_of_the_account_is_noticed() {
    let chain = Chain::start(key().address()).await;
    let foreign = |nonce: u64| {
        let transaction = TxEip1559 {
            chain_id: chain::CHAIN_ID,
            nonce,
            gas_limit: 50_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(Address::repeat_byte(9)),
            value: U256::from(1u64),
            access_list: Default::default(),
            input: Bytes::new(),
        };
        let signature: Signature = key().sign_digest(transaction.signature_hash()).unwrap().parse().unwrap();
        Bytes::from(transaction.into_signed(signature).encoded_2718())
    };
    let folder = tempfile::tempdir().unwrap();
    let sender = sender(&chain, stored_in(folder.path())).await;
    chain.state().foreign(&foreign(0));
    sender.do_it(1).await.unwrap();
    // Between the choice of the nonce and the sending.
    chain.state().automine = false;
    chain.state().starve = true;
    let thief = async {
        while chain.state().pool.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut state = chain.state();
        state.starve = false;
        state.foreign(&foreign(2));
    };
    let (sent, ()) = tokio::join!(sender.do_it(2), thief);
    let error = sent.unwrap_err();
    assert!(matches!(error, IndexerError::NonceTaken { nonce: 2, .. }) && error.is_transient(), "{error}");
    chain.state().automine = true;
    sender.do_it(2).await.unwrap();
    finish(&chain, &sender).await;
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
    assert_eq!(chain.state().nonces(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn the_policy_is_asked_before_anything_is_signed() {
    let chain = Chain::start(key().address()).await;
    let allowed =
        Permission { action: Action::Call { contract: TARGET, selector: [0xaa, 0xbb, 0xcc, 0xdd].into() }, max_value_wei: U256::ZERO };
    let folder = tempfile::tempdir().unwrap();
    let with = |policy: SpendingPolicy| SenderConfig { policy, ..stored_in(folder.path()) };
    let only = SpendingPolicy::only([allowed]);
    let one_per_day = SpendingPolicy { max_transactions_per_day: 1, ..only.clone() };

    let first = sender(&chain, with(one_per_day.clone())).await;
    let before = chain.state().requests;
    let error = first.send(Some(TARGET), Bytes::from_static(&[1, 2, 3, 4]), U256::ZERO).await.unwrap_err();
    assert!(matches!(error, IndexerError::Policy(PolicyViolation::Forbidden { .. })), "{error}");
    let error = first.send(Some(TARGET), calldata(1), U256::from(1u64)).await.unwrap_err();
    assert!(matches!(error, IndexerError::Policy(PolicyViolation::Value { .. })), "{error}");
    assert_eq!(chain.state().requests, before, "nothing was even asked");
    first.do_it(1).await.unwrap();
    finish(&chain, &first).await;
    drop(first);

    // The journal remembers the day, through restarts and after all is final.
    let limits = [
        (one_per_day, "1 transactions were sent within 24 hours"),
        (SpendingPolicy { max_gas_limit: 124_999, ..only.clone() }, "needs 125000 units of gas"),
        // Paid: 50,000 gas at 108 wei, and 5 for data. At most: 125,000 gas at 208 wei.
        (SpendingPolicy { max_fees_per_day_wei: 5_400_005 + 25_999_999, ..only.clone() }, "fees of 5400005 wei"),
    ];
    for (policy, words) in limits {
        let sender = sender(&chain, with(policy)).await;
        let error = sender.do_it(2).await.unwrap_err();
        assert!(matches!(error, IndexerError::Policy(_)) && error.to_string().contains(words), "{error}");
        assert!(sender.statuses().await.is_empty());
    }
    let exactly = SpendingPolicy { max_fees_per_day_wei: 5_400_005 + 26_000_000, ..only.clone() };
    sender(&chain, with(exactly)).await.do_it(2).await.unwrap();

    chain.state().base_fee = 201;
    let capped = sender(&chain, with(SpendingPolicy { max_fee_per_gas_wei: 200, ..only })).await;
    let error = capped.do_it(3).await.unwrap_err();
    assert!(matches!(error, IndexerError::FeeAboveCap { base_fee_wei: 201, cap_wei: 200 }), "{error}");
    assert_eq!(chain.state().effects(), [calldata(1), calldata(2)]);
}

#[tokio::test]
async fn one_account_has_one_sender() {
    let chain = Chain::start(key().address()).await;
    let folder = tempfile::tempdir().unwrap();
    let first = sender(&chain, stored_in(folder.path())).await;
    let error = Sender::connect(&chain.url, key(), stored_in(folder.path())).await.unwrap_err();
    assert!(matches!(error, IndexerError::OutboxLocked { .. }), "{error}");
    // The next in line gets its turn.
    let patient = SenderConfig { lock_timeout_ms: 60_000, ..stored_in(folder.path()) };
    let second = Sender::connect(&chain.url, key(), patient);
    let (second, ()) = tokio::join!(second, async {
        tokio::task::yield_now().await;
        drop(first);
    });
    second.unwrap().do_it(1).await.unwrap();
}

#[tokio::test]
async fn an_outbox_is_for_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let chain = Chain::start(key().address()).await;
    sender(&chain, stored_in(folder.path())).await.do_it(1).await.unwrap();
    // Another development chain with the same id.
    let error = {
        let rpc = Rpc::connect(&chain.url, RpcConfig::default()).unwrap();
        assert_ne!(Node::genesis(&rpc).await.unwrap(), B256::ZERO);
        let lock = Lock::take(folder.path(), chain::CHAIN_ID, key().address(), Duration::ZERO).await.unwrap();
        Outbox::open(lock, chain::CHAIN_ID, key().address(), B256::ZERO, Millis::now()).unwrap_err()
    };
    assert!(error.to_string().contains("must not be sent here"), "{error}");
}

#[tokio::test]
async fn the_key_is_in_no_text() {
    let chain = Chain::start(key().address()).await;
    let folder = tempfile::tempdir().unwrap();
    let sender = sender(&chain, stored_in(folder.path())).await;
    sender.do_it(1).await.unwrap();
    let secret = "11".repeat(32);
    let mut texts = vec![format!("{sender:?}"), format!("{:?}", sender.status())];
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let error = sender.do_it(1).await.unwrap_err();
    texts.push(format!("{error} {error:?}"));
    for text in texts {
        assert!(!text.contains(&secret), "{text}");
    }
}
