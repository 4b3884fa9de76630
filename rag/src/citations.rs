//! Citations in what a model writes: `[3]`, or `[1, 4]`, counted from 1 in the order of the prompt.
//!
//! What cites nothing that was in the prompt is taken out before anybody reads it, with the white space before it. Nobody
//! is paid by a citation: to a reader it says where to look, and the value function sees the text without it.

use std::collections::BTreeSet;
use std::ops::Range;

/// A longer bracket is text.
const MAX_BYTES: usize = 48;
const MAX_DIGITS: usize = 4;

/// What a text that begins with `[` begins with.
enum Parsed {
    /// So many bytes, and the numbers in it.
    Citation(usize, Vec<usize>),
    Text,
    /// More text decides.
    Unfinished,
}

fn parse(text: &str) -> Parsed {
    let inside = text.get(1..).unwrap_or_default();
    let length = inside.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b' ')).count();
    if length >= MAX_BYTES {
        return Parsed::Text;
    }
    match inside.as_bytes().get(length) {
        None => return Parsed::Unfinished,
        Some(b']') => {}
        Some(_) => return Parsed::Text,
    }
    let numbers = inside.get(..length).unwrap_or_default().split(',').map(|number| {
        let digits = number.trim();
        (1..=MAX_DIGITS).contains(&digits.len()).then(|| digits.parse::<usize>().ok()).flatten()
    });
    numbers.collect::<Option<Vec<usize>>>().map_or(Parsed::Text, |numbers| Parsed::Citation(length + 2, numbers))
}

/// A text in pieces, up to what is not decided yet.
enum Part<'a> {
    Text(&'a str),
    /// White space, then a citation.
    Citation {
        space: &'a str,
        numbers: Vec<usize>,
    },
}

/// The parts of `text`, and how many bytes of it they are: the rest is white space or a beginning that more text decides.
fn parts(text: &str) -> (Vec<Part<'_>>, usize) {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut from = 0;
    while let Some(open) = text.get(from..).and_then(|rest| rest.find('[')).map(|open| from + open) {
        let before = text.get(at..open).unwrap_or_default();
        let space = before.len() - before.trim_end().len();
        match parse(text.get(open..).unwrap_or_default()) {
            Parsed::Text => from = open + 1,
            Parsed::Unfinished => {
                push_text(&mut parts, text.get(at..open - space).unwrap_or_default());
                return (parts, open - space);
            }
            Parsed::Citation(length, numbers) => {
                push_text(&mut parts, text.get(at..open - space).unwrap_or_default());
                parts.push(Part::Citation { space: text.get(open - space..open).unwrap_or_default(), numbers });
                at = open + length;
                from = at;
            }
        }
    }
    let rest = text.get(at..).unwrap_or_default().trim_end();
    push_text(&mut parts, rest);
    (parts, at + rest.len())
}

fn push_text<'a>(parts: &mut Vec<Part<'a>>, text: &'a str) {
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
}

/// Takes citations of what was not in the prompt out of an answer as it comes. The outcome does not depend on how the
/// answer was cut; white space around it goes.
#[derive(Debug)]
pub(crate) struct CitationFilter {
    sources: usize,
    held: String,
    begun: bool,
    pub(crate) invalid: u64,
}

impl CitationFilter {
    /// For a prompt with so many sources.
    pub(crate) fn new(sources: usize) -> Self {
        Self { sources, held: String::new(), begun: false, invalid: 0 }
    }

    /// What is certain with `piece` added.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let held = std::mem::take(&mut self.held);
        let (parts, length) = parts(&held);
        let text = self.keep(&parts);
        held.get(length..).unwrap_or_default().clone_into(&mut self.held);
        text
    }

    /// What was held back: it is no citation, for nothing follows.
    pub(crate) fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        self.keep(&[Part::Text(held.trim_end())])
    }

    fn keep(&mut self, parts: &[Part<'_>]) -> String {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(said) => text.push_str(said),
                Part::Citation { space, numbers } => {
                    let valid: Vec<String> =
                        numbers.iter().filter(|number| (1..=self.sources).contains(number)).map(usize::to_string).collect();
                    self.invalid += (numbers.len() - valid.len()) as u64;
                    if !valid.is_empty() {
                        text.push_str(space);
                        text.push_str(&format!("[{}]", valid.join(", ")));
                    }
                }
            }
        }
        if !self.begun {
            text.replace_range(..text.len() - text.trim_start().len(), "");
            self.begun = !text.is_empty();
        }
        text
    }
}

/// The bytes of each citation.
pub(crate) fn ranges(answer: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut ranges = Vec::new();
    for part in parts(answer).0 {
        match part {
            Part::Text(said) => at += said.len(),
            Part::Citation { space, .. } => {
                let open = at + space.len();
                let end = open + answer.get(open..).and_then(|rest| rest.find(']')).map_or(0, |close| close + 1);
                ranges.push(open..end);
                at = end;
            }
        }
    }
    ranges
}

/// An answer without its citations, and the way back.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) text: String,
    /// Where each kept run begins: in `text`, in the answer.
    runs: Vec<(usize, usize)>,
    citations: Vec<Cited>,
}

#[derive(Debug)]
struct Cited {
    /// Where it was taken out of the plain text.
    at: usize,
    /// Where it ends in the answer.
    end: usize,
    numbers: Vec<usize>,
}

impl Plain {
    /// Takes every citation out, and the white space before it.
    pub(crate) fn without_citations(answer: &str) -> Self {
        let mut plain = Self::default();
        let (parts, length) = parts(answer);
        let mut at = 0;
        for part in &parts {
            match part {
                Part::Text(said) => {
                    plain.keep(said, at);
                    at += said.len();
                }
                Part::Citation { space, numbers } => {
                    let open = at + space.len();
                    at = open + answer.get(open..).and_then(|rest| rest.find(']')).map_or(0, |close| close + 1);
                    plain.citations.push(Cited { at: plain.text.len(), end: at, numbers: numbers.clone() });
                }
            }
        }
        plain.keep(answer.get(length..).unwrap_or_default(), length);
        plain
    }

    /// Takes nothing out.
    pub(crate) fn whole(answer: &str) -> Self {
        let mut plain = Self::default();
        plain.keep(answer, 0);
        plain
    }

    fn keep(&mut self, said: &str, at: usize) {
        self.runs.push((self.text.len(), at));
        self.text.push_str(said);
    }

    /// Where a byte of the plain text stands in the answer.
    fn in_answer(&self, at: usize) -> usize {
        let run = self.runs.iter().rev().find(|(start, _)| *start <= at);
        run.map_or(at, |(start, in_answer)| in_answer + (at - start))
    }

    /// The range of the answer that a sentence and the citations after it take up, and the numbers that it cites: those after
    /// `from`, where the first sentence's begin or this one's words, up to `next`, where the sentence after it begins.
    pub(crate) fn locate(&self, start: usize, end: usize, from: usize, next: Option<usize>) -> (usize, usize, BTreeSet<usize>) {
        let begins = self.in_answer(start);
        let mut ends = self.in_answer(end.saturating_sub(1)) + 1;
        let mut numbers = BTreeSet::new();
        for cited in self.citations.iter().filter(|cited| cited.at >= from && next.is_none_or(|next| cited.at <= next)) {
            ends = ends.max(cited.end);
            numbers.extend(&cited.numbers);
        }
        (begins, ends, numbers)
    }
}

#[cfg(test)]
mod tests;
