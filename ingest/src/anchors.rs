//! The anchor outbox: what the chain is owed. There is no table for it: what we hold, less what the chain
//! has, is what has to be sent, so that a crash at any point is repaired by asking again.
//!
//! Versions are told apart by their roots. One that stands on chain and was not published here is a fork: nothing more of its
//! Datanet is sent until the operator has looked at it and told the service to build on it.

use std::collections::HashSet;

use schemas::alloy_primitives::keccak256;
use schemas::contracts::DatanetRegistry::{commitVersionCall, createDatanetCall};
use schemas::ids::DatanetId;
use schemas::tables::{DatanetRow, ForeignVersionRow, Millis, VersionRow};
use schemas::{Address, B256};

use crate::{Ingest, IngestError, Result};

/// A version that stands on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoredVersion {
    pub datanet_id: DatanetId,
    pub version: u64,
    pub root: B256,
    pub committer: Address,
}

/// What the chain is owed of one Datanet.
#[derive(Debug, Clone, PartialEq)]
pub enum Anchoring {
    /// Nothing.
    Level,
    /// This version next.
    Owed(Box<VersionRow>),
    /// A decision: the chain holds what was not published here.
    Fork(AnchoredVersion),
}

impl Ingest {
    /// Datanets that are not registered on chain, oldest first. `created` are those that the chain knows.
    ///
    /// # Errors
    /// [`crate::IngestError::Store`].
    pub async fn pending_registrations(&self, created: &[DatanetId]) -> Result<Vec<DatanetRow>> {
        let created: HashSet<&DatanetId> = created.iter().collect();
        let mut rows = self.datanets().await?;
        rows.retain(|row| !created.contains(&row.datanet_id));
        Ok(rows)
    }

    /// What the chain is owed of each Datanet, by Datanet. `anchored` is all that stands there, in order.
    ///
    /// # Errors
    /// [`crate::IngestError::Store`].
    pub async fn anchorings(&self, anchored: &[AnchoredVersion]) -> Result<Vec<(DatanetRow, Anchoring)>> {
        let versions = self.store().scan::<VersionRow>(None).await?;
        let accepted = self.store().scan::<ForeignVersionRow>(None).await?;
        let of = |datanet: DatanetRow| {
            let anchoring = anchoring(datanet.datanet_id, &versions, anchored, &accepted);
            (datanet, anchoring)
        };
        Ok(self.datanets().await?.into_iter().map(of).collect())
    }

    /// Lets a Datanet go on from what stands on chain: its next version is built on that. Versions of ours that never came to
    /// stand there stay readable here, and their receipts unanchored. Returns what was accepted.
    ///
    /// # Errors
    /// [`IngestError::Conflict`] when nothing foreign stands on chain.
    pub async fn accept_fork(&self, datanet: DatanetId, anchored: &[AnchoredVersion]) -> Result<Vec<ForeignVersionRow>> {
        let datanet = self.datanet(&datanet.to_string()).await?;
        let _held = self.inner.decisions.lock().await;
        let versions = self.versions(datanet.datanet_id).await?;
        let foreign = anchored.iter().filter(|found| found.datanet_id == datanet.datanet_id && !is_ours(&versions, found));
        let foreign: Vec<&AnchoredVersion> = foreign.collect();
        if let Some(beyond) = foreign.iter().find(|found| i64::try_from(found.version).is_err()) {
            return Err(IngestError::Conflict(format!(
                "version {} stands on chain of Datanet {:?}, and no table counts so far: go on in a Datanet of another name",
                beyond.version, datanet.name
            )));
        }
        let rows: Vec<ForeignVersionRow> = foreign
            .into_iter()
            .map(|found| ForeignVersionRow {
                datanet_id: found.datanet_id,
                version: found.version,
                root: found.root,
                committer: found.committer,
                accepted_at: Millis::now(),
            })
            .collect();
        if rows.is_empty() {
            return Err(IngestError::Conflict(format!("everything that stands on chain of Datanet {:?} was published here", datanet.name)));
        }
        self.store().insert_new(&rows).await?;
        tracing::warn!(datanet = %datanet.datanet_id, versions = rows.len(), "the operator accepted versions that were not published here");
        Ok(rows)
    }

    /// The last version of others that this Datanet builds on.
    pub(crate) async fn foreign_head(&self, datanet: DatanetId) -> Result<Option<ForeignVersionRow>> {
        let rows = self.store().scan::<ForeignVersionRow>(Some(&format!("datanet_id = '{datanet}'"))).await?;
        Ok(rows.into_iter().max_by_key(|row| row.version))
    }
}

fn is_ours(versions: &[VersionRow], found: &AnchoredVersion) -> bool {
    versions.iter().any(|row| (row.datanet_id, row.version, row.root) == (found.datanet_id, found.version, found.root))
}

fn anchoring(datanet: DatanetId, versions: &[VersionRow], anchored: &[AnchoredVersion], accepted: &[ForeignVersionRow]) -> Anchoring {
    let mut head = (0, B256::ZERO);
    for found in anchored.iter().filter(|found| found.datanet_id == datanet) {
        let known = |row: &ForeignVersionRow| (row.datanet_id, row.version, row.root) == (datanet, found.version, found.root);
        if !is_ours(versions, found) && !accepted.iter().any(known) {
            return Anchoring::Fork(*found);
        }
        head = (found.version, found.root);
    }
    let next = versions.iter().filter(|row| row.datanet_id == datanet && row.version > head.0 && row.parent_root == head.1);
    next.min_by_key(|row| row.version).map_or(Anchoring::Level, |row| Anchoring::Owed(Box::new(row.clone())))
}

/// The call that registers a Datanet; its owner has to send it.
#[must_use]
pub fn registration_call(row: &DatanetRow) -> createDatanetCall {
    createDatanetCall { nameHash: keccak256(&row.name), metadataHash: row.metadata_hash, policyHash: row.policy_hash }
}

/// The call that commits a version; the Datanet's owner has to send it.
#[must_use]
pub fn anchor_call(row: &VersionRow) -> commitVersionCall {
    commitVersionCall {
        datanetId: row.datanet_id.0,
        version: row.version,
        parentRoot: row.parent_root,
        root: row.root,
        chunkCount: row.chunk_count,
        manifestHash: row.manifest_hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::*;

    fn id(datanet: u8) -> DatanetId {
        B256::repeat_byte(datanet).into()
    }

    /// A version whose root is its byte, on the root before it.
    fn version(datanet: u8, version: u64, parent: u8, root: u8) -> VersionRow {
        VersionRow {
            datanet_id: id(datanet),
            version,
            parent_root: B256::repeat_byte(parent),
            root: B256::repeat_byte(root),
            chunk_count: 1,
            document_count: 1,
            contributor_count: 1,
            manifest_hash: B256::ZERO,
            lance_version: 1,
            publisher: Address::ZERO,
            signature: String::new(),
            published_at: Millis(0),
        }
    }

    fn anchored(datanet: u8, version: u64, root: u8) -> AnchoredVersion {
        AnchoredVersion { datanet_id: id(datanet), version, root: B256::repeat_byte(root), committer: Address::ZERO }
    }

    fn foreign(datanet: u8, version: u64, root: u8) -> ForeignVersionRow {
        let (root, committer, accepted_at) = (B256::repeat_byte(root), Address::ZERO, Millis(0));
        ForeignVersionRow { datanet_id: id(datanet), version, root, committer, accepted_at }
    }

    #[test]
    fn what_the_chain_lacks_is_owed_in_order() {
        let ours = [version(2, 2, 21, 22), version(1, 3, 12, 13), version(1, 2, 11, 12), version(2, 1, 0, 21), version(1, 1, 0, 11)];
        let owed = |datanet: u8, chain: &[AnchoredVersion]| match anchoring(id(datanet), &ours, chain, &[]) {
            Anchoring::Owed(row) => row.version,
            Anchoring::Level => 0,
            Anchoring::Fork(fork) => panic!("{fork:?}"),
        };
        assert_eq!((owed(1, &[]), owed(2, &[])), (1, 1));
        let chain = [anchored(1, 1, 11), anchored(2, 1, 21), anchored(2, 2, 22)];
        assert_eq!((owed(1, &chain), owed(2, &chain)), (2, 0));
        let all = [&chain[..], &[anchored(1, 2, 12), anchored(1, 3, 13)]].concat();
        assert_eq!(owed(1, &all), 0);
    }

    #[test]
    fn a_fork_is_told_by_roots_and_stays_with_its_datanet() {
        let ours = [version(1, 1, 0, 11), version(1, 2, 11, 12), version(2, 1, 0, 21)];
        // Somebody committed another version 2.
        let chain = [anchored(1, 1, 11), anchored(1, 2, 99)];
        assert_eq!(anchoring(id(1), &ours, &chain, &[]), Anchoring::Fork(chain[1]));
        assert!(matches!(anchoring(id(2), &ours, &chain, &[]), Anchoring::Owed(_)));
        // Accepted, ours of that number is given up, and the next one builds on what stands there.
        let accepted = [foreign(1, 2, 99)];
        assert_eq!(anchoring(id(1), &ours, &chain, &accepted), Anchoring::Level);
        let more = [&ours[..], &[version(1, 3, 99, 13)]].concat();
        assert!(matches!(anchoring(id(1), &more, &chain, &accepted), Anchoring::Owed(row) if row.version == 3));
        // Another one after it is another fork.
        let again = [&chain[..], &[anchored(1, 3, 98)]].concat();
        assert_eq!(anchoring(id(1), &more, &again, &accepted), Anchoring::Fork(again[2]));
    }

    /// By one commit that was not published here: the operator accepts it, and publishing goes on, also with nothing changed.
    #[tokio::test]
    async fn a_datanet_goes_on_after_a_fork() {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let report = submit(&ingest, ALICE, id, &[("a.txt", &prose(1, 40))]).await;
        ingest.review(decision(CURATOR, id, report.documents[0].document_id, "accept", "", 0)).await.unwrap();
        let first = ingest.publish(publication(CURATOR, id, &ingest.preview(id).await.unwrap())).await.unwrap();
        assert!(matches!(ingest.accept_fork(id, &[]).await, Err(IngestError::Conflict(_))));
        let fork = AnchoredVersion { datanet_id: id, version: 1, root: B256::repeat_byte(9), committer: address(OWNER) };
        let owed = async || ingest.anchorings(&[fork]).await.unwrap().remove(0).1;
        assert_eq!(owed().await, Anchoring::Fork(fork));
        assert_eq!(ingest.accept_fork(id, &[fork]).await.unwrap().len(), 1);
        assert_eq!(owed().await, Anchoring::Level);

        let preview = ingest.preview(id).await.unwrap();
        assert_eq!((preview.version, preview.parent_root, preview.root), (2, fork.root, first.root));
        let second = ingest.publish(publication(CURATOR, id, &preview)).await.unwrap();
        assert_eq!(owed().await, Anchoring::Owed(Box::new(second)));
        assert!(matches!(ingest.preview(id).await, Err(IngestError::NothingToPublish(_))));
    }
}
