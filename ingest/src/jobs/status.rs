//! What is told of an upload that was accepted.

use schemas::Address;
use schemas::ids::{DatanetId, SubmissionId};
use schemas::tables::Millis;
use serde::{Deserialize, Serialize};

use super::waiting::Job;
use crate::progress::Seen;
use crate::{IngestError, SubmissionReport};

/// How far an upload is. As JSON: `state`, and beside it the fields of what the state has.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SubmissionStatus {
    /// It waits for a worker.
    Queued(JobReport),
    /// Its files are parsed, cut and screened.
    Reading(JobReport),
    /// Its chunks are embedded, then compared and committed.
    Embedding(JobReport),
    Done(SubmissionReport),
    /// It was given up; `error` says why. The same upload sent again is tried again.
    Failed(JobReport),
}

/// An upload that is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobReport {
    pub submission_id: SubmissionId,
    pub datanet_id: DatanetId,
    pub contributor: Address,
    pub licence: String,
    pub received_at: Millis,
    pub files: u64,
    pub files_read: u64,
    /// Of the files that are read.
    pub chunks: u64,
    pub chunks_embedded: u64,
    pub error: Option<JobFailure>,
}

/// Why an upload was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobFailure {
    pub code: String,
    pub message: String,
    pub failed_at: Millis,
}

/// Uploads that were accepted and are not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct JobCounts {
    pub queued: u64,
    pub running: u64,
    pub failed: u64,
}

impl JobFailure {
    pub(super) fn of(error: &IngestError) -> Self {
        let message = match error {
            // What stands in these can name files of this machine.
            IngestError::Store(_) | IngestError::Schema(_) | IngestError::Engine(_) => {
                "the service failed at this upload; its operator finds why in the log".to_owned()
            }
            error => error.to_string(),
        };
        Self { code: error.code().to_owned(), message, failed_at: Millis::now() }
    }
}

impl SubmissionStatus {
    pub(super) fn of(job: &Job) -> Self {
        let upload = &job.record.upload;
        let Seen { files_read, chunks, chunks_embedded, is_embedding } = job.progress.seen();
        let report = JobReport {
            submission_id: upload.submission_id,
            datanet_id: upload.datanet,
            contributor: upload.contributor,
            licence: upload.licence.clone(),
            received_at: job.record.received_at,
            files: upload.files.len() as u64,
            files_read,
            chunks,
            chunks_embedded,
            error: job.record.failure.clone(),
        };
        match (report.error.is_some(), job.is_running, is_embedding) {
            (true, _, _) => Self::Failed(report),
            (false, false, _) => Self::Queued(report),
            (false, true, false) => Self::Reading(report),
            (false, true, true) => Self::Embedding(report),
        }
    }

    #[must_use]
    pub fn submission_id(&self) -> SubmissionId {
        match self {
            Self::Done(report) => report.submission_id,
            Self::Queued(job) | Self::Reading(job) | Self::Embedding(job) | Self::Failed(job) => job.submission_id,
        }
    }
}
