//! Writes a page's text: white space collapsed, paragraphs apart, every character traced.

use std::ops::Range;

use super::strings::Piece;
use crate::formats::{Mark, RAISED_NUMBER, SourceMap};

/// What comes before the next character. The later in this list, the stronger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    /// White space of the page, at these bytes; whether they are one plain space.
    Space(Range<usize>, bool),
    /// A gap that the page's layout makes.
    Gap,
    Line,
    Paragraph,
}

/// What may not follow at once on what was written last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Closed {
    #[default]
    Nothing,
    /// A digit would be read as one more of a number.
    Digit,
    /// A letter or digit would be read as part of an exponent or index.
    Word,
}

/// A bracket that was opened: where what is in it starts, how many marks there were, and what was to come before it.
#[derive(Debug)]
pub(super) struct Bracket {
    start: usize,
    marks: usize,
    pending: Pending,
}

#[derive(Debug, Default)]
pub(super) struct Writer {
    pub text: String,
    pub map: SourceMap,
    pub marks: Vec<Mark>,
    pending: Pending,
    closed: Closed,
    /// A list's bullet or number, until its item says something.
    marker: Option<String>,
    /// Where the last sign of an exponent stands.
    raised: Option<usize>,
    /// Where the cell starts that is being written: in it lines and paragraphs are parted by a stroke.
    cell: Option<usize>,
}

impl Writer {
    pub(super) fn paragraph(&mut self) {
        self.pending = Pending::Paragraph;
        self.closed = Closed::Nothing;
    }

    pub(super) fn line_break(&mut self) {
        if self.pending != Pending::Paragraph {
            self.pending = Pending::Line;
        }
        self.closed = Closed::Nothing;
    }

    pub(super) fn gap(&mut self) {
        if matches!(self.pending, Pending::Nothing | Pending::Space(..)) {
            self.pending = Pending::Gap;
        }
    }

    /// What the next item of a list begins with.
    pub(super) fn set_marker(&mut self, marker: Option<String>) {
        self.marker = marker;
    }

    /// Notes that the text written from `start` on (nothing, where something was left out) is not quite what
    /// the page shows.
    pub(super) fn mark(&mut self, start: usize, flag: &'static str) {
        let range = start..self.text.len();
        if self.marks.last() != Some(&Mark { range: range.clone(), flag }) {
            self.marks.push(Mark { range, flag });
        }
    }

    /// The last character written, where nothing parts it from the next one.
    pub(super) fn last(&self) -> Option<char> {
        if self.pending == Pending::Nothing { self.text.chars().next_back() } else { None }
    }

    /// What is written of the word that the next character joins.
    pub(super) fn joined_word(&self) -> &str {
        if self.pending != Pending::Nothing {
            return "";
        }
        let start = self.text.char_indices().rev().take_while(|(_, c)| c.is_alphanumeric()).last().map_or(self.text.len(), |(at, _)| at);
        self.text.get(start..).unwrap_or_default()
    }

    /// Forgets white space: what follows joins what is written, or what was written ends here.
    pub(super) fn join(&mut self) {
        if matches!(self.pending, Pending::Space(..) | Pending::Gap) {
            self.pending = Pending::Nothing;
        }
    }

    /// Writes the sign of an exponent.
    pub(super) fn raise(&mut self) {
        self.sign("^");
        self.raised = Some(self.text.len() - 1);
    }

    /// Whether what is written ends in a raised number over a bar (`^1/`), to which a lowered one is the
    /// denominator. If so its sign is a space: 1½ is `1 1/2`.
    pub(super) fn begins_fraction(&mut self) -> bool {
        let Some(at) = self.raised.filter(|_| self.pending == Pending::Nothing) else { return false };
        let numerator = self.text.get(at + 1..).and_then(|text| text.strip_suffix(['/', '⁄', '∕']));
        if !numerator.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) {
            return false;
        }
        self.text.replace_range(at..=at, " ");
        self.marks.pop_if(|mark| mark.range.start == at && mark.flag == RAISED_NUMBER);
        true
    }

    /// Writes a sign that stands for the page's markup and for none of its bytes.
    pub(super) fn sign(&mut self, sign: &str) {
        self.flush();
        self.text.push_str(sign);
        self.closed = Closed::Nothing;
    }

    /// A sign that ends something: what parts it from what follows comes after it.
    pub(super) fn closing_sign(&mut self, sign: &str) {
        self.text.push_str(sign);
        self.closed = Closed::Nothing;
    }

    /// Opens a bracket at once after what is written.
    pub(super) fn open_bracket(&mut self) -> Bracket {
        let pending = self.pending.clone();
        self.join();
        self.closing_sign("(");
        Bracket { start: self.text.len(), marks: self.marks.len(), pending }
    }

    /// Closes it; takes it back if there is nothing in it, nor anything to be known about that.
    pub(super) fn close_bracket(&mut self, bracket: Bracket) {
        if (self.text.len(), self.marks.len()) == (bracket.start, bracket.marks) {
            self.text.pop();
            self.pending = bracket.pending;
            return;
        }
        self.join();
        self.closing_sign(")");
    }

    /// After an exponent or an index in words a letter would be read as part of it.
    pub(super) fn close_word(&mut self) {
        self.closed = Closed::Word;
    }

    /// After an index in digits a digit would be read as one more.
    pub(super) fn close_digits(&mut self) {
        self.closed = Closed::Digit;
    }

    /// Appends a piece; white space is kept as it is when `preformatted`.
    pub(super) fn push(&mut self, piece: &Piece, preformatted: bool) {
        let mut offset = 0;
        for c in piece.text.chars() {
            let source =
                if piece.verbatim { piece.source.start + offset..piece.source.start + offset + c.len_utf8() } else { piece.source.clone() };
            offset += c.len_utf8();
            let keeps = preformatted && self.cell.is_none();
            if c == '\n' && preformatted && !keeps {
                self.line_break();
                continue;
            }
            if (c.is_whitespace() && !keeps) || is_control(c) {
                self.space(source, piece.verbatim && c == ' ');
                continue;
            }
            let joins = self.pending == Pending::Nothing;
            self.flush();
            match self.closed {
                _ if !joins => {}
                Closed::Word if c.is_alphanumeric() => self.text.push(' '),
                Closed::Digit if c.is_ascii_digit() => self.text.push(' '),
                _ => {}
            }
            self.closed = Closed::Nothing;
            self.append(c, source, piece.verbatim);
        }
    }

    fn space(&mut self, source: Range<usize>, plain: bool) {
        match &mut self.pending {
            Pending::Nothing => self.pending = Pending::Space(source, plain),
            Pending::Space(bytes, plain) if bytes.end <= source.start => {
                bytes.end = source.end;
                *plain = false;
            }
            Pending::Space(..) | Pending::Gap | Pending::Line | Pending::Paragraph => {}
        }
    }

    /// Starts a row of a grid.
    pub(super) fn start_row(&mut self) {
        self.sign("|");
    }

    pub(super) fn end_row(&mut self) {
        self.pending = Pending::Nothing;
        self.line_break();
    }

    pub(super) fn start_cell(&mut self) {
        self.text.push(' ');
        self.pending = Pending::Nothing;
        self.cell = Some(self.text.len());
    }

    pub(super) fn in_cell(&self) -> bool {
        self.cell.is_some()
    }

    /// Ends a cell; returns what it says.
    pub(super) fn end_cell(&mut self) -> &str {
        let start = self.cell.take().unwrap_or(self.text.len());
        self.pending = Pending::Nothing;
        self.marker = None;
        self.closed = Closed::Nothing;
        let end = self.text.len();
        self.text.push_str(if end > start { " |" } else { "|" });
        self.text.get(start..end).unwrap_or_default()
    }

    /// A cell that repeats one, or is empty.
    pub(super) fn repeat_cell(&mut self, text: &str) {
        self.text.push(' ');
        self.text.push_str(text);
        self.text.push_str(if text.is_empty() { "|" } else { " |" });
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let first = self.text.is_empty() || self.cell == Some(self.text.len());
        match pending {
            Pending::Nothing => {}
            _ if first => {}
            Pending::Space(source, plain) => self.append(' ', source, plain),
            Pending::Gap => self.text.push(' '),
            Pending::Line | Pending::Paragraph if self.cell.is_some() => self.text.push_str(" / "),
            Pending::Line => self.text.push('\n'),
            Pending::Paragraph => self.text.push_str("\n\n"),
        }
        if let Some(marker) = self.marker.take() {
            self.text.push_str(&marker);
        }
    }

    fn append(&mut self, c: char, source: Range<usize>, verbatim: bool) {
        let start = self.text.len();
        self.text.push(c);
        if source.is_empty() {
            return;
        }
        if verbatim {
            self.map.push_verbatim(start, source.start, c.len_utf8());
        } else {
            self.map.push_decoded(start..self.text.len(), source);
        }
    }
}

/// Characters that are no text: a page that holds them shows nothing for them.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t' | '\r')
}
