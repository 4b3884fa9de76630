//! Reading the tables as everybody sees them: what has no commit row does not exist.

use std::collections::{BTreeSet, HashMap, HashSet};

use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, ReviewRow, SubmissionRow, VersionRow};

use crate::{Ingest, Result};

/// The uploads of a Datanet that stand.
pub(crate) struct Uploads {
    pub submissions: HashMap<SubmissionId, SubmissionRow>,
    /// Those that were read; by registration and file name.
    pub documents: Vec<DocumentRow>,
    /// The latest decision on each document.
    pub decisions: HashMap<DocumentId, ReviewRow>,
}

impl Uploads {
    /// Documents whose latest decision is to accept them.
    pub(crate) fn accepted(&self) -> HashSet<DocumentId> {
        let accepted =
            |document: &&DocumentRow| self.decisions.get(&document.document_id).is_some_and(|review| review.decision == "accept");
        self.documents.iter().filter(accepted).map(|document| document.document_id).collect()
    }
}

impl Ingest {
    pub(crate) async fn submission_row(&self, id: SubmissionId) -> Result<Option<SubmissionRow>> {
        Ok(self.store().scan::<SubmissionRow>(Some(&format!("submission_id = '{id}'"))).await?.into_iter().next())
    }

    pub(crate) async fn uploads(&self, datanet: DatanetId) -> Result<Uploads> {
        let of_datanet = format!("datanet_id = '{datanet}'");
        // Reviews and documents first: whatever they refer to is then found among the submissions.
        let reviews = self.store().scan::<ReviewRow>(Some(&of_datanet)).await?;
        let mut documents = self.store().scan::<DocumentRow>(Some(&of_datanet)).await?;
        let submissions: HashMap<SubmissionId, SubmissionRow> =
            self.store().scan::<SubmissionRow>(Some(&of_datanet)).await?.into_iter().map(|row| (row.submission_id, row)).collect();
        documents.retain(|document| document.status == "chunked" && submissions.contains_key(&document.submission_id));
        documents.sort_by_cached_key(|document| {
            (submissions.get(&document.submission_id).map(|row| row.registered), document.file_name.clone())
        });
        Ok(Uploads { submissions, documents, decisions: latest_decisions(reviews) })
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
