//! Curators' decisions: append-only and signed. A document's status is a view over them.

mod turn;

use schemas::ids::{DatanetId, DocumentId, ReviewId};
use schemas::tables::{DatanetRow, DocumentRow, Millis, ReviewRow};
use schemas::{Address, signed};
use serde::{Deserialize, Serialize};

use crate::datanets::check_text;
use crate::{Ingest, IngestError, Result};

pub(crate) use turn::Waiting;

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
        let row = self.recorded(ReviewId(digest), &review).await?;
        tracing::info!(
            review = %row.review_id, document = %row.document_id, curator = %row.curator,
            decision = row.decision, reason_code = row.reason_code, "review recorded"
        );
        Ok(row)
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
