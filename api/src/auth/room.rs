//! Room for keys, where there are as many as are kept. Accounts cost nothing: whoever makes many could take all places.
//!
//! First to go are keys that were revoked so long ago that what their payer signed cannot be handed in any more, then apps whose
//! payer never paid and has nothing to pay with, both from the oldest on. Those are forgotten, not revoked: an honest payer's app is there again
//! when its payer hands it in again. Nobody who pays loses an app, nor does the operator lose a key.

use std::sync::PoisonError;

use schemas::Address;
use schemas::ids::Sha256;
use schemas::tables::{ApiKeyRow, Millis};

use super::{KeyError, Keys};

/// How long before its deadline an authorisation can be handed in at most.
pub const AUTHORISATION_SECONDS_MAX: u64 = 3_600;
/// Of the places that there are, so many become free at once: each time is a commit.
const SHARE_FREED: usize = 100;

/// Whether a key was revoked so long ago that nothing can bring it back.
pub(super) fn is_past(row: &ApiKeyRow) -> bool {
    row.revoked && row.created_at.unix_seconds().saturating_add(AUTHORISATION_SECONDS_MAX) < Millis::now().unix_seconds()
}

impl Keys {
    /// Whether another app could be registered, if others gave way.
    ///
    /// # Errors
    /// [`KeyError::Full`], and what `has_paid` says.
    pub async fn check_room<E: From<KeyError>, F: Future<Output = Result<bool, E>>>(
        &self,
        has_paid: impl Fn(Address) -> F,
    ) -> Result<(), E> {
        if self.is_full() && self.first_to_go(1, has_paid).await?.is_empty() {
            return Err(KeyError::Full { limit: self.limits.in_all }.into());
        }
        Ok(())
    }

    /// Forgets some keys where there are as many as are kept.
    pub(super) async fn make_room<E: From<KeyError>, F: Future<Output = Result<bool, E>>>(
        &self,
        has_paid: impl Fn(Address) -> F,
    ) -> Result<(), E> {
        if !self.is_full() {
            return Ok(());
        }
        let most = self.limits.in_all.div_ceil(SHARE_FREED);
        let going = self.first_to_go(most, has_paid).await?;
        if going.is_empty() {
            return Err(KeyError::Full { limit: self.limits.in_all }.into());
        }
        let ids: Vec<String> = going.iter().map(|(_, key_id)| format!("'{key_id}'")).collect();
        self.store.forget::<ApiKeyRow>(&format!("key_id IN ({})", ids.join(", "))).await.map_err(KeyError::from)?;
        let mut keys = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
        going.iter().for_each(|(hash, _)| drop(keys.remove(hash)));
        tracing::info!(keys = going.len(), "apps that nobody ever paid for made room for another");
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).len() >= self.limits.in_all
    }

    /// The keys that give way first, by hash and id.
    async fn first_to_go<E, F: Future<Output = Result<bool, E>>>(
        &self,
        most: usize,
        has_paid: impl Fn(Address) -> F,
    ) -> Result<Vec<(Sha256, String)>, E> {
        let mut going = Vec::new();
        for (payer, hash, key_id) in self.candidates() {
            if going.len() >= most {
                break;
            }
            match payer {
                // Asked once of each payer that has, and of one that has not until its apps are gone.
                Some(payer) if has_paid(payer).await? => {
                    self.have_paid.write().unwrap_or_else(PoisonError::into_inner).insert(payer);
                }
                _ => going.push((hash, key_id)),
            }
        }
        Ok(going)
    }

    /// Keys that may have to go, first those that go first: with the payer that has to be asked about.
    fn candidates(&self) -> Vec<(Option<Address>, Sha256, String)> {
        let have_paid = self.have_paid.read().unwrap_or_else(PoisonError::into_inner);
        let keys = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let may_go = |row: &&ApiKeyRow| is_past(row) || (!row.revoked && row.payer.is_some_and(|payer| !have_paid.contains(&payer)));
        let mut rows: Vec<&ApiKeyRow> = keys.values().filter(may_go).collect();
        rows.sort_by_key(|row| (!row.revoked, row.created_at, row.key_sha256));
        rows.into_iter().map(|row| (row.payer.filter(|_| !row.revoked), row.key_sha256, row.key_id.clone())).collect()
    }
}
