//! What curators look at: every readable document with what is known about it.

use std::collections::{BTreeSet, HashMap};

use schemas::Address;
use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, Millis, ReviewRow, SubmissionRow};
use serde::Serialize;

use crate::book::QueuePlace;
use crate::duplicates::Index;
use crate::reads::{latest_decisions, one_of};
use crate::submissions::EarlierDocument;
use crate::{Ingest, IngestError, Result};

/// Repeated chunks that are listed per document; `duplicate_chunks` counts them all.
const DUPLICATES_LISTED: usize = 50;
/// Documents that one scan looks for.
const READ_AT_ONCE: usize = 500;

/// A document in the queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueItem {
    pub document: DocumentRow,
    pub submission: SubmissionFacts,
    pub status: QueueStatus,
    pub last_review: Option<ReviewRow>,
    /// Screening signals of its chunks, each once.
    pub flags: Vec<String>,
    pub topic_similarity_ppm: u64,
    pub duplicate_chunks: u64,
    /// The first of them, side by side with what they repeat.
    pub duplicates: Vec<ChunkDuplicate>,
    /// The earlier document that holds the most of this one, and what part of its phrases.
    pub duplicate_of: Option<EarlierDocument>,
    pub similarity_ppm: Option<u64>,
}

/// The upload that a document came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubmissionFacts {
    pub submission_id: SubmissionId,
    pub contributor: Address,
    pub licence: String,
    pub note: String,
    pub registered: u64,
    pub received_at: Millis,
}

/// The latest decision on a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueStatus {
    Pending,
    Accepted,
    Rejected,
}

/// A chunk that repeats an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChunkDuplicate {
    pub chunk_id: ChunkId,
    pub ordinal: u64,
    pub duplicate_of: ChunkId,
    /// 1,000,000 is exact.
    pub similarity_ppm: u64,
    /// Where the earlier chunk stands, and whose it is.
    pub earlier: EarlierDocument,
}

impl Ingest {
    /// The next `limit` readable documents of a Datanet: those that wait for a decision first, then by registration; from the first, or
    /// from `after` on. What has since been decided comes again among the others, and takes nothing with it.
    ///
    /// # Errors
    /// [`IngestError::NotFound`] for an unknown Datanet, and where `after` is no document of it.
    pub async fn queue(&self, datanet: DatanetId, after: Option<QueuePlace>, limit: usize) -> Result<Vec<QueueItem>> {
        self.datanet(&datanet.to_string()).await?;
        let book = self.book(datanet).await?;
        let Some(queued) = book.queue(after) else {
            return Err(IngestError::NotFound("there is no such document in this queue to go on after".into()));
        };
        let queued: Vec<DocumentId> = queued.take(limit).collect();
        let index = self.duplicates(datanet).await?;
        let mut items = Vec::with_capacity(queued.len());
        for some in queued.chunks(READ_AT_ONCE) {
            let of_some = one_of("document_id", some.iter());
            let documents = self.store().scan::<DocumentRow>(Some(&of_some)).await?;
            let of_these = one_of("submission_id", documents.iter().map(|document| document.submission_id));
            let submissions = self.store().scan::<SubmissionRow>(Some(&of_these)).await?;
            let mut reviews = self.store().scan::<ReviewRow>(Some(&of_some)).await?;
            // what the page was chosen by, and nothing that came since
            reviews.retain(|review| review.sequence <= book.sequence());
            let mut reviews = latest_decisions(reviews);
            let submissions: HashMap<SubmissionId, SubmissionRow> = submissions.into_iter().map(|row| (row.submission_id, row)).collect();
            let mut documents: HashMap<DocumentId, DocumentRow> = documents.into_iter().map(|row| (row.document_id, row)).collect();
            items.extend(some.iter().filter_map(|id| {
                let document = documents.remove(id)?;
                let submission = submissions.get(&document.submission_id)?;
                Some(item(document, submission, reviews.remove(id), &index))
            }));
        }
        Ok(items)
    }

    /// A document and its chunks, in order: what a curator reads.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn document(&self, id: DocumentId) -> Result<(DocumentRow, Vec<ChunkRow>)> {
        let of_document = format!("document_id = '{id}'");
        let missing = || IngestError::NotFound(format!("there is no document {id}"));
        let document = self.store().scan::<DocumentRow>(Some(&of_document)).await?.into_iter().next().ok_or_else(missing)?;
        let submission = self.submission_row(document.submission_id).await?.ok_or_else(missing)?;
        let chunks = self.document_chunks(&document, &submission).await?;
        Ok((document, chunks))
    }
}

fn item(document: DocumentRow, submission: &SubmissionRow, review: Option<ReviewRow>, index: &Index) -> QueueItem {
    let (mut flags, mut duplicates, mut duplicate_chunks, mut overlap) = (BTreeSet::new(), Vec::new(), 0, None);
    if let Some((entry, chunks)) = index.document(document.document_id) {
        overlap = entry.overlap;
        for chunk in chunks {
            flags.extend(chunk.flags.iter().cloned());
            let Some(repeat) = &chunk.repeats else { continue };
            duplicate_chunks += 1;
            if let Some(earlier) = EarlierDocument::at(index, repeat.document).filter(|_| duplicates.len() < DUPLICATES_LISTED) {
                duplicates.push(ChunkDuplicate {
                    chunk_id: chunk.chunk_id,
                    ordinal: chunk.ordinal,
                    duplicate_of: repeat.chunk_id,
                    similarity_ppm: repeat.similarity_ppm,
                    earlier,
                });
            }
        }
    }
    QueueItem {
        submission: SubmissionFacts {
            submission_id: submission.submission_id,
            contributor: submission.contributor,
            licence: submission.licence.clone(),
            note: submission.note.clone(),
            registered: submission.registered,
            received_at: submission.received_at,
        },
        status: status(review.as_ref()),
        last_review: review,
        flags: flags.into_iter().collect(),
        topic_similarity_ppm: document.topic_similarity_ppm,
        duplicate_chunks,
        duplicates,
        duplicate_of: overlap.and_then(|(position, _)| EarlierDocument::at(index, position)),
        similarity_ppm: overlap.map(|(_, ppm)| ppm),
        document,
    }
}

fn status(review: Option<&ReviewRow>) -> QueueStatus {
    match review {
        None => QueueStatus::Pending,
        Some(review) if review.decision == "accept" => QueueStatus::Accepted,
        Some(_) => QueueStatus::Rejected,
    }
}
