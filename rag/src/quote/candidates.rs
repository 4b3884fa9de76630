//! Which statements can stand alone as an answer to a question, and which stands for which.

use std::collections::BTreeSet;

use schemas::said::Said;

use super::sorted_terms;
use crate::retrieve::Question;
use crate::sentences::{self, Kind};
use crate::snapshot::Snapshot;
use crate::statements::{Standing, StatementText, adds, confirms, restates};

/// Fewer content words than this say nothing on their own.
const MIN_TERMS: usize = 3;
/// A sentence that gives the question back says something all the same if it adds a number, or so many words.
const ADDED_TO_RESTATEMENT: usize = 3;

/// A quotable statement: a byte range of the text of a member.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) statement: usize,
    /// The statement that this one contradicts: it is shown after it, and not alone.
    pub(crate) beside: Option<usize>,
    /// Position of the member.
    pub(crate) chunk: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Distinct, sorted.
    pub(crate) terms: Vec<String>,
}

impl Candidate {
    pub(crate) fn of<'a>(&self, snapshot: &'a Snapshot) -> &'a str {
        snapshot.chunk(self.chunk).and_then(|chunk| chunk.text.get(self.start..self.end)).unwrap_or_default()
    }
}

/// The quotable statements of the members at `positions`, in order, each once. In the place of a statement that says what an
/// earlier one says, or that its contributor corrected, stands that one, wherever it is in the version.
pub(super) fn all(snapshot: &Snapshot, positions: &[usize], question: &Question) -> Vec<Candidate> {
    let asked = Asked { snapshot, question, said: Said::of(&question.text) };
    let mut seen = BTreeSet::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    for statement in positions.iter().flat_map(|position| snapshot.statements.of_chunk(*position)) {
        let Some(chosen) = asked.stand_in(&statement).filter(|chosen| !seen.contains(&chosen.statement)) else { continue };
        seen.insert(chosen.statement);
        let contradicted = snapshot.statements.contradicted(chosen.statement).filter(|other| !seen.contains(other));
        let beside = contradicted.and_then(|other| asked.candidate(&snapshot.statements.text(other)?));
        let beside = beside.filter(|other| asked.covers(other, &chosen));
        candidates.push(chosen);
        if let (Some(other), Some(chosen)) = (beside, candidates.last().map(|chosen| chosen.statement)) {
            seen.insert(other.statement);
            candidates.push(Candidate { beside: Some(chosen), ..other });
        }
    }
    candidates
}

struct Asked<'a> {
    snapshot: &'a Snapshot,
    question: &'a Question,
    said: Said,
}

impl Asked<'_> {
    /// What is quoted where `statement` was found: the one that it repeats or contradicts, where that has as much of the
    /// question; the one that corrects it.
    fn stand_in(&self, statement: &StatementText) -> Option<Candidate> {
        let statements = &self.snapshot.statements;
        let corrected = |at: usize| statements.corrected(at).unwrap_or(at);
        let own = self.candidate(&statements.text(corrected(statement.statement))?);
        let (Standing::Repeats(first) | Standing::Differs(first)) = statements.standing(statement.statement) else { return own };
        let first = statements.text(corrected(first)).and_then(|first| self.candidate(&first));
        match (own, first) {
            (Some(own), Some(first)) => Some(if self.covers(&first, &own) { first } else { own }),
            (own, first) => own.or(first),
        }
    }

    /// Whether `one` has every word of the question that `other` has.
    fn covers(&self, one: &Candidate, other: &Candidate) -> bool {
        let of_other = self.question.terms.iter().filter(|term| other.terms.binary_search(term).is_ok());
        of_other.into_iter().all(|term| one.terms.binary_search(term).is_ok())
    }

    fn candidate(&self, statement: &StatementText) -> Option<Candidate> {
        let StatementText { statement, chunk, range, kind } = statement.clone();
        let text = self.snapshot.chunk(chunk)?.text.get(range.clone())?;
        if !quotable(kind, text) || !self.is_answer(chunk, text) {
            return None;
        }
        let terms = sorted_terms(text);
        (terms.len() >= MIN_TERMS).then_some(Candidate { statement, beside: None, chunk, start: range.start, end: range.end, terms })
    }

    /// Whether a text confirms the question, or adds something to its words and to the frame in which its document puts every
    /// statement.
    fn is_answer(&self, chunk: usize, text: &str) -> bool {
        let Some(document) = self.snapshot.chunk(chunk).map(|chunk| chunk.document_id) else { return false };
        if confirms(text, &self.question.text) {
            return true;
        }
        let said = Said::of(text);
        let is_asked = |token: &str| sorted_terms(token).iter().all(|term| self.question.terms.contains(term));
        let is_frame = |token: &str| self.snapshot.statements.is_boilerplate(document, token);
        let added = adds(&said, &self.said).filter(|token| !is_asked(token) && !is_frame(token)).count();
        if !restates(text, &self.question.text) {
            return added > 0;
        }
        let quantities = &said.figures.quantities;
        added >= ADDED_TO_RESTATEMENT || (added > 0 && quantities.iter().any(|quantity| !self.said.figures.quantities.contains(quantity)))
    }
}

/// Whole statements only: no heading, table row or code, nothing that leads over to something else, and nothing that a
/// reader's markdown could take for an image or a link.
fn quotable(kind: Kind, said: &str) -> bool {
    let bare = said.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*', '_', '」', '』', '）', '】', '》', '〉', '〕']);
    let complete = match kind {
        Kind::Prose => bare.ends_with(is_full_stop) || bare.ends_with(sentences::is_unstopped),
        Kind::Item => !bare.ends_with([':', '?', '？', '؟', '፧', ',', ';', '：', '，', '、', '；', '،', '؛']),
        Kind::Heading | Kind::Table | Kind::Code | Kind::Piece => false,
    };
    complete && !said.contains("](") && !said.contains('<') && !said.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r')
}

/// What ends a statement, and no question.
fn is_full_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '…' | '。' | '！' | '｡' | '۔' | '।' | '॥' | '։' | '።' | '។' | '៕' | '။' | '།' | '༎' | '‼')
}
