//! Spending limits: what payers allow this service to debit. A limit is registered once, by its digest, whoever shows it: it
//! gives room to the payer who signed it and nothing to anybody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use indexer::events::payers::PayerBook;
use schemas::signed::SignedSpendingLimit;
use schemas::tables::{Millis, SpendingLimitRow};
use schemas::{Address, B256, U256};
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

/// Of the places that there are, so many become free at once: each time is a commit.
const SHARE_FREED: usize = 100;

/// A registered limit, and what the chain leaves of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub limit_hash: B256,
    pub signed: SignedSpendingLimit,
    /// What is left of it, in token wei.
    pub room: U256,
    /// The first second (Unix time) at which it allows no debit.
    pub ends_at: u64,
    pub cancelled: bool,
}

impl Standing {
    /// Whether a debit under it could take something at this second.
    pub fn allows(&self, now: u64) -> bool {
        self.ends_at > now && !self.room.is_zero()
    }

    /// What it is good for at this second, where answers given now are debited within this time.
    pub fn state(&self, now: u64, debited_within_seconds: u64) -> LimitState {
        if self.cancelled {
            LimitState::Cancelled
        } else if self.ends_at <= now {
            LimitState::Expired
        } else if self.ends_at <= now.saturating_add(debited_within_seconds) {
            LimitState::Ending
        } else if self.room.is_zero() {
            LimitState::UsedUp
        } else {
            LimitState::Good
        }
    }
}

/// What a limit is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitState {
    /// It backs answers: it has room, and lasts until they are debited.
    Good,
    UsedUp,
    /// It ends before answers given now are debited.
    Ending,
    Expired,
    /// It backs no answer, although debits reach it for a while: they have answers given before to pay for.
    Cancelled,
}

/// As many limits are kept as may be, all of payers who pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this service has {most} spending limits, as many as it keeps, and all are of payers who pay: its operator can raise \
     settlement.limits_max"
)]
pub struct TooManyLimits {
    most: usize,
}

/// The limits that were registered, so many at most: anybody can sign some. Where there are as many, those go that have expired, then
/// those of payers who never paid and have nothing to pay with, both from the oldest on; these can be handed in again.
#[derive(Debug, Clone)]
pub struct Limits {
    store: Store,
    most: usize,
    by_payer: Arc<RwLock<ByPayer>>,
    /// Payers who are known to pay: their limits stay.
    have_paid: Arc<RwLock<BTreeSet<Address>>>,
    registering: Arc<Mutex<()>>,
}

type ByPayer = BTreeMap<Address, BTreeMap<B256, Kept>>;

#[derive(Debug, Clone)]
struct Kept {
    signed: SignedSpendingLimit,
    registered_at: Millis,
}

impl Limits {
    pub async fn open(store: Store, most: usize) -> anyhow::Result<Self> {
        let mut by_payer = ByPayer::new();
        for row in store.scan::<SpendingLimitRow>(None).await? {
            let kept = Kept { signed: serde_json::from_str(&row.signed_limit)?, registered_at: row.registered_at };
            by_payer.entry(row.payer).or_default().insert(row.limit_hash, kept);
        }
        Ok(Self { store, most, by_payer: Arc::new(RwLock::new(by_payer)), have_paid: Arc::default(), registering: Arc::default() })
    }

    /// To be held from counting a payer's limits to keeping one more.
    pub async fn registering(&self) -> MutexGuard<'_, ()> {
        self.registering.lock().await
    }

    /// Keeps a limit whose signature the caller has checked. Again, it changes nothing.
    pub async fn keep(&self, limit_hash: B256, signed: &SignedSpendingLimit) -> Result<(), StoreError> {
        let signed_limit = serde_json::to_string(signed).unwrap_or_default();
        let registered_at = Millis::now();
        let row = SpendingLimitRow { limit_hash, payer: signed.payer, signed_limit, registered_at };
        self.store.insert_new(&[row]).await?;
        let mut by_payer = self.by_payer.write().unwrap_or_else(PoisonError::into_inner);
        by_payer.entry(signed.payer).or_default().entry(limit_hash).or_insert_with(|| Kept { signed: signed.clone(), registered_at });
        Ok(())
    }

    /// Forgets some where there are as many as are kept; `has_paid` says who pays.
    ///
    /// # Errors
    /// [`TooManyLimits`], the store's, and what `has_paid` says.
    pub async fn make_room<E, F>(&self, now: u64, has_paid: impl Fn(Address) -> F) -> Result<(), E>
    where
        E: From<TooManyLimits> + From<StoreError>,
        F: Future<Output = Result<bool, E>>,
    {
        let Some(candidates) = self.candidates(now) else { return Ok(()) };
        let mut going = Vec::new();
        for (has_expired, payer, limit_hash) in candidates {
            if going.len() >= self.most.div_ceil(SHARE_FREED) {
                break;
            }
            if !has_expired && has_paid(payer).await? {
                self.have_paid.write().unwrap_or_else(PoisonError::into_inner).insert(payer);
            } else {
                going.push((payer, limit_hash));
            }
        }
        if going.is_empty() {
            return Err(TooManyLimits { most: self.most }.into());
        }
        let hashes: Vec<String> = going.iter().map(|(_, limit_hash)| format!("'{limit_hash:#x}'")).collect();
        self.store.forget::<SpendingLimitRow>(&format!("limit_hash IN ({})", hashes.join(", "))).await?;
        let mut by_payer = self.by_payer.write().unwrap_or_else(PoisonError::into_inner);
        for (payer, limit_hash) in &going {
            if let Some(limits) = by_payer.get_mut(payer) {
                limits.remove(limit_hash);
            }
        }
        by_payer.retain(|_, limits| !limits.is_empty());
        Ok(())
    }

    /// Limits that may have to go, first those that go first; none where there is room. Whether it has expired comes first.
    fn candidates(&self, now: u64) -> Option<Vec<(bool, Address, B256)>> {
        let by_payer = self.by_payer.read().unwrap_or_else(PoisonError::into_inner);
        if by_payer.values().map(BTreeMap::len).sum::<usize>() < self.most {
            return None;
        }
        let have_paid = self.have_paid.read().unwrap_or_else(PoisonError::into_inner);
        let all = by_payer.iter().flat_map(|(payer, limits)| limits.iter().map(|(hash, kept)| (*payer, *hash, kept)));
        let may_go = all.filter(|(payer, _, kept)| kept.signed.expiry < now || !have_paid.contains(payer));
        let mut candidates: Vec<_> =
            may_go.map(|(payer, hash, kept)| (kept.signed.expiry >= now, kept.registered_at, hash, payer)).collect();
        candidates.sort_unstable();
        Some(candidates.into_iter().map(|(lasts, _, hash, payer)| (!lasts, payer, hash)).collect())
    }

    pub fn knows(&self, payer: Address, limit_hash: B256) -> bool {
        let by_payer = self.by_payer.read().unwrap_or_else(PoisonError::into_inner);
        by_payer.get(&payer).is_some_and(|limits| limits.contains_key(&limit_hash))
    }

    /// A payer's limits that name this spender, ended ones included.
    pub fn standing(&self, payer: Address, spender: Address, book: &PayerBook) -> Vec<Standing> {
        let by_payer = self.by_payer.read().unwrap_or_else(PoisonError::into_inner);
        let limits = by_payer.get(&payer).into_iter().flatten().map(|(limit_hash, kept)| (limit_hash, &kept.signed));
        let standing = limits.filter(|(_, signed)| signed.spender == spender).map(|(limit_hash, signed)| {
            let cancelled = book.cancelled_from(signed.nonce);
            Standing {
                limit_hash: *limit_hash,
                room: signed.max_amount.saturating_sub(book.spent_wei(*limit_hash)),
                ends_at: signed.expiry.saturating_add(1).min(cancelled.unwrap_or(u64::MAX)),
                cancelled: cancelled.is_some(),
                signed: signed.clone(),
            }
        });
        standing.collect()
    }
}

/// The limits that back answers given now, which are debited within this time.
pub fn good(limits: &[Standing], now: u64, debited_within_seconds: u64) -> impl Iterator<Item = &Standing> {
    limits.iter().filter(move |limit| limit.state(now, debited_within_seconds) == LimitState::Good)
}

/// The limits that take a place: those that end soon too, or there could be another every second.
pub fn live(limits: &[Standing], now: u64) -> impl Iterator<Item = &Standing> {
    limits.iter().filter(move |limit| limit.allows(now) && !limit.cancelled)
}

/// What they leave for what a payer owes and for new answers.
pub fn room(limits: &[Standing], now: u64, debited_within_seconds: u64) -> U256 {
    good(limits, now, debited_within_seconds).fold(U256::ZERO, |sum, limit| sum.saturating_add(limit.room))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn limit(room: u64, ends_at: u64, cancelled: bool) -> Standing {
        let signed = SignedSpendingLimit {
            payer: Address::ZERO,
            spender: Address::ZERO,
            max_amount: U256::MAX,
            expiry: ends_at,
            nonce: U256::from(room),
            signature: "0x01".into(),
        };
        Standing { limit_hash: B256::from(U256::from(room)), signed, room: U256::from(room), ends_at, cancelled }
    }

    #[test]
    fn limits_add_up_while_they_last() {
        let limits = [limit(5, 1_101, false), limit(7, 1_100, false), limit(11, u64::MAX, true), limit(13, u64::MAX, false)];
        assert_eq!(room(&limits, 1_000, 100), U256::from(18u64));
        assert_eq!(room(&limits[1..3], 1_000, 100), U256::ZERO);
        let states = limits.each_ref().map(|limit| limit.state(1_000, 100));
        assert_eq!(states, [LimitState::Good, LimitState::Ending, LimitState::Cancelled, LimitState::Good]);
        assert_eq!(good(&limits, 1_000, 100).count(), 2, "a place is taken by what gives room");
        assert_eq!(limit(0, u64::MAX, false).state(1_000, 100), LimitState::UsedUp);
        assert_eq!(limit(1, 1_000, false).state(1_000, 100), LimitState::Expired);
        let mut huge = [limit(1, u64::MAX, false), limit(0, u64::MAX, false)];
        huge[1].room = U256::MAX;
        assert_eq!(room(&huge, 1_000, 100), U256::MAX);
    }

    #[tokio::test]
    async fn a_limit_counts_once_however_often_it_is_shown() {
        let store = Store::in_memory().await.unwrap();
        let limits = Limits::open(store.clone(), 10).await.unwrap();
        let signed = SignedSpendingLimit { max_amount: U256::from(9u64), ..limit(1, 50, false).signed };
        let hash = B256::repeat_byte(1);
        for _ in 0..12 {
            limits.keep(hash, &signed).await.unwrap();
        }
        for limits in [&limits, &Limits::open(store.clone(), 10).await.unwrap()] {
            let standing = limits.standing(Address::ZERO, Address::ZERO, &PayerBook::default());
            assert_eq!(room(&standing, 0, 10), U256::from(9u64));
            assert!(limits.knows(Address::ZERO, hash) && !limits.knows(Address::repeat_byte(1), hash));
            assert!(limits.standing(Address::ZERO, Address::repeat_byte(1), &PayerBook::default()).is_empty());
        }
    }

    #[tokio::test]
    async fn limits_of_who_never_paid_give_way_to_others() {
        let store = Store::in_memory().await.unwrap();
        let limits = Limits::open(store.clone(), 4).await.unwrap();
        // Payers 1 to 5 pay, the others never did.
        let has_paid = async |payer: Address| Ok::<_, anyhow::Error>(payer <= Address::repeat_byte(5));
        let now = 1_000;
        let register = async |payer: u8, expiry: u64| {
            limits.make_room(now, has_paid).await?;
            let signed = SignedSpendingLimit { payer: Address::repeat_byte(payer), ..limit(1, expiry, false).signed };
            limits.keep(B256::repeat_byte(payer), &signed).await?;
            let oldest = Millis(i64::from(payer));
            let mut by_payer = limits.by_payer.write().unwrap();
            by_payer.values_mut().flat_map(BTreeMap::values_mut).filter(|kept| kept.signed.payer == signed.payer).for_each(|kept| {
                kept.registered_at = oldest;
            });
            Ok::<_, anyhow::Error>(())
        };
        let left = || -> Vec<u8> { limits.by_payer.read().unwrap().keys().map(|payer| payer[0]).collect() };
        for (payer, expiry) in [(9, 2_000), (1, 900), (2, 2_000), (7, 2_000)] {
            register(payer, expiry).await.unwrap();
        }
        for (payer, expected) in [(3, [2, 3, 7, 9]), (4, [2, 3, 4, 9]), (5, [2, 3, 4, 5])] {
            register(payer, 2_000).await.unwrap();
            assert_eq!(left(), expected);
        }
        let error = register(8, 2_000).await.unwrap_err();
        assert!(error.downcast_ref::<TooManyLimits>().is_some(), "{error:#}");
        let again = Limits::open(store.clone(), 4).await.unwrap();
        assert_eq!(again.by_payer.read().unwrap().len(), 4, "and after a restart");
    }
}
