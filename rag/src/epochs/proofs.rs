//! Proofs that strangers may ask for as often as they like: the trees are built once and kept.

use std::collections::HashMap;
use std::sync::Arc;

use schemas::merkle::StandardMerkleTree;
use schemas::tables::{ClosingRow, EpochRow, RewardRow, Wei};
use schemas::{Address, B256};
use store::{Memo, Store};

use super::RewardProof;
use super::close::{latest, rewards_of};
use crate::inclusion::{self, Inclusion};
use crate::receipts::body_hashes;
use crate::{RagError, Result, blocking};

/// Trees of receipts that are kept at most: of a million receipts one has 70 MB.
const MAX_RECEIPT_TREES: usize = 4;

#[derive(Debug)]
pub(crate) struct Proofs {
    store: Store,
    rewards: Memo<[u64; 2], (), Arc<Rewards>>,
    /// By epoch. Its receipts never change.
    receipts: Memo<(), u64, Arc<StandardMerkleTree>>,
    /// One tree at a time: who waits finds it.
    building: tokio::sync::Mutex<()>,
}

/// What everybody earned up to the newest settled epoch.
#[derive(Debug)]
struct Rewards {
    epoch: u64,
    root: B256,
    tree: StandardMerkleTree,
    accounts: HashMap<Address, (usize, Wei)>,
}

impl Proofs {
    pub(crate) fn new(store: Store) -> Self {
        let (rewards, receipts) = (Memo::new(1), Memo::new(MAX_RECEIPT_TREES));
        Self { store, rewards, receipts, building: tokio::sync::Mutex::default() }
    }

    /// The account's claim under the newest settled epoch.
    pub(crate) async fn reward(&self, account: Address) -> Result<RewardProof> {
        let mark = [self.store.version::<EpochRow>()?, self.store.version::<RewardRow>()?];
        let rewards = match self.rewards.find(&mark, &()) {
            Some(rewards) => rewards,
            None => {
                let _single = self.building.lock().await;
                self.rewards.get(mark, (), async || Rewards::read(&self.store).await.map(Arc::new)).await?
            }
        };
        let nothing = || RagError::not_found("reward of account", account);
        let (index, cumulative_wei) = *rewards.accounts.get(&account).ok_or_else(nothing)?;
        let proof = rewards.tree.proof(index).ok_or_else(nothing)?;
        Ok(RewardProof { epoch: rewards.epoch, account, cumulative_wei, proof, root: rewards.root })
    }

    /// Where a receipt stands; none while its epoch is not closed.
    pub(crate) async fn inclusion(&self, sequence: u64, body_hash: B256) -> Result<Option<Inclusion>> {
        let holds = format!("first_sequence <= {sequence} AND last_sequence >= {sequence}");
        let Some(closing) = self.store.scan::<ClosingRow>(Some(&holds)).await?.into_iter().next() else { return Ok(None) };
        let tree = match self.receipts.find(&(), &closing.epoch) {
            Some(tree) => tree,
            None => {
                let _single = self.building.lock().await;
                self.receipts.get((), closing.epoch, async || receipt_tree(&self.store, &closing).await.map(Arc::new)).await?
            }
        };
        let ClosingRow { epoch, first_sequence, last_sequence, receipts_root, .. } = closing;
        let index = usize::try_from(sequence.saturating_sub(first_sequence)).unwrap_or(usize::MAX);
        let proof = tree.proof(index).filter(|proof| inclusion::proves(receipts_root, body_hash, proof));
        let proof = proof.ok_or_else(|| other_receipts(&closing))?;
        Ok(Some(Inclusion { epoch, first_sequence, last_sequence, receipts_root, proof }))
    }
}

impl Rewards {
    async fn read(store: &Store) -> Result<Self> {
        let epoch = latest(store).await?.ok_or_else(|| RagError::not_found("epoch", "that is settled"))?;
        let rows = rewards_of(store, epoch.epoch).await?;
        blocking(move || {
            let tree = StandardMerkleTree::new(&rows.iter().map(|row| row.leaf).collect::<Vec<B256>>())?;
            if tree.root() != epoch.reward_root {
                let problem = format!("its rewards have root {} instead of {}", tree.root(), epoch.reward_root);
                return Err(RagError::EpochConflict { epoch: epoch.epoch, problem });
            }
            let accounts = rows.iter().enumerate().map(|(index, row)| (row.account, (index, row.cumulative_wei))).collect();
            Ok(Self { epoch: epoch.epoch, root: epoch.reward_root, tree, accounts })
        })
        .await
    }
}

async fn receipt_tree(store: &Store, closing: &ClosingRow) -> Result<StandardMerkleTree> {
    let hashes = body_hashes(store, closing.first_sequence..=closing.last_sequence).await?;
    let tree = blocking(move || Ok(StandardMerkleTree::new(&hashes.into_iter().map(inclusion::leaf).collect::<Vec<B256>>())?)).await?;
    if tree.root() == closing.receipts_root { Ok(tree) } else { Err(other_receipts(closing)) }
}

fn other_receipts(closing: &ClosingRow) -> RagError {
    let (epoch, first, last) = (closing.epoch, closing.first_sequence, closing.last_sequence);
    RagError::EpochConflict { epoch, problem: format!("the receipts {first} to {last} in the tables do not lead to its root") }
}
