//! The batch of an epoch: each payer's debt under the limits that it signed. One batch per epoch.
//!
//! A payer that cannot be debited in full is debited all the same: the vault takes what it may, says
//! on chain what was short, and goes on with the others.

use anyhow::Context;
use indexer::At;
use schemas::contracts::PaymentVault;
use schemas::signed::SignedSpendingLimit;
use schemas::tables::{EpochRow, Millis};
use schemas::{Address, U256};

use super::limits::{self, Standing};
use crate::service::Service;

pub(super) async fn debit(service: &Service, epoch: &EpochRow) -> anyhow::Result<()> {
    let closed = service.rag.closed_epoch(epoch.epoch).await?;
    let mut debits = Vec::with_capacity(closed.debits.len());
    for debit in &closed.debits {
        debits.extend(debits_of(service, debit.payer, U256::from(debit.amount_wei.0)).await?);
    }
    let call = PaymentVault::debitBatchCall {
        batchId: epoch.epoch,
        receiptsRoot: epoch.receipts_root,
        prevRoot: service.reader.last_batch_root(At::Latest).await?,
        debits,
        dataPool: U256::from(epoch.pool_wei.0),
        modelPool: U256::ZERO,
    };
    service.sender.call(service.deployment.vault, &call).await?;
    Ok(())
}

/// What one payer owes, divided over its limits, those that end first used first.
async fn debits_of(service: &Service, payer: Address, owed: U256) -> anyhow::Result<Vec<PaymentVault::Debit>> {
    let mut standing = limits::standing(service, payer).await?;
    standing.sort_by_key(|limit| (limit.ends_at, limit.signed.nonce));
    let Some(last) = standing.last() else {
        tracing::warn!(%payer, %owed, "the payer has signed no spending limit for this operator; the vault records the debt");
        return Ok(vec![unsigned(service.operator, payer, owed)]);
    };
    let now = Millis::now().unix_seconds();
    if last.ends_at <= now {
        tracing::warn!(%payer, %owed, "every spending limit of the payer has ended; the vault records the debt");
        return Ok(vec![signed(last, owed)?]);
    }
    standing.retain(|limit| limit.ends_at > now);
    let rooms: Vec<U256> = standing.iter().map(|limit| limit.room).collect();
    let parts = divide(owed, &rooms);
    standing.iter().zip(parts).filter(|(_, amount)| !amount.is_zero()).map(|(limit, amount)| signed(limit, amount)).collect()
}

fn signed(Standing { signed: limit, .. }: &Standing, amount: U256) -> anyhow::Result<PaymentVault::Debit> {
    let signature = hex::decode(limit.signature.trim_start_matches("0x")).context("a stored spending limit's signature")?;
    Ok(PaymentVault::Debit { limit: as_struct(limit), signature: signature.into(), amount })
}

fn as_struct(limit: &SignedSpendingLimit) -> PaymentVault::SpendingLimit {
    PaymentVault::SpendingLimit {
        payer: limit.payer,
        spender: limit.spender,
        maxAmount: limit.max_amount,
        expiry: limit.expiry,
        nonce: limit.nonce,
    }
}

/// A debit that takes nothing, so that the debt stands on chain: its limit ended long ago.
fn unsigned(spender: Address, payer: Address, amount: U256) -> PaymentVault::Debit {
    let limit = PaymentVault::SpendingLimit { payer, spender, maxAmount: U256::ZERO, expiry: 0, nonce: U256::ZERO };
    PaymentVault::Debit { limit, signature: schemas::alloy_primitives::Bytes::new(), amount }
}

/// Fills the rooms in order. What no room is left for goes to the last: the vault will say that it was short.
fn divide(owed: U256, rooms: &[U256]) -> Vec<U256> {
    let mut left = owed;
    let mut parts: Vec<U256> = Vec::with_capacity(rooms.len());
    for room in rooms {
        let part = left.min(*room);
        left -= part;
        parts.push(part);
    }
    if let Some(last) = parts.last_mut() {
        *last += left;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(owed: u64, rooms: &[u64], expected: &[u64]) {
        let rooms: Vec<U256> = rooms.iter().map(|room| U256::from(*room)).collect();
        let expected: Vec<U256> = expected.iter().map(|part| U256::from(*part)).collect();
        assert_eq!(divide(U256::from(owed), &rooms), expected, "{owed} over {rooms:?}");
    }

    #[test]
    fn a_debt_is_divided_over_limits() {
        check(7, &[10], &[7]);
        check(7, &[5, 10], &[5, 2]);
        check(7, &[5, 2, 9], &[5, 2, 0]);
        check(7, &[0, 9], &[0, 7]);
        // Short: the last takes the rest.
        check(7, &[5, 1], &[5, 2]);
        check(7, &[0, 0], &[0, 7]);
        check(7, &[], &[]);
    }

    /// Every debt up to 12 over every three limits up to 5.
    #[test]
    fn nothing_is_added_or_lost() {
        for code in 0..13u64 * 6 * 6 * 6 {
            let (owed, rooms) = (U256::from(code % 13), [code / 13 % 6, code / 78 % 6, code / 468].map(U256::from));
            let parts = divide(owed, &rooms);
            assert_eq!(parts.iter().sum::<U256>(), owed);
            let enough = rooms.iter().sum::<U256>() >= owed;
            assert!(!enough || parts.iter().zip(&rooms).all(|(part, room)| part <= room), "{owed} over {rooms:?} as {parts:?}");
        }
    }
}
