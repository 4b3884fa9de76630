//! What was checked, and how it came out. What was not checked is never called valid.

use rag::{Inclusion, RagError};
use schemas::receipt::Receipt;
use serde::Serialize;

use super::document::Document;
use crate::output::{count, printable};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Valid,
    NotChecked,
    Failed,
}

pub(super) const RETRIEVAL: &str = "retrieval";

#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// What of: `receipt`, `generation`, `evidence`, [`RETRIEVAL`], `epoch`, `chain`, `run`; or of an epoch `deployment`, `before`,
    /// `closing`, `receipts`, `versions`, `signer`, `fees`, `policy`, `collection`, `debts`, `rewards`, `withheld`, `root`.
    pub(crate) of: &'static str,
    pub(crate) outcome: Outcome,
    /// What was found, or would have been checked.
    pub(crate) detail: String,
}

/// The checks of one document.
#[derive(Debug)]
pub(crate) struct Checks {
    title: String,
    pub(crate) done: Vec<Check>,
}

impl Checks {
    pub(crate) fn new(title: String) -> Self {
        Self { title, done: Vec::new() }
    }

    pub(crate) fn valid(&mut self, of: &'static str, detail: impl Into<String>) {
        self.done.push(Check { of, outcome: Outcome::Valid, detail: detail.into() });
    }

    pub(crate) fn skip(&mut self, of: &'static str, detail: impl Into<String>) {
        self.done.push(Check { of, outcome: Outcome::NotChecked, detail: detail.into() });
    }

    pub(crate) fn fail(&mut self, of: &'static str, detail: impl Into<String>) {
        self.done.push(Check { of, outcome: Outcome::Failed, detail: detail.into() });
    }

    pub(crate) fn failed(&self) -> bool {
        self.done.iter().any(|check| check.outcome == Outcome::Failed)
    }

    pub(crate) fn text(&self) -> String {
        let outcome = match (self.failed(), self.done.iter().any(|check| check.outcome == Outcome::NotChecked)) {
            (true, _) => "does not hold",
            (false, true) => "holds as far as it was checked",
            (false, false) => "holds",
        };
        printable(&format!("{} {outcome}{}", self.title, self.lines()))
    }

    /// Of a document that was not checked to its end: what was found, and no word on whether it holds.
    pub(crate) fn so_far(&self) -> String {
        printable(&format!("{}, as far as it was checked:{}", self.title, self.lines()))
    }

    fn lines(&self) -> String {
        let lines = self.done.iter().map(|check| {
            let mark = match check.outcome {
                Outcome::Valid => "✓ valid      ",
                Outcome::NotChecked => "– not checked",
                Outcome::Failed => "✗ failed     ",
            };
            format!("\n  {mark}  {}: {}", check.of, check.detail)
        });
        lines.collect()
    }

    /// What the document alone shows.
    pub(super) fn of(document: &Document) -> Self {
        let mut checks = Self::new(format!("receipt {}", document.id()));
        match document {
            Document::Receipt { receipt, evidence } => {
                checks.outcome("receipt", rag::verify_receipt(receipt), &stated(receipt));
                if receipt.body.candidates.is_none() {
                    checks.skip(
                        "candidates",
                        "that nothing that was found was left out of the sources: the receipt states no candidates, as old ones",
                    );
                }
                if receipt.body.generation.is_some() {
                    let model = &receipt.body.models.generator;
                    let again = if receipt.body.likelihood.is_some() { LIKELY } else { "no model is run again" };
                    checks.skip("generation", format!("that {model:?} wrote the answer: {again}"));
                }
                let what = match receipt.body.likelihood {
                    Some(_) => EVIDENCE_OF_LIKELIHOODS,
                    None => EVIDENCE,
                };
                match evidence {
                    Some(evidence) => checks.outcome("evidence", rag::verify_evidence(evidence), what),
                    None => checks
                        .skip("evidence", format!("{what}; the payer and the operator fetch it (`headwater receipt ID --evidence FILE`)")),
                }
            }
            Document::First { receipt, evidence } => {
                let stated = "hash and signature, membership of the sources, and that the shares follow from the value table";
                checks.outcome("receipt", rag::verify_first_receipt(receipt), stated);
                match evidence {
                    Some(evidence) => checks.outcome("evidence", rag::verify_first_evidence(evidence), EVIDENCE),
                    None => checks.skip("evidence", EVIDENCE),
                }
                checks.skip("order", "who registered first, and which receipt came before: receipts of this form do not bind it");
            }
        }
        checks
    }

    /// What only the tables say of the members that a filter leaves: a leaf names a chunk, its contributor and its submission.
    pub(super) fn filter(&mut self, document: &Document) {
        let Document::Receipt { receipt, .. } = document else { return };
        let Some(filter) = &receipt.body.retrieval.filter else { return };
        let is_of_leaves = filter.documents.is_empty()
            && filter.licences.is_empty()
            && filter.received_from_ms.is_none()
            && filter.received_before_ms.is_none();
        let is_searched_again = self.done.iter().any(|check| check.of == RETRIEVAL && check.outcome == Outcome::Valid);
        if !is_of_leaves && !is_searched_again {
            self.skip("filter", "that the sources are of the documents, licences and times that it states: search again with --reexecute");
        }
    }

    pub(super) fn inclusion(&mut self, document: &Document, inclusion: Option<&Inclusion>, without: &str) {
        const ONE_OF: &str = "that the receipt is the one that its epoch counts";
        match (document, inclusion) {
            (Document::Receipt { receipt, .. }, Some(inclusion)) => {
                let Inclusion { epoch, receipts_root, .. } = inclusion;
                let detail = format!("the receipt is one of those of root {receipts_root}, which is said to be that of epoch {epoch}");
                self.outcome("epoch", rag::verify_inclusion(receipt, inclusion), &detail);
            }
            (Document::Receipt { .. }, None) => self.skip("epoch", format!("{ONE_OF}: {without}")),
            (Document::First { .. }, _) => self.skip("epoch", ONE_OF),
        }
    }

    fn outcome(&mut self, of: &'static str, result: Result<(), RagError>, detail: &str) {
        match result {
            Ok(()) => self.valid(of, detail),
            Err(error) => self.fail(of, error.to_string()),
        }
    }
}

const EVIDENCE: &str = "computed again: question, answer and texts are those of the receipt, and give the same value table";
const LIKELY: &str = "how likely it found the answer is what --reexecute computes, where that model runs";
const EVIDENCE_OF_LIKELIHOODS: &str = "computed again: question, answer and texts are those of the receipt, and say who says the same";

fn stated(receipt: &Receipt) -> String {
    let body = &receipt.body;
    let from = if body.candidates.is_some() { "that they follow from the candidates, " } else { "" };
    let table = if body.likelihood.is_some() { "table of likelihoods" } else { "value table" };
    format!(
        "hash and signature (signer {}), membership and order of registration of {} in version {} ({}), {from}and that the shares follow \
         from the {table} and sum to 1,000,000",
        receipt.signer,
        count(body.sources.len(), "source"),
        body.version,
        body.version_root
    )
}

/// Whether receipts are of one run.
pub(super) fn run(documents: &[Document]) -> Checks {
    let mut checks = Checks::new(format!("run of {} receipts", documents.len()));
    let receipts: Vec<Receipt> = (documents.iter())
        .filter_map(|document| match document {
            Document::Receipt { receipt, .. } => Some(receipt.as_ref().clone()),
            Document::First { .. } => None,
        })
        .collect();
    if receipts.len() < documents.len() {
        checks.skip("run", "receipts of the first form are not chained");
    }
    let signers = receipts.windows(2).all(|pair| matches!(pair, [a, b] if a.signer == b.signer));
    if signers {
        let outcome = rag::verify_run(&receipts);
        let is_one = outcome.is_ok();
        checks.outcome("run", outcome, "no answer and no number has two, and each that follows one given here names it");
        let mut numbers: Vec<u64> = receipts.iter().map(|receipt| receipt.body.sequence).collect();
        numbers.sort_unstable();
        for pair in numbers.windows(2) {
            if let [before, after] = pair
                && is_one
                && before.saturating_add(1) < *after
            {
                checks.skip("run", format!("receipts {} to {}, which were not given: another run may hide there", before + 1, after - 1));
            }
        }
    } else {
        checks.fail("run", "they are signed by several services: each has a run of its own");
    }
    checks
}
