//! Tracing a decoded string back to its bytes. The tokenizer tells where a whole string stands; entities
//! and carriage returns in it change its length, so it is cut at them and each piece decoded alone.

use std::ops::Range;

use html5gum::{Token, Tokenizer};

/// A stretch of text and the bytes it was read from; `verbatim` when they are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub text: String,
    pub source: Range<usize>,
    pub verbatim: bool,
}

impl Piece {
    /// The part of it at `range` of its text, which lies between characters.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        let text = self.text.get(range.clone()).unwrap_or_default().to_owned();
        let source = if self.verbatim { self.source.start + range.start..self.source.start + range.end } else { self.source.clone() };
        Self { text, source, verbatim: self.verbatim }
    }

    /// Its parts between NUL characters, and those.
    pub(super) fn parts_at_nul(self) -> Vec<Self> {
        if !self.text.contains('\0') {
            return vec![self];
        }
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, _) in self.text.match_indices('\0') {
            if at > start {
                parts.push(self.part(start..at));
            }
            parts.push(self.part(at..at + 1));
            start = at + 1;
        }
        if start < self.text.len() {
            parts.push(self.part(start..self.text.len()));
        }
        parts
    }
}

/// The pieces of a string token with `value`, which stands at `span` in `source`. Should the tokenizer's
/// span and ours ever disagree, the string is one piece that stands for all of its bytes.
pub(super) fn pieces(source: &str, span: Range<usize>, value: &[u8]) -> Vec<Piece> {
    let text = String::from_utf8_lossy(value).into_owned();
    let Some(raw) = source.get(span.clone()) else {
        return vec![Piece { text, source: clamp(source, span), verbatim: false }];
    };
    if raw == text {
        return vec![Piece { text, source: span, verbatim: true }];
    }
    let mut pieces = Vec::new();
    let mut decoded = String::with_capacity(text.len());
    let mut start = 0;
    while start < raw.len() {
        let rest = raw.get(start..).unwrap_or_default();
        // Past the first character, so that a piece starts at its `&` or carriage return.
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let len = rest.get(first..).and_then(|tail| tail.find(['&', '\r'])).map_or(rest.len(), |at| first + at);
        let part = rest.get(..len).unwrap_or(rest);
        let from = span.start + start;
        let part_text = if part.starts_with(['&', '\r']) { decode(part) } else { part.to_owned() };
        decoded.push_str(&part_text);
        push_part(&mut pieces, part, from, &part_text);
        start += len;
    }
    if decoded == text { pieces } else { vec![Piece { text, source: span, verbatim: false }] }
}

/// One part: what was decoded at its start, then the tail that it has in common with its bytes.
fn push_part(pieces: &mut Vec<Piece>, part: &str, from: usize, text: &str) {
    let to = from + part.len();
    if part == text {
        pieces.push(Piece { text: text.to_owned(), source: from..to, verbatim: true });
        return;
    }
    let mut common: usize = part.chars().rev().zip(text.chars().rev()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    if common == text.len() && part.starts_with('&') {
        // An entity for `;` ends in what it stands for: the first character is the entity's.
        common -= text.chars().next().map_or(0, char::len_utf8);
    }
    let head = text.get(..text.len() - common).unwrap_or_default();
    if !head.is_empty() {
        pieces.push(Piece { text: head.to_owned(), source: from..to - common, verbatim: false });
    }
    let tail = text.get(text.len() - common..).unwrap_or_default();
    if !tail.is_empty() {
        pieces.push(Piece { text: tail.to_owned(), source: to - common..to, verbatim: true });
    }
}

/// `part` as text content; it holds no tag, for it was inside a string token.
fn decode(part: &str) -> String {
    Tokenizer::new(part)
        .map(|token| {
            let Ok(token) = token;
            if let Token::String(string) = token { String::from_utf8_lossy(&string.value).into_owned() } else { String::new() }
        })
        .collect()
}

fn clamp(source: &str, span: Range<usize>) -> Range<usize> {
    let end = span.end.min(source.len());
    span.start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: &[(&str, Range<usize>, bool)]) {
        let value: String = decode(raw);
        let pieces = pieces(raw, 0..raw.len(), value.as_bytes());
        let expected: Vec<Piece> = expected
            .iter()
            .map(|(text, source, verbatim)| Piece { text: (*text).to_owned(), source: source.clone(), verbatim: *verbatim })
            .collect();
        assert_eq!(pieces, expected, "{raw:?}");
        for piece in &pieces {
            assert!(!piece.verbatim || raw[piece.source.clone()] == piece.text);
        }
    }

    #[test]
    fn entities_are_traced() {
        check("plain", &[("plain", 0..5, true)]);
        check("a &amp; b", &[("a ", 0..2, true), ("&", 2..7, false), (" b", 7..9, true)]);
        check("5&#59;x", &[("5", 0..1, true), (";", 1..6, false), ("x", 6..7, true)]);
        check("&#59;", &[(";", 0..5, false)]);
        check("AT&T &eacute;", &[("AT", 0..2, true), ("&T ", 2..5, true), ("é", 5..13, false)]);
        check("a\r\nb", &[("a", 0..1, true), ("\nb", 2..4, true)]);
        check("a\rb", &[("a", 0..1, true), ("\n", 1..2, false), ("b", 2..3, true)]);
        check("&nGt;!", &[("≫⃒", 0..5, false), ("!", 5..6, true)]);
    }
}
