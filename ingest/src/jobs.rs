//! Uploads that were accepted and are still to be taken in.
//!
//! An upload is accepted when its files are kept and its [`Record`] stands in the store. From then on it is the service's to
//! finish: it is done when its `submissions` row stands, and then its record goes. What a process leaves, the next one takes up.
//! What fails for good keeps its record for a while, with why. They are begun in the order in which they were accepted, of
//! contributors in turn, and registered in the order in which they are done.
//!
//! Nothing is read or compared here: that is `submissions`.

mod record;
mod status;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use schemas::Address;
use schemas::ids::{DatanetId, SubmissionId};
use schemas::tables::Millis;
use tokio::task::JoinSet;

use crate::measures::{UploadStage, UploadTotals};
use crate::progress::Progress;
use crate::service::Step;
use crate::submissions::{Room, SignedSubmission, check_deadline, no_submission, same_licence};
use crate::{Ingest, IngestError, Result};
pub(crate) use record::Record;
pub use status::{JobCounts, JobFailure, JobReport, SubmissionStatus};
pub(crate) use waiting::{Job, Jobs};

/// So many processes may end while they work at an upload, before it is what ends them.
const ATTEMPTS_MAX: u32 = 5;
/// Pauses before the storage is tried again.
const PAUSE_LEAST: Duration = Duration::from_millis(500);
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// How long it is told of an upload that it failed.
const FAILURE_KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl Ingest {
    /// Takes an upload's files into keeping. When this returns, they are durable, and the upload is a job that
    /// [`Ingest::work`] finishes, in this process or in the next one.
    ///
    /// # Errors
    /// Those of [`Ingest::submit`].
    pub async fn accept(&self, submission: SignedSubmission, room: Room) -> Result<SubmissionStatus> {
        // Whoever hangs up now has sent all of it: that is not lost, and no file stays without its record.
        let ingest = self.clone();
        let accepting = tokio::spawn(async move { ingest.take_into_keeping(submission, room).await });
        accepting.await.map_err(|_| IngestError::Interrupted("accepting an upload"))?
    }

    async fn take_into_keeping(&self, submission: SignedSubmission, room: Room) -> Result<SubmissionStatus> {
        let (upload, bytes) = self.checked(submission).await?;
        let now = Millis::now();
        check_deadline(upload.deadline, now)?;
        self.keep_files(bytes).await?;
        let jobs = &self.inner.jobs;
        // Of the same upload sent twice at once, one is accepted: its licence is the one that was given. With one that failed
        // nothing was given: what is signed now takes its place.
        let _accepting = jobs.accepting.lock().await;
        if let Some(known) = self.under_way(upload.submission_id, &upload.licence)? {
            return Ok(known);
        }
        let record = Record::new(upload, now);
        record.write(self.store()).await?;
        self.reached(Step::JobRecorded)?;
        tracing::info!(submission = %record.id(), contributor = %record.upload.contributor, files = record.upload.files.len(), "upload accepted");
        Ok(SubmissionStatus::of(&jobs.add(record, room)))
    }

    /// What became of an upload that was accepted.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn submission_status(&self, id: SubmissionId) -> Result<SubmissionStatus> {
        // In this order: a job goes only when its row stands.
        match self.inner.jobs.find(id) {
            Some(job) => Ok(SubmissionStatus::of(&job)),
            None => self.submission(id).await.map(SubmissionStatus::Done),
        }
    }

    /// To which Datanet an upload that was accepted was sent, and by whom.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn submission_parties(&self, id: SubmissionId) -> Result<(DatanetId, Address)> {
        if let Some(job) = self.inner.jobs.find(id) {
            return Ok((job.record.upload.datanet, job.record.upload.contributor));
        }
        let row = self.submission_row(id).await?.ok_or_else(|| no_submission(id))?;
        Ok((row.datanet_id, row.contributor))
    }

    /// What became of this upload, if it was accepted before and has not failed.
    pub(crate) async fn accepted_before(&self, id: SubmissionId, licence: &str) -> Result<Option<SubmissionStatus>> {
        if let Some(status) = self.under_way(id, licence)? {
            return Ok(Some(status));
        }
        Ok(self.known(id, licence).await?.map(SubmissionStatus::Done))
    }

    fn under_way(&self, id: SubmissionId, licence: &str) -> Result<Option<SubmissionStatus>> {
        let Some(job) = self.inner.jobs.find(id).filter(|job| job.record.failure.is_none()) else { return Ok(None) };
        same_licence(&job.record.upload.licence, licence, id)?;
        Ok(Some(SubmissionStatus::of(&job)))
    }

    /// How many uploads there are in each state short of done.
    #[must_use]
    pub fn job_counts(&self) -> JobCounts {
        self.inner.jobs.counts()
    }

    /// What became of uploads since this process began.
    #[must_use]
    pub fn upload_totals(&self) -> UploadTotals {
        self.inner.jobs.totals.so_far()
    }

    /// Finds the uploads that were accepted before this process began. To be called before any is accepted in it.
    ///
    /// # Errors
    /// [`IngestError::Store`].
    pub async fn resume(&self) -> Result<()> {
        let oldest = oldest_failure();
        for record in Record::all(self.store()).await? {
            let room = self.room_of(&record.upload);
            match &record.failure {
                Some(failure) if failure.failed_at.0 < oldest.0 => record.remove(self.store()).await?,
                Some(_) => self.inner.jobs.add_failed(record),
                None => drop(self.inner.jobs.add(record, room)),
            }
        }
        let counts = self.job_counts();
        if counts.queued > 0 {
            tracing::info!(uploads = counts.queued, "uploads of before are taken up");
        }
        Ok(())
    }

    /// Finishes uploads until stopped. Then what is being read is left for the next process, and what is being committed ends.
    ///
    /// # Errors
    /// [`IngestError::Interrupted`] when a worker panicked: a defect.
    pub async fn work(&self, stopped: impl Future<Output = ()>) -> Result<()> {
        let mut workers = JoinSet::new();
        for _ in 0..self.config().max_concurrent_files.max(1) {
            workers.spawn(worker(self.clone()));
        }
        let ended = tokio::select! {
            () = stopped => Ok(()),
            Some(Err(_)) = workers.join_next() => Err(IngestError::Interrupted("working at uploads")),
        };
        self.inner.jobs.stop();
        while workers.join_next().await.is_some() {}
        ended
    }

    /// Finishes one upload, or leaves it to the next process.
    async fn finish(&self, mut record: Record, progress: &Arc<Progress>) {
        let (id, mut pause) = (record.id(), PAUSE_LEAST);
        loop {
            let error = match self.attempt(&mut record, progress).await {
                Ok(()) => return self.done(&record).await,
                Err(error) => error,
            };
            #[cfg(test)]
            if matches!(error, IngestError::Crashed(_)) {
                return;
            }
            if self.inner.jobs.is_stopped() {
                return self.leave(record).await;
            }
            if !error.is_passing() {
                return self.failed(record, &error).await;
            }
            tracing::warn!(submission = %id, %error, "an upload waits for the storage");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.inner.jobs.stopped() => return self.leave(record).await,
            }
            pause = PAUSE_MOST.min(pause * 2);
        }
    }

    async fn attempt(&self, record: &mut Record, progress: &Arc<Progress>) -> Result<()> {
        if self.submission_row(record.id()).await?.is_some() {
            return Ok(());
        }
        if record.attempts >= ATTEMPTS_MAX {
            return Err(IngestError::Interrupted("each of several attempts at this upload"));
        }
        // Before anything is done that could end this process.
        record.attempts += 1;
        record.write(self.store()).await?;
        let taken_in = self.take_in(record.upload.clone(), record.received_at, progress).await;
        // This process lives: the attempt did not end it.
        record.attempts -= 1;
        taken_in.map(drop)
    }

    async fn done(&self, record: &Record) {
        if let Err(error) = record.remove(self.store()).await {
            // The next start finds the row, and removes it.
            tracing::warn!(submission = %record.id(), %error, "the record of an upload that is done stays");
        }
        self.inner.jobs.remove(record.id());
        self.inner.jobs.totals.count_done();
    }

    async fn failed(&self, mut record: Record, error: &IngestError) {
        // What failed after its row was written is there, and the next start makes up for the rest.
        if let Ok(Some(_)) = self.submission_row(record.id()).await {
            tracing::warn!(submission = %record.id(), %error, "an upload is done, and something after it failed");
            return self.done(&record).await;
        }
        tracing::error!(submission = %record.id(), %error, "an upload failed");
        self.inner.jobs.totals.count_failed();
        record.failure = Some(JobFailure::of(error));
        if let Err(error) = record.write(self.store()).await {
            tracing::warn!(submission = %record.id(), %error, "that an upload failed is not kept: it will be tried again after a restart");
        }
        self.inner.jobs.add_failed(record);
        for old in self.inner.jobs.take_failed_before(oldest_failure()) {
            if let Err(error) = old.remove(self.store()).await {
                tracing::warn!(submission = %old.id(), %error, "the record of an upload that failed long ago stays until the next start");
            }
        }
    }

    /// The end of this process was ordered, and is nothing that the upload did.
    async fn leave(&self, record: Record) {
        if let Err(error) = record.write(self.store()).await {
            tracing::warn!(submission = %record.id(), %error, "an attempt at an upload counts though it was ended by order");
        }
    }
}

fn oldest_failure() -> Millis {
    Millis(Millis::now().0.saturating_sub(FAILURE_KEPT_MS))
}

async fn worker(ingest: Ingest) {
    while let Some((record, progress)) = ingest.inner.jobs.next().await {
        let waited = Millis::now().0.saturating_sub(record.received_at.0);
        ingest.stages.tell(UploadStage::Queue, Duration::from_millis(u64::try_from(waited).unwrap_or_default()));
        ingest.finish(record, &progress).await;
    }
}

#[cfg(test)]
mod tests;
