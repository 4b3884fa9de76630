//! Uploads and reviews: authorised by their author's signature; and what stands of them, for curators and contributors.

use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use ingest::{
    Announcement, IngestError, OwnDocument, Room, SignedManifest, SignedReview, SignedSubmission, SubmissionPage, SubmissionStatus,
    UploadedFile,
};
use schemas::Address;
use schemas::hashing::{ManifestEntry, sha256};
use schemas::ids::{DatanetId, DocumentId, Sha256, SubmissionId};
use schemas::signed::contributors::SubmissionListing;
use schemas::tables::ReviewRow;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::check_listing;
use super::form::{Form, Part, malformed};
use super::front::PeerAddress;
use super::uploads::Upload;
use super::{ApiError, App, Insider, Reply};

/// Where uploads go.
pub(super) const PATH: &str = "/v1/submissions";

/// The part `submission` of an upload, its first; the files follow as parts `file`.
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
    /// What will follow: with it the signature is checked before a file is received. Without it an upload may have
    /// at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ListedFile>>,
}

/// A file that is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFile {
    pub file_name: String,
    pub sha256: Sha256,
    pub size_bytes: u64,
}

impl SubmissionFields {
    fn manifest(&self, files: Vec<ManifestEntry>) -> SignedManifest {
        SignedManifest {
            datanet: self.datanet,
            contributor: self.contributor,
            licence: self.licence.clone(),
            note: self.note.clone(),
            deadline: self.deadline,
            signature: self.signature.clone(),
            files,
        }
    }

    fn listed(&self) -> Option<Vec<ManifestEntry>> {
        let entry =
            |file: &ListedFile| ManifestEntry { file_name: file.file_name.clone(), sha256: file.sha256, size_bytes: file.size_bytes };
        self.files.as_ref().map(|files| files.iter().map(entry).collect())
    }
}

const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Nothing of an upload that lists no files can be checked before they are there.
const UNLISTED_BYTES_MAX: u64 = 1 << 20;

/// multipart/form-data: `submission` (JSON), then `file` parts with file names. 202 when the upload is durable and waits to be
/// read, 200 when it was done before; `location` says where to ask how far it is.
pub(super) async fn submit(
    State(service): State<App>,
    peer: Option<Extension<PeerAddress>>,
    form: Result<Form, ApiError>,
) -> Reply<Response> {
    let mut form = form?;
    let taken = take(&service, peer.map(|Extension(peer)| peer), &mut form).await;
    // Of what was accepted before no file is waited for, either.
    linger(&mut form).await;
    taken.map(accepted)
}

fn accepted(status: SubmissionStatus) -> Response {
    let code = if matches!(status, SubmissionStatus::Done(_)) { StatusCode::OK } else { StatusCode::ACCEPTED };
    (code, [(LOCATION, format!("{PATH}/{}", status.submission_id()))], Json(status)).into_response()
}

async fn take(service: &App, peer: Option<PeerAddress>, form: &mut Form) -> Reply<SubmissionStatus> {
    let fields = first_part(form).await?;
    let from = peer.map(PeerAddress::client);
    let room = match fields.listed() {
        Some(listed) => match service.ingest.announce(fields.manifest(listed), from).await? {
            Announcement::Known(status) => return Ok(status),
            Announcement::Expected(room) => Some(room),
        },
        None => None,
    };
    let mut upload = if room.is_some() {
        let address = from.map(|from| from.to_string());
        service
            .uploads
            .begin(fields.contributor.to_string(), address, async { Ok(service.ingest.is_known(fields.contributor).await?) })
            .await?
    } else {
        service.ingest.datanet(&fields.datanet.to_string()).await?;
        service.uploads.begin_unchecked().await?
    };
    let names = receive(form, &fields, service.config.ingest.max_files_per_submission, &mut upload).await?;
    let _turn = service.uploads.reader().await?;
    let files = names.into_iter().zip(upload.read().await?).map(|(file_name, bytes)| UploadedFile { file_name, bytes }).collect();
    match room {
        Some(room) => hand_in(service, &fields, files, room).await,
        None => unlisted(service, &fields, files, from).await,
    }
}

/// The signed part, which must come before any file.
async fn first_part(form: &mut Form) -> Reply<SubmissionFields> {
    let part = form.next_part().await?;
    let Some(mut part) = part else { return Err(malformed(&"the part submission is missing")) };
    if part.name() != Some("submission") {
        return Err(malformed(&"the part submission must come first: it is checked before any file is received"));
    }
    let mut text = Vec::new();
    while let Some(bytes) = part.chunk().await? {
        text.extend_from_slice(&bytes);
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(malformed(&format!("the part submission has more than {MANIFEST_BYTES_MAX} bytes")));
        }
    }
    serde_json::from_slice(&text).map_err(|error| malformed(&format!("part submission: {error}")))
}

/// Writes the files to disk; their names, as announced or as they came.
async fn receive(form: &mut Form, fields: &SubmissionFields, max_files: usize, upload: &mut Upload) -> Reply<Vec<String>> {
    let (mut names, mut total) = (Vec::new(), 0_u64);
    while let Some(mut part) = form.next_part().await? {
        if part.name() != Some("file") {
            return Err(malformed(&format!("unknown part {:?}; expected files after the submission", part.name())));
        }
        if names.len() >= max_files {
            return Err(malformed(&format!("it has more than {max_files} files")));
        }
        let sent = part.file_name().ok_or_else(|| malformed(&"a file part has no file name; send filename=\"NAME\""))?;
        match &fields.files {
            Some(listed) => {
                let size = receive_listed(&mut part, &sent, listed, &mut names, upload).await?;
                total = total.saturating_add(size);
            }
            None => {
                let limit = "the part submission does not list its files, so the upload may have at most 1 MiB; \
                             add \"files\": [{\"file_name\", \"sha256\", \"size_bytes\"}]";
                total = total.saturating_add(upload.receive(&mut part, UNLISTED_BYTES_MAX.saturating_sub(total), limit).await?);
                names.push(sent);
            }
        }
    }
    if let Some(missing) = fields.files.iter().flatten().find(|listed| !names.contains(&listed.file_name)) {
        return Err(malformed(&format!("the file {:?} is listed and was not sent", missing.file_name)));
    }
    Ok(names)
}

async fn receive_listed(
    part: &mut Part<'_>,
    sent: &str,
    listed: &[ListedFile],
    names: &mut Vec<String>,
    upload: &mut Upload,
) -> Reply<u64> {
    let unescaped = unescaped(sent);
    let is_open = |file: &&ListedFile| !names.contains(&file.file_name);
    let named = |name: &str| listed.iter().filter(is_open).find(|file| file.file_name == name);
    let Some(file) = named(sent).or_else(|| named(&unescaped)) else {
        return Err(malformed(&format!("the file {sent:?} is not listed in the part submission, or was sent twice")));
    };
    let limit = format!("the file {sent:?} has more than the {} bytes that it is listed with", file.size_bytes);
    let size = upload.receive(part, file.size_bytes, &limit).await?;
    if size < file.size_bytes {
        return Err(malformed(&format!("the file {sent:?} has {size} bytes and is listed with {}", file.size_bytes)));
    }
    names.push(file.file_name.clone());
    Ok(size)
}

/// A name as browsers write it into a form: they quote `"` and the ends of lines, and nothing else (WHATWG, multipart/form-data).
fn unescaped(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

async fn hand_in(service: &App, fields: &SubmissionFields, files: Vec<UploadedFile>, room: Room) -> Reply<SubmissionStatus> {
    let SubmissionFields { datanet, contributor, licence, note, deadline, signature, .. } = fields.clone();
    let submission = SignedSubmission { datanet, contributor, licence, note, deadline, signature, files };
    Ok(service.ingest.accept(submission, room).await?)
}

/// An upload that listed nothing: checked now that its files are there. What its signature covers decides how names are read.
async fn unlisted(service: &App, fields: &SubmissionFields, files: Vec<UploadedFile>, from: Option<IpAddr>) -> Reply<SubmissionStatus> {
    let entries = |files: &[UploadedFile]| {
        let entry = |file: &UploadedFile| ManifestEntry {
            file_name: file.file_name.clone(),
            sha256: sha256(&file.bytes),
            size_bytes: file.bytes.len() as u64,
        };
        files.iter().map(entry).collect()
    };
    let as_sent = service.ingest.announce(fields.manifest(entries(&files)), from).await;
    let renamed: Vec<UploadedFile> =
        files.iter().map(|file| UploadedFile { file_name: unescaped(&file.file_name), bytes: file.bytes.clone() }).collect();
    let is_escaped = files.iter().zip(&renamed).any(|(sent, read)| sent.file_name != read.file_name);
    let (announced, files) = match as_sent {
        Err(IngestError::Unauthorised(_)) if is_escaped => {
            (service.ingest.announce(fields.manifest(entries(&renamed)), from).await, renamed)
        }
        announced => (announced, files),
    };
    match announced? {
        Announcement::Known(status) => Ok(status),
        Announcement::Expected(room) => hand_in(service, fields, files, room).await,
    }
}

/// A client that is still sending when it is refused would not see why: the connection would be reset under it.
async fn linger(form: &mut Form) {
    const BYTES_MAX: usize = 4 << 20;
    form.let_come(BYTES_MAX);
    let rest = async {
        let mut read = 0;
        while let Ok(Some(mut part)) = form.next_part().await {
            while let Ok(Some(bytes)) = part.chunk().await {
                read += bytes.len();
                if read > BYTES_MAX {
                    return;
                }
            }
        }
    };
    // Whoever sends nothing more is not waited for.
    drop(tokio::time::timeout(Duration::from_millis(500), rest).await);
}

/// Which part of a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListingPage {
    /// Uploads.
    limit: Option<usize>,
    /// The last upload of the part before.
    after: Option<SubmissionId>,
}

const LISTED_AT_ONCE: usize = 100;
const LISTED_AT_ONCE_MAX: usize = 500;

/// What a contributor sent in, and what became of it: for whoever signed, and nobody else. Newest uploads first, `limit` of
/// them, from the one after `after` on.
pub(super) async fn list_own(
    State(service): State<App>,
    peer: Option<Extension<PeerAddress>>,
    page: Result<Query<ListingPage>, QueryRejection>,
    body: Result<Json<SubmissionListing>, JsonRejection>,
) -> Reply<Json<Vec<OwnDocument>>> {
    let ListingPage { limit, after } = page.map_err(|error| ApiError::bad_request(error.body_text()))?.0;
    let limit = limit.unwrap_or(LISTED_AT_ONCE);
    if !(1..=LISTED_AT_ONCE_MAX).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("{limit} is not between 1 and {LISTED_AT_ONCE_MAX}")));
    }
    let listing = body?.0;
    check_listing(&service.domain(), &listing)?;
    // Also for who shows what another signed, again and again.
    let from = peer.map(|Extension(peer)| peer.client().to_string());
    let holders = from.into_iter().chain([listing.contributor.to_string()]).collect();
    let _place = service.listings.take(holders, 0).map_err(|_full| ApiError::busy("too many lists are being made: try again shortly"))?;
    Ok(Json(service.ingest.documents_of(listing.contributor, SubmissionPage { limit, after }).await?))
}

/// How far an upload is; once it is done, what became of it, file by file.
pub(super) async fn show(State(service): State<App>, insider: Insider, Path(id): Path<String>) -> Reply<Json<SubmissionStatus>> {
    let id = id.parse::<SubmissionId>()?;
    // Before a report is made.
    let (datanet, contributor) = service.ingest.submission_parties(id).await?;
    insider.may_see_submission(datanet, contributor)?;
    Ok(Json(service.ingest.submission_status(id).await?))
}

/// A document and its text, published or not.
pub(super) async fn document(State(service): State<App>, insider: Insider, Path(id): Path<String>) -> Reply<Json<Value>> {
    let (document, chunks) = service.ingest.document(id.parse::<DocumentId>()?).await?;
    insider.may_see(document.datanet_id)?;
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| json!({ "chunk_id": chunk.chunk_id, "ordinal": chunk.ordinal, "flags": chunk.flags, "text": chunk.text }))
        .collect();
    Ok(Json(json!({ "document": document, "chunks": chunks })))
}

pub(super) async fn review(State(service): State<App>, body: Result<Json<SignedReview>, JsonRejection>) -> Reply<Json<ReviewRow>> {
    Ok(Json(service.ingest.review(body?.0).await?))
}
