//! What the service says of epochs, and its receipts, each checked as it is read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context as _, ensure};
use rag::{EpochReceipts, Policy, verify_receipt, verify_run};
use schemas::ids::{AnswerId, DatanetId};
use schemas::receipt::Receipt;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, RewardRow};
use schemas::{Address, B256};

use super::Before;
use crate::cli::verify::checks::Checks;
use crate::client::Client;
use crate::http::{Epoch, MAX_RECEIPTS};
use crate::output::count;

/// A settled epoch as the service states it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) closing: ClosingRow,
    pub(super) policy: Option<Policy>,
    pub(super) settled: EpochRow,
    pub(super) debts: Vec<DebtRow>,
    pub(super) rewards: Vec<RewardRow>,
}

pub(super) async fn read(client: &Client, epoch: u64) -> anyhow::Result<Told> {
    let Epoch { closing, policy, settled } = client.get(&format!("/v1/epochs/{epoch}")).await?;
    let settled = settled.with_context(|| format!("epoch {epoch} is still being settled: try again when its payers were debited"))?;
    ensure!(
        closing.epoch == epoch && settled.epoch == epoch,
        "the service gives epochs {} and {} for epoch {epoch}",
        closing.epoch,
        settled.epoch
    );
    let debts = client.get_all(&format!("/v1/epochs/{epoch}/debts"), |row: &DebtRow| row.payer.to_string()).await?;
    let rewards = client.get_all(&format!("/v1/epochs/{epoch}/rewards"), |row: &RewardRow| row.account.to_string()).await?;
    Ok(Told { closing, policy, settled, debts, rewards })
}

/// What an epoch begins with, by the service's word: nothing where it is the first.
pub(super) async fn before(client: &Client, epoch: u64) -> anyhow::Result<Before> {
    if epoch == 1 {
        return Ok(Before::default());
    }
    let Told { closing, policy, settled, debts, rewards } = read(client, epoch - 1).await?;
    let (last_sequence, block) = (closing.last_sequence, settled.to_block);
    Ok(Before { last_sequence, block, has_policy: policy.is_some(), debts, rewards })
}

/// The service's receipts, read in order.
pub(super) struct Ledger {
    client: Client,
    /// Number of the last one that was read, and it.
    read_to: u64,
    last: Option<Receipt>,
    answers: HashSet<AnswerId>,
    pub(super) seen: Seen,
}

/// What the registry is to be asked of receipts.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Who signed for which Datanets.
    pub(super) signers: BTreeSet<(DatanetId, Address)>,
    /// Of each version, as receipts state it.
    pub(super) roots: BTreeMap<(DatanetId, u64), B256>,
}

impl Ledger {
    /// From the first receipt on that somebody still owes for, else from the one after those of `before`.
    pub(super) fn new(client: Client, before: &Before) -> Self {
        let owing = before.debts.iter().filter(|row| row.unpaid_wei.0 > 0).map(|row| row.covered_to).min();
        let read_to = owing.map_or(before.last_sequence, |covered| covered.min(before.last_sequence));
        Self { client, read_to, last: None, answers: HashSet::new(), seen: Seen::default() }
    }

    /// Reads up to this number, or to the first receipt that is not right, and says of them what they show by themselves.
    pub(super) async fn read_to(
        &mut self,
        number: u64,
        place: (u64, Address),
        receipts: &mut EpochReceipts,
        checks: &mut Checks,
    ) -> anyhow::Result<()> {
        let mut read = 0;
        while self.read_to < number {
            let limit = MAX_RECEIPTS.min(number - self.read_to);
            let page: Vec<Receipt> = self.client.get(&format!("/v1/receipts?after={}&limit={limit}", self.read_to)).await?;
            if let Err(problem) = self.take(page, limit, place, receipts) {
                checks.fail("receipts", format!("{problem:#}"));
                return Ok(());
            }
            read += limit;
        }
        let detail = "one run, signed, of sources that were members in their order, with shares that follow from their values";
        checks.valid("receipts", format!("{}: {detail}", count(read, "receipt")));
        Ok(())
    }

    /// Takes the next receipts, of which there must be `limit`.
    fn take(&mut self, page: Vec<Receipt>, limit: u64, place: (u64, Address), receipts: &mut EpochReceipts) -> anyhow::Result<()> {
        let (first, last) = (self.read_to + 1, self.read_to + limit);
        let numbers = page.iter().map(|receipt| receipt.body.sequence);
        ensure!(numbers.eq(first..=last), "the service does not give each of the receipts {first} to {last}");
        let is_first = self.last.is_none();
        let run: Vec<Receipt> = self.last.take().into_iter().chain(page).collect();
        verify_run(&run)?;
        for receipt in run.iter().skip(usize::from(!is_first)) {
            let body = &receipt.body;
            verify_receipt(receipt).with_context(|| format!("receipt {}", body.sequence))?;
            ensure!(self.answers.insert(body.answer_id), "answer {} has two receipts", body.answer_id);
            let stated = (body.chain_id, body.registry);
            ensure!(stated == place, "receipt {} is of registry {} on chain {}", body.sequence, body.registry, body.chain_id);
            let root = *self.seen.roots.entry((body.datanet_id, body.version)).or_insert(body.version_root);
            ensure!(root == body.version_root, "receipts state two roots of version {} of Datanet {}", body.version, body.datanet_id);
            self.seen.signers.insert((body.datanet_id, receipt.signer));
            receipts.add(body)?;
        }
        self.read_to = last;
        self.last = run.into_iter().next_back();
        Ok(())
    }
}
