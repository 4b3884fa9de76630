//! What contributors see of what they sent in.

use std::collections::{BTreeSet, HashMap, HashSet};

use schemas::Address;
use schemas::hashing;
use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{DocumentRow, Millis, ReviewRow, SubmissionRow};
use serde::{Deserialize, Serialize};

use crate::jobs::{Job, Record};
use crate::reads::latest_decisions;
use crate::{Ingest, Result};

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

impl Ingest {
    /// All documents of a contributor in every Datanet, newest uploads first.
    ///
    /// # Errors
    /// [`crate::IngestError::Store`].
    pub async fn documents_of(&self, contributor: Address) -> Result<Vec<OwnDocument>> {
        // First: a job goes only when its rows stand.
        let under_way: Vec<OwnDocument> = self.inner.jobs.of(contributor).iter().flat_map(accepted).collect();
        let of_contributor = format!("contributor = '{contributor:#x}'");
        let documents = self.store().scan::<DocumentRow>(Some(&of_contributor)).await?;
        let received: HashMap<SubmissionId, Millis> = self
            .store()
            .scan::<SubmissionRow>(Some(&of_contributor))
            .await?
            .into_iter()
            .map(|row| (row.submission_id, row.received_at))
            .collect();
        let mut decisions: HashMap<DocumentId, ReviewRow> = HashMap::new();
        for datanet in documents.iter().map(|document| document.datanet_id).collect::<BTreeSet<_>>() {
            decisions.extend(latest_decisions(self.store().scan(Some(&format!("datanet_id = '{datanet}'"))).await?));
        }
        let with_decision = |document: DocumentRow| {
            let received_at = *received.get(&document.submission_id)?;
            let review = decisions.remove(&document.document_id);
            Some(own(document, received_at, review))
        };
        let mut documents: Vec<OwnDocument> = documents.into_iter().filter_map(with_decision).collect();
        let known: HashSet<DocumentId> = documents.iter().map(|document| document.document_id).collect();
        documents.extend(under_way.into_iter().filter(|document| !known.contains(&document.document_id)));
        documents.sort_by(|a, b| b.received_at.cmp(&a.received_at).then_with(|| a.file_name.cmp(&b.file_name)));
        Ok(documents)
    }
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

        let own = ingest.documents_of(address(ALICE)).await.unwrap();
        let found: Vec<(&str, OwnState)> = own.iter().map(|document| (document.file_name.as_str(), document.state)).collect();
        let expected = [OwnState::Accepted, OwnState::Rejected, OwnState::Pending, OwnState::Refused];
        assert_eq!(found, ["a.txt", "b.txt", "c.txt", "d.txt"].into_iter().zip(expected).collect::<Vec<_>>());
        assert_eq!((own[1].reason_code.as_deref(), own[1].comment.as_deref()), (Some("off_topic"), Some("write about vaccines")));
        assert!(own[3].reason_code.is_some() && own[3].comment.is_some());
        assert!(ingest.documents_of(address(OWNER)).await.unwrap().is_empty());
    }
}
