//! What stands in a Datanet, as far as its decisions go: which documents there are, in the order in which curators see them, and
//! what was decided on each. Kept in memory for the Datanets that were used last, and brought up to the tables by what came since, so
//! that neither a page of the queue nor a publication reads every upload again.
//!
//! What has no commit row does not exist. Registrations and decisions are numbered as they are committed, so that nothing comes later
//! under a number that was passed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::ids::{DatanetId, DocumentId, SubmissionId};
use schemas::tables::{DecisionRow, DocumentRow, DocumentStandingRow, RegistrationRow, ReviewRow, SubmissionRow};

use crate::reads::one_of;
use crate::{Ingest, Result};

/// Datanets whose books are kept: those that were used last.
const REMEMBERED: usize = 16;
/// Submissions whose documents are sought by name; those of more are found by reading all of the Datanet.
const SOUGHT: usize = 500;

/// In which documents come: by registration and file name.
type Place = (u64, String, DocumentId);

/// The uploads of a Datanet that stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    /// The last registration and the last decision that are in.
    registered: u64,
    sequence: u64,
    submissions: HashMap<SubmissionId, u64>,
    /// Those that were read.
    documents: BTreeMap<Place, DocumentId>,
    /// Whether the latest decision on a document is to accept it.
    decisions: HashMap<DocumentId, bool>,
}

/// Where a page of the queue goes on: after a document, in the part where it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlace {
    pub is_pending: bool,
    pub document_id: DocumentId,
}

/// Rows that a book lacks.
#[derive(Default)]
struct News {
    submissions: Vec<RegistrationRow>,
    documents: Vec<DocumentStandingRow>,
    decisions: Vec<DecisionRow>,
}

impl Book {
    /// The number under which a submission was registered.
    pub(crate) fn registered(&self, submission: SubmissionId) -> Option<u64> {
        self.submissions.get(&submission).copied()
    }

    /// Every submission with its registration, in no order.
    pub(crate) fn submissions(&self) -> impl ExactSizeIterator<Item = (u64, SubmissionId)> {
        self.submissions.iter().map(|(id, registered)| (*registered, *id))
    }

    /// The last decision that is in.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Documents whose latest decision is to accept them.
    pub(crate) fn accepted(&self) -> HashSet<DocumentId> {
        self.documents.values().filter(|document| self.decisions.get(document) == Some(&true)).copied().collect()
    }

    /// Documents that wait for a decision, and after them the others; from `after` on. None where that is no document.
    pub(crate) fn queue(&self, after: Option<QueuePlace>) -> Option<impl Iterator<Item = DocumentId>> {
        let start = match after {
            Some(after) => Some(self.documents.keys().find(|(.., id)| *id == after.document_id)?),
            None => None,
        };
        // what comes after a place in one part, all of the other, or nothing
        let part = move |is_pending: bool| {
            let start = start.filter(|_| after.is_some_and(|after| after.is_pending == is_pending));
            let documents = self.documents.range((start.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
            documents.map(|(_, document)| *document).filter(move |document| self.decisions.contains_key(document) != is_pending)
        };
        let pending = after.is_none_or(|after| after.is_pending).then(|| part(true));
        Some(pending.into_iter().flatten().chain(part(false)))
    }

    fn take_in(&mut self, news: News) {
        self.registered = news.submissions.iter().map(|row| row.registered).fold(self.registered, u64::max);
        self.submissions.extend(news.submissions.iter().map(|row| (row.submission_id, row.registered)));
        for document in news.documents.into_iter().filter(|document| document.status == "chunked") {
            if let Some(registered) = self.registered(document.submission_id) {
                self.documents.insert((registered, document.file_name, document.document_id), document.document_id);
            }
        }
        let mut decisions = news.decisions;
        decisions.sort_by_key(|decision| decision.sequence);
        self.sequence = decisions.last().map_or(self.sequence, |last| last.sequence);
        self.decisions.extend(decisions.into_iter().map(|row| (row.document_id, row.decision == "accept")));
    }
}

/// A book, which one at a time brings up to date.
type Slot = Arc<tokio::sync::Mutex<Arc<Book>>>;

/// By Datanet, the last one used last.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<Vec<(DatanetId, Slot)>>);

impl Books {
    fn slot(&self, datanet: DatanetId) -> Slot {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = books.iter().position(|(other, _)| *other == datanet);
        let slot = at.map(|at| books.remove(at).1).unwrap_or_default();
        books.push((datanet, slot.clone()));
        let beyond = books.len().saturating_sub(REMEMBERED);
        books.drain(..beyond);
        slot
    }
}

impl Ingest {
    /// A Datanet's book with everything that is committed.
    pub(crate) async fn book(&self, datanet: DatanetId) -> Result<Arc<Book>> {
        let slot = self.inner.books.slot(datanet);
        let mut book = slot.lock().await;
        let news = self.news(datanet, &book).await?;
        if !(news.submissions.is_empty() && news.decisions.is_empty()) {
            // lost where this is interrupted: it is read again
            let mut grown = std::mem::take(&mut *book);
            *book = self
                .compute("ordering uploads", move || {
                    Arc::make_mut(&mut grown).take_in(news);
                    grown
                })
                .await?;
        }
        Ok(book.clone())
    }

    async fn news(&self, datanet: DatanetId, book: &Book) -> Result<News> {
        let store = self.store();
        let of_datanet = format!("datanet_id = '{datanet}'");
        let later = |column: &str, last: u64| format!("{of_datanet} AND {column} > {last}");
        let submissions: Vec<RegistrationRow> = store.scan_part::<SubmissionRow, _>(Some(&later("registered", book.registered))).await?;
        let documents: Vec<DocumentStandingRow> = match submissions.len() {
            0 => Vec::new(),
            new => {
                // a failed write may have written them, and nobody looked since
                store.reload::<DocumentRow>().await?;
                let of_new = (new <= SOUGHT).then(|| one_of("submission_id", submissions.iter().map(|row| row.submission_id)));
                store.scan_part::<DocumentRow, _>(Some(of_new.as_ref().unwrap_or(&of_datanet))).await?
            }
        };
        let decisions = store.scan_part::<ReviewRow, _>(Some(&later("sequence", book.sequence))).await?;
        Ok(News { submissions, documents, decisions })
    }
}

#[cfg(test)]
mod tests {
    use schemas::B256;

    use super::*;

    fn document(n: u8) -> DocumentId {
        DocumentId(B256::repeat_byte(n))
    }

    fn submission(n: u8) -> SubmissionId {
        SubmissionId(B256::repeat_byte(n))
    }

    /// So many documents, each of a submission of its own.
    fn book(documents: u8) -> Book {
        let mut book = Book::default();
        book.take_in(News {
            submissions: (1..=documents).map(|n| RegistrationRow { submission_id: submission(n), registered: n.into() }).collect(),
            documents: (1..=documents)
                .map(|n| DocumentStandingRow {
                    document_id: document(n),
                    submission_id: submission(n),
                    file_name: "a.txt".into(),
                    status: "chunked".into(),
                })
                .collect(),
            decisions: Vec::new(),
        });
        book
    }

    fn decide(book: &mut Book, decisions: &[(u8, &str)]) {
        let row = |(sequence, (n, decision)): (u64, &(u8, &str))| DecisionRow {
            document_id: document(*n),
            decision: (*decision).into(),
            sequence,
        };
        let mut decisions: Vec<DecisionRow> = (book.sequence + 1..).zip(decisions).map(row).collect();
        // in no order, as they may be read
        decisions.reverse();
        book.take_in(News { decisions, ..News::default() });
    }

    fn queue(book: &Book, after: Option<(bool, u8)>) -> Option<Vec<u8>> {
        let after = after.map(|(is_pending, n)| QueuePlace { is_pending, document_id: document(n) });
        Some(book.queue(after)?.map(|id| id.0[0]).collect())
    }

    #[test]
    fn what_is_decided_while_a_queue_is_read_leaves_nothing_out() {
        let mut book = book(5);
        decide(&mut book, &[(1, "accept"), (3, "reject")]);
        assert_eq!(queue(&book, None), Some(vec![2, 4, 5, 1, 3]));
        assert_eq!(queue(&book, Some((true, 4))), Some(vec![5, 1, 3]));
        // 4 was decided when it had been read.
        decide(&mut book, &[(4, "accept")]);
        assert_eq!(queue(&book, Some((true, 4))), Some(vec![5, 1, 3, 4]), "5 is still to be read");
        assert_eq!(queue(&book, Some((false, 1))), Some(vec![3, 4]));
        assert_eq!(queue(&book, Some((false, 4))), Some(vec![]));
        assert_eq!(queue(&book, Some((true, 9))), None);
    }

    #[test]
    fn the_latest_decision_counts_and_what_was_refused_is_no_document() {
        let mut book = book(3);
        decide(&mut book, &[(1, "reject"), (2, "accept"), (1, "accept"), (3, "accept"), (3, "reject")]);
        assert_eq!(book.accepted(), [document(1), document(2)].into());
        book.take_in(News {
            submissions: vec![RegistrationRow { submission_id: submission(4), registered: 4 }],
            documents: vec![DocumentStandingRow {
                document_id: document(4),
                submission_id: submission(4),
                file_name: "a.txt".into(),
                status: "refused".into(),
            }],
            decisions: Vec::new(),
        });
        decide(&mut book, &[(4, "accept")]);
        assert!(!book.accepted().contains(&document(4)));
        assert_eq!((book.sequence(), book.registered(submission(4))), (6, Some(4)));
    }
}
