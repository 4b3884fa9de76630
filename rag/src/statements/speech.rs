//! Which sentences of a text say something. Part of `support/2`.
//!
//! No grammar is known here, only forms. What cannot be told is taken for a statement: languages whose stop words are not on
//! the list, scripts without spaces, short facts (`Storage: 2-8 °C`), rows of tables.

use std::collections::BTreeSet;

use schemas::said::Said;
use schemas::words::{self, Word, WordKind};

use super::questions::INTERROGATIVE;
use crate::sentences::{self, Kind};

/// What a text calls itself.
const TEXTS: &[&str] = &[
    "answer",
    "answers",
    "article",
    "chapter",
    "document",
    "entry",
    "faq",
    "guide",
    "handbook",
    "leaflet",
    "manual",
    "note",
    "notes",
    "overview",
    "page",
    "paper",
    "paragraph",
    "part",
    "passage",
    "piece",
    "post",
    "report",
    "section",
    "sheet",
    "summary",
    "text",
    "topic",
];
/// What it says that it does.
const TREATING: &[&str] = &[
    "addresses",
    "answers",
    "asks",
    "considers",
    "concerns",
    "covers",
    "deals",
    "describes",
    "discuss",
    "discusses",
    "examines",
    "explains",
    "explores",
    "gives",
    "informs",
    "introduces",
    "lists",
    "looks",
    "outlines",
    "presents",
    "provides",
    "reviews",
    "summarises",
    "summarizes",
    "talks",
    "tells",
    "treats",
];
const POINTING: &[&str] = &["this", "these", "here", "following", "below", "present", "our"];
const ASKING: &[&str] = &["ask", "asked", "asking", "asks", "query", "question", "questions", "wonder", "wondered", "wonders"];
/// Words around a question that say nothing of what is asked, or only that it is said.
const AROUND: &[&str] = &[
    "about",
    "above",
    "below",
    "common",
    "described",
    "elsewhere",
    "explained",
    "following",
    "found",
    "frequently",
    "given",
    "good",
    "great",
    "here",
    "important",
    "interest",
    "interesting",
    "know",
    "listed",
    "matter",
    "mentioned",
    "often",
    "people",
    "reader",
    "readers",
    "stated",
    "subject",
    "told",
    "treat",
    "treated",
    "want",
    "wants",
    "well",
    "written",
    "yes",
];

/// Fewer words than this may stand without one that does not count: in a sentence that begins and ends as one, and in any
/// other text. Whoever lists the words that count has none of the others.
const SENTENCE_WORDS: usize = 9;
const OTHER_WORDS: usize = 5;
/// A label with its value: at most so many words before the colon, and in all.
const LABEL_WORDS: usize = 4;
const LABELLED_WORDS: usize = 14;
/// Words of a table's row that need no small ones.
const ROW_WORDS: usize = 20;
/// A row of so many short items is a list, whatever joins the last of them.
const LIST_ITEMS: usize = 6;
/// Words that say that a text is about itself stand among so many first ones.
const OPENING_WORDS: usize = 8;

/// A sentence of a text.
#[derive(Debug, Clone)]
pub(crate) struct Sentence {
    /// Bytes of the text.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
    pub(crate) said: Said,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Statement,
    /// Words that count and none of the others: a list of keywords, or a language that is not known here.
    Bare,
    /// A question, a sentence about the text, a row of symbols.
    Silent,
}

/// The sentences of `text`, in order.
pub(crate) fn read(text: &str) -> Vec<Sentence> {
    (sentences::split(text).into_iter())
        .map(|span| {
            let words = words::segment(span.of(text));
            let said = Said::of_words(&words);
            let form = form(span.of(text), span.kind, &words, &said);
            Sentence { start: span.start, end: span.end, kind: span.kind, said, form }
        })
        .collect()
}

impl Sentence {
    /// Whether it says something, among texts in which `known` was said.
    pub(crate) fn is_statement(&self, known: &Known) -> bool {
        match self.form {
            Form::Statement => true,
            Form::Silent => false,
            Form::Bare => !known.holds_most_of(&self.said),
        }
    }
}

/// The vocabulary of sentences whose language is known here. A row of such words without a stop word is a list of keywords;
/// a row of others is another language's sentence.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeSet<String>);

impl Known {
    pub(crate) fn learn(&mut self, sentence: &Sentence) {
        if sentence.form == Form::Statement {
            self.0.extend(sentence.said.tokens.iter().cloned());
        }
    }

    pub(crate) fn learn_text(&mut self, text: &str) {
        self.0.extend(Said::of(text).tokens);
    }

    fn holds_most_of(&self, said: &Said) -> bool {
        let held = said.tokens.iter().filter(|token| self.0.contains(*token)).count();
        held * 2 >= said.tokens.len()
    }
}

fn form(text: &str, kind: Kind, words: &[Word], said: &Said) -> Form {
    if said.tokens.is_empty() || is_question(text) {
        return Form::Silent;
    }
    let measured = said.figures.quantities.iter().any(|quantity| quantity.unit.is_some());
    if !measured && (is_about_itself(words) || names_a_question(words)) {
        return Form::Silent;
    }
    if is_bare(text, kind, words) { Form::Bare } else { Form::Statement }
}

fn is_question(text: &str) -> bool {
    text.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*', '_', ' ']).ends_with(['?', '？', '؟', '\u{37e}'])
}

/// `This note treats …`, `In the following section we discuss …`.
fn is_about_itself(words: &[Word]) -> bool {
    let opening = words.get(..OPENING_WORDS.min(words.len())).unwrap_or_default();
    let Some(points) = opening.iter().take(3).position(|word| is_in(POINTING, word)) else { return false };
    let after = opening.get(points..).unwrap_or_default();
    let Some(treats) = after.iter().position(|word| is_in(TREATING, word)) else { return false };
    let named = after.get(..treats).unwrap_or_default();
    named.iter().any(|word| is_in(TEXTS, word)) || named.first().is_some_and(|word| word.text == "here")
}

/// `… the question at what temperature …`, `Readers often ask how …`.
fn names_a_question(words: &[Word]) -> bool {
    let asked = words.iter().position(|word| is_in(ASKING, word));
    asked.is_some_and(|asked| words.iter().skip(asked).any(|word| is_in(INTERROGATIVE, word)))
}

fn is_bare(text: &str, kind: Kind, words: &[Word]) -> bool {
    if text.contains(words::is_unspaced) {
        return false;
    }
    let letters: Vec<&Word> = words.iter().filter(|word| word.kind == WordKind::Letters).collect();
    let small = letters.iter().filter(|word| words::is_stop_word(&word.text)).count();
    let items = text.split([',', ';', '/', '|', '·', '•', '\n']).filter(|item| !item.trim().is_empty()).count();
    if kind == Kind::Table {
        return letters.len() > ROW_WORDS && small == 0;
    }
    if items >= LIST_ITEMS && letters.len() <= items * 2 && small * 6 < letters.len() {
        return !is_labelled(text, letters.len());
    }
    let begins = text.chars().find(|c| c.is_alphanumeric()).is_some_and(|c| !c.is_lowercase());
    let ends = text.trim_end_matches(['"', '\'', ')', '”', '»']).ends_with(['.', '!', '…']);
    let least = if begins && ends { SENTENCE_WORDS } else { OTHER_WORDS };
    letters.len() >= least && small * 12 < letters.len() && !is_labelled(text, letters.len())
}

/// `Contraindications: pregnancy, asthma, diabetes`.
fn is_labelled(text: &str, words: usize) -> bool {
    let label = text.split_once(':').map(|(label, _)| label.split_whitespace().count());
    words <= LABELLED_WORDS && label.is_some_and(|label| (1..=LABEL_WORDS).contains(&label))
}

fn is_in(list: &[&str], word: &Word) -> bool {
    list.contains(&word.text.as_str())
}

/// The tokens of `said` that it adds to the question's own words, those aside that talk about texts and questions.
pub(crate) fn adds<'a>(said: &'a Said, question: &'a Said) -> impl Iterator<Item = &'a str> {
    let around = |token: &str| [TEXTS, TREATING, ASKING, INTERROGATIVE, AROUND].iter().any(|list| list.contains(&token));
    said.tokens.iter().map(String::as_str).filter(move |token| !question.tokens.contains(*token) && !around(token))
}
