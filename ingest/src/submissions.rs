//! Taking an upload in: check, store, read, compare, commit, acknowledge.
//!
//! The order of writes is blobs, documents, chunks, then the one `submissions` row that makes them exist.
//! A retry after a crash at any point finds what is there by its content-derived id and adds the rest.

mod check;
mod manifest;
mod report;
mod room;
mod rows;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt, TryStreamExt};
use schemas::Address;
use schemas::hashing::{self, ManifestEntry};
use schemas::ids::{DatanetId, DocumentId, Sha256, SubmissionId};
use schemas::tables::{ChunkRow, DocumentRow, Millis, SubmissionRow};
use store::{Inserted, StoreError};

use crate::chunking::ChunkLimits;
use crate::formats::Refusal;
use crate::measures::UploadStage;
use crate::progress::Progress;
use crate::reading::{self, Document, Reading, ReadingError, ReadingRules};
use crate::service::Step;
use crate::{Ingest, IngestError, Result};
pub(crate) use check::Checked;
pub use check::is_licence_expression;
pub use manifest::{Announcement, SignedManifest};
pub use report::{DocumentReport, EarlierDocument, SubmissionReport};
pub(crate) use room::Held;
pub use room::Room;

/// An upload as its contributor signed it (see [`schemas::signed::submission`]).
#[derive(Debug, Clone)]
pub struct SignedSubmission {
    pub datanet: DatanetId,
    pub contributor: Address,
    /// SPDX expression.
    pub licence: String,
    pub note: String,
    /// Unix seconds after which the signature is void.
    pub deadline: u64,
    /// EIP-712 signature by the contributor.
    pub signature: String,
    pub files: Vec<UploadedFile>,
}

/// One file of an upload.
#[derive(Debug, Clone)]
pub struct UploadedFile {
    /// A name, never a path: data that is shown and signed.
    pub file_name: String,
    pub bytes: Bytes,
}

/// A file that was read, ready to become rows.
pub(crate) struct ReadFile {
    pub file_name: String,
    pub sha256: Sha256,
    pub size_bytes: u64,
    pub document_id: DocumentId,
    pub reading: Reading,
}

/// The last second of the year 9999: the last that has a date in RFC 3339, and far less than a table holds.
const LAST_DEADLINE: u64 = 253_402_300_799;

impl Ingest {
    /// Takes an upload in and waits for it. When this returns, the upload is durable and registered; the same
    /// upload again returns the same report, marked `already_known`. A service lets its workers do that:
    /// [`Ingest::accept`].
    ///
    /// # Errors
    /// [`IngestError::InvalidRequest`], [`IngestError::TooLarge`], [`IngestError::Unauthorised`] and
    /// [`IngestError::Expired`] name what is wrong with the request, [`IngestError::NotFound`] an unknown
    /// Datanet, [`IngestError::Conflict`] the same files under another licence. A file that cannot be read
    /// is no error: its report says why.
    pub async fn submit(&self, submission: SignedSubmission) -> Result<SubmissionReport> {
        let (upload, bytes) = self.checked(submission).await?;
        if let Some(known) = self.known(upload.submission_id, &upload.licence).await? {
            return Ok(known);
        }
        let now = Millis::now();
        check_deadline(upload.deadline, now)?;
        self.keep_files(bytes).await?;
        self.take_in(upload, now, &Arc::default()).await
    }

    /// Checks an upload whose files are there; also the bytes of those, in their order.
    pub(crate) async fn checked(&self, submission: SignedSubmission) -> Result<(Checked, Vec<Bytes>)> {
        self.datanet(&submission.datanet.to_string()).await?;
        let config = self.config().clone();
        self.compute("checking an upload", move || check::check(submission, &config)).await?
    }

    /// When this returns, the bytes are durable.
    pub(crate) async fn keep_files(&self, files: Vec<Bytes>) -> Result<()> {
        for bytes in files {
            self.store().put_blob(bytes).await?;
        }
        self.reached(Step::BlobsStored)
    }

    /// Reads an upload whose files are kept, compares it and commits it.
    pub(crate) async fn take_in(&self, upload: Checked, received_at: Millis, progress: &Arc<Progress>) -> Result<SubmissionReport> {
        let datanet = self.datanet(&upload.datanet.to_string()).await?;
        let config = self.config();
        let limits = ChunkLimits { target_tokens: config.target_chunk_tokens, max_chunks: config.max_chunks_per_document };
        let rules = ReadingRules { limits, embedding_batch_texts: config.embedding_batch_texts, topic: datanet.topic };
        progress.begin();
        let files = self.stages.wait(UploadStage::Read, self.read_files(&upload, &rules, progress)).await?;
        progress.embed();
        let files = self.stages.wait(UploadStage::Embed, self.embed_files(files, &rules, progress)).await?;
        self.commit(upload, files, received_at).await
    }

    /// The report on a submission.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn submission(&self, id: SubmissionId) -> Result<SubmissionReport> {
        let row = self.submission_row(id).await?.ok_or_else(|| no_submission(id))?;
        let index = self.duplicates(row.datanet_id).await?;
        self.report(&row, &index, false).await
    }

    /// The report on a submission that was acknowledged before.
    pub(crate) async fn known(&self, id: SubmissionId, licence: &str) -> Result<Option<SubmissionReport>> {
        let Some(row) = self.submission_row(id).await? else { return Ok(None) };
        same_licence(&row.licence, licence, id)?;
        let report = self.submission(row.submission_id).await?;
        Ok(Some(SubmissionReport { already_known: true, ..report }))
    }

    /// Reads every file, several at once; they come back in the order of their names.
    async fn read_files(&self, upload: &Checked, rules: &ReadingRules, progress: &Arc<Progress>) -> Result<Vec<ReadFile>> {
        let most = self.config().max_chunks_per_submission;
        let reading: Vec<BoxFuture<'_, Result<ReadFile>>> =
            upload.files.iter().enumerate().map(|(at, entry)| self.read_entry(upload, at, entry, rules, progress).boxed()).collect();
        let mut reading = stream::iter(reading).buffered(self.config().max_concurrent_files.max(1));
        let (mut files, mut chunks_left) = (Vec::new(), most);
        while let Some(file) = reading.try_next().await? {
            let file = within(file, &mut chunks_left, most);
            progress.read_file(if let Reading::Read(document) = &file.reading { document.chunks.len() } else { 0 });
            files.push(file);
        }
        Ok(files)
    }

    /// Embeds what files say, several at once, in their order.
    async fn embed_files(&self, files: Vec<ReadFile>, rules: &ReadingRules, progress: &Arc<Progress>) -> Result<Vec<ReadFile>> {
        let embedding: Vec<BoxFuture<'_, Result<ReadFile>>> =
            files.into_iter().map(|file| self.embed_file(file, rules, progress).boxed()).collect();
        stream::iter(embedding).buffered(self.config().max_concurrent_files.max(1)).try_collect().await
    }

    async fn read_entry(
        &self,
        upload: &Checked,
        at: usize,
        entry: &ManifestEntry,
        rules: &ReadingRules,
        progress: &Arc<Progress>,
    ) -> Result<ReadFile> {
        let reading = match upload.files.iter().take(at).find(|earlier| earlier.sha256 == entry.sha256) {
            Some(same) => Reading::Refused(same_file(&same.file_name)),
            None => self.read(entry, rules, progress).await?,
        };
        Ok(ReadFile {
            file_name: entry.file_name.clone(),
            sha256: entry.sha256,
            size_bytes: entry.size_bytes,
            document_id: hashing::document_id(upload.submission_id, &entry.file_name, entry.sha256),
            reading,
        })
    }

    async fn embed_file(&self, file: ReadFile, rules: &ReadingRules, progress: &Arc<Progress>) -> Result<ReadFile> {
        let reading = match file.reading {
            Reading::Read(document) => self.embed(document, rules, progress).await?,
            refused => refused,
        };
        Ok(ReadFile { reading, ..file })
    }

    async fn read(&self, entry: &ManifestEntry, rules: &ReadingRules, progress: &Arc<Progress>) -> Result<Reading> {
        let bytes = self.store().get_blob(entry.sha256).await?;
        let (name, sha256) = (entry.file_name.clone(), entry.sha256);
        let (embedder, rules, progress) = (self.inner.embedder.clone(), rules.clone(), progress.clone());
        self.read_file(move || reading::read(&name, &bytes, sha256, embedder.as_ref(), &rules, &progress)).await
    }

    async fn embed(&self, document: Document, rules: &ReadingRules, progress: &Arc<Progress>) -> Result<Reading> {
        let (embedder, rules, progress) = (self.inner.embedder.clone(), rules.clone(), progress.clone());
        self.read_file(move || reading::embed(document, embedder.as_ref(), &rules, &progress).map(Reading::Read)).await
    }

    /// A share of reading a file; one that panics is a file that is refused.
    async fn read_file(&self, work: impl FnOnce() -> Result<Reading, ReadingError> + Send + 'static) -> Result<Reading> {
        match self.in_turn(work).await? {
            Ok(Ok(reading)) => Ok(reading),
            Ok(Err(ReadingError::Engine(error))) => Err(error.into()),
            Ok(Err(ReadingError::Stopped)) => Err(IngestError::Interrupted("reading a file")),
            Err(_panicked) => Ok(Reading::Refused(parser_defect())),
        }
    }

    /// Registers the upload: compared with everything earlier, then written, its own row last.
    async fn commit(&self, checked: Checked, files: Vec<ReadFile>, now: Millis) -> Result<SubmissionReport> {
        let began = Instant::now();
        // Nothing is committed to this Datanet while it is held: what is compared with is all that is earlier.
        let index = self.duplicates_alone(checked.datanet).await?;
        if self.submission_row(checked.submission_id).await?.is_some() {
            drop(index);
            let known = self.known(checked.submission_id, &checked.licence).await?;
            return known.ok_or(IngestError::Interrupted("looking a submission up"));
        }
        let (id, new_documents) = (checked.submission_id, rows::new_documents(&checked, &files));
        let compared = self.compute("comparing texts", move || index.place(id, new_documents)).await??;
        self.stages.tell(UploadStage::Compare, began.elapsed());
        let began = Instant::now();
        let registrations = self.inner.registrations.lock().await;
        let registered = self.store().max::<SubmissionRow>("registered").await?.unwrap_or(0) + 1;
        let documents = rows::documents(&checked, &files);
        let chunks = rows::chunks(&checked, files, registered, compared.index());
        let row = rows::submission(&checked, &documents, registered, now);
        let inserted = self.store().insert_new::<DocumentRow>(&documents).await?;
        self.reached(Step::DocumentsInserted)?;
        if !chunks.is_empty() {
            self.store().insert_new::<ChunkRow>(&chunks).await?;
        }
        self.reached(Step::ChunksInserted)?;
        // An attempt writes its documents first: where none of these was there, there was no attempt.
        if inserted.rows < documents.len() as u64 {
            self.check_leftovers(&row, &documents, chunks.len()).await?;
        }
        let row = self.register(row).await?;
        drop(registrations);
        self.reached(Step::SubmissionCommitted)?;
        if row.registered != registered {
            // Another process registered meanwhile, which the index lacks: it is made again from the tables.
            drop(compared);
            return self.submission(row.submission_id).await;
        }
        tracing::info!(
            submission = %row.submission_id, datanet = %row.datanet_id, contributor = %row.contributor, registered,
            documents = row.document_count, refused = row.refused_count, chunks = chunks.len(), "submission committed"
        );
        let index = self.compute("keeping fingerprints", move || compared.commit(registered)).await??;
        self.stages.tell(UploadStage::Commit, began.elapsed());
        self.report(&row, &index, false).await
    }

    /// Commits the row that makes an upload exist, numbered one more than the last. The number is given once, also where
    /// several processes register.
    async fn register(&self, row: SubmissionRow) -> Result<SubmissionRow> {
        loop {
            let seen = self.store().seen::<SubmissionRow>().await?;
            let row = SubmissionRow { registered: seen.max("registered").await?.unwrap_or(0) + 1, ..row.clone() };
            match self.store().insert_upon(&seen, std::slice::from_ref(&row)).await {
                Err(StoreError::Stale { .. }) => {}
                // Another process registered the same upload.
                Ok(Inserted { rows: 0, .. }) => {
                    let known = self.submission_row(row.submission_id).await?;
                    return known.ok_or(IngestError::Interrupted("registering a submission"));
                }
                done => return Ok(done.map(|_| row)?),
            }
        }
    }

    /// Rows that an interrupted attempt left are used again. They are the same unless the parser has changed
    /// since, and then the two must not be mixed.
    async fn check_leftovers(&self, row: &SubmissionRow, documents: &[DocumentRow], chunks: usize) -> Result<()> {
        let of_submission = format!("submission_id = '{}'", row.submission_id);
        let stored_chunks = self.store().count::<ChunkRow>(Some(&of_submission)).await?;
        let stored = self.store().scan::<DocumentRow>(Some(&of_submission)).await?;
        let same = |document: &DocumentRow| {
            documents.iter().any(|new| {
                (new.document_id, &new.status, &new.parser, new.chunk_count)
                    == (document.document_id, &document.status, &document.parser, document.chunk_count)
            })
        };
        if stored_chunks == chunks as u64 && stored.len() == documents.len() && stored.iter().all(same) {
            return Ok(());
        }
        Err(IngestError::Conflict(format!(
            "an attempt at submission {} by another version of this software was interrupted; submit the files under other names",
            row.submission_id
        )))
    }
}

pub(crate) fn no_submission(id: SubmissionId) -> IngestError {
    IngestError::NotFound(format!("there is no submission {id}; if an upload was interrupted, send it again"))
}

/// The same files, given once more, are given under the licence that they were given under before.
pub(crate) fn same_licence(given: &str, now: &str, id: SubmissionId) -> Result<()> {
    if given == now {
        return Ok(());
    }
    Err(IngestError::Conflict(format!(
        "these files were submitted before under the licence {given:?} (submission {id}); a licence that was given stands"
    )))
}

/// Before anything is kept: a deadline is still to come, and is a date.
pub(crate) fn check_deadline(deadline: u64, now: Millis) -> Result<()> {
    let now = now.unix_seconds();
    if deadline < now {
        let problem = format!("the submission's deadline {deadline} has passed (it is {now} now); sign it again with a later one");
        return Err(IngestError::Expired(problem));
    }
    if deadline > LAST_DEADLINE {
        let problem =
            format!("the submission's deadline {deadline} is no time in seconds since 1970 (it is {now} now); sign it again with another");
        return Err(IngestError::InvalidRequest(problem));
    }
    Ok(())
}

/// Files are taken in the order of their names, as far as there is room for their chunks beside those of the ones before.
fn within(file: ReadFile, left: &mut usize, most: usize) -> ReadFile {
    let Reading::Read(document) = &file.reading else { return file };
    if let Some(rest) = left.checked_sub(document.chunks.len()) {
        *left = rest;
        return file;
    }
    let refusal = Refusal {
        code: "too_many_chunks_together",
        reason: format!("the files of this submission give more than {most} chunks with this one; send it in another submission"),
        media_type: document.media_type,
        parser: document.parser,
    };
    ReadFile { reading: Reading::Refused(refusal), ..file }
}

fn same_file(file_name: &str) -> Refusal {
    Refusal {
        code: "duplicate_file",
        reason: format!("the file has the same bytes as {file_name:?} of this submission, which was taken in"),
        media_type: "application/octet-stream",
        parser: "headwater-detect/1",
    }
}

fn parser_defect() -> Refusal {
    Refusal {
        code: "parse_failed",
        reason: "the parser failed on this file, which is a defect of the parser; report it, or save the text in another format".to_owned(),
        media_type: "application/octet-stream",
        parser: "headwater-detect/1",
    }
}

#[cfg(test)]
mod tests;
