//! Bringing every unfinished transaction one step further: into a block, back into one after a
//! reorganisation, and past finality.

use std::time::{Duration, Instant};

use schemas::alloy_primitives::Bytes;
use schemas::tables::Millis;
use schemas::{B256, U256};

use super::fees::{self, Fees};
use super::node::{Head, Offered, View};
use super::outbox::{Content, Parked, Record, Role, Slot, Version};
use super::progress::{Step, step};
use super::queue::Queue;
use super::{Draft, Sender};
use crate::{IndexerError, Result};

/// Units of gas of a transaction that does nothing.
const CANCELLATION_GAS: u64 = 21_000;

impl Sender {
    /// One look at the node, and what follows from it.
    pub(super) async fn advance(&self, queue: &mut Queue) -> Result<()> {
        let everything = queue.tended_at.is_none_or(|at| at.elapsed() >= Duration::from_millis(self.config.tend_ms));
        let nonces = queue.nonces(everything);
        if nonces.is_empty() {
            return Ok(());
        }
        let view = self.node.view(&queue.hashes(everything)).await?;
        let finalized_count = if everything && queue.misses(&view) { self.node.count("finalized").await.ok() } else { None };
        for nonce in nonces {
            let Some(slot) = queue.slot(nonce).cloned() else { continue };
            let seen = queue.seen(&slot, &view, finalized_count);
            let timing = queue.timing(nonce, &seen, view.head.number, &self.config);
            self.take(step(&slot, &seen, &timing), &slot, queue, &view).await?;
        }
        self.fill_gap(queue, &view).await?;
        queue.finalized = queue.finalized.max(view.finalized);
        if everything {
            queue.tended_at = Some(Instant::now());
        }
        if let Err(error) = queue.outbox.compact_if_long(Millis::now()) {
            tracing::warn!(%error, "the outbox was not shortened");
        }
        self.counters.note(&queue.outbox.state);
        Ok(())
    }

    async fn take(&self, step: Step, slot: &Slot, queue: &mut Queue, view: &View) -> Result<()> {
        let nonce = slot.nonce;
        let (hash, purpose) = (slot.offered().hash, slot.offered().purpose.as_str());
        match step {
            Step::Wait => Ok(()),
            Step::Include(inclusion) => {
                tracing::debug!(nonce, hash = %inclusion.hash, block = inclusion.block_number, succeeded = inclusion.succeeded, "transaction included");
                self.counters.count_if(!inclusion.succeeded && slot.is_open(), |counters| &counters.failed);
                queue.append(&Record::Included { nonce, inclusion })
            }
            Step::Finish => {
                self.counters.count(|counters| &counters.finalized);
                queue.append(&Record::Final { nonce })
            }
            Step::Reopen => {
                tracing::warn!(nonce, %hash, purpose, "a transaction was reorganised away; it is sent again");
                self.counters.count(|counters| &counters.reorged_out);
                queue.append(&Record::Reopened { nonce, hash })?;
                queue.wait_anew(nonce, view.head.number);
                self.offer(slot.offered(), queue).await.map(drop)
            }
            Step::Park(why) => {
                tracing::warn!(nonce, %hash, purpose, ?why, "a transaction is given up");
                self.counters.count_if(why != Parked::Undone, |counters| &counters.failed);
                queue.append(&Record::Parked { nonce, why })
            }
            Step::Forget => queue.append(&Record::Foreign { nonce }),
            Step::Offer => self.offer(slot.offered(), queue).await.map(drop),
            Step::Replace => self.replace(slot, queue, view).await,
        }
    }

    /// Sends the same bytes. Only [`super::submit`] tells a caller of a refusal; others try again.
    pub(super) async fn offer(&self, version: &Version, queue: &mut Queue) -> Result<Offered> {
        let offered = self.node.offer(&version.raw).await?;
        queue.mark_offered(version.nonce);
        match &offered {
            Offered::Pending => tracing::debug!(nonce = version.nonce, hash = %version.hash, purpose = version.purpose, "transaction sent"),
            Offered::Refused(problem) => {
                tracing::debug!(nonce = version.nonce, hash = %version.hash, problem, "the node refused a transaction");
            }
        }
        Ok(offered)
    }

    /// Signs a version with higher fees; one that does nothing if the action has become impossible,
    /// since whatever has this nonce holds up all that comes after it.
    async fn replace(&self, slot: &Slot, queue: &mut Queue, view: &View) -> Result<()> {
        queue.wait_anew(slot.nonce, view.head.number);
        let offered = slot.offered();
        let estimated = match offered.role {
            Role::Cancellation => Ok(offered.gas_limit),
            Role::Action => self.gas_limit(&offered.content).await,
        };
        let gas_limit = match estimated {
            Ok(gas_limit) => gas_limit.max(offered.gas_limit),
            Err(error) if is_impossible(&error) => {
                tracing::warn!(nonce = slot.nonce, purpose = offered.purpose, %error, "a stuck transaction became impossible; it is cancelled");
                return self.cancel(slot.nonce, queue, view).await;
            }
            Err(error) => {
                tracing::debug!(nonce = slot.nonce, %error, "a stuck transaction was not replaced");
                return Ok(());
            }
        };
        let draft = Draft { role: offered.role, purpose: offered.purpose.clone(), content: offered.content.clone(), gas_limit };
        self.replace_with(&draft, slot.nonce, queue, view.head).await
    }

    /// What comes after a nonce that nothing holds waits for ever: it is used up.
    async fn fill_gap(&self, queue: &mut Queue, view: &View) -> Result<()> {
        let Some(slot) = queue.outbox.state.lowest_open() else { return Ok(()) };
        let blocked = slot.nonce;
        if blocked <= view.count || queue.slot(view.count).is_some_and(|slot| !matches!(slot.status, super::outbox::Status::Parked(_))) {
            return Ok(());
        }
        let seen = queue.seen(&slot.clone(), view, None);
        if !queue.timing(blocked, &seen, view.head.number, &self.config).stuck {
            return Ok(());
        }
        tracing::warn!(nonce = view.count, waiting = blocked, "a nonce is missing; it is used up");
        queue.wait_anew(blocked, view.head.number);
        self.cancel(view.count, queue, view).await
    }

    async fn cancel(&self, nonce: u64, queue: &mut Queue, view: &View) -> Result<()> {
        let content = Content { to: Some(self.address()), calldata: Bytes::new(), value: U256::ZERO };
        let draft = Draft { role: Role::Cancellation, purpose: "cancellation".into(), content, gas_limit: CANCELLATION_GAS };
        self.replace_with(&draft, nonce, queue, view.head).await
    }

    /// A further version of a nonce. That the limits do not allow it is no error: those before it go on waiting.
    async fn replace_with(&self, draft: &Draft, nonce: u64, queue: &mut Queue, head: Head) -> Result<()> {
        let replaced = async {
            let suggested = self.suggested_fees(head).await?;
            let cap_wei = self.config.policy.max_fee_per_gas_wei;
            let fees = match queue.slot(nonce).map(highest_fees) {
                None => suggested,
                Some(old) => fees::replacing(old, suggested, cap_wei)
                    .ok_or(IndexerError::FeeAboveCap { base_fee_wei: head.base_fee_wei, cap_wei })?,
            };
            let version = self.sign(draft, nonce, fees, head, queue)?;
            tracing::info!(nonce, hash = %version.hash, purpose = draft.purpose, max_fee = fees.max_fee, tip = fees.tip, "a stuck transaction is replaced");
            self.counters.count(|counters| &counters.replaced);
            self.offer(&version, queue).await
        };
        match replaced.await {
            Ok(_) => Ok(()),
            Err(error @ (IndexerError::Outbox { .. } | IndexerError::Schema(_))) => Err(error),
            Err(error) => {
                tracing::warn!(nonce, %error, "a stuck transaction was not replaced");
                Ok(())
            }
        }
    }

    /// Checks the limits, signs, and writes the transaction down. It may be sent once this returns.
    pub(super) fn sign(&self, draft: &Draft, nonce: u64, fees: Fees, head: Head, queue: &mut Queue) -> Result<Version> {
        self.config.policy.check_gas(draft.gas_limit)?;
        let worst_fee_wei = fees.max_fee.saturating_mul(draft.gas_limit.into());
        let before = queue.slot(nonce).map_or(0, Slot::fee_wei);
        self.config.policy.check_day(queue.outbox.state.spending(Millis::now(), nonce), worst_fee_wei.max(before))?;
        let replaces = queue.slot(nonce).map(|slot| slot.offered().hash);
        let version = self.signed(draft, nonce, fees, head, replaces)?;
        queue.append(&Record::Signed(Box::new(version.clone())))?;
        Ok(version)
    }

    /// Whether any version of a nonce is with the node.
    pub(super) async fn node_has(&self, slot: &Slot) -> Result<bool> {
        for hash in slot.versions.iter().map(|version| version.hash).collect::<Vec<B256>>() {
            if self.node.knows(hash).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn highest_fees(slot: &Slot) -> Fees {
    let highest = |of: fn(&Version) -> u128| slot.versions.iter().map(of).max().unwrap_or(0);
    Fees { max_fee: highest(|version| version.max_fee_per_gas.0), tip: highest(|version| version.max_priority_fee_per_gas.0) }
}

fn is_impossible(error: &IndexerError) -> bool {
    match error {
        IndexerError::Reverted { .. } => true,
        IndexerError::Transaction { problem } => problem.to_ascii_lowercase().contains("insufficient funds"),
        _ => false,
    }
}
