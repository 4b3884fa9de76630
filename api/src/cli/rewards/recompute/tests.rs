//! What an operator could also tell the chain: everything that it states fits together, and is not right.

use indexer::events::Place;
use indexer::events::debits::EpochDebits;
use rag::Policy;
use schemas::B256;
use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::{AnswerStatus, ContributorShare, Models, ReceiptBody, Retrieval};
use schemas::tables::Millis;

use super::*;

const BLOCK: u64 = 50;

fn account(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// Answers that 9 and 8 paid 1,000 wei for, half of it to 1 and 2 each.
fn receipts() -> (EpochReceipts, Vec<B256>) {
    let (mut receipts, mut hashes) = (EpochReceipts::default(), Vec::new());
    for (sequence, payer) in [(1, 9), (2, 8)] {
        let share = |byte: u8| ContributorShare { contributor: account(byte), share_ppm: PPM / 2 };
        let body = ReceiptBody {
            schema: schemas::receipt::SCHEMA.into(),
            answer_id: B256::repeat_byte(sequence as u8).into(),
            sequence,
            previous: B256::ZERO,
            issued_at_ms: 0,
            chain_id: 1,
            registry: Address::ZERO,
            datanet_id: B256::ZERO.into(),
            version: 1,
            version_root: B256::ZERO,
            question_hash: B256::ZERO,
            answer_hash: B256::ZERO,
            status: AnswerStatus::Answered,
            retrieval: retrieval(),
            quoting: None,
            models: Models {
                embedder: "e".into(),
                embedder_sha256: "0".into(),
                generator: "quote/1".into(),
                reranker: None,
                reranker_sha256: None,
            },
            candidates: None,
            sources: vec![],
            retrieved: 0,
            segments: vec![],
            generation: None,
            method: "support/2".into(),
            value_table: vec![],
            likelihood: None,
            shares: vec![share(1), share(2)],
            source_shares_ppm: vec![],
            unattributed_ppm: 0,
            fee_wei: Wei(1_000),
            payer: Some(account(payer)),
        };
        hashes.push(body.canonical().unwrap().1);
        receipts.add(&body).unwrap();
    }
    (receipts, hashes)
}

fn retrieval() -> Retrieval {
    Retrieval {
        method: "rrf/2".into(),
        rrf_k: Some(20),
        vector_weight_ppm: None,
        contrast_ppm: None,
        candidates: 20,
        top_k: 8,
        turns: None,
        filter: None,
        reranked: None,
    }
}

/// What an operator does with what it collected from 8 and 9.
struct Operator {
    policy: Option<Policy>,
    collected: Vec<(u8, u64, u64)>,
    asked: Vec<u8>,
}

impl Operator {
    fn honest() -> Self {
        let funded_by = BTreeMap::from([(account(9), BTreeSet::from([account(2)]))]);
        let policy = Some(Policy { block_number: BLOCK, funded_by, ..Policy::default() });
        Self { policy, collected: vec![(8, 1_000, 800), (9, 1_000, 400)], asked: vec![8, 9] }
    }

    /// What it states and what the chain says, in agreement: it proposes what it computes.
    fn told(&self, hashes: &[B256]) -> (Told, OnChain, Before) {
        let leaves: Vec<B256> = hashes.iter().map(|hash| keccak256(keccak256(hash))).collect();
        let closing = ClosingRow {
            epoch: 1,
            first_sequence: 1,
            last_sequence: 2,
            receipt_count: 2,
            total_wei: Wei(2_000),
            receipts_root: schemas::merkle::StandardMerkleTree::new(&leaves).unwrap().root(),
            data_bps: 8_000,
            reserve_wei: Wei(0),
            block_number: BLOCK,
            block_hash: B256::repeat_byte(5),
            closed_at: Millis(0),
        };
        let place = Place { block_number: 60, block_hash: B256::repeat_byte(6), block_timestamp: 0, tx_hash: B256::ZERO, log_index: 0 };
        let taken = |(payer, amount, data): &(u8, u64, u64)| {
            (account(*payer), Taken { amount_wei: U256::from(*amount), data_wei: U256::from(*data) })
        };
        let debits = EpochDebits {
            parts: 2,
            completed: Some(place),
            receipts_root: Some(closing.receipts_root),
            collected: self.collected.iter().map(taken).collect(),
            asked: self.asked.iter().copied().map(account).collect(),
        };
        let mut on_chain = OnChain {
            chain_id: 1,
            distributor: account(0xdd),
            debits,
            parts: vec![1, 2],
            funded_wei: U256::from(self.collected.iter().map(|(.., data)| data).sum::<u64>()),
            funders: BTreeMap::from([(account(9), BTreeSet::from([account(2)])), (account(7), BTreeSet::from([account(1)]))]),
            closing_hash: Some(closing.block_hash),
            data_bps: Some(8_000),
            proposed: None,
            accepted: None,
        };
        let before = Before::default();
        let (receipts, _) = receipts();
        let mut aside = Checks::new(String::new());
        let collection = collection(&closing, &on_chain, &mut aside).unwrap().unwrap();
        let inputs = EpochInputs {
            closing: &closing,
            policy: self.policy.as_ref(),
            receipts: &[],
            debts: &[],
            rewards: &[],
            collection: &collection,
        };
        let computed = recompute_epoch_of(&inputs, &receipts).unwrap();
        let settled = computed.row(&closing, self.policy.as_ref(), &collection, Millis(7));
        on_chain.proposed = Some((settled.reward_root, settled.artifact_hash, U256::from(settled.total_cumulative_wei.0)));
        on_chain.accepted = Some(settled.reward_root);
        let EpochComputation { debts, rewards, .. } = computed;
        (Told { closing, policy: self.policy.clone(), settled, debts, rewards }, on_chain, before)
    }

    /// What is found, where `change` befalls it.
    fn found(&self, change: impl Fn(&mut Told, &mut OnChain, &mut Before)) -> Checks {
        let (receipts, hashes) = receipts();
        let (mut told, mut on_chain, mut before) = self.told(&hashes);
        change(&mut told, &mut on_chain, &mut before);
        let mut checks = Checks::new("epoch 1".into());
        if follows(&told.closing, &before, &mut checks) {
            judge(&told, &on_chain, &before, &receipts, &mut checks).unwrap();
        }
        checks
    }
}

#[test]
fn an_honest_epoch_holds() {
    let checks = Operator::honest().found(|_, _, _| {});
    assert!(checks.done.iter().all(|check| check.outcome == Outcome::Valid), "{}", checks.text());
    assert!(checks.text().contains("to 2 contributors"), "{}", checks.text());
}

#[test]
fn what_an_operator_tells_the_chain_as_well_does_not_hold() {
    let honest = Operator::honest;
    let policy = || honest().policy.unwrap();
    let blind = Operator {
        policy: Some(Policy { funded_by: BTreeMap::new(), ..policy() }),
        collected: vec![(8, 1_000, 800), (9, 1_000, 800)],
        ..honest()
    };
    let early = Operator { policy: Some(Policy { block_number: 0, funded_by: BTreeMap::new(), ..policy() }), ..honest() };
    let stranger = BTreeMap::from([(account(9), BTreeSet::from([account(2)])), (account(7), BTreeSet::from([account(1)]))]);
    let wide = Operator { policy: Some(Policy { funded_by: stranger, ..policy() }), ..honest() };
    let dropped = Operator { policy: None, collected: vec![(8, 1_000, 800), (9, 1_000, 800)], ..honest() };
    let friend = Operator { collected: vec![(8, 1_000, 800)], asked: vec![8], ..honest() };
    let fails = |operator: &Operator, what: &str, change: &dyn Fn(&mut Told, &mut OnChain, &mut Before)| {
        let checks = operator.found(change);
        assert!(checks.failed() && checks.text().contains(what), "{what}: {}", checks.text());
    };
    fails(&blind, "who paid in for", &|_, _, _| {});
    fails(&early, "counts deposits up to block 0", &|_, on_chain, _| on_chain.funders.clear());
    fails(&wide, "does not concern", &|_, _, _| {});
    fails(&dropped, "closed without one", &|_, _, before| before.has_policy = true);
    fails(&friend, "never asked for what they owe: 0x0909", &|_, _, _| {});
    fails(&honest(), "are not all of them", &|_, on_chain, _| on_chain.parts = vec![2]);
    fails(&honest(), "was debited up to block 51", &|_, _, before| before.block = BLOCK + 1);
    fails(&honest(), "at this node", &|told, _, _| told.closing.block_hash = B256::ZERO);
    fails(&honest(), "the vault's schedule was 9000", &|_, on_chain, _| on_chain.data_bps = Some(9_000));
    fails(&honest(), "the distributor accepted", &|_, on_chain, _| on_chain.accepted = Some(B256::ZERO));
    fails(&honest(), "was given the receipts of root", &|_, on_chain, _| on_chain.debits.receipts_root = Some(B256::ZERO));
    fails(&honest(), "the epoch before ended with 18446744073709551615", &|_, _, before| before.last_sequence = u64::MAX);
    fails(&honest(), "the epoch before ended with 1", &|_, _, before| before.last_sequence = 1);
}

#[test]
fn what_cannot_be_decided_is_said() {
    let unchecked = |operator: &Operator, of: &str, change: &dyn Fn(&mut Told, &mut OnChain, &mut Before)| {
        let checks = operator.found(change);
        let found = checks.done.iter().any(|check| check.of == of && check.outcome == Outcome::NotChecked);
        assert!(found && !checks.failed(), "{of}: {}", checks.text());
    };
    let before_policies = Operator { policy: None, collected: vec![(8, 1_000, 800), (9, 1_000, 800)], ..Operator::honest() };
    unchecked(&before_policies, "policy", &|_, _, _| {});
    let withholding = Operator { collected: vec![(8, 1_000, 0), (9, 1_000, 400)], ..Operator::honest() };
    unchecked(&withholding, "withheld", &|_, _, _| {});
    unchecked(&Operator::honest(), "root", &|_, on_chain, _| on_chain.proposed = None);
    unchecked(&Operator::honest(), "root", &|_, on_chain, _| on_chain.accepted = None);
}
