//! Reading the tables as everybody sees them: what has no commit row does not exist.

use std::collections::{HashMap, HashSet};

use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, ReviewRow, SubmissionRow, VersionRow};

use crate::duplicates::{Fingerprint, Index, NewChunk, NewDocument};
use crate::{Ingest, Result};

/// Submissions whose chunks are in memory at once while an index is built.
const SUBMISSIONS_PER_BATCH: usize = 50;

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

    /// Takes the Datanet's index out of `indexes`, brought up to the last committed submission. The caller
    /// puts it back when it still tells the truth; an index that is lost is built anew.
    pub(crate) async fn take_index(&self, indexes: &mut HashMap<DatanetId, Index>, datanet: DatanetId) -> Result<Index> {
        let mut index = indexes.remove(&datanet).unwrap_or_else(|| Index::new(self.config().near_duplicate_ppm));
        let newer = format!("datanet_id = '{datanet}' AND registered > {}", index.through);
        let mut submissions = self.store().scan::<SubmissionRow>(Some(&newer)).await?;
        submissions.sort_by_key(|submission| submission.registered);
        for batch in submissions.chunks(SUBMISSIONS_PER_BATCH) {
            let ids: Vec<String> = batch.iter().map(|row| format!("'{}'", row.submission_id)).collect();
            let of_batch = format!("submission_id IN ({})", ids.join(", "));
            let documents = self.store().scan::<DocumentRow>(Some(&of_batch)).await?;
            let chunks = self.store().scan::<ChunkRow>(Some(&of_batch)).await?;
            let registered: Vec<(SubmissionId, u64)> = batch.iter().map(|row| (row.submission_id, row.registered)).collect();
            index = self.compute("comparing texts", move || replay(index, &registered, documents, chunks)).await?;
        }
        Ok(index)
    }

    /// The chunks of a document, in order, with what the index says of each.
    pub(crate) async fn document_chunks(&self, document: &DocumentRow, submission: &SubmissionRow) -> Result<Vec<ChunkRow>> {
        let mut chunks = self.store().scan::<ChunkRow>(Some(&format!("document_id = '{}'", document.document_id))).await?;
        let mut indexes = self.inner.registrations.lock().await;
        let index = self.take_index(&mut indexes, document.datanet_id).await?;
        for chunk in &mut chunks {
            if let Some(standing) = index.chunk(chunk.chunk_id, chunk.submission_id) {
                chunk.cluster_id = standing.cluster_id;
                chunk.duplicate_of = standing.repeats.as_ref().map(|repeat| repeat.chunk_id);
                chunk.similarity_ppm = standing.repeats.as_ref().map(|repeat| repeat.similarity_ppm);
            }
            chunk.registered = submission.registered;
        }
        indexes.insert(document.datanet_id, index);
        chunks.sort_by_key(|chunk| chunk.ordinal);
        Ok(chunks)
    }
}

/// Adds committed submissions to an index, in order.
fn replay(mut index: Index, submissions: &[(SubmissionId, u64)], documents: Vec<DocumentRow>, mut chunks: Vec<ChunkRow>) -> Index {
    chunks.sort_by_key(|chunk| chunk.ordinal);
    let mut by_document: HashMap<DocumentId, Vec<(ChunkId, Vec<String>, String)>> = HashMap::new();
    for chunk in chunks {
        by_document.entry(chunk.document_id).or_default().push((chunk.chunk_id, chunk.flags, chunk.text));
    }
    let mut by_submission: HashMap<SubmissionId, Vec<DocumentRow>> = HashMap::new();
    for document in documents.into_iter().filter(|document| document.status == "chunked") {
        by_submission.entry(document.submission_id).or_default().push(document);
    }
    for (submission, registered) in submissions {
        let documents = by_submission.remove(submission).unwrap_or_default().into_iter().map(|row| NewDocument {
            document_id: row.document_id,
            submission_id: row.submission_id,
            contributor: row.contributor,
            file_name: row.file_name,
            chunks: by_document
                .remove(&row.document_id)
                .unwrap_or_default()
                .into_iter()
                .map(|(chunk_id, flags, text)| NewChunk { chunk_id, flags, fingerprint: Fingerprint::of(&text) })
                .collect(),
        });
        index.add(*registered, documents.collect());
    }
    index
}

/// The decision of the highest sequence on each document.
pub(crate) fn latest_decisions(mut reviews: Vec<ReviewRow>) -> HashMap<DocumentId, ReviewRow> {
    reviews.sort_by_key(|review| review.sequence);
    reviews.into_iter().map(|review| (review.document_id, review)).collect()
}
