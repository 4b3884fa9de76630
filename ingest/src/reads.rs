//! Reading the tables as everybody sees them: what has no commit row does not exist.

use std::collections::{BTreeSet, HashMap};

use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, ReviewRow, SubmissionRow, VersionRow};

use crate::{Ingest, Result};

impl Ingest {
    pub(crate) async fn submission_row(&self, id: SubmissionId) -> Result<Option<SubmissionRow>> {
        Ok(self.store().scan::<SubmissionRow>(Some(&format!("submission_id = '{id}'"))).await?.into_iter().next())
    }

    /// The versions of a Datanet, from the first.
    ///
    /// # Errors
    /// [`crate::IngestError::Store`].
    pub async fn versions(&self, datanet: DatanetId) -> Result<Vec<VersionRow>> {
        let mut versions = self.store().scan::<VersionRow>(Some(&format!("datanet_id = '{datanet}'"))).await?;
        versions.sort_by_key(|version| version.version);
        Ok(versions)
    }

    /// The chunks of a document, in order, with what the index says of each.
    pub(crate) async fn document_chunks(&self, document: &DocumentRow, submission: &SubmissionRow) -> Result<Vec<ChunkRow>> {
        let mut chunks = self.store().scan::<ChunkRow>(Some(&format!("document_id = '{}'", document.document_id))).await?;
        let index = self.duplicates(document.datanet_id).await?;
        for chunk in &mut chunks {
            if let Some(standing) = index.chunk(chunk.chunk_id, chunk.submission_id) {
                chunk.cluster_id = standing.cluster_id;
                chunk.duplicate_of = standing.repeats.as_ref().map(|repeat| repeat.chunk_id);
                chunk.similarity_ppm = standing.repeats.as_ref().map(|repeat| repeat.similarity_ppm);
            }
            chunk.registered = submission.registered;
        }
        chunks.sort_by_key(|chunk| chunk.ordinal);
        Ok(chunks)
    }
}

/// The decision of the highest sequence on each document.
pub(crate) fn latest_decisions(mut reviews: Vec<ReviewRow>) -> HashMap<DocumentId, ReviewRow> {
    reviews.sort_by_key(|review| review.sequence);
    reviews.into_iter().map(|review| (review.document_id, review)).collect()
}

/// A filter for the rows whose `column` is one of these.
pub(crate) fn one_of<T: Ord + std::fmt::Display>(column: &str, ids: impl Iterator<Item = T>) -> String {
    let ids: Vec<String> = ids.collect::<BTreeSet<T>>().into_iter().map(|id| format!("'{id}'")).collect();
    format!("{column} IN ({})", ids.join(", "))
}
