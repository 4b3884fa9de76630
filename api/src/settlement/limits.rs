//! What a payer's spending limits allow: for debits now, and for answers that are debited later.

use indexer::At;
use schemas::signed::{SignedSpendingLimit, spending_limit_digest};
use schemas::tables::Millis;
use schemas::{Address, U256};

use crate::service::Service;

/// A limit that ends sooner than this backs no new answer: the debit would come too late.
pub const LIMIT_MARGIN_SECONDS: u64 = 3_600;

/// A spending limit as it stands on chain.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) signed: SignedSpendingLimit,
    /// What is left of it, in token wei.
    pub(super) room: U256,
    /// The first second (Unix time) at which it allows no debit.
    pub(super) ends_at: u64,
    pub(super) cancelled: bool,
}

/// Every limit by which this service may debit `payer`, ended ones included.
pub(super) async fn standing(service: &Service, payer: Address) -> anyhow::Result<Vec<Standing>> {
    let mut all = Vec::new();
    for signed in service.keys.limits_of(payer) {
        if signed.spender != service.operator {
            continue;
        }
        let digest = spending_limit_digest(service.deployment.chain_id, service.deployment.vault, &signed.limit());
        let spent = service.reader.limit_spent(digest, At::Latest).await?;
        let cancelled = service.reader.limit_cancelled_from(payer, signed.nonce, At::Latest).await?;
        all.push(Standing {
            room: signed.max_amount.saturating_sub(spent),
            ends_at: signed.expiry.saturating_add(1).min(cancelled.unwrap_or(u64::MAX)),
            cancelled: cancelled.is_some(),
            signed,
        });
    }
    Ok(all)
}

/// What a payer's limits leave for what it owes and for new answers. A cancelled limit counts for
/// nothing, although debits still reach it for a while: they have answers given before to pay for.
pub async fn limit_room(service: &Service, payer: Address) -> anyhow::Result<U256> {
    Ok(room(&standing(service, payer).await?, Millis::now().unix_seconds()))
}

fn room(limits: &[Standing], now: u64) -> U256 {
    let lasting = limits.iter().filter(|limit| !limit.cancelled && limit.ends_at > now.saturating_add(LIMIT_MARGIN_SECONDS));
    lasting.fold(U256::ZERO, |sum, limit| sum.saturating_add(limit.room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(room: u64, ends_at: u64, cancelled: bool) -> Standing {
        let signed = SignedSpendingLimit {
            payer: Address::ZERO,
            spender: Address::ZERO,
            max_amount: U256::MAX,
            expiry: ends_at,
            nonce: U256::ZERO,
            signature: String::new(),
        };
        Standing { signed, room: U256::from(room), ends_at, cancelled }
    }

    #[test]
    fn limits_add_up_while_they_last() {
        let soon = 1_000 + LIMIT_MARGIN_SECONDS;
        let limits = [limit(5, soon + 1, false), limit(7, soon, false), limit(11, u64::MAX, true), limit(13, u64::MAX, false)];
        assert_eq!(room(&limits, 1_000), U256::from(18u64));
        assert_eq!(room(&limits[1..3], 1_000), U256::ZERO);
        let mut huge = [limit(1, u64::MAX, false), limit(0, u64::MAX, false)];
        huge[1].room = U256::MAX;
        assert_eq!(room(&huge, 1_000), U256::MAX);
    }
}
