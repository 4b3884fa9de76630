//! Scripted chains as nodes that are behind, down, or elsewhere.

use super::*;
use crate::conformance::{Expected, check};
use crate::source::{ScriptedChain, ScriptedLog};
use schemas::Address;
use schemas::alloy_primitives::Bytes;

fn quorum(chains: &[&ScriptedChain]) -> QuorumSource {
    let named = |(index, chain): (usize, &&ScriptedChain)| {
        let source: Arc<dyn ChainSource> = Arc::new(ScriptedChain::clone(chain));
        (format!("http://node-{index}"), source)
    };
    QuorumSource::over(chains.iter().enumerate().map(named).collect()).unwrap()
}

/// A chain of `length` empty blocks after genesis, final up to `finalized`.
fn chain(length: u64, finalized: u64) -> ScriptedChain {
    let chain = ScriptedChain::new(7);
    for _ in 0..length {
        chain.mine(0, &[]);
    }
    chain.finalize(finalized);
    chain
}

async fn finalized(source: &QuorumSource) -> Result<Option<u64>> {
    Ok(source.head(HeadTag::Finalized).await?.map(|head| head.number))
}

#[tokio::test]
async fn it_keeps_what_every_source_keeps() {
    let emitter = Address::repeat_byte(1);
    let [one, two] = [ScriptedChain::new(7), ScriptedChain::new(7)];
    for chain in [&one, &two] {
        for block in 0..5u8 {
            let logs = [ScriptedLog { address: emitter, topics: vec![B256::repeat_byte(2)], data: Bytes::from(vec![block]) }];
            chain.mine(0, &logs);
        }
        chain.finalize(2);
    }
    let expected = Expected { chain_id: 7, address: emitter, from: 1, to: 4, logs: 4 };
    check(&quorum(&[&one, &two]), &expected).await.unwrap();
}

#[tokio::test]
async fn final_is_what_a_majority_has_reached() {
    assert_eq!(finalized(&quorum(&[&chain(9, 8), &chain(9, 6), &chain(9, 3)])).await.unwrap(), Some(6));
    assert_eq!(finalized(&quorum(&[&chain(9, 8), &chain(9, 6)])).await.unwrap(), Some(6));
    // A node that lags far behind does not hold the others up, and need not have the block.
    assert_eq!(finalized(&quorum(&[&chain(9, 8), &chain(2, 1), &chain(9, 8)])).await.unwrap(), Some(8));
    let nothing_final = ScriptedChain::new(7);
    assert_eq!(finalized(&quorum(&[&chain(9, 8), &nothing_final])).await.unwrap(), None);
}

#[tokio::test]
async fn nodes_that_disagree_below_the_head_are_named() {
    let [one, two] = [chain(5, 0), chain(5, 0)];
    one.mine(1, &[]);
    two.mine(2, &[]);
    for chain in [&one, &two] {
        chain.mine(0, &[]);
    }
    // The first knows block 7 as final, the second block 6: they are compared at 6.
    one.finalize(7);
    two.finalize(6);
    let third = chain(9, 9);
    let error = quorum(&[&one, &two]).head(HeadTag::Finalized).await.unwrap_err();
    let hashes = [one.canonical()[6].hash, two.canonical()[6].hash];
    match &error {
        IndexerError::NodesDisagree { number: 6, first_url, first_hash, second_url, second_hash } => {
            assert_eq!([first_url.as_str(), second_url], ["http://node-0", "http://node-1"]);
            assert_eq!([*first_hash, *second_hash], hashes);
        }
        other => panic!("{other}"),
    }
    assert!(error.is_transient(), "one of them may have been reorganised a moment ago");
    // A majority does not outvote a fact: block 9 of one node is not that of the others.
    for _ in 0..3 {
        two.mine(0, &[]);
    }
    let error = quorum(&[&third, &two, &third]).head(HeadTag::Safe).await.unwrap_err();
    assert!(matches!(error, IndexerError::NodesDisagree { .. }), "{error}");
}

#[tokio::test]
async fn more_than_half_of_the_nodes_must_answer() {
    let [one, two, three] = [chain(9, 8), chain(9, 6), chain(9, 5)];
    let source = quorum(&[&one, &two, &three]);
    one.fail_next(1);
    assert_eq!(finalized(&source).await.unwrap(), Some(5));
    one.fail_next(1);
    two.fail_next(1);
    let error = finalized(&source).await.unwrap_err();
    assert!(matches!(error, IndexerError::RpcUnreachable { .. }), "{error}");
    assert_eq!(finalized(&source).await.unwrap(), Some(6));
    let two_nodes = quorum(&[&one, &two]);
    two.fail_next(1);
    assert!(finalized(&two_nodes).await.is_err(), "one of two decides nothing");
}

/// What is final is agreed on; a first node whose newest block stays below that would hide everything that is new.
#[tokio::test]
async fn a_node_that_stands_still_is_left() {
    let [still, one, two] = [chain(5, 4), chain(9, 7), chain(9, 7)];
    let source = quorum(&[&still, &one, &two]);
    assert_eq!(source.head(HeadTag::Latest).await.unwrap().unwrap().number, 5, "nobody knows better yet");
    assert_eq!(finalized(&source).await.unwrap(), Some(7));
    assert_eq!(source.head(HeadTag::Latest).await.unwrap().unwrap().number, 9);
}

#[tokio::test]
async fn the_next_node_helps_out_and_stays_preferred() {
    let [one, two] = [chain(9, 8), chain(5, 4)];
    let source = quorum(&[&one, &two]);
    let latest = async || source.head(HeadTag::Latest).await.unwrap().unwrap().number;
    assert_eq!(latest().await, 9);
    one.fail_next(1);
    assert_eq!(latest().await, 5);
    assert_eq!(latest().await, 5, "one answer in a row does not make a node well again");
    two.fail_next(1);
    assert_eq!(latest().await, 9);
}

#[tokio::test]
async fn a_node_that_is_behind_is_helped_out_but_not_left() {
    let [behind, ahead] = [chain(5, 4), chain(9, 8)];
    let source = quorum(&[&behind, &ahead]);
    assert_eq!(source.headers(&[4, 5, 6, 7, 8]).await.unwrap().len(), 5);
    assert_eq!(source.head(HeadTag::Latest).await.unwrap().unwrap().number, 5);
    let error = source.headers(&[4, 10]).await.unwrap_err();
    assert!(matches!(error, IndexerError::BlockUnknown { .. }), "{error}");
}

#[tokio::test]
async fn nodes_of_two_chains_are_refused() {
    let other = ScriptedChain::new(8);
    let error = quorum(&[&chain(1, 0), &other]).chain_id().await.unwrap_err();
    assert!(matches!(error, IndexerError::WrongChain { expected: 7, found: 8 }), "{error}");
    assert!(QuorumSource::over(Vec::new()).is_err());
}

#[test]
fn majorities() {
    for (numbers, expected) in [
        (vec![Some(5)], Some(5)),
        (vec![Some(5), Some(9)], Some(5)),
        (vec![Some(5), Some(9), Some(7)], Some(7)),
        (vec![Some(5), Some(9), Some(7), Some(9)], Some(7)),
        (vec![Some(5), None, None], None),
        (vec![Some(5), Some(5), None], Some(5)),
        (vec![], None),
    ] {
        assert_eq!(reached_by_majority(numbers.clone()), expected, "{numbers:?}");
    }
}
