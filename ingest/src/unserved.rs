//! Datanets with chunks in languages that the embedder was not made for, by the flags that these got when they were taken in.

use std::collections::BTreeMap;

use schemas::ids::DatanetId;
use schemas::tables::{DatanetRow, FlagRow, VersionRow};
use serde::Serialize;
use store::Store;

use crate::Result;
use crate::screening::LANGUAGE_NOT_SERVED;

/// How much of a Datanet's newest version is found by its words alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unserved {
    pub datanet: String,
    pub version: u64,
    pub chunks: u64,
    /// Of them, in a language that the embedder was not made for.
    pub unserved_chunks: u64,
}

/// Of each Datanet that has such chunks, by name. Reads the flags of all that is published, and nothing else of it.
///
/// # Errors
/// [`crate::IngestError::Store`].
pub async fn unserved(store: &Store) -> Result<Vec<Unserved>> {
    let mut newest: BTreeMap<DatanetId, VersionRow> = BTreeMap::new();
    for row in store.scan::<VersionRow>(None).await? {
        let known = newest.get(&row.datanet_id).is_some_and(|known| known.version > row.version);
        if !known {
            newest.insert(row.datanet_id, row);
        }
    }
    let mut found = Vec::new();
    for DatanetRow { datanet_id, name, .. } in store.scan::<DatanetRow>(None).await? {
        let Some(version) = newest.get(&datanet_id) else { continue };
        let (mut chunks, mut unserved_chunks) = (0_u64, 0_u64);
        let count = |rows: Vec<FlagRow>| {
            chunks += rows.len() as u64;
            unserved_chunks += rows.iter().filter(|row| row.flags.iter().any(|flag| flag == LANGUAGE_NOT_SERVED)).count() as u64;
            Ok(())
        };
        store.for_each_member(datanet_id, version.lance_version, count).await?;
        if unserved_chunks > 0 {
            found.push(Unserved { datanet: name, version: version.version, chunks, unserved_chunks });
        }
    }
    found.sort_by(|a, b| a.datanet.cmp(&b.datanet));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use schemas::tables::{ChunkRow, Millis};
    use schemas::{Address, B256};

    use super::*;
    use crate::test_support::{ALICE, prose, service, submit};

    async fn publish(store: &Store, version: u64, members: &[ChunkRow]) {
        let datanet_id = members[0].datanet_id;
        let row = VersionRow {
            datanet_id,
            version,
            parent_root: B256::ZERO,
            root: B256::ZERO,
            chunk_count: members.len() as u64,
            document_count: 0,
            contributor_count: 0,
            manifest_hash: B256::ZERO,
            lance_version: store.publish_members(datanet_id, version, members).await.unwrap(),
            publisher: Address::ZERO,
            signature: String::new(),
            published_at: Millis(0),
        };
        store.insert_new(&[row]).await.unwrap();
    }

    #[tokio::test]
    async fn the_newest_version_says_how_much_of_it_is_in_other_languages() {
        let (ingest, datanet) = service().await;
        let store = ingest.store();
        assert!(unserved(store).await.unwrap().is_empty(), "nothing is published");
        submit(&ingest, ALICE, datanet.datanet_id, &[("a.txt", &prose(1, 4)), ("b.txt", &prose(2, 4))]).await;
        let mut chunks = store.scan::<ChunkRow>(None).await.unwrap();
        chunks[0].flags = vec![LANGUAGE_NOT_SERVED.to_owned(), "pii_email".to_owned()];
        publish(store, 1, &chunks).await;
        let expected = Unserved { datanet: "cold-chain".into(), version: 1, chunks: chunks.len() as u64, unserved_chunks: 1 };
        assert_eq!(unserved(store).await.unwrap(), [expected]);
        publish(store, 2, &chunks[1..]).await;
        assert!(unserved(store).await.unwrap().is_empty(), "an earlier version has it, and the newest does not");
    }
}
