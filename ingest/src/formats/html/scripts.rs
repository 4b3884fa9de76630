//! What stands raised or lowered. `10³` must not become `103`, nor a footnote's mark an exponent: an exponent
//! is written `^3`, an index `_1`, a footnote's mark `[1]`. What could be either is marked.

mod names;

use super::elements::Kind;
use super::tree::{Data, Element, NodeId, Tree};
use super::writer::Writer;
use crate::formats::RAISED_NUMBER;

/// So much of a raised text is looked at.
const LOOKED_AT_BYTES: usize = 64;

/// A longer text is no note's mark, and an exponent or index only at once after its base.
const LONGEST: usize = 24;

/// What was opened, to be closed after its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shifted {
    /// Nothing was written before it.
    Plain,
    /// `^` or `_` was, before one word.
    Word,
    /// `^(` or `_(` was.
    Group,
    /// `[` was.
    Note,
    /// A lowered number that joins a formula: `CO2`.
    Index,
}

impl Shifted {
    pub(super) fn close(self, writer: &mut Writer) {
        if self != Self::Plain {
            writer.join();
        }
        match self {
            Self::Plain => {}
            Self::Word => writer.close_word(),
            Self::Group => writer.closing_sign(")"),
            Self::Note => writer.closing_sign("]"),
            Self::Index => writer.close_digits(),
        }
    }
}

/// Writes what comes before the raised or lowered content of `id`.
pub(super) fn open(tree: &Tree, id: NodeId, kind: Kind, writer: &mut Writer) -> Shifted {
    let (content, linked) = content(tree, id);
    let linked = linked || is_all_of_a_link(tree, id);
    let text = content.trim();
    if text.is_empty() {
        return Shifted::Plain;
    }
    if text.chars().count() > LONGEST {
        if !linked && is_base(writer) {
            return grouped(if kind == Kind::Raised { "^" } else { "_" }, writer);
        }
        // A remark, or a label moved by a hair.
        writer.gap();
        return Shifted::Plain;
    }
    let number = text.trim_start_matches(['-', '−', '+', '–']);
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '/'));
    match kind {
        Kind::Lowered => lowered(text, writer),
        _ if linked || is_note(text) => note(text, writer),
        _ if is_number => {
            // A sign is an exponent's; a bare number after white space may be a note's.
            if number.len() < text.len() {
                writer.join();
            }
            if is_ambiguous(number, number.len() < text.len(), writer) {
                writer.mark(writer.text.len(), RAISED_NUMBER);
            }
            writer.raise();
            if text.contains(['/', ',']) { group(writer) } else { Shifted::Word }
        }
        _ if names::ends_the_word(tree, id, text, writer) => Shifted::Plain,
        _ if names::is_trade_mark(text, writer.joined_word()) => {
            writer.gap();
            Shifted::Plain
        }
        _ if is_base(writer) => {
            writer.raise();
            if text.chars().all(char::is_alphanumeric) { Shifted::Word } else { group(writer) }
        }
        _ => Shifted::Plain,
    }
}

/// Whether what is written can be a base of what follows.
fn is_base(writer: &Writer) -> bool {
    writer.last().is_some_and(|base| base.is_alphanumeric() || matches!(base, ')' | ']'))
}

fn grouped(sign: &str, writer: &mut Writer) -> Shifted {
    writer.sign(sign);
    group(writer)
}

fn group(writer: &mut Writer) -> Shifted {
    writer.closing_sign("(");
    Shifted::Group
}

/// A footnote's mark: its own brackets, or ours.
fn note(text: &str, writer: &mut Writer) -> Shifted {
    writer.gap();
    if text.starts_with(['[', '(']) {
        return Shifted::Plain;
    }
    writer.sign("[");
    Shifted::Note
}

fn lowered(text: &str, writer: &mut Writer) -> Shifted {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && writer.begins_fraction() {
        return Shifted::Index;
    }
    if let Some(shifted) = names::part_of(text, writer.joined_word()) {
        return shifted;
    }
    match writer.last() {
        // A group of atoms: Ca(OH)2.
        Some(')') if digits => Shifted::Index,
        Some(base) if base.is_alphanumeric() || matches!(base, ')' | ']') => {
            writer.sign("_");
            if text.chars().all(char::is_alphanumeric) { Shifted::Word } else { group(writer) }
        }
        _ => Shifted::Plain,
    }
}

/// Whether a raised number may be a footnote's as well as an exponent.
fn is_ambiguous(number: &str, signed: bool, writer: &Writer) -> bool {
    let base = writer.joined_word();
    let power_of = matches!(base, "10" | "2" | "e");
    let unit = !base.is_empty() && base.chars().count() <= 3 && base.chars().all(char::is_alphabetic);
    let group = matches!(writer.last(), Some(')' | ']'));
    !(signed || power_of || ((unit || group) && number.len() == 1))
}

/// Marks of notes: in brackets, or signs that no exponent has.
fn is_note(text: &str) -> bool {
    let bare = text.trim_matches(['[', ']', '(', ')']);
    let bracketed = bare.len() < text.len() && text.starts_with(['[', '(']) && text.ends_with([']', ')']);
    let simple = bare.chars().count() <= 12 && bare.chars().all(|c| c.is_alphanumeric() || matches!(c, ',' | '–' | '-' | ' '));
    (bracketed && simple && text.starts_with('['))
        || (!text.is_empty() && text.chars().all(|c| matches!(c, '*' | '†' | '‡' | '§' | '¶' | '#')))
}

/// Whether a link holds this and nothing else.
fn is_all_of_a_link(tree: &Tree, id: NodeId) -> bool {
    let Some(parent) = tree.node(id).and_then(|node| node.parent) else { return false };
    let is_link = |element: &Element| element.html_name() == "a" && element.attribute("href").is_some();
    let is_blank = |other: NodeId| match tree.node(other).map(|node| &node.data) {
        Some(Data::Text(pieces)) => pieces.iter().all(|piece| piece.text.trim().is_empty()),
        _ => false,
    };
    tree.element(parent).is_some_and(is_link) && tree.children(parent).iter().all(|child| *child == id || is_blank(*child))
}

/// Whether a raised letter before `next` is a degree's sign, as in 37<sup>o</sup>C.
pub(super) fn is_degree(tree: &Tree, id: NodeId, next: NodeId, writer: &Writer) -> bool {
    let unit = match tree.node(next).map(|node| &node.data) {
        Some(Data::Text(pieces)) => pieces.first().map_or("", |piece| piece.text.trim_start()),
        _ => "",
    };
    let rest = unit.strip_prefix(['C', 'F']);
    rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        && writer.last().is_some_and(|base| base.is_ascii_digit())
        && content(tree, id).0.trim() == "o"
}

/// The text in an element, as far as it is looked at, and whether a link is in it.
fn content(tree: &Tree, id: NodeId) -> (String, bool) {
    let (mut text, mut linked) = (String::new(), false);
    let mut open = vec![id];
    while let Some(at) = open.pop() {
        match tree.node(at).map(|node| &node.data) {
            Some(Data::Text(pieces)) => pieces.iter().for_each(|piece| text.push_str(&piece.text)),
            Some(Data::Element(element)) => {
                let note = |value: &str| value.contains("noteref") || value.contains("footnote") || value.contains("reference");
                linked |= element.html_name() == "a" && element.attribute("href").is_some();
                linked |= ["class", "role", "epub:type"].iter().any(|name| element.attribute(name).is_some_and(note));
                open.extend(tree.children(at).iter().rev());
            }
            _ => {}
        }
        if text.len() > LOOKED_AT_BYTES {
            break;
        }
    }
    (text, linked)
}
