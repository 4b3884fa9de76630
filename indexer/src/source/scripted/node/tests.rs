//! The node keeps every promise of a source when no fault strikes, and breaks them when one does.

use std::sync::Arc;

use schemas::{Address, B256};

use super::*;
use crate::conformance::{Expected, check};
use crate::rpc::{Rpc, RpcConfig};
use crate::source::{RpcSource, ScriptedLog, ScriptedTransaction};

fn log(byte: u8, data: usize) -> ScriptedLog {
    ScriptedLog { address: Address::repeat_byte(byte), topics: vec![B256::repeat_byte(byte)], data: vec![byte; data].into() }
}

fn chain() -> ScriptedChain {
    let chain = ScriptedChain::new(7);
    chain.mine(0, &[]);
    let deposit = ScriptedTransaction { transaction_type: 0x7e, logs: vec![log(1, 3), log(2, 0)] };
    let silent = ScriptedTransaction { transaction_type: 0, logs: vec![ScriptedLog { topics: Vec::new(), ..log(1, 40) }] };
    chain.mine_transactions(0, &[deposit, ScriptedTransaction::new(Vec::new()), silent, ScriptedTransaction::new(vec![log(1, 5)])]);
    chain.mine(0, &[log(2, 1)]);
    chain.mine(0, &[log(1, 7)]);
    chain.finalize(2);
    chain
}

const EXPECTED: Expected = Expected { chain_id: 7, address: Address::repeat_byte(1), from: 1, to: 4, logs: 4 };

fn source(node: &Arc<ScriptedNode>) -> RpcSource {
    let config = RpcConfig { max_attempts: 1, max_batch_requests: 3, ..RpcConfig::default() };
    RpcSource::over(Rpc::over(node.clone(), config))
}

#[tokio::test]
async fn the_scripted_node_conforms() {
    for (is_timed, orphans_known) in [(true, true), (false, false)] {
        let chain = chain();
        chain.set_orphans_known(orphans_known);
        let node = Arc::new(ScriptedNode::new(chain, is_timed));
        check(&source(&node), &EXPECTED).await.unwrap();
        assert!(node.struck().is_empty());
    }
}

/// A fault that no check of conformance notices would test nothing. Named are those that a client
/// mends, and heads that are as good as others.
#[tokio::test]
async fn every_fault_shows() {
    use NodeFault::{FinalizedAbsent, FinalizedHigher, FinalizedLower, LogsShuffled, OtherBranch, Unordered};
    let unseen = [Unordered, LogsShuffled, OtherBranch, FinalizedAbsent, FinalizedHigher, FinalizedLower];
    let mut silent = Vec::new();
    for fault in NodeFault::ALL.into_iter().filter(|fault| !unseen.contains(fault)) {
        let node = Arc::new(ScriptedNode::new(chain(), true));
        node.plan_faults(FaultPlan::new(3).with(fault, 1_000_000));
        let outcome = check(&source(&node), &EXPECTED).await;
        if outcome.is_ok() || !node.struck().contains_key(&fault) {
            silent.push(fault);
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}
