//! What stands in the store of an upload between its acceptance and its end.

use bytes::Bytes;
use schemas::ids::SubmissionId;
use schemas::tables::Millis;
use serde::{Deserialize, Serialize};
use store::Store;

use super::JobFailure;
use crate::submissions::Checked;
use crate::{IngestError, Result};

const KIND: &str = "uploads";
/// The form of a record.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    version: u32,
    /// What was signed. Its files are blobs.
    pub upload: Checked,
    pub received_at: Millis,
    /// Attempts of whose end nothing is known: the process ended in them.
    pub attempts: u32,
    pub failure: Option<JobFailure>,
}

impl Record {
    pub(super) fn new(upload: Checked, received_at: Millis) -> Self {
        Self { version: VERSION, upload, received_at, attempts: 0, failure: None }
    }

    pub(crate) fn id(&self) -> SubmissionId {
        self.upload.submission_id
    }

    /// When this returns, the record is durable.
    pub(super) async fn write(&self, store: &Store) -> Result<()> {
        let json = serde_json::to_vec(self).map_err(|_| IngestError::Interrupted("writing an upload's record"))?;
        Ok(store.put_record(KIND, &self.id().to_string(), Bytes::from(json)).await?)
    }

    pub(super) async fn remove(&self, store: &Store) -> Result<()> {
        Ok(store.remove_record(KIND, &self.id().to_string()).await?)
    }

    /// All that can be read, in the order in which they were accepted.
    pub(super) async fn all(store: &Store) -> Result<Vec<Self>> {
        let mut records = Vec::new();
        for (name, bytes) in store.records(KIND).await? {
            match serde_json::from_slice::<Self>(&bytes) {
                Ok(record) if record.version == VERSION => records.push(record),
                Ok(record) => tracing::error!(name, version = record.version, "an upload's record is of another version of this software"),
                Err(error) => tracing::error!(name, %error, "an upload's record cannot be read"),
            }
        }
        records.sort_by_key(|record| (record.received_at, record.id()));
        Ok(records)
    }
}
