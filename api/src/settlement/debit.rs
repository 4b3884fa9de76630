//! The batches of an epoch: as many parts as the payers need. A part is posted when everything before it is final, for those of
//! whom no part has asked anything yet; so a restart goes on where the chain stands, and nobody is debited twice.
//!
//! A payer that cannot be debited in full is debited all the same: the vault takes what it may, says on chain what was short,
//! and goes on with the others.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use indexer::events::debits::{EpochDebits, last_batch};
use indexer::events::roots::funded_at;
use rag::{Asked, Collected, Collection};
use schemas::alloy_sol_types::{SolCall, SolValue};
use schemas::contracts::PaymentVault;
use schemas::tables::{ClosingRow, DebtRow, EpochRow, Millis};
use schemas::{Address, B256};
use store::Finality;

use super::{plan, wei};
use crate::service::Service;

pub(super) async fn advance(service: &Service, closing: &ClosingRow) -> anyhow::Result<()> {
    let (store, deployment) = (&service.store, &service.deployment);
    let last = EpochDebits::read(store, deployment, closing.epoch, Finality::Finalized).await?;
    if last.receipts_root.is_some_and(|root| root != closing.receipts_root) {
        bail!(
            "the vault holds epoch {} of other receipts than ours: this data folder is older than the chain, or another service debits \
             as {}; restore the newest backup, or end the other one",
            closing.epoch,
            service.operator
        );
    }
    if let Some(place) = last.completed {
        let collection = Collection {
            chain_id: deployment.chain_id,
            distributor: deployment.distributor,
            to_block: place.block_number,
            to_block_hash: place.block_hash,
            collected: collected(&last)?,
            funded_wei: wei(funded_at(store, deployment, place.block_number, Finality::Finalized).await?)?,
        };
        service.rag.settle_epoch(closing.clone(), collection).await?;
        return Ok(());
    }
    if EpochDebits::read(store, deployment, closing.epoch, Finality::Any).await? != last {
        return Ok(()); // A part is on its way to finality.
    }
    post(service, closing, &last).await
}

fn collected(debits: &EpochDebits) -> anyhow::Result<Vec<Collected>> {
    let payers = debits.collected.iter();
    let one = |(payer, taken): (&Address, &indexer::events::debits::Taken)| {
        Ok(Collected { payer: *payer, amount_wei: wei(taken.amount_wei)?, data_wei: wei(taken.data_wei)? })
    };
    payers.map(one).collect()
}

async fn post(service: &Service, closing: &ClosingRow, last: &EpochDebits) -> anyhow::Result<()> {
    let prev_root = prev_root(service, closing, last).await?;
    let mut asked = service.rag.asked(closing.clone()).await?;
    asked.retain(|asked| !last.asked.contains(&asked.payer));
    let plans = plans(service, &asked).await?;
    let part = last.parts + 1;
    let call = |count: usize| PaymentVault::debitBatchCall {
        batch: PaymentVault::Batch {
            epoch: closing.epoch,
            part,
            isLast: plans.is_all && count == plans.debits.len(),
            receiptsRoot: closing.receipts_root,
        },
        prevRoot: prev_root,
        debits: plans.debits.iter().take(count).flatten().cloned().collect(),
    };
    let call = call(fitting(service, plans.debits.len(), call).await?);
    let outcome = service.sender.call(service.deployment.vault, &call).await?;
    tracing::info!(epoch = closing.epoch, part, debits = call.debits.len(), is_last = call.batch.isLast, transaction = %outcome.hash, "debited");
    service.saw(outcome.block_number).await;
    Ok(())
}

/// The root that the next part builds on: what the vault holds must be ours.
async fn prev_root(service: &Service, closing: &ClosingRow, last: &EpochDebits) -> anyhow::Result<B256> {
    let Some(batch) = last_batch(&service.store, &service.deployment, Finality::Finalized).await? else { return Ok(B256::ZERO) };
    let fits = if last.parts > 0 { batch.epoch == closing.epoch } else { batch.epoch + 1 == closing.epoch && batch.isLast };
    if !fits {
        bail!(
            "the vault's last batch is part {} of epoch {}, so epoch {} cannot follow: this data folder is not the one that the vault was \
             debited from; restore the newest backup",
            batch.part,
            batch.epoch,
            closing.epoch
        );
    }
    Ok(batch.receiptsRoot)
}

/// Debits for the next part, payer by payer.
struct Plans {
    debits: Vec<Vec<PaymentVault::Debit>>,
    /// Whether nobody is left after them.
    is_all: bool,
}

/// As many payers' debits as one batch can hold at most; payers of whom nothing is asked now are left out.
async fn plans(service: &Service, asked: &[Asked]) -> anyhow::Result<Plans> {
    let now = Millis::now().unix_seconds();
    let (mut debits, mut bytes) = (Vec::new(), 0);
    for asked in asked {
        if bytes > service.config.settlement.batch_bytes_max {
            return Ok(Plans { debits, is_all: false });
        }
        let book = service.credit.book(asked.payer).await?;
        let limits = service.limits.standing(asked.payer, service.operator, &book);
        let of_payer = plan::debits(asked, limits, book.balance_wei, now, service.operator, service.config.settlement.limits_per_payer_max);
        bytes += of_payer.iter().map(SolValue::abi_encoded_size).sum::<usize>();
        if !of_payer.is_empty() {
            debits.push(of_payer);
        }
    }
    Ok(Plans { debits, is_all: true })
}

/// How many payers fit into one batch, by its size and by the node's estimate of its gas.
async fn fitting(service: &Service, payers: usize, call: impl Fn(usize) -> PaymentVault::debitBatchCall) -> anyhow::Result<usize> {
    let settings = &service.config.settlement;
    let mut count = payers;
    loop {
        let batch = call(count);
        let problem = if batch.abi_encoded_size() > settings.batch_bytes_max {
            None
        } else {
            match service.sender.estimate(service.deployment.vault, &batch).await {
                Ok(gas) if gas <= settings.batch_gas_max => return Ok(count),
                Ok(_) => None,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => Some(error),
            }
        };
        match (count, problem) {
            (0 | 1, Some(error)) => return Err(error.into()),
            (0 | 1, None) => bail!(
                "the debits of one payer do not fit into a batch: raise settlement.batch_gas_max ({}) or settlement.batch_bytes_max ({})",
                settings.batch_gas_max,
                settings.batch_bytes_max
            ),
            _ => count = count.div_ceil(2),
        }
    }
}

/// Payers with a debt of before from whom something can be taken now.
pub(super) async fn payable(service: &Service) -> anyhow::Result<BTreeSet<Address>> {
    let Some(epoch) = service.store.max::<EpochRow>("epoch").await? else { return Ok(BTreeSet::new()) };
    let debts: Vec<DebtRow> = service.store.scan(Some(&format!("epoch = {epoch}"))).await?;
    let now = Millis::now().unix_seconds();
    let mut payable = BTreeSet::new();
    for debt in debts.iter().filter(|debt| debt.unpaid_wei.0 > 0) {
        let book = service.credit.book(debt.payer).await.context("reading a payer's events")?;
        let limits = service.limits.standing(debt.payer, service.operator, &book);
        if !book.balance_wei.is_zero() && limits.iter().any(|limit| limit.allows(now)) {
            payable.insert(debt.payer);
        }
    }
    Ok(payable)
}
