//! Uploads and reviews: authorised by their author's signature.

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Multipart, Path, State};
use ingest::{SignedReview, SignedSubmission, SubmissionReport, UploadedFile};
use schemas::Address;
use schemas::ids::{DatanetId, SubmissionId};
use schemas::tables::ReviewRow;
use serde::{Deserialize, Serialize};

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::Role;

/// The part `submission` of an upload; the files follow as parts `file`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmissionFields {
    pub datanet: DatanetId,
    pub contributor: Address,
    pub licence: String,
    #[serde(default)]
    pub note: String,
    /// Unix seconds.
    pub deadline: u64,
    pub signature: String,
}

/// multipart/form-data: `submission` (JSON), then `file` parts with file names.
pub(super) async fn submit(State(service): State<App>, form: Result<Multipart, MultipartRejection>) -> Reply<Json<SubmissionReport>> {
    let malformed = |error: &dyn std::fmt::Display| ApiError::bad_request(format!("the upload cannot be read: {error}"));
    let mut form = form.map_err(|error| malformed(&error.body_text()))?;
    let mut fields: Option<SubmissionFields> = None;
    let mut files = Vec::new();
    while let Some(part) = form.next_field().await.map_err(|error| malformed(&error.body_text()))? {
        match part.name() {
            Some("submission") => {
                let text = part.text().await.map_err(|error| malformed(&error.body_text()))?;
                fields = Some(serde_json::from_str(&text).map_err(|error| malformed(&format!("part submission: {error}")))?);
            }
            Some("file") => {
                let Some(file_name) = part.file_name().map(str::to_owned) else { return Err(malformed(&"a file part has no file name")) };
                let bytes = part.bytes().await.map_err(|error| malformed(&error.body_text()))?;
                files.push(UploadedFile { file_name, bytes });
            }
            other => return Err(malformed(&format!("unknown part {other:?}; expected submission and file"))),
        }
    }
    let Some(fields) = fields else { return Err(malformed(&"the part submission is missing")) };
    let SubmissionFields { datanet, contributor, licence, note, deadline, signature } = fields;
    Ok(Json(service.ingest.submit(SignedSubmission { datanet, contributor, licence, note, deadline, signature, files }).await?))
}

pub(super) async fn show(State(service): State<App>, key: Authenticated, Path(id): Path<String>) -> Reply<Json<SubmissionReport>> {
    key.require(&[Role::Analyst])?;
    Ok(Json(service.ingest.submission(id.parse::<SubmissionId>()?).await?))
}

pub(super) async fn review(State(service): State<App>, body: Result<Json<SignedReview>, JsonRejection>) -> Reply<Json<ReviewRow>> {
    Ok(Json(service.ingest.review(body?.0).await?))
}
