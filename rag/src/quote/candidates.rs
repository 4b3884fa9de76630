//! Which statements can stand alone as an answer to a question, and which stands for which.

use std::collections::BTreeSet;

use schemas::said::{Figures, Quantity, Said};

use super::sorted_terms;
use crate::retrieve::Question;
use crate::sentences::{self, Kind};
use crate::snapshot::Snapshot;
use crate::statements::{Standing, StatementText, adds, asks_for_measure, confirms, left_open, restates};

/// Fewer content words than this say nothing on their own.
const MIN_TERMS: usize = 3;

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
    /// Those of the question, but for the words that name what it leaves open.
    pub(crate) asked: Vec<String>,
    pub(crate) figures: Figures,
    /// Whether it measures what the question asks a measure of.
    pub(crate) measures: bool,
    /// Whether it gives the question back, with something around it.
    pub(crate) restates: bool,
}

impl Candidate {
    pub(crate) fn of<'a>(&self, snapshot: &'a Snapshot) -> &'a str {
        snapshot.chunk(self.chunk).and_then(|chunk| chunk.text.get(self.start..self.end)).unwrap_or_default()
    }
}

/// The quotable statements of the members at `positions`, in order, each once. In the place of a statement that says what an
/// earlier one says, or that its contributor corrected, stands that one, wherever it is in the version; where the later has
/// more of the question, both.
pub(super) fn all(snapshot: &Snapshot, positions: &[usize], question: &Question) -> Vec<Candidate> {
    let asked = Asked::new(snapshot, question);
    let mut seen = BTreeSet::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    let found = positions.iter().flat_map(|position| snapshot.statements.of_chunk(*position));
    for chosen in found.flat_map(|statement| asked.stand_in(&statement)) {
        if !seen.insert(chosen.statement) {
            continue;
        }
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
    /// Terms that name what the question leaves open.
    open: BTreeSet<String>,
    for_measure: bool,
}

impl<'a> Asked<'a> {
    fn new(snapshot: &'a Snapshot, question: &'a Question) -> Self {
        let open = left_open(&question.text).iter().flat_map(|word| sorted_terms(word)).collect();
        Self { snapshot, question, said: Said::of(&question.text), open, for_measure: asks_for_measure(&question.text) }
    }

    /// What may be quoted where `statement` was found: itself or the one that corrects it, unless one that it repeats or
    /// contradicts has as much of the question; and that one. Of another's statement with the question added to it, that one.
    fn stand_in(&self, statement: &StatementText) -> Vec<Candidate> {
        let statements = &self.snapshot.statements;
        let corrected = |at: usize| self.candidate(&statements.text(statements.corrected(at).unwrap_or(at))?);
        let own = corrected(statement.statement);
        if let Some(own) = own.as_ref().filter(|own| own.restates)
            && let Some(first) = statements.first_to_say_the_rest(own.statement, &self.said)
        {
            return corrected(first).into_iter().collect();
        }
        let first = match statements.standing(statement.statement) {
            Standing::Repeats(first) | Standing::Differs(first) => corrected(first),
            Standing::Own | Standing::Silent => None,
        };
        let own = own.filter(|own| first.as_ref().is_none_or(|first| !self.covers(first, own)));
        own.into_iter().chain(first).collect()
    }

    /// Whether `one` has every word of the question that `other` has.
    fn covers(&self, one: &Candidate, other: &Candidate) -> bool {
        let of_other = self.question.terms.iter().filter(|term| other.terms.binary_search(term).is_ok());
        of_other.into_iter().all(|term| one.terms.binary_search(term).is_ok())
    }

    fn candidate(&self, statement: &StatementText) -> Option<Candidate> {
        let StatementText { statement, chunk, range, kind } = statement.clone();
        let text = self.snapshot.chunk(chunk)?.text.get(range.clone())?;
        let said = Said::of(text);
        let terms = sorted_terms(text);
        let restates = restates(text, &self.question.text);
        if !quotable(kind, text) || terms.len() < MIN_TERMS || !self.is_answer(chunk, text, &said, restates) {
            return None;
        }
        let is_held = |term: &&String| !self.open.contains(*term) && terms.binary_search(term).is_ok();
        let asked = self.question.terms.iter().filter(is_held).cloned().collect();
        let is_new = |quantity: &Quantity| quantity.unit.is_some() && !self.said.figures.quantities.contains(quantity);
        let measures = self.for_measure && said.figures.quantities.iter().any(is_new);
        let (start, end, figures) = (range.start, range.end, said.figures);
        Some(Candidate { statement, beside: None, chunk, start, end, terms, asked, figures, measures, restates })
    }

    /// Whether a text confirms the question, or adds something to its words and to the frame in which its document puts every
    /// statement.
    fn is_answer(&self, chunk: usize, text: &str, said: &Said, restates: bool) -> bool {
        let Some(document) = self.snapshot.chunk(chunk).map(|chunk| chunk.document_id) else { return false };
        if confirms(text, &self.question.text) {
            return true;
        }
        let is_asked = |token: &str| sorted_terms(token).iter().all(|term| self.question.terms.contains(term));
        let is_frame = |token: &str| self.snapshot.statements.is_boilerplate(document, token);
        let is_new = |quantity: &Quantity| !self.said.figures.quantities.contains(quantity);
        adds(said, &self.said).any(|token| !is_asked(token) && !is_frame(token))
            // Whatever words are put around the question, they leave it open: only a number may answer it there.
            && (!restates || said.figures.quantities.iter().any(is_new))
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
