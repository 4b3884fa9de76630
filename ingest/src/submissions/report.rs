//! What a contributor is told about an upload.

use std::collections::BTreeSet;

use schemas::Address;
use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{DocumentRow, Millis, SubmissionRow};
use serde::Serialize;

use crate::duplicates::Index;
use crate::screening::LANGUAGE_NOT_SERVED;
use crate::{Ingest, Result};

/// The fate of an upload, file by file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubmissionReport {
    pub submission_id: SubmissionId,
    pub datanet_id: DatanetId,
    pub contributor: Address,
    pub licence: String,
    /// Whether it had been acknowledged before.
    pub already_known: bool,
    /// Registration order over all Datanets, from 1.
    pub registered: u64,
    pub received_at: Millis,
    /// By file name.
    pub documents: Vec<DocumentReport>,
}

/// The fate of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentReport {
    pub document_id: DocumentId,
    pub file_name: String,
    pub media_type: String,
    /// `chunked` or `refused`.
    pub status: String,
    pub reason_code: Option<String>,
    pub reason: Option<String>,
    pub chunk_count: u64,
    /// Chunks that repeat earlier ones: their content belongs to whoever was first.
    pub duplicate_chunks: u64,
    /// The earlier document that holds the most of this one, where that is a considerable part.
    pub duplicate_of: Option<EarlierDocument>,
    /// What part of this document's phrases that one holds.
    pub similarity_ppm: Option<u64>,
    /// Screening signals of its chunks, each once.
    pub flags: Vec<String>,
    /// What flags that concern the whole document mean for it.
    pub hints: Vec<String>,
    pub topic_similarity_ppm: u64,
}

/// A document that was registered earlier, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EarlierDocument {
    pub document_id: DocumentId,
    pub submission_id: SubmissionId,
    pub contributor: Address,
    pub file_name: String,
}

impl EarlierDocument {
    /// The document at a position of the index.
    pub(crate) fn at(index: &Index, position: usize) -> Option<Self> {
        let entry = index.document_at(position)?;
        Some(Self {
            document_id: entry.document_id,
            submission_id: entry.submission_id,
            contributor: entry.contributor,
            file_name: entry.file_name.clone(),
        })
    }
}

impl Ingest {
    /// The report on a committed submission that is in `index`.
    pub(super) async fn report(&self, row: &SubmissionRow, index: &Index, already_known: bool) -> Result<SubmissionReport> {
        let mut documents = self.store().scan::<DocumentRow>(Some(&format!("submission_id = '{}'", row.submission_id))).await?;
        documents.sort_by(|a, b| a.file_name.cmp(&b.file_name));
        Ok(SubmissionReport {
            submission_id: row.submission_id,
            datanet_id: row.datanet_id,
            contributor: row.contributor,
            licence: row.licence.clone(),
            already_known,
            registered: row.registered,
            received_at: row.received_at,
            documents: documents.into_iter().map(|document| document_report(document, index)).collect(),
        })
    }
}

fn document_report(row: DocumentRow, index: &Index) -> DocumentReport {
    let (mut flags, mut duplicate_chunks, mut overlap) = (BTreeSet::new(), 0, None);
    if let Some((entry, chunks)) = index.document(row.document_id) {
        overlap = entry.overlap;
        for chunk in chunks {
            flags.extend(chunk.flags.iter().cloned());
            duplicate_chunks += u64::from(chunk.repeats.is_some());
        }
    }
    DocumentReport {
        document_id: row.document_id,
        file_name: row.file_name,
        media_type: row.media_type,
        status: row.status,
        reason_code: row.reason_code,
        reason: row.reason,
        chunk_count: row.chunk_count,
        duplicate_chunks,
        duplicate_of: overlap.and_then(|(position, _)| EarlierDocument::at(index, position)),
        similarity_ppm: overlap.map(|(_, ppm)| ppm),
        hints: hints(&flags),
        flags: flags.into_iter().collect(),
        topic_similarity_ppm: row.topic_similarity_ppm,
    }
}

fn hints(flags: &BTreeSet<String>) -> Vec<String> {
    let mut hints = Vec::new();
    if flags.contains(LANGUAGE_NOT_SERVED) {
        hints.push(
            "it is in a language that this service's embedder was not made for: it is found by its words, not by what they mean; a service \
             with an embedder for that language finds it by both"
                .to_owned(),
        );
    }
    hints
}
