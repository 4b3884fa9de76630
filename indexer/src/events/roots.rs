//! What the distributor's events say of reward roots: the one in force, the pending one, the removed one, and what the
//! pool was given.

use schemas::contracts::{Deployment, RewardDistributor};
use schemas::{Address, B256, U256};
use store::{Finality, Store};

use super::all;
use crate::Result;

/// Where reward roots stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RootBook {
    /// `(epoch, root)` in force.
    pub accepted: Option<(u64, B256)>,
    pub pending: Option<PendingRoot>,
    /// `(epoch, root)` that the distributor's owner removed last.
    pub removed: Option<(u64, B256)>,
}

/// A root that can be disputed, or waits to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRoot {
    pub epoch: u64,
    pub root: B256,
    /// Unix seconds.
    pub disputable_until: u64,
    /// Who disputes it, and the hash of the evidence.
    pub dispute: Option<(Address, B256)>,
}

#[derive(Debug)]
enum Step {
    Proposed(PendingRoot),
    Disputed(Address, B256),
    Removed,
    Upheld,
    Accepted(u64, B256),
}

impl RootBook {
    /// # Errors
    /// [`crate::IndexerError::EventUndecodable`], and errors of the store.
    pub async fn read(store: &Store, deployment: &Deployment, finality: Finality) -> Result<Self> {
        use RewardDistributor::{DisputeResolved, RootAccepted, RootDisputed, RootProposed, RootRevoked};
        let distributor = deployment.distributor;
        let mut steps: Vec<(u64, Step)> = Vec::new();
        for event in all::<RootProposed>(store, distributor, finality).await?.into_iter().map(|placed| placed.event) {
            let pending = PendingRoot { epoch: event.epoch, root: event.root, disputable_until: event.disputableUntil, dispute: None };
            steps.push((event.seq, Step::Proposed(pending)));
        }
        let disputed = all::<RootDisputed>(store, distributor, finality).await?;
        steps.extend(disputed.into_iter().map(|placed| (placed.event.seq, Step::Disputed(placed.event.by, placed.event.evidenceHash))));
        let revoked = all::<RootRevoked>(store, distributor, finality).await?;
        steps.extend(revoked.into_iter().map(|placed| (placed.event.seq, Step::Removed)));
        let resolved = all::<DisputeResolved>(store, distributor, finality).await?;
        let decided = |valid| if valid { Step::Removed } else { Step::Upheld };
        steps.extend(resolved.into_iter().map(|placed| (placed.event.seq, decided(placed.event.valid))));
        let accepted = all::<RootAccepted>(store, distributor, finality).await?;
        steps.extend(accepted.into_iter().map(|placed| (placed.event.seq, Step::Accepted(placed.event.epoch, placed.event.root))));
        steps.sort_by_key(|(seq, _)| *seq);
        Ok(steps.into_iter().fold(Self::default(), |book, (_, step)| book.after(step)))
    }

    fn after(self, step: Step) -> Self {
        match step {
            Step::Proposed(pending) => Self { pending: Some(pending), ..self },
            Step::Disputed(by, evidence) => {
                Self { pending: self.pending.map(|pending| PendingRoot { dispute: Some((by, evidence)), ..pending }), ..self }
            }
            Step::Upheld => Self { pending: self.pending.map(|pending| PendingRoot { dispute: None, ..pending }), ..self },
            Step::Removed => {
                Self { pending: None, removed: self.pending.map(|pending| (pending.epoch, pending.root)).or(self.removed), ..self }
            }
            Step::Accepted(epoch, root) => Self { accepted: Some((epoch, root)), pending: None, ..self },
        }
    }

    /// 0 before the first.
    pub fn accepted_epoch(&self) -> u64 {
        self.accepted.map_or(0, |(epoch, _)| epoch)
    }
}

/// What the pool was given up to the end of a block, in token wei.
pub async fn funded_at(store: &Store, deployment: &Deployment, block: u64, finality: Finality) -> Result<U256> {
    let funded = all::<RewardDistributor::Funded>(store, deployment.distributor, finality).await?;
    let last = funded.into_iter().rfind(|placed| placed.place.block_number <= block);
    Ok(last.map_or(U256::ZERO, |placed| placed.event.totalFunded))
}
