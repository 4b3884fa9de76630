//! Writes a page's text: white space collapsed, paragraphs apart, every character traced.

use std::ops::Range;

use super::strings::Piece;
use crate::formats::SourceMap;

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

#[derive(Debug, Default)]
pub(super) struct Writer {
    pub text: String,
    pub map: SourceMap,
    pending: Pending,
}

impl Writer {
    pub(super) fn paragraph(&mut self) {
        self.pending = Pending::Paragraph;
    }

    pub(super) fn line_break(&mut self) {
        if self.pending != Pending::Paragraph {
            self.pending = Pending::Line;
        }
    }

    pub(super) fn gap(&mut self) {
        if matches!(self.pending, Pending::Nothing | Pending::Space(..)) {
            self.pending = Pending::Gap;
        }
    }

    /// Appends a piece; white space is kept as it is when `preformatted`.
    pub(super) fn push(&mut self, piece: &Piece, preformatted: bool) {
        let mut offset = 0;
        for c in piece.text.chars() {
            let source =
                if piece.verbatim { piece.source.start + offset..piece.source.start + offset + c.len_utf8() } else { piece.source.clone() };
            offset += c.len_utf8();
            if c.is_whitespace() && !preformatted {
                match &mut self.pending {
                    Pending::Nothing => self.pending = Pending::Space(source, piece.verbatim && c == ' '),
                    Pending::Space(bytes, plain) => {
                        bytes.end = bytes.end.max(source.end);
                        *plain = false;
                    }
                    Pending::Gap | Pending::Line | Pending::Paragraph => {}
                }
                continue;
            }
            self.flush();
            self.append(c, source, piece.verbatim);
        }
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if self.text.is_empty() {
            return;
        }
        match pending {
            Pending::Nothing => {}
            Pending::Space(source, plain) => self.append(' ', source, plain),
            Pending::Gap => self.text.push(' '),
            Pending::Line => self.text.push('\n'),
            Pending::Paragraph => self.text.push_str("\n\n"),
        }
    }

    fn append(&mut self, c: char, source: Range<usize>, verbatim: bool) {
        let start = self.text.len();
        self.text.push(c);
        if verbatim {
            self.map.push_verbatim(start, source.start, c.len_utf8());
        } else {
            self.map.push_decoded(start..self.text.len(), source);
        }
    }
}
