//! What contributors see of what they sent in.

use std::collections::HashMap;
use std::fmt::Display;

use schemas::Address;
use schemas::hashing;
use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{DocumentRow, Millis, ReviewRow, Row, SubmissionRow};
use serde::{Deserialize, Serialize};

use crate::jobs::{Job, Record};
use crate::reads::latest_decisions;
use crate::{Ingest, IngestError, Result};

/// A contributor's document, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnDocument {
    pub datanet_id: DatanetId,
    pub submission_id: SubmissionId,
    pub document_id: DocumentId,
    pub file_name: String,
    pub received_at: Millis,
    pub state: OwnState,
    /// Why it was refused, or the code of the latest decision.
    pub reason_code: Option<String>,
    /// The same in words, with what can be done: the reader's, or the curator's comment.
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnState {
    /// It was accepted, and is still to be read.
    UnderWay,
    /// The service failed at it.
    Failed,
    /// It could not be read.
    Refused,
    Pending,
    Accepted,
    Rejected,
}

/// A part of a list of uploads, newest first.
#[derive(Debug, Clone, Copy)]
pub struct SubmissionPage {
    /// Uploads, not documents.
    pub limit: usize,
    /// The last upload of the part before.
    pub after: Option<SubmissionId>,
}

/// Ids that are asked for at once.
const IDS_PER_SCAN: usize = 500;

impl Ingest {
    /// The documents that a contributor sent to any Datanet, newest uploads first.
    ///
    /// # Errors
    /// [`crate::IngestError::NotFound`] for an upload of somebody else's to go on after.
    pub async fn documents_of(&self, contributor: Address, page: SubmissionPage) -> Result<Vec<OwnDocument>> {
        // First: a job goes only when its rows stand.
        let jobs = self.inner.jobs.of(contributor);
        let rows = self.store().scan::<SubmissionRow>(Some(&format!("contributor = '{contributor:#x}'"))).await?;
        let committed: HashMap<SubmissionId, Millis> = rows.into_iter().map(|row| (row.submission_id, row.received_at)).collect();
        let under_way: HashMap<SubmissionId, Job> =
            jobs.into_iter().map(|job| (job.record.id(), job)).filter(|(id, _)| !committed.contains_key(id)).collect();
        let mut submissions: Vec<(Millis, SubmissionId)> = committed.iter().map(|(id, at)| (*at, *id)).collect();
        submissions.extend(under_way.iter().map(|(id, job)| (job.record.received_at, *id)));
        let shown = part(submissions, page)?;

        let ids: Vec<SubmissionId> = shown.iter().map(|(_, id)| *id).filter(|id| committed.contains_key(id)).collect();
        let documents: Vec<DocumentRow> = self.rows_of("submission_id", &ids).await?;
        let ids: Vec<DocumentId> = documents.iter().map(|document| document.document_id).collect();
        let mut decisions = latest_decisions(self.rows_of("document_id", &ids).await?);
        let mut by_submission: HashMap<SubmissionId, Vec<OwnDocument>> = HashMap::new();
        for document in documents {
            let Some(received_at) = committed.get(&document.submission_id) else { continue };
            let review = decisions.remove(&document.document_id);
            by_submission.entry(document.submission_id).or_default().push(own(document, *received_at, review));
        }
        let mut listed = Vec::new();
        for (_, id) in shown {
            let mut documents = match under_way.get(&id) {
                Some(job) => accepted(job).collect(),
                None => by_submission.remove(&id).unwrap_or_default(),
            };
            documents.sort_by(|a, b| a.file_name.cmp(&b.file_name));
            listed.append(&mut documents);
        }
        Ok(listed)
    }

    /// The rows with one of these ids in a column.
    pub(crate) async fn rows_of<R: Row>(&self, column: &str, ids: &[impl Display]) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        for ids in ids.chunks(IDS_PER_SCAN) {
            let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
            rows.append(&mut self.store().scan::<R>(Some(&format!("{column} IN ({})", ids.join(", ")))).await?);
        }
        Ok(rows)
    }
}

/// Newest first, and of one moment by id.
fn part(mut submissions: Vec<(Millis, SubmissionId)>, page: SubmissionPage) -> Result<Vec<(Millis, SubmissionId)>> {
    submissions.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    let from = match page.after {
        None => 0,
        Some(after) => {
            let found = submissions.iter().position(|(_, id)| *id == after);
            found.ok_or_else(|| IngestError::NotFound(format!("{after} is no submission of this contributor")))? + 1
        }
    };
    Ok(submissions.into_iter().skip(from).take(page.limit).collect())
}

/// The documents of an upload that is not done.
fn accepted(job: &Job) -> impl Iterator<Item = OwnDocument> {
    let Record { upload, received_at, failure, .. } = &job.record;
    upload.files.iter().map(|file| OwnDocument {
        datanet_id: upload.datanet,
        submission_id: upload.submission_id,
        document_id: hashing::document_id(upload.submission_id, &file.file_name, file.sha256),
        file_name: file.file_name.clone(),
        received_at: *received_at,
        state: if failure.is_some() { OwnState::Failed } else { OwnState::UnderWay },
        reason_code: failure.as_ref().map(|failure| failure.code.clone()),
        comment: failure.as_ref().map(|failure| failure.message.clone()),
    })
}

fn own(document: DocumentRow, received_at: Millis, review: Option<ReviewRow>) -> OwnDocument {
    let DocumentRow { datanet_id, submission_id, document_id, file_name, .. } = document;
    let (state, reason_code, comment) = match review {
        _ if document.status == "refused" => (OwnState::Refused, document.reason_code, document.reason),
        None => (OwnState::Pending, None, None),
        Some(review) => {
            let state = if review.decision == "accept" { OwnState::Accepted } else { OwnState::Rejected };
            (state, Some(review.reason_code), Some(review.comment).filter(|comment| !comment.is_empty()))
        }
    };
    OwnDocument { datanet_id, submission_id, document_id, file_name, received_at, state, reason_code, comment }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::*;

    const ALL: SubmissionPage = SubmissionPage { limit: usize::MAX, after: None };

    #[tokio::test]
    async fn contributors_learn_what_became_of_their_own_documents() {
        let (ingest, datanet) = service().await;
        let id = datanet.datanet_id;
        let files = [("a.txt", &*prose(1, 40)), ("b.txt", &*prose(2, 40)), ("c.txt", &*prose(3, 40)), ("d.txt", "\0")];
        let report = submit(&ingest, ALICE, id, &files).await;
        submit(&ingest, BOB, id, &[("bob.txt", &prose(4, 40))]).await;
        let document = |name: &str| report.documents.iter().find(|document| document.file_name == name).unwrap().document_id;
        ingest.review(decision(CURATOR, id, document("a.txt"), "accept", "", 60)).await.unwrap();
        let mut rejection = decision(CURATOR, id, document("b.txt"), "reject", "off_topic", 60);
        rejection.comment = "write about vaccines".into();
        sign_review(CURATOR, &mut rejection);
        ingest.review(rejection).await.unwrap();

        let own = ingest.documents_of(address(ALICE), ALL).await.unwrap();
        let found: Vec<(&str, OwnState)> = own.iter().map(|document| (document.file_name.as_str(), document.state)).collect();
        let expected = [OwnState::Accepted, OwnState::Rejected, OwnState::Pending, OwnState::Refused];
        assert_eq!(found, ["a.txt", "b.txt", "c.txt", "d.txt"].into_iter().zip(expected).collect::<Vec<_>>());
        assert_eq!((own[1].reason_code.as_deref(), own[1].comment.as_deref()), (Some("off_topic"), Some("write about vaccines")));
        assert!(own[3].reason_code.is_some() && own[3].comment.is_some());
        assert!(ingest.documents_of(address(OWNER), ALL).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_long_list_comes_in_parts() {
        let (ingest, datanet) = service().await;
        let names = ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"];
        for name in names {
            submit(&ingest, ALICE, datanet.datanet_id, &[(name, name), ("z.txt", name)]).await;
        }
        let bobs = submit(&ingest, BOB, datanet.datanet_id, &[("bob.txt", "Bob's own text.")]).await.submission_id;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let part = ingest.documents_of(address(ALICE), SubmissionPage { limit: 2, after }).await.unwrap();
            let Some(last) = part.last() else { break };
            assert!(part.len() <= 4 && part.is_sorted_by(|a, b| a.received_at >= b.received_at));
            after = Some(last.submission_id);
            found.extend(part);
        }
        assert_eq!(found, ingest.documents_of(address(ALICE), ALL).await.unwrap());
        assert_eq!(found.len(), 10);
        let foreign = ingest.documents_of(address(ALICE), SubmissionPage { limit: 2, after: Some(bobs) }).await;
        assert!(matches!(foreign, Err(IngestError::NotFound(_))));
    }
}
