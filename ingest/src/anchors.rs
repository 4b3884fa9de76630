//! The anchor outbox: what the chain is owed. There is no table for it: what we hold, less what the chain
//! has, is what has to be sent, so that a crash at any point is repaired by asking again.

use std::collections::{BTreeSet, HashSet};

use schemas::alloy_primitives::keccak256;
use schemas::contracts::DatanetRegistry::{commitVersionCall, createDatanetCall};
use schemas::ids::DatanetId;
use schemas::tables::{DatanetRow, VersionRow};

use crate::{Ingest, Result};

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

    /// Versions that are not committed on chain, in the order in which they have to be sent: by Datanet, and
    /// from the lowest. `committed` are those that the chain knows.
    ///
    /// # Errors
    /// [`crate::IngestError::Store`].
    pub async fn pending_anchors(&self, committed: &[(DatanetId, u64)]) -> Result<Vec<VersionRow>> {
        Ok(without_anchor(self.store().scan::<VersionRow>(None).await?, committed))
    }
}

fn without_anchor(mut versions: Vec<VersionRow>, committed: &[(DatanetId, u64)]) -> Vec<VersionRow> {
    let committed: BTreeSet<&(DatanetId, u64)> = committed.iter().collect();
    versions.retain(|row| !committed.contains(&(row.datanet_id, row.version)));
    versions.sort_by_key(|row| (row.datanet_id, row.version));
    versions
}

/// The call that registers a Datanet; its owner has to send it.
#[must_use]
pub fn registration_call(row: &DatanetRow) -> createDatanetCall {
    createDatanetCall {
        nameHash: keccak256(&row.name),
        metadataHash: row.metadata_hash,
        policyHash: row.policy_hash,
        curators: row.curators.clone(),
    }
}

/// The call that commits a version; the Datanet's owner or a curator has to send it.
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
    use schemas::tables::Millis;
    use schemas::{Address, B256};

    use super::*;

    fn version(datanet: u8, version: u64) -> VersionRow {
        VersionRow {
            datanet_id: B256::repeat_byte(datanet).into(),
            version,
            parent_root: B256::ZERO,
            root: B256::repeat_byte(9),
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

    #[test]
    fn what_the_chain_lacks_is_owed_in_order() {
        let all = || vec![version(2, 2), version(1, 3), version(1, 2), version(2, 1), version(1, 1)];
        let owed = |committed: &[(DatanetId, u64)]| -> Vec<(DatanetId, u64)> {
            without_anchor(all(), committed).iter().map(|row| (row.datanet_id, row.version)).collect()
        };
        let (a, b): (DatanetId, DatanetId) = (B256::repeat_byte(1).into(), B256::repeat_byte(2).into());
        assert_eq!(owed(&[]), [(a, 1), (a, 2), (a, 3), (b, 1), (b, 2)]);
        assert_eq!(owed(&[(a, 1), (b, 1), (b, 2)]), [(a, 2), (a, 3)]);
        assert_eq!(owed(&[(a, 1), (a, 2), (a, 3), (b, 1), (b, 2)]), []);
    }
}
