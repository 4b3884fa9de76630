//! Decisions that come at the same time share a commit: whoever's turn it is records all that wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use schemas::ids::{DatanetId, DocumentId, ReviewId, SubmissionId};
use schemas::tables::{DatanetRow, DocumentRow, Millis, ReviewRow, SubmissionRow};
use store::StoreError;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{SignedReview, check_form, check_rights, check_time};
use crate::reads::one_of;
use crate::{Ingest, IngestError, Result};

/// Decisions of one commit, at most: so many ids are named in a filter.
const PER_COMMIT: usize = 256;

/// The decisions that wait for a turn. There are as many as requests under way.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Vec<Decision>>);

/// A decision whose signature holds.
#[derive(Debug)]
struct Decision {
    id: ReviewId,
    review: SignedReview,
    reply: oneshot::Sender<Result<ReviewRow>>,
}

impl Decision {
    fn answer(self, recorded: Result<ReviewRow>) {
        // Whoever asked may have gone; what is recorded stays.
        let _ = self.reply.send(recorded);
    }
}

impl Waiting {
    fn add(&self, id: ReviewId, review: SignedReview) -> oneshot::Receiver<Result<ReviewRow>> {
        let (reply, recorded) = oneshot::channel();
        self.decisions().push(Decision { id, review, reply });
        recorded
    }

    /// The first ones.
    fn take(&self) -> Vec<Decision> {
        let mut decisions = self.decisions();
        let count = decisions.len().min(PER_COMMIT);
        decisions.drain(..count).collect()
    }

    fn decisions(&self) -> std::sync::MutexGuard<'_, Vec<Decision>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ingest {
    /// Waits until the decision is recorded, by its own turn or another's.
    pub(super) async fn recorded(&self, id: ReviewId, review: &SignedReview) -> Result<ReviewRow> {
        loop {
            let mut recorded = self.inner.waiting_reviews.add(id, review.clone());
            let _held = self.inner.decisions.lock().await;
            loop {
                match recorded.try_recv() {
                    Ok(recorded) => return recorded,
                    Err(TryRecvError::Empty) => self.record_waiting().await?,
                    // Whose turn it was failed, or went away: this one tries for itself.
                    Err(TryRecvError::Closed) => break,
                }
            }
        }
    }

    async fn record_waiting(&self) -> Result<()> {
        let waiting = self.inner.waiting_reviews.take();
        let (documents, datanets) = self.reviewed(&waiting).await?;
        let mut decided = Vec::with_capacity(waiting.len());
        for decision in waiting {
            match row(&decision, &documents, &datanets) {
                Ok(row) => decided.push((decision, row)),
                Err(error) => decision.answer(Err(error)),
            }
        }
        let recorded = loop {
            match self.record(&decided).await {
                // Another process recorded decisions meanwhile, perhaps on these documents.
                Err(IngestError::Store(StoreError::Stale { .. })) => {}
                recorded => break recorded?,
            }
        };
        decided.into_iter().zip(recorded).for_each(|((decision, _), recorded)| decision.answer(recorded));
        Ok(())
    }

    /// Records decisions upon those that there are, numbered on from the last of them. A number is given once, also where
    /// several processes record.
    async fn record(&self, decided: &[(Decision, ReviewRow)]) -> Result<Vec<Result<ReviewRow>>> {
        if decided.is_empty() {
            return Ok(Vec::new());
        }
        let seen = self.store().seen::<ReviewRow>().await?;
        let of_documents = one_of("document_id", decided.iter().map(|(_, row)| row.document_id));
        let mut earlier: HashMap<DocumentId, Vec<ReviewRow>> = HashMap::new();
        for row in seen.scan(Some(&of_documents)).await? {
            earlier.entry(row.document_id).or_default().push(row);
        }
        let mut sequence = seen.max("sequence").await?.unwrap_or(0);
        let (mut new, mut recorded) = (Vec::new(), Vec::with_capacity(decided.len()));
        for (decision, row) in decided {
            let earlier = earlier.entry(row.document_id).or_default();
            if let Some(same) = earlier.iter().find(|earlier| earlier.review_id == row.review_id) {
                recorded.push(Ok(same.clone()));
                continue;
            }
            if let Err(error) = check_time(&decision.review, earlier, row.received_at) {
                recorded.push(Err(error));
                continue;
            }
            sequence += 1;
            let row = ReviewRow { sequence, ..row.clone() };
            earlier.push(row.clone());
            new.push(row.clone());
            recorded.push(Ok(row));
        }
        if !new.is_empty() {
            self.store().insert_upon(&seen, &new).await?;
        }
        Ok(recorded)
    }

    /// The documents that are decided on, of submissions that are there, and their Datanets as they are now: whoever was removed a
    /// moment ago decides nothing.
    async fn reviewed(&self, waiting: &[Decision]) -> Result<(HashMap<DocumentId, DocumentRow>, HashMap<DatanetId, DatanetRow>)> {
        if waiting.is_empty() {
            return Ok(Default::default());
        }
        let wanted = one_of("document_id", waiting.iter().map(|decision| decision.review.document_id));
        let mut documents: Vec<DocumentRow> = self.store().scan(Some(&wanted)).await?;
        if !documents.is_empty() {
            let of = one_of("submission_id", documents.iter().map(|document| document.submission_id));
            let there: BTreeSet<SubmissionId> =
                self.store().scan::<SubmissionRow>(Some(&of)).await?.into_iter().map(|row| row.submission_id).collect();
            documents.retain(|document| there.contains(&document.submission_id));
        }
        let mut datanets = HashMap::new();
        for id in documents.iter().map(|document| document.datanet_id).collect::<BTreeSet<DatanetId>>() {
            datanets.insert(id, self.datanet(&id.to_string()).await?);
        }
        Ok((documents.into_iter().map(|document| (document.document_id, document)).collect(), datanets))
    }
}

fn row(decision: &Decision, documents: &HashMap<DocumentId, DocumentRow>, datanets: &HashMap<DatanetId, DatanetRow>) -> Result<ReviewRow> {
    let review = &decision.review;
    let there = documents.get(&review.document_id).filter(|document| document.datanet_id == review.datanet);
    let Some((document, datanet)) = there.and_then(|document| Some((document, datanets.get(&document.datanet_id)?))) else {
        return Err(IngestError::NotFound(format!("there is no document {} in Datanet {}", review.document_id, review.datanet)));
    };
    check_form(review)?;
    check_rights(review, datanet, document)?;
    Ok(ReviewRow {
        review_id: decision.id,
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
    })
}
