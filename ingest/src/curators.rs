//! Who may decide in a Datanet: those that it was created with, and what its owner has signed since. A curator that was removed
//! decides nothing more; what it decided before stands until somebody decides otherwise.

use schemas::Address;
use schemas::ids::DatanetId;
use schemas::signed::{self, CuratorChange};
use schemas::tables::{CuratorRow, DatanetRow, Millis};
use serde::{Deserialize, Serialize};

use crate::datanets::MAX_CURATORS;
use crate::{Ingest, IngestError, Result};

/// A change as the Datanet's owner signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCuratorChange {
    pub datanet: DatanetId,
    /// One above the last change's, so that one that was kept back undoes nothing that was signed since.
    pub sequence: u64,
    pub curator: Address,
    pub allowed: bool,
    pub signature: String,
}

impl SignedCuratorChange {
    /// What is signed, in the domain of the service.
    #[must_use]
    pub fn message(&self) -> CuratorChange {
        CuratorChange { datanetId: self.datanet.0, sequence: self.sequence, curator: self.curator, allowed: self.allowed }
    }
}

impl Ingest {
    /// Adds or removes a curator, at once. The same change again changes nothing.
    ///
    /// # Errors
    /// [`IngestError::Unauthorised`] unless the Datanet's owner signed it, [`IngestError::Conflict`] when it is not the next
    /// change, [`IngestError::InvalidRequest`] for the zero address or too many curators.
    pub async fn change_curator(&self, change: SignedCuratorChange) -> Result<DatanetRow> {
        let datanet = self.datanet(&change.datanet.to_string()).await?;
        signed::check_signature(self.config().domain.digest(&change.message()), &change.signature, datanet.owner)
            .map_err(|error| IngestError::Unauthorised(format!("the change is not signed by the Datanet's owner: {error}")))?;
        let _held = self.inner.decisions.lock().await;
        let earlier = self.curator_changes(change.datanet).await?;
        let next = earlier.last().map_or(0, |row| row.sequence) + 1;
        if let Some(row) = earlier.iter().find(|row| row.sequence == change.sequence)
            && (row.curator, row.allowed) == (change.curator, change.allowed)
        {
            return self.datanet(&change.datanet.to_string()).await;
        }
        if change.sequence != next {
            let problem = format!("the change has number {}, and the next one is {next}: sign it again", change.sequence);
            return Err(IngestError::Conflict(problem));
        }
        if change.curator == Address::ZERO || (change.allowed && datanet.curators.len() >= MAX_CURATORS) {
            return Err(IngestError::InvalidRequest(format!(
                "a Datanet has at most {MAX_CURATORS} curators, none of them the zero address"
            )));
        }
        let row = CuratorRow {
            datanet_id: change.datanet,
            sequence: change.sequence,
            curator: change.curator,
            allowed: change.allowed,
            signature: change.signature,
            changed_at: Millis::now(),
        };
        self.store().insert_new(&[row]).await?;
        tracing::info!(datanet = %change.datanet, curator = %change.curator, allowed = change.allowed, "curators changed");
        self.datanet(&change.datanet.to_string()).await
    }

    /// All changes, in order.
    ///
    /// # Errors
    /// [`IngestError::Store`].
    pub async fn curator_changes(&self, datanet: DatanetId) -> Result<Vec<CuratorRow>> {
        let mut rows = self.store().scan::<CuratorRow>(Some(&format!("datanet_id = '{datanet}'"))).await?;
        rows.sort_by_key(|row| row.sequence);
        Ok(rows)
    }

    /// The Datanet with those as curators who are so now.
    pub(crate) async fn with_curators(&self, row: DatanetRow) -> Result<DatanetRow> {
        let changes = self.curator_changes(row.datanet_id).await?;
        Ok(DatanetRow { curators: now(row.curators, &changes), ..row })
    }
}

fn now(mut curators: Vec<Address>, changes: &[CuratorRow]) -> Vec<Address> {
    for change in changes {
        curators.retain(|curator| *curator != change.curator);
        if change.allowed {
            curators.push(change.curator);
        }
    }
    curators.sort();
    curators
}

#[cfg(test)]
mod tests {
    use schemas::signer::Signer;

    use super::*;
    use crate::test_support::*;

    fn change(signer: u8, datanet: DatanetId, sequence: u64, curator: u8, allowed: bool) -> SignedCuratorChange {
        let unsigned = SignedCuratorChange { datanet, sequence, curator: address(curator), allowed, signature: String::new() };
        let signature = key(signer).sign_digest(DOMAIN.digest(&unsigned.message())).unwrap();
        SignedCuratorChange { signature, ..unsigned }
    }

    #[tokio::test]
    async fn a_removed_curator_decides_and_publishes_nothing_more() {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let report = submit(&ingest, ALICE, id, &[("a.txt", &prose(1, 40)), ("b.txt", &prose(2, 40))]).await;
        let (first, second) = (report.documents[0].document_id, report.documents[1].document_id);
        ingest.review(decision(CURATOR, id, first, "accept", "", 60)).await.unwrap();
        let kept_back = publication(CURATOR, id, &ingest.preview(id).await.unwrap());

        let after = ingest.change_curator(change(OWNER, id, 1, CURATOR, false)).await.unwrap();
        assert_eq!(after.curators, [address(BOB)]);
        let refused = ingest.review(decision(CURATOR, id, second, "accept", "", 0)).await.unwrap_err();
        assert!(matches!(refused, IngestError::Forbidden(_)), "{refused}");
        assert!(matches!(ingest.publish(kept_back).await, Err(IngestError::Forbidden(_))), "signed before, handed in after");
        // What was accepted before stands, and the others go on.
        ingest.publish(publication(OWNER, id, &ingest.preview(id).await.unwrap())).await.unwrap();
        ingest.review(decision(BOB, id, second, "accept", "", 0)).await.unwrap();
        assert_eq!(ingest.create_datanet(cold_chain()).await.unwrap().curators, [address(BOB)], "creating it again brings nobody back");
        let back = ingest.change_curator(change(OWNER, id, 2, CURATOR, true)).await.unwrap();
        assert!(back.curators.contains(&address(CURATOR)));
    }

    #[tokio::test]
    async fn only_the_owner_changes_curators_and_in_order() {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let removal = change(OWNER, id, 1, CURATOR, false);
        let mut forged = removal.clone();
        forged.curator = address(BOB);
        for (bad, expected) in [
            (change(CURATOR, id, 1, BOB, false), "Unauthorised"),
            (forged, "Unauthorised"),
            (change(OWNER, id, 2, CURATOR, false), "Conflict"),
            (change(OWNER, id, 0, CURATOR, false), "Conflict"),
            (change(OWNER, DatanetId::default(), 1, CURATOR, false), "NotFound"),
        ] {
            let error = ingest.change_curator(bad).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
        }
        let added = change(OWNER, id, 2, ALICE, true);
        ingest.change_curator(removal.clone()).await.unwrap();
        ingest.change_curator(added).await.unwrap();
        let same = ingest.change_curator(removal).await.unwrap();
        assert_eq!(same.curators.len(), 2, "the same again changes nothing");
        let stale = ingest.change_curator(change(OWNER, id, 1, CURATOR, true)).await.unwrap_err();
        assert!(matches!(stale, IngestError::Conflict(_)), "{stale}");
    }
}
