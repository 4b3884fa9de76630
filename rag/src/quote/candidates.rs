//! Which statements can stand alone as an answer to a question, and which stands for which.

use std::collections::BTreeSet;

use schemas::said::{Figures, Quantity, Said};

use super::names::Names;
use super::sorted_terms;
use crate::Result;
use crate::open_version::OpenVersion;
use crate::question::Question;
use crate::sentences::{self, Kind};
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
    pub(crate) text: String,
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

/// The quotable statements of the members at `positions`, in order, each once. In the place of a statement that says what an
/// earlier one says, or that its contributor corrected, stands that one, wherever it is in the version; where the later has
/// more of the question, both.
pub(super) fn all(opened: &OpenVersion, positions: &[usize], question: &Question) -> Result<Vec<Candidate>> {
    let asked = Asked::new(opened, question);
    let mut seen = BTreeSet::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    let found = positions.iter().flat_map(|position| opened.statements.of_chunk(*position));
    let chosen = found.map(|statement| asked.stand_in(&statement)).collect::<Result<Vec<_>>>()?;
    for chosen in chosen.into_iter().flatten() {
        if !seen.insert(chosen.statement) {
            continue;
        }
        let contradicted = opened.statements.contradicted(chosen.statement).filter(|other| !seen.contains(other));
        let beside = asked.at(contradicted)?;
        let beside = beside.filter(|other| asked.covers(other, &chosen));
        candidates.push(chosen);
        if let (Some(other), Some(chosen)) = (beside, candidates.last().map(|chosen| chosen.statement)) {
            seen.insert(other.statement);
            candidates.push(Candidate { beside: Some(chosen), ..other });
        }
    }
    Ok(candidates)
}

struct Asked<'a> {
    opened: &'a OpenVersion,
    question: &'a Question,
    said: Said,
    names: Names,
    /// Terms that name what the question leaves open.
    open: BTreeSet<String>,
    for_measure: bool,
}

impl<'a> Asked<'a> {
    fn new(opened: &'a OpenVersion, question: &'a Question) -> Self {
        let open = left_open(&question.text).iter().flat_map(|word| sorted_terms(word)).collect();
        let names = Names::of(&question.text);
        Self { opened, question, said: Said::of(&question.text), names, open, for_measure: asks_for_measure(&question.text) }
    }

    /// What may be quoted where `statement` was found: itself or the one that corrects it, unless one that it repeats or
    /// contradicts has as much of the question; and that one. Of another's statement with the question added to it, that one.
    fn stand_in(&self, statement: &StatementText) -> Result<Vec<Candidate>> {
        let statements = &self.opened.statements;
        let corrected = |at: usize| self.at(Some(statements.corrections(at).filter(|by| self.corrects(at, *by)).last().unwrap_or(at)));
        let own = corrected(statement.statement)?;
        if let Some(own) = own.as_ref().filter(|own| own.restates)
            && let Some(first) = statements.first_to_say_the_rest(own.statement, &self.said)
        {
            return Ok(corrected(first)?.into_iter().collect());
        }
        let first = match statements.standing(statement.statement) {
            Standing::Repeats(first) | Standing::Differs(first) => corrected(first as usize)?,
            Standing::Own | Standing::Silent => None,
        };
        let own = own.filter(|own| first.as_ref().is_none_or(|first| !self.covers(first, own)));
        Ok(own.into_iter().chain(first).collect())
    }

    /// Whether a later statement of the same contributor stands for one here. One that may not answer does not. Nor does one of something
    /// else, where the earlier one says several numbers: one that lacks a number of the question in the place where the earlier one has it.
    fn corrects(&self, earlier: usize, later: usize) -> bool {
        let statements = &self.opened.statements;
        let said = |at: usize| statements.figures(at).map_or(&[][..], |figures| figures.quantities.as_slice());
        let (earlier, later, text) = (said(earlier), said(later), statements.text(later));
        let is_lost =
            |(place, number): (usize, &Quantity)| self.said.figures.quantities.contains(number) && later.get(place) != Some(number);
        let is_of_another = earlier.len() > 1 && earlier.iter().enumerate().any(is_lost);
        text.is_some_and(|text| self.question.among.has(text.chunk)) && !is_of_another
    }

    fn at(&self, statement: Option<usize>) -> Result<Option<Candidate>> {
        let statement = statement.and_then(|at| self.opened.statements.text(at));
        statement.map_or(Ok(None), |statement| self.candidate(statement))
    }

    /// Whether `one` has every word of the question that `other` has.
    fn covers(&self, one: &Candidate, other: &Candidate) -> bool {
        let of_other = self.question.terms.iter().filter(|term| other.terms.binary_search(term).is_ok());
        of_other.into_iter().all(|term| one.terms.binary_search(term).is_ok())
    }

    fn candidate(&self, statement: StatementText) -> Result<Option<Candidate>> {
        let StatementText { statement, chunk, range, kind } = statement;
        if !self.question.among.has(chunk) {
            return Ok(None);
        }
        let passage = self.opened.passage(chunk)?;
        let Some(text) = passage.text.get(range.clone()) else { return Ok(None) };
        let said = Said::of(text);
        let terms = sorted_terms(text);
        let restates = restates(text, &self.question.text);
        if !quotable(kind, text)
            || terms.len() < MIN_TERMS
            || self.names.are_others_in(text, &said.figures)
            || !self.is_answer(chunk, text, &said, restates)
        {
            return Ok(None);
        }
        let is_held = |term: &&String| !self.open.contains(*term) && terms.binary_search(term).is_ok();
        let asked = self.question.terms.iter().filter(is_held).cloned().collect();
        let is_new = |quantity: &Quantity| quantity.unit.is_some() && !self.said.figures.quantities.contains(quantity);
        let measures = self.for_measure && said.figures.quantities.iter().any(is_new);
        let (start, end, figures, text) = (range.start, range.end, said.figures, text.to_owned());
        Ok(Some(Candidate { statement, beside: None, chunk, start, end, text, terms, asked, figures, measures, restates }))
    }

    /// Whether a text confirms the question, or adds something to its words and to the frame in which its document puts every
    /// statement.
    fn is_answer(&self, chunk: usize, text: &str, said: &Said, restates: bool) -> bool {
        let Some(document) = self.opened.origin(chunk).map(|origin| origin.document) else { return false };
        if confirms(text, &self.question.text) {
            return true;
        }
        let is_asked = |token: &str| sorted_terms(token).iter().all(|term| self.question.terms.contains(term));
        let is_frame = |token: &str| self.opened.statements.is_boilerplate(document, token);
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
