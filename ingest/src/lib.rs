//! Uploads → documents → chunks → review → versions, and what the chain is still owed.
//!
//! Nothing here answers questions or talks to a chain. Three rows decide everything that happens:
//! a `submissions` row acknowledges an upload, a `reviews` row decides on a document, a `versions` row
//! publishes. Whatever is written before such a row is invisible until it stands, so that a crash at
//! any point is repaired by doing the same thing again.
//!
//! Files are read in `formats`, cut in `chunking`, screened in `screening`, and compared with everything
//! earlier in `duplicates`; all four are pure functions of their input.

mod anchors;
mod book;
mod characters;
mod chunking;
mod config;
mod curators;
mod datanets;
mod duplicates;
mod error;
mod formats;
mod indexes;
mod jobs;
mod language;
mod measures;
mod own;
mod progress;
mod queue;
mod reading;
mod reads;
mod reviews;
mod screening;
mod service;
mod submissions;
mod unserved;
mod versions;

#[cfg(test)]
mod test_support;

pub use anchors::{AnchoredVersion, Anchoring, anchor_call, registration_call};
pub use book::QueuePlace;
pub use characters::is_shown_in_a_line;
pub use config::IngestConfig;
pub use curators::SignedCuratorChange;
pub use datanets::NewDatanet;
pub use error::IngestError;
pub use formats::{ReadFile, read_file};
pub use jobs::{JobCounts, JobFailure, JobReport, SubmissionStatus};
pub use measures::{UploadStage, UploadTotals};
pub use own::{OwnDocument, OwnState, SubmissionPage};
pub use queue::{ChunkDuplicate, QueueItem, QueueStatus, SubmissionFacts};
pub use reviews::{REASON_CODES, SignedReview};
pub use service::Ingest;
pub use submissions::is_licence_expression;
pub use submissions::{
    Announcement, DocumentReport, EarlierDocument, Room, SignedManifest, SignedSubmission, SubmissionReport, UploadedFile,
};
pub use unserved::{Unserved, unserved};
pub use versions::{Preview, SignedPublication};

/// What every operation of this crate returns.
pub type Result<T, E = IngestError> = std::result::Result<T, E>;
