//! The duplicate indexes of all Datanets: each behind a lock of its own, brought up to the committed submissions when it is
//! used, and kept in a file ([`Kept`]) so that a start reads fingerprints instead of texts.
//!
//! Whoever uses one may give up at any point: an index is as some committed submission left it, or gone and built anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, SubmissionRow};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::duplicates::{Committed, Fingerprint, Index, Kept, NewChunk, NewDocument, encode};
use crate::{Ingest, IngestError, Result};

/// Submissions whose chunks are in memory at once while an index is built.
const SUBMISSIONS_PER_BATCH: usize = 50;

#[derive(Debug, Default)]
pub(crate) struct Indexes {
    slots: Mutex<HashMap<DatanetId, Arc<RwLock<Slot>>>>,
}

/// Empty until it is first needed, and after a failure.
type Slot = Option<Held>;

/// An index, and its file.
#[derive(Debug)]
pub(crate) struct Held {
    index: Index,
    /// None where there is no folder, or the file failed: the next start adds what is missing.
    kept: Option<Kept>,
}

/// A Datanet's index, to read.
pub(crate) type ReadIndex = OwnedRwLockReadGuard<Slot, Index>;

/// A Datanet's index, which nobody else uses meanwhile, with everything that is committed.
#[derive(Debug)]
pub(crate) struct Exclusive(OwnedRwLockWriteGuard<Slot>);

/// The same with a submission that is not committed yet. Unless it is, the index is forgotten: it would be ahead of the tables.
#[derive(Debug)]
pub(crate) struct Adding {
    slot: OwnedRwLockWriteGuard<Slot>,
    held: Held,
    submission_id: SubmissionId,
    documents: Vec<u8>,
}

impl Ingest {
    /// The Datanet's index with everything that is committed, to read.
    pub(crate) async fn duplicates(&self, datanet: DatanetId) -> Result<ReadIndex> {
        let slot = self.slot(datanet).read_owned().await;
        if let Some(held) = slot.as_ref()
            && self.committed_after(datanet, held.index.through).await?.is_empty()
        {
            return read(slot);
        }
        drop(slot);
        read(self.duplicates_alone(datanet).await?.0.downgrade())
    }

    /// The Datanet's index with everything that is committed. While it is held, nothing is committed to the Datanet.
    pub(crate) async fn duplicates_alone(&self, datanet: DatanetId) -> Result<Exclusive> {
        let mut slot = self.slot(datanet).write_owned().await;
        let mut newer = self.committed_after(datanet, slot.as_ref().map_or(0, |held| held.index.through)).await?;
        if slot.is_none() {
            let path = self.fingerprints_file(datanet);
            let index = Index::new(self.config().near_duplicate_ppm);
            (slot, newer) = self
                .compute("reading fingerprints", move || {
                    let held = Held::open(index, path, &newer);
                    newer.retain(|(registered, _)| *registered > held.index.through);
                    *slot = Some(held);
                    (slot, newer)
                })
                .await?;
        }
        for batch in newer.chunks(SUBMISSIONS_PER_BATCH) {
            let ids: Vec<String> = batch.iter().map(|(_, id)| format!("'{id}'")).collect();
            let of_batch = format!("submission_id IN ({})", ids.join(", "));
            let documents = self.store().scan::<DocumentRow>(Some(&of_batch)).await?;
            let chunks = self.store().scan::<ChunkRow>(Some(&of_batch)).await?;
            let batch = batch.to_vec();
            slot = self
                .compute("comparing texts", move || {
                    // Taken out while it changes: a defect leaves none rather than half of one.
                    if let Some(held) = slot.take() {
                        *slot = Some(held.with(batch, documents, chunks));
                    }
                    slot
                })
                .await?;
        }
        Ok(Exclusive(slot))
    }

    /// Where a Datanet's fingerprints are kept; none where they are not.
    pub(crate) fn fingerprints_file(&self, datanet: DatanetId) -> Option<PathBuf> {
        self.config().duplicates_dir.as_ref().map(|folder| folder.join(format!("{datanet}.fingerprints")))
    }

    fn slot(&self, datanet: DatanetId) -> Arc<RwLock<Slot>> {
        let mut slots = self.inner.indexes.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(datanet).or_default().clone()
    }

    /// What is committed to a Datanet after a registration, in order.
    async fn committed_after(&self, datanet: DatanetId, through: u64) -> Result<Vec<Committed>> {
        let newer = format!("datanet_id = '{datanet}' AND registered > {through}");
        let rows = self.store().scan::<SubmissionRow>(Some(&newer)).await?;
        let mut committed: Vec<Committed> = rows.into_iter().map(|row| (row.registered, row.submission_id)).collect();
        committed.sort_unstable();
        Ok(committed)
    }
}

fn read(slot: OwnedRwLockReadGuard<Slot>) -> Result<ReadIndex> {
    OwnedRwLockReadGuard::try_map(slot, |slot| slot.as_ref().map(|held| &held.index)).map_err(|_| lost())
}

/// A panic took it, which is a defect.
fn lost() -> IngestError {
    IngestError::Interrupted("comparing texts")
}

impl Exclusive {
    /// Places a submission that is to be committed next. It blocks.
    pub(crate) fn place(self, submission_id: SubmissionId, documents: Vec<NewDocument>) -> Result<Adding> {
        let Self(mut slot) = self;
        let mut held = slot.take().ok_or_else(lost)?;
        let encoded = if held.kept.is_some() { encode(&documents) } else { Vec::new() };
        held.index.place(documents);
        Ok(Adding { slot, held, submission_id, documents: encoded })
    }
}

impl Adding {
    pub(crate) fn index(&self) -> &Index {
        &self.held.index
    }

    /// The submission is committed under this number. It blocks.
    pub(crate) fn commit(self, registered: u64) -> Result<ReadIndex> {
        let Self { mut slot, mut held, submission_id, documents } = self;
        held.keep((registered, submission_id), &documents);
        held.index.through = registered;
        *slot = Some(held);
        read(slot.downgrade())
    }
}

impl Held {
    /// What the file holds of what was committed.
    fn open(mut index: Index, path: Option<PathBuf>, committed: &[Committed]) -> Self {
        let kept = path.and_then(|path| {
            let opened = Kept::open(&path, committed, |registered, documents| index.add(registered, documents));
            opened.inspect_err(|error| tracing::warn!(%error, path = %path.display(), "fingerprints cannot be kept")).ok()
        });
        Self { index, kept }
    }

    /// Adds committed submissions, in order.
    fn with(mut self, submissions: Vec<Committed>, documents: Vec<DocumentRow>, chunks: Vec<ChunkRow>) -> Self {
        let mut by_submission = fingerprinted(documents, chunks);
        for (registered, submission_id) in submissions {
            let documents = by_submission.remove(&submission_id).unwrap_or_default();
            if self.kept.is_some() {
                self.keep((registered, submission_id), &encode(&documents));
            }
            self.index.add(registered, documents);
        }
        self
    }

    fn keep(&mut self, submission: Committed, documents: &[u8]) {
        if let Some(kept) = &mut self.kept
            && let Err(error) = kept.add(submission, documents)
        {
            tracing::warn!(%error, "fingerprints are kept no more until the next start");
            self.kept = None;
        }
    }
}

/// The readable documents of each submission.
fn fingerprinted(documents: Vec<DocumentRow>, mut chunks: Vec<ChunkRow>) -> HashMap<SubmissionId, Vec<NewDocument>> {
    chunks.sort_by_key(|chunk| chunk.ordinal);
    let mut by_document: HashMap<DocumentId, Vec<NewChunk>> = HashMap::new();
    for ChunkRow { document_id, chunk_id, flags, text, .. } in chunks {
        by_document.entry(document_id).or_default().push(NewChunk { chunk_id, flags, fingerprint: Fingerprint::of(&text) });
    }
    let mut by_submission: HashMap<SubmissionId, Vec<NewDocument>> = HashMap::new();
    for row in documents.into_iter().filter(|document| document.status == "chunked") {
        by_submission.entry(row.submission_id).or_default().push(NewDocument {
            document_id: row.document_id,
            submission_id: row.submission_id,
            contributor: row.contributor,
            file_name: row.file_name,
            chunks: by_document.remove(&row.document_id).unwrap_or_default(),
        });
    }
    by_submission
}

#[cfg(test)]
mod tests;
