//! Curators' decisions: append-only and signed. A document's status is a view over them.

use schemas::ids::{DatanetId, DocumentId, ReviewId};
use schemas::tables::{DatanetRow, DocumentRow, Millis, ReviewRow};
use schemas::{Address, signed};
use serde::{Deserialize, Serialize};
use store::StoreError;

use crate::datanets::check_text;
use crate::{Ingest, IngestError, Result};

/// Why a document is rejected, in words that its contributor can act on.
pub const REASON_CODES: [&str; 8] =
    ["off_topic", "duplicate", "near_duplicate", "prompt_injection", "low_quality", "licence", "personal_data", "other"];

const MAX_COMMENT_CHARS: usize = 2_000;
/// How far a curator's clock may be ahead of ours.
const CLOCK_SKEW_S: u64 = 300;

/// A decision as its curator signed it (see [`schemas::signed::review`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReview {
    pub datanet: DatanetId,
    pub document_id: DocumentId,
    pub curator: Address,
    /// `accept` or `reject`.
    pub decision: String,
    /// One of [`REASON_CODES`] to reject; `accepted` or nothing to accept.
    pub reason_code: String,
    pub comment: String,
    /// Unix seconds.
    pub decided_at: u64,
    pub signature: String,
}

impl Ingest {
    /// Records a decision. The latest one counts; the same signed decision again is the same row.
    ///
    /// # Errors
    /// [`IngestError::InvalidRequest`], [`IngestError::Unauthorised`], [`IngestError::Forbidden`] for
    /// somebody who is no curator of the Datanet or sent the document in, [`IngestError::NotFound`], and
    /// [`IngestError::Conflict`] for a decision older than the same curator's last, or made before another's came.
    pub async fn review(&self, review: SignedReview) -> Result<ReviewRow> {
        let message = signed::review(
            review.curator,
            review.datanet,
            review.document_id,
            &review.decision,
            &review.reason_code,
            &review.comment,
            review.decided_at,
        );
        let digest = self.config().domain.digest(&message);
        signed::check_signature(digest, &review.signature, review.curator)
            .map_err(|error| IngestError::Unauthorised(format!("the review's signature does not hold: {error}")))?;
        let document = self.reviewed_document(&review).await?;
        check_form(&review)?;

        let _held = self.inner.decisions.lock().await;
        // Whoever was removed a moment ago decides nothing.
        check_rights(&review, &self.datanet(&review.datanet.to_string()).await?, &document)?;
        let row = ReviewRow {
            review_id: ReviewId(digest),
            document_id: review.document_id,
            submission_id: document.submission_id,
            datanet_id: review.datanet,
            curator: review.curator,
            decision: review.decision.clone(),
            reason_code: review.reason_code.clone(),
            comment: review.comment.clone(),
            sequence: 0,
            signature: review.signature.clone(),
            decided_at: review.decided_at,
            received_at: Millis::now(),
        };
        let row = loop {
            match self.record(&review, row.clone()).await {
                // Another decision was recorded meanwhile, perhaps on this document.
                Err(IngestError::Store(StoreError::Stale { .. })) => {}
                recorded => break recorded?,
            }
        };
        tracing::info!(
            review = %row.review_id, document = %row.document_id, curator = %row.curator,
            decision = row.decision, reason_code = row.reason_code, "review recorded"
        );
        Ok(row)
    }

    /// Records a decision upon those that there are, numbered one more than the last of them. The number is given once, also
    /// where several processes record.
    async fn record(&self, review: &SignedReview, row: ReviewRow) -> Result<ReviewRow> {
        let seen = self.store().seen::<ReviewRow>().await?;
        let earlier = seen.scan(Some(&format!("document_id = '{}'", review.document_id))).await?;
        if let Some(same) = earlier.iter().find(|earlier| earlier.review_id == row.review_id) {
            return Ok(same.clone());
        }
        check_time(review, &earlier, row.received_at)?;
        let row = ReviewRow { sequence: seen.max("sequence").await?.unwrap_or(0) + 1, ..row };
        self.store().insert_upon(&seen, &[row.clone()]).await?;
        Ok(row)
    }

    async fn reviewed_document(&self, review: &SignedReview) -> Result<DocumentRow> {
        let filter = format!("document_id = '{}' AND datanet_id = '{}'", review.document_id, review.datanet);
        let document = self.store().scan::<DocumentRow>(Some(&filter)).await?.into_iter().next();
        if let Some(document) = document
            && self.submission_row(document.submission_id).await?.is_some()
        {
            return Ok(document);
        }
        Err(IngestError::NotFound(format!("there is no document {} in Datanet {}", review.document_id, review.datanet)))
    }
}

fn check_form(review: &SignedReview) -> Result<()> {
    check_text("comment", &review.comment, 0, MAX_COMMENT_CHARS)?;
    let code = review.reason_code.as_str();
    let invalid = |problem: String| Err(IngestError::InvalidRequest(problem));
    match review.decision.as_str() {
        "accept" if matches!(code, "" | "accepted") => Ok(()),
        "accept" => invalid(format!("a document is accepted with the reason code \"accepted\" or none, not {:?}", shown(code))),
        "reject" if !REASON_CODES.contains(&code) => {
            invalid(format!("{:?} is no reason to reject; use one of {}", shown(code), REASON_CODES.join(", ")))
        }
        "reject" if code == "other" && review.comment.trim().is_empty() => {
            invalid("the reason \"other\" needs a comment that the contributor can act on".to_owned())
        }
        "reject" => Ok(()),
        other => invalid(format!("the decision is {:?}; it must be \"accept\" or \"reject\"", shown(other))),
    }
}

fn check_rights(review: &SignedReview, datanet: &DatanetRow, document: &DocumentRow) -> Result<()> {
    if !datanet.curators.contains(&review.curator) {
        return Err(IngestError::Forbidden(format!("{} is no curator of Datanet {:?}", review.curator, datanet.name)));
    }
    if document.contributor == review.curator {
        return Err(IngestError::Forbidden("nobody decides on a document of their own; let another curator do it".to_owned()));
    }
    if document.status != "chunked" {
        return Err(IngestError::InvalidRequest(format!(
            "document {} was refused when it was read, so there is nothing to decide",
            document.document_id
        )));
    }
    Ok(())
}

/// A signature that was kept back must not undo what its curator, or anybody, decided since.
fn check_time(review: &SignedReview, earlier: &[ReviewRow], now: Millis) -> Result<()> {
    if review.decided_at > now.unix_seconds() + CLOCK_SKEW_S {
        return Err(IngestError::InvalidRequest(format!(
            "the review is dated {}, which is in the future (it is {} now); check the clock and sign again",
            review.decided_at,
            now.unix_seconds()
        )));
    }
    let last = earlier.iter().filter(|row| row.curator == review.curator).map(|row| row.decided_at).max();
    match last {
        Some(last) if last > review.decided_at => Err(IngestError::Conflict(format!(
            "the review is dated {}, before this curator's last decision on the document ({last}); sign it again",
            review.decided_at
        ))),
        _ => match earlier.iter().map(|row| row.received_at.unix_seconds()).max() {
            Some(newest) if review.decided_at + CLOCK_SKEW_S < newest => Err(IngestError::Conflict(format!(
                "the review is dated {}, and another decision on the document came at {newest}: look at that one, and sign again",
                review.decided_at
            ))),
            _ => Ok(()),
        },
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
