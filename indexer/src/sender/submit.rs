//! From a caller's wish to a transaction in a block.

use std::time::{Duration, Instant};

use schemas::U256;

use super::fees::{self, Fees};
use super::node::{Head, Offered, reverted};
use super::outbox::{Content, Inclusion, Parked, Record, Role, Slot, Status};
use super::queue::Queue;
use super::tend::highest_fees;
use super::{Draft, Sender, TxOutcome};
use crate::{IndexerError, Result};

/// Until when a caller waits.
#[derive(Debug)]
struct Patience {
    started: Instant,
    limit_ms: u64,
}

impl Patience {
    fn waited_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.waited_ms() >= self.limit_ms
    }
}

impl Sender {
    pub(super) async fn submit(&self, purpose: String, content: Content) -> Result<TxOutcome> {
        self.config.policy.check_action(&content)?;
        let patience = Patience { started: Instant::now(), limit_ms: self.config.receipt_timeout_ms };
        let turn = tokio::time::timeout(Duration::from_millis(patience.limit_ms), self.queue.lock());
        let mut turn = turn.await.map_err(|_| IndexerError::QueueBusy { account: self.address(), waited_ms: patience.waited_ms() })?;
        let queue = &mut *turn;
        let waiting = queue.outbox.state.open_with(&content).map(|slot| slot.nonce);
        let nonce = match waiting {
            Some(nonce) => {
                tracing::info!(nonce, purpose, "the same transaction is under way already");
                nonce
            }
            None => {
                self.settle(queue, &patience).await?;
                self.start(queue, purpose, &content).await?
            }
        };
        let outcome = self.wait(queue, nonce, &content, &patience).await;
        self.counters.note(&queue.outbox.state);
        outcome
    }

    /// Waits until everything sent before is in a block: only then the node's estimate is about the
    /// state that the next transaction will meet.
    async fn settle(&self, queue: &mut Queue, patience: &Patience) -> Result<()> {
        loop {
            let advanced = self.advance(queue).await;
            if queue.outbox.state.lowest_open().is_none() {
                return Ok(());
            }
            self.pause(advanced, patience).await?;
            if patience.is_over() {
                return Err(IndexerError::QueueBusy { account: self.address(), waited_ms: patience.waited_ms() });
            }
        }
    }

    /// Between two looks at the node. Its transient errors are waited out.
    async fn pause(&self, advanced: Result<()>, patience: &Patience) -> Result<()> {
        match advanced {
            Err(error) if !error.is_transient() || patience.is_over() => return Err(error),
            Err(error) => tracing::debug!(%error, account = %self.address(), "no word about a transaction yet"),
            Ok(()) => {}
        }
        tokio::time::sleep(Duration::from_millis(self.config.receipt_poll_ms)).await;
        Ok(())
    }

    /// Signs and sends, and returns the nonce.
    async fn start(&self, queue: &mut Queue, purpose: String, content: &Content) -> Result<u64> {
        let gas_limit = self.gas_limit(content).await?;
        self.config.policy.check_gas(gas_limit)?;
        // What others of this account have pending is skipped. Ours is known better than by the node.
        let tag = if queue.outbox.state.slots.is_empty() { "pending" } else { "latest" };
        let nonce = queue.outbox.state.next_nonce(self.node.count(tag).await?);
        let head = self.node.head().await?;
        let parked = queue.slot(nonce).cloned();
        let same = parked.as_ref().map(Slot::offered).filter(|version| {
            version.role == Role::Action && version.content == *content && version.max_fee_per_gas.0 >= head.base_fee_wei
        });
        let version = if let Some(version) = same {
            queue.append(&Record::Reopened { nonce, hash: version.hash })?;
            queue.wait_anew(nonce, head.number);
            version.clone()
        } else {
            let fees = self.fees(parked.as_ref(), head).await?;
            self.check_balance(content, gas_limit, fees).await?;
            let draft = Draft { role: Role::Action, purpose, content: content.clone(), gas_limit };
            let version = self.sign(&draft, nonce, fees, head, queue)?;
            self.counters.count(|counters| &counters.sent);
            version
        };
        if let Offered::Refused(problem) = self.offer(&version, queue).await? {
            // Another node may have it all the same: so its nonce stays known as used by it.
            self.counters.count(|counters| &counters.failed);
            queue.append(&Record::Parked { nonce, why: Parked::Refused })?;
            return Err(IndexerError::Transaction { problem });
        }
        Ok(nonce)
    }

    /// For the next transaction; high enough to take the place of a parked one that the node holds.
    async fn fees(&self, parked: Option<&Slot>, head: Head) -> Result<Fees> {
        let suggested = self.suggested_fees(head).await?;
        let Some(parked) = parked else { return Ok(suggested) };
        if !self.node_has(parked).await? {
            return Ok(suggested);
        }
        let cap_wei = self.config.policy.max_fee_per_gas_wei;
        fees::replacing(highest_fees(parked), suggested, cap_wei)
            .ok_or(IndexerError::FeeAboveCap { base_fee_wei: head.base_fee_wei, cap_wei })
    }

    /// Refused before it is signed rather than after.
    async fn check_balance(&self, content: &Content, gas_limit: u64, fees: Fees) -> Result<()> {
        let gas_fee = U256::from(gas_limit).saturating_mul(U256::from(fees.max_fee));
        let (needed_wei, balance_wei) = (content.value.saturating_add(gas_fee), self.node.balance_wei().await?);
        if balance_wei < needed_wei {
            return Err(IndexerError::Unfunded { account: self.address(), balance_wei, needed_wei });
        }
        Ok(())
    }

    /// Waits until the nonce is in a block, and tells whether `content` is what is there.
    async fn wait(&self, queue: &mut Queue, nonce: u64, content: &Content, patience: &Patience) -> Result<TxOutcome> {
        loop {
            let advanced = self.advance(queue).await;
            let taken = || IndexerError::NonceTaken { account: self.address(), nonce };
            let slot = queue.slot(nonce).ok_or_else(taken)?;
            match slot.status {
                Status::Included(inclusion) => {
                    let version = slot.version(inclusion.hash).ok_or_else(taken)?;
                    return match version.role {
                        Role::Cancellation => Err(IndexerError::TransactionCancelled { hash: inclusion.hash, nonce }),
                        Role::Action if version.content == *content => self.outcome(content, inclusion).await,
                        // An earlier one, which the node had refused, was taken by another node.
                        Role::Action => Err(taken()),
                    };
                }
                Status::Parked(_) => return Err(taken()),
                Status::Open if patience.is_over() => {
                    let hash = slot.offered().hash;
                    return Err(IndexerError::TransactionUnknown { hash, nonce, waited_ms: patience.waited_ms() });
                }
                Status::Open => {}
            }
            match self.pause(advanced, patience).await {
                Err(error) if error.is_transient() => {} // the next round tells what is known
                paused => paused?,
            }
        }
    }

    async fn outcome(&self, content: &Content, inclusion: Inclusion) -> Result<TxOutcome> {
        if !inclusion.succeeded {
            return Err(reverted(content, self.node.reason(content, inclusion.block_number).await));
        }
        Ok(TxOutcome {
            hash: inclusion.hash,
            block_number: inclusion.block_number,
            block_hash: inclusion.block_hash,
            contract_address: inclusion.contract_address,
            gas_used: inclusion.gas_used,
        })
    }
}
