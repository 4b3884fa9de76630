//! Records: small objects that are replaced and removed whole, for work that is under way. What has happened is in tables.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::{Store, StoreError};

impl Store {
    /// Writes the record `name` of a kind, in place of the one that is there.
    pub async fn put_record(&self, kind: &str, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = self.record_path(kind, name);
        self.inner.location.objects().put_opts(&path, bytes.into(), PutOptions::from(PutMode::Overwrite)).await?;
        Ok(())
    }

    /// All records of a kind with their names, in no order.
    pub async fn records(&self, kind: &str) -> Result<Vec<(String, Bytes)>, StoreError> {
        let objects = self.inner.location.objects();
        let listed: Vec<Path> = objects
            .list(Some(&self.inner.location.object_path(&format!("records/{kind}"))))
            .map_ok(|object| object.location)
            .try_collect()
            .await?;
        let mut records = Vec::with_capacity(listed.len());
        for path in listed {
            let name = path.filename().unwrap_or_default().to_owned();
            records.push((name, objects.get(&path).await?.bytes().await?));
        }
        Ok(records)
    }

    /// The bytes of all records of all kinds.
    pub(crate) async fn all_records(&self) -> Result<Vec<Bytes>, StoreError> {
        let objects = self.inner.location.objects();
        let folder = self.inner.location.object_path("records");
        let listed: Vec<Path> = objects.list(Some(&folder)).map_ok(|object| object.location).try_collect().await?;
        let mut records = Vec::with_capacity(listed.len());
        for path in listed {
            match objects.get(&path).await {
                Ok(found) => records.push(found.bytes().await?),
                // It was removed meanwhile.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(records)
    }

    /// Removes a record; one that is not there is gone already. After a power failure it can be there again.
    pub async fn remove_record(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        match self.inner.location.objects().delete(&self.record_path(kind, name)).await {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn record_path(&self, kind: &str, name: &str) -> Path {
        self.inner.location.object_path(&format!("records/{kind}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, StoreConfig};

    #[tokio::test]
    async fn a_record_is_replaced_and_removed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().display());
        for store in [Store::in_memory().await.unwrap(), Store::open(&StoreConfig::new(url, Durability::Fsync)).await.unwrap()] {
            assert!(store.records("jobs").await.unwrap().is_empty());
            for (name, text) in [("a", "one"), ("b", "two"), ("a", "three")] {
                store.put_record("jobs", name, Bytes::from(text)).await.unwrap();
            }
            store.put_record("others", "c", Bytes::from("four")).await.unwrap();
            let mut records = store.records("jobs").await.unwrap();
            records.sort();
            assert_eq!(records, [("a".to_owned(), Bytes::from("three")), ("b".to_owned(), Bytes::from("two"))]);
            for _ in 0..2 {
                store.remove_record("jobs", "a").await.unwrap();
            }
            assert_eq!(store.records("jobs").await.unwrap().len(), 1);
        }
    }
}
