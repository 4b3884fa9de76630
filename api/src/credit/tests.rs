use engine::HashingEmbedder;
use rag::RagConfig;
use schemas::B256;
use schemas::alloy_sol_types::SolEvent;
use schemas::contracts::PaymentVault;
use schemas::signed::{SignedSpendingLimit, SigningDomain};
use schemas::signer::KeySigner;
use schemas::tables::{LogRow, Raw, ReceiptRow, Wei};
use store::Hot;

use super::*;

const PAYER: Address = Address::repeat_byte(1);

fn id(n: u64) -> AnswerId {
    B256::from(U256::from(n)).into()
}

fn wei(n: u64) -> U256 {
    U256::from(n)
}

fn account(free: u64) -> Account {
    Account { balance_wei: wei(free), room_wei: wei(1_000), ..Account::default() }
}

/// What is owed where these answers have a receipt, of 10 wei each as all others.
fn receivable(receipts: &[u64], making: impl Iterator<Item = (AnswerId, U256)>) -> U256 {
    let fees: HashMap<AnswerId, U256> = receipts.iter().map(|n| (id(*n), wei(10))).chain(making).collect();
    fees.into_values().fold(U256::ZERO, U256::saturating_add)
}

fn ask(reservations: &Arc<Reservations>, account: &Account, receipts: &[u64], n: u64) -> Result<Reservation, Refusal> {
    let more = (id(n), wei(10));
    let covers = |held: &Making| Some(account.check(PAYER, account.owed(receivable(receipts, making(held, Some(more)))), 0));
    reservations.hold(PAYER, more, covers).unwrap()
}

#[test]
fn of_fourteen_at_once_exactly_those_with_credit_are_answered() {
    let reservations = Arc::new(Reservations::default());
    let account = account(49);
    let asked: Vec<_> = (0..14).map(|n| ask(&reservations, &account, &[100], n)).collect();
    assert_eq!(asked.iter().filter(|held| held.is_ok()).count(), 3, "40 of 49 with what was owed before");
    assert!(matches!(asked[3], Err(Refusal::Deposit { .. })));
    drop(asked);
    assert!(reservations.lock().is_empty(), "whoever was refused holds nothing");
}

#[test]
fn an_answer_counts_once_while_it_becomes_a_receipt() {
    let reservations = Arc::new(Reservations::default());
    let account = account(20);
    let held = ask(&reservations, &account, &[], 1).unwrap();
    // Its receipt is there, its hold not yet let go.
    let second = ask(&reservations, &account, &[1], 2).unwrap();
    assert!(ask(&reservations, &account, &[1], 3).is_err());
    drop(held);
    assert!(ask(&reservations, &account, &[1], 3).is_err());
    drop(second);
    ask(&reservations, &account, &[1], 3).unwrap();
    assert!(reservations.hold(PAYER, (id(4), wei(1)), |_| None).is_none(), "what cannot be decided holds nothing");
    assert!(reservations.lock().is_empty());
}

#[test]
fn the_same_answer_asked_twice_is_held_once() {
    let reservations = Arc::new(Reservations::default());
    let account = account(10);
    let first = ask(&reservations, &account, &[], 1).unwrap();
    let again = ask(&reservations, &account, &[], 1).unwrap();
    drop(first);
    assert!(ask(&reservations, &account, &[], 2).is_err(), "one of two still makes it");
    drop(again);
    assert!(ask(&reservations, &account, &[], 2).is_ok());
}

#[test]
fn what_is_left_is_what_would_be_answered() {
    let account = Account { withdrawing_wei: wei(5), ..account(60) };
    let held = HashMap::from([(id(2), (wei(10), 1)), (id(3), (wei(10), 2))]);
    let owed = account.owed(receivable(&[1, 2], making(&held, None)));
    assert_eq!((owed, account.left_wei(owed)), (wei(30), wei(25)), "an answer that becomes a receipt is owed once");
    account.check(PAYER, owed + account.left_wei(owed), 0).unwrap();
    assert!(account.check(PAYER, owed + account.left_wei(owed) + wei(1), 0).is_err());
    assert_eq!(Account { room_wei: wei(31), ..account.clone() }.left_wei(owed), wei(1));
    assert_eq!(Account { overdue_wei: wei(1), ..account }.left_wei(owed), U256::ZERO);
}

#[test]
fn a_statement_is_read_as_it_is_written() {
    let limit = LimitStatement {
        limit_hash: B256::ZERO,
        nonce: U256::MAX,
        amount_wei: U256::MAX,
        room_wei: wei(1),
        ends_at: 7,
        state: LimitState::UsedUp,
    };
    let written = serde_json::to_value(&limit).unwrap();
    assert_eq!((&written["room_wei"], &written["state"]), (&"1".into(), &"used_up".into()));
    assert_eq!(written["nonce"], U256::MAX.to_string());
    assert_eq!(serde_json::from_value::<LimitStatement>(written).unwrap(), limit);
}

#[test]
fn each_reason_is_told() {
    let told = |account: &Account| account.check(PAYER, wei(10), 60).unwrap_err().to_string();
    let good = account(10);
    good.check(PAYER, wei(10), 60).unwrap();
    assert!(told(&Account { overdue_wei: wei(1), ..good.clone() }).contains("has not paid 0.000000000000000001 OPEN (1 wei)"));
    let short = Account { balance_wei: wei(12), withdrawing_wei: wei(3), ..good.clone() };
    assert!(told(&short).starts_with("the deposit of"));
    let arriving = told(&Account { arriving_wei: wei(1), ..short.clone() });
    assert!(arriving.starts_with("a deposit counts once its block is final") && arriving.contains("does not cover"), "{arriving}");
    assert!(told(&Account { room_wei: wei(9), ..good }).contains("no spending limit"));
}

const WITHIN_SECONDS: u64 = 100;

fn deployment() -> Deployment {
    let at = Address::repeat_byte;
    Deployment { chain_id: 7, registry: at(1), models: at(2), vault: at(3), distributor: at(4), token: at(5), start_block: 1 }
}

/// The deposit of a payer, in a block of its own.
fn deposit(payer: Address, amount: u64, block: u64) -> LogRow {
    let encoded = PaymentVault::Deposited { payer, from: payer, amount: wei(amount), seq: block }.encode_log_data();
    let topic = |index: usize| encoded.topics().get(index).copied().map(Raw);
    LogRow {
        block_number: block,
        block_hash: Raw(B256::from(wei(block))),
        block_timestamp: 0,
        transaction_hash: Raw(B256::ZERO),
        transaction_index: 0,
        log_index: 0,
        address: Raw(deployment().vault),
        topic0: topic(0),
        topic1: topic(1),
        topic2: topic(2),
        topic3: topic(3),
        data: encoded.data.clone(),
    }
}

fn window(logs: &[LogRow], finalized_to: u64) -> Hot {
    Hot { logs: logs.iter().map(|log| vec![log.clone()].into()).collect(), finalized_to: Some(finalized_to), ..Hot::default() }
}

struct Rig {
    store: Store,
    rag: Rag,
    credit: Credit,
    _dir: tempfile::TempDir,
}

impl Rig {
    /// `receipts` of one wei each that the payer owes, and as many logs of others, stand in the tables.
    async fn new(receipts: u64) -> Self {
        let store = Store::in_memory().await.unwrap();
        let row = |sequence: u64| ReceiptRow {
            answer_id: id(1_000_000 + sequence),
            sequence,
            datanet_id: B256::ZERO.into(),
            version: 1,
            fee_wei: Wei(1),
            payer: Some(PAYER),
            body: "{}".into(),
            body_hash: B256::ZERO,
            signer: Address::ZERO,
            signature: String::new(),
            issued_at: Millis(0),
        };
        store.insert_new(&(1..=receipts).map(row).collect::<Vec<_>>()).await.unwrap();
        let others: Vec<LogRow> = (1..=receipts).map(|block| deposit(Address::repeat_byte(9), 1, block)).collect();
        store.append(&others).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let domain = SigningDomain { chain_id: 7, registry: deployment().registry };
        let config = RagConfig::new(domain, dir.path().join("index"), dir.path().join("wal"));
        let signer = Arc::new(KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap());
        let rag = Rag::open(store.clone(), Arc::new(HashingEmbedder::new()), signer, config).await.unwrap();
        rag.caught_up().await;
        let limits = Limits::open(store.clone(), 100).await.unwrap();
        let spender = Address::repeat_byte(8);
        let limit = SignedSpendingLimit {
            payer: PAYER,
            spender,
            max_amount: U256::MAX,
            expiry: u64::MAX - 1,
            nonce: wei(1),
            signature: "0x01".into(),
        };
        limits.keep(B256::repeat_byte(1), &limit).await.unwrap();
        let credit = Credit::new(store.clone(), deployment(), spender, limits, WITHIN_SECONDS);
        Self { store, rag, credit, _dir: dir }
    }

    async fn ask(&self, n: u64, fee: u64) -> Result<Reservation, Refusal> {
        self.credit.reserve(&self.rag, PAYER, id(n), wei(fee)).await.unwrap()
    }

    /// Scans and rows that asking takes.
    async fn cost_of_asking(&self, n: u64) -> (u64, u64) {
        let before = self.store.reads();
        drop(self.ask(n, 10).await.unwrap());
        let after = self.store.reads();
        (after.scans - before.scans, after.rows - before.rows)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deciding_on_credit_reads_no_more_among_many_receipts_and_logs() {
    for receipts in [10, 2_000] {
        let rig = Rig::new(receipts).await;
        let block = receipts + 1;
        rig.store.set_hot(window(&[deposit(PAYER, receipts + 10, block)], block));
        let first = rig.cost_of_asking(1).await;
        assert!(first.0 <= 5 && first.1 == 0, "{first:?}: the epochs, and the payer's events");
        assert_eq!(rig.cost_of_asking(2).await, (0, 0), "nothing is new");
        rig.store.set_hot(window(&[deposit(PAYER, receipts + 10, block), deposit(PAYER, 1, block + 1)], block + 1));
        assert_eq!(rig.cost_of_asking(3).await, (1, 0), "the chain has another log");
        let statement = rig.credit.statement(&rig.rag, PAYER, wei(10)).await.unwrap();
        assert_eq!((statement.owed_wei, statement.left_wei), (wei(receipts), wei(11)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_backs_answers_once_it_is_final_and_while_it_stands() {
    let rig = Rig::new(10).await;
    let deposits = [deposit(PAYER, 15, 20)];
    assert!(matches!(rig.ask(1, 1).await, Err(Refusal::Deposit { .. })));
    let hot = window(&deposits, 19);
    rig.store.set_hot(Hot { finalized_to: Some(19), logs: hot.logs.clone(), ..Hot::default() });
    assert!(matches!(rig.ask(1, 1).await, Err(Refusal::Arriving { .. })));
    rig.store.set_hot(Hot { finalized_to: Some(20), logs: hot.logs, ..Hot::default() });
    let held = rig.ask(1, 5).await.unwrap();
    assert!(matches!(rig.ask(2, 1).await, Err(Refusal::Deposit { owed, .. }) if owed == wei(16)), "not a wei more");
    drop(held);
    rig.store.set_hot(window(&[deposit(PAYER, 14, 20)], 20));
    assert!(matches!(rig.ask(1, 5).await, Err(Refusal::Deposit { .. })), "another block took its place");
    rig.store.append(&[deposit(PAYER, 1, 21)]).await.unwrap();
    drop(rig.ask(1, 5).await.unwrap());
}
