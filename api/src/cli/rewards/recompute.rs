//! `headwater settle --recompute`: what an epoch paid, again, on any machine.
//!
//! Receipts and the rows of the epoch come from the service, which is not believed: each receipt is checked, the receipts must be
//! those whose root the vault was given, the versions that they rest on must stand in the registry, and what was collected is read
//! from the vault's events at a node. What follows from all this must be the debts, rewards, root and artifact hash that the service
//! states and the distributor was told.

mod chain;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use indexer::events::debits::Taken;
use rag::{Collected, Collection, EpochComputation, EpochInputs, EpochReceipts, asked_for_epoch, recompute_epoch_of};
use schemas::tables::{ClosingRow, DebtRow, EpochRow, RewardRow, Wei};
use schemas::{Address, U256};
use serde_json::json;

use super::SettleArgs;
use crate::cli::Context;
use crate::cli::verify::checks::{Checks, Outcome};
use crate::client::Client;
use crate::output::{Progress, Report, count, tokens};
use crate::settlement::wei;
use chain::{Chain, OnChain};
use told::{Ledger, Told};

/// What an epoch begins with.
#[derive(Debug, Default)]
struct Before {
    last_sequence: u64,
    /// That holds its last debit.
    block: u64,
    has_policy: bool,
    debts: Vec<DebtRow>,
    rewards: Vec<RewardRow>,
}

/// Computes the epochs `--from` to `epoch`.
pub(super) async fn recompute(context: &Context, args: &SettleArgs, epoch: u64) -> anyhow::Result<Report> {
    let first = args.from.unwrap_or(epoch);
    ensure!(epoch >= 1, "the first epoch is 1, not {epoch}");
    ensure!(first >= 1 && first <= epoch, "epochs are computed from --from on, which is 1 to {epoch}, not {first}");
    let client = context.client()?;
    let chain = Chain::connect(&context.info().await?, args).await?;
    let progress = Progress::start(context.voice, "reading what the epochs begin with");
    let begins = || format!("what epoch {first} begins with, that is what the one before it left, cannot be read");
    let before = told::before(&client, first).await.with_context(begins)?;
    let mut audit = Audit { ledger: Ledger::new(client.clone(), &before), receipts: EpochReceipts::default(), client, chain, before };
    let (mut all, mut last): (Vec<Checks>, _) = (Vec::new(), None);
    for number in first..=epoch {
        progress.say(&format!("epoch {number}"));
        let mut checks = Checks::new(format!("epoch {number}"));
        if number == first {
            audit.chain.note_believed(&mut checks);
        }
        if number == first && first > 1 {
            let detail = format!("what was owed and earned after epoch {}: compute from the first on with --from 1", first - 1);
            checks.skip("before", detail);
        }
        let done = audit.epoch(number, &mut checks).await;
        // what was found before is not lost with what could not be asked
        let done = done.with_context(|| {
            let before = all.iter().map(|checks| format!("{}\n", checks.text())).collect::<String>();
            format!("{before}{}\nepoch {number} was not computed to its end", checks.so_far())
        })?;
        let failed = checks.failed();
        all.push(checks);
        last = done.filter(|_| !failed);
        if last.is_none() {
            break;
        }
    }
    drop(progress);
    report(&all, last)
}

fn texts(all: &[Checks]) -> String {
    all.iter().map(Checks::text).collect::<Vec<_>>().join("\n")
}

fn report(all: &[Checks], last: Option<EpochRow>) -> anyhow::Result<Report> {
    let mut text = texts(all);
    let Some(row) = last else { bail!("{text}") };
    text += &format!("\n  reward root    {}\n  artifact hash  {}", row.reward_root, row.artifact_hash);
    let done: Vec<_> = all.iter().flat_map(|checks| &checks.done).collect();
    let valid = done.iter().all(|check| check.outcome == Outcome::Valid);
    Ok(Report::new(
        text,
        &json!({
            "epoch": row.epoch, "reward_root": row.reward_root, "artifact_hash": row.artifact_hash, "pool_wei": row.pool_wei,
            "valid": valid, "failed": false, "checks": done,
        }),
    ))
}

struct Audit {
    client: Client,
    chain: Chain,
    ledger: Ledger,
    receipts: EpochReceipts,
    before: Before,
}

impl Audit {
    /// Computes the next epoch; none where it is not right.
    async fn epoch(&mut self, number: u64, checks: &mut Checks) -> anyhow::Result<Option<EpochRow>> {
        let told = told::read(&self.client, number).await?;
        if !follows(&told.closing, &self.before, checks) {
            return Ok(None);
        }
        let on_chain = self.chain.epoch(&told.closing, told.policy.as_ref(), &told.settled).await?;
        self.ledger.read_to(told.closing.last_sequence, self.chain.place(), &mut self.receipts, checks).await?;
        if checks.failed() {
            return Ok(None);
        }
        let Some((row, computed)) = judge(&told, &on_chain, &self.before, &self.receipts, checks)? else { return Ok(None) };
        let seen = std::mem::take(&mut self.ledger.seen);
        self.chain.versions(&seen.roots, &seen.signers, checks).await?;
        let EpochComputation { debts, rewards, .. } = computed;
        let has_policy = told.policy.is_some();
        self.before = Before { last_sequence: row.last_sequence, block: row.to_block, has_policy, debts, rewards };
        Ok(Some(row))
    }
}

/// Whether the epoch begins where the one before ended.
fn follows(closing: &ClosingRow, before: &Before, checks: &mut Checks) -> bool {
    let (first, last) = (closing.first_sequence, closing.last_sequence);
    if before.last_sequence.checked_add(1) != Some(first) || last < before.last_sequence {
        checks.fail("closing", format!("it has the receipts {first} to {last}, and the epoch before ended with {}", before.last_sequence));
    } else if closing.block_number < before.block {
        let detail =
            format!("it was closed at block {}, and the epoch before was debited up to block {}", closing.block_number, before.block);
        checks.fail("closing", detail);
    }
    !checks.failed()
}

/// Compares an epoch with what follows from its receipts and the chain; gives that, where it could be computed.
fn judge(
    told: &Told,
    on_chain: &OnChain,
    before: &Before,
    receipts: &EpochReceipts,
    checks: &mut Checks,
) -> anyhow::Result<Option<(EpochRow, EpochComputation)>> {
    let closing = &told.closing;
    on_chain.check_closing(closing, checks);
    check_policy(told, on_chain, before, receipts, checks);
    let Some(collection) = collection(closing, on_chain, checks)? else { return Ok(None) };
    let policy = told.policy.as_ref();
    let inputs = EpochInputs { closing, policy, receipts: &[], debts: &before.debts, rewards: &before.rewards, collection: &collection };
    let computed = match recompute_epoch_of(&inputs, receipts) {
        Ok(computed) => computed,
        Err(error) => {
            checks.fail("rewards", error.to_string());
            return Ok(None);
        }
    };
    let passed_over: Vec<String> = asked_for_epoch(&inputs, receipts)?
        .into_iter()
        .filter(|asked| asked.is_new && !on_chain.debits.asked.contains(&asked.payer))
        .map(|asked| asked.payer.to_string())
        .collect();
    if !passed_over.is_empty() {
        checks.fail("collection", format!("never asked for what they owe: {}", passed_over.join(", ")));
    }
    let counted = ClosingRow {
        receipt_count: closing.last_sequence - before.last_sequence,
        total_wei: receipts.fees(closing.first_sequence..=closing.last_sequence)?,
        ..closing.clone()
    };
    // when it was settled is the service's word, and decides nothing
    let row = computed.row(&counted, policy, &collection, told.settled.computed_at);
    compare(told, &row, &computed, checks)?;
    on_chain.check_root(&row, checks);
    Ok(Some((row, computed)))
}

/// The policy names those whom the vault's events name, of the payers whom the epoch concerns.
fn check_policy(told: &Told, on_chain: &OnChain, before: &Before, receipts: &EpochReceipts, checks: &mut Checks) {
    let closing = &told.closing;
    let Some(policy) = &told.policy else {
        let detail = "the epoch was closed without one: who asked was paid for their own";
        return if before.has_policy { checks.fail("policy", detail) } else { checks.skip("policy", detail) };
    };
    let payers = receipts.payers(closing.first_sequence..=closing.last_sequence);
    let payers: BTreeSet<Address> = payers.chain(before.debts.iter().map(|row| row.payer)).collect();
    let of_epoch = on_chain.funders.iter().filter(|(payer, _)| payers.contains(*payer));
    let funded_by: BTreeMap<Address, BTreeSet<Address>> = of_epoch.map(|(payer, funders)| (*payer, funders.clone())).collect();
    if policy.block_number != closing.block_number {
        let detail = format!("it counts deposits up to block {}; the epoch was closed at {}", policy.block_number, closing.block_number);
        return checks.fail("policy", detail);
    }
    let wrong = payers.iter().find(|payer| policy.funded_by.get(*payer) != funded_by.get(*payer));
    if let Some(payer) = wrong {
        return checks.fail("policy", format!("who paid in for {payer} is not who the vault's events name"));
    }
    if policy.funded_by != funded_by {
        return checks.fail("policy", "it names payers whom the epoch does not concern");
    }
    let linked = match policy.linked.len() {
        0 => String::new(),
        parties => {
            format!(", nor does anybody in answers of their own party, of {} that the operator names", count(parties as u64, "party"))
        }
    };
    let cap = match policy.cap_wei.0 {
        0 => "nobody's earnings are capped".to_owned(),
        cap => format!("nobody earns more than {} OPEN", tokens(U256::from(cap))),
    };
    let funders = count(funded_by.values().map(BTreeSet::len).sum::<usize>(), "account");
    checks.valid("policy", format!("payers earn nothing in their own answers, nor does who paid in for them ({funders}){linked}; {cap}"));
}

/// What the node says was collected; none where that does not go with the closing.
fn collection(closing: &ClosingRow, on_chain: &OnChain, checks: &mut Checks) -> anyhow::Result<Option<Collection>> {
    let OnChain { debits, parts, .. } = on_chain;
    let Some(place) = debits.completed.filter(|_| parts.iter().copied().eq(1..=parts.len() as u64)) else {
        let problem =
            format!("the vault's parts {parts:?} of epoch {} from block {} on are not all of them", closing.epoch, closing.block_number);
        checks.fail("collection", problem);
        return Ok(None);
    };
    if debits.receipts_root != Some(closing.receipts_root) {
        let root = debits.receipts_root.unwrap_or_default();
        checks.fail("collection", format!("the vault was given the receipts of root {root}, not {}", closing.receipts_root));
        return Ok(None);
    }
    let one = |(payer, taken): (&Address, &Taken)| {
        Ok(Collected { payer: *payer, amount_wei: wei(taken.amount_wei)?, data_wei: wei(taken.data_wei)? })
    };
    let collected: Vec<Collected> = debits.collected.iter().map(one).collect::<anyhow::Result<_>>()?;
    let amount = collected.iter().fold(U256::ZERO, |sum, payer| sum.saturating_add(U256::from(payer.amount_wei.0)));
    checks.valid(
        "collection",
        format!(
            "the vault was given the receipts' root, and took {} OPEN from {} up to block {}, final",
            tokens(amount),
            count(collected.len() as u64, "payer"),
            place.block_number
        ),
    );
    Ok(Some(Collection {
        chain_id: on_chain.chain_id,
        distributor: on_chain.distributor,
        to_block: place.block_number,
        to_block_hash: place.block_hash,
        collected,
        funded_wei: wei(on_chain.funded_wei)?,
    }))
}

/// What the service states of the epoch is what was computed.
fn compare(told: &Told, row: &EpochRow, computed: &EpochComputation, checks: &mut Checks) -> anyhow::Result<()> {
    let (stated, own) = (serde_json::to_value(&told.settled)?, serde_json::to_value(row)?);
    let fields = own.as_object().into_iter().flatten().filter(|(name, value)| stated.get(name.as_str()) != Some(value));
    let wrong: Vec<String> = fields.map(|(name, value)| format!("{name} is {value}, not {}", stated[name.as_str()])).collect();
    if !wrong.is_empty() {
        checks.fail("epoch", wrong.join("; "));
    }
    let closing = (told.closing.receipt_count, told.closing.total_wei);
    if closing != (row.receipt_count, row.total_wei) {
        let detail = format!("it has {} receipts of {} wei, not {} of {}", row.receipt_count, row.total_wei.0, closing.0, closing.1.0);
        checks.fail("closing", detail);
    }
    if let Some(problem) = first_difference(&computed.debts, &told.debts) {
        checks.fail("debts", problem);
    }
    if let Some(problem) = first_difference(&computed.rewards, &told.rewards) {
        checks.fail("rewards", problem);
    }
    if checks.failed() {
        return Ok(());
    }
    let open = |wei: Wei| tokens(U256::from(wei.0));
    let accounts = computed.rewards.iter().filter(|row| row.amount_wei.0 > 0).count();
    let unpaid = match row.unpaid_wei {
        Wei(0) => String::new(),
        unpaid => format!(" ({} OPEN stay owed)", open(unpaid)),
    };
    checks.valid(
        "rewards",
        format!(
            "{} OPEN to {} follow from the receipts and what was collected{unpaid}; debts, amounts, root and artifact hash are those that \
             the service states",
            open(row.pool_wei),
            count(accounts as u64, "contributor"),
        ),
    );
    if row.withheld_wei.0 > 0 {
        let detail = format!(
            "why the pool was not given {} OPEN that paid receipts attribute: a schedule of fees that was lowered after payers were asked, \
             or the operator",
            open(row.withheld_wei)
        );
        checks.skip("withheld", detail);
    }
    Ok(())
}

fn first_difference<R: PartialEq + std::fmt::Debug>(computed: &[R], stated: &[R]) -> Option<String> {
    let pair = (0..computed.len().max(stated.len())).map(|at| (computed.get(at), stated.get(at))).find(|(ours, theirs)| ours != theirs);
    pair.map(|(ours, theirs)| match (ours, theirs) {
        (Some(ours), Some(theirs)) => format!("computed: {ours:?}; stated: {theirs:?}"),
        (Some(ours), None) => format!("computed and not stated: {ours:?}"),
        (None, theirs) => format!("stated and not computed: {theirs:?}"),
    })
}

#[cfg(test)]
mod tests;
