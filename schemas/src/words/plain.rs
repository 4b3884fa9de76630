//! A text as its reader sees it, with the way back: compatibility forms are one form, what leaves no mark
//! is gone, and what stands raised stays an exponent.

use std::ops::Range;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::scripts::is_unspaced;

/// Longer white space is a gap in any script.
const LONGEST_GAP: usize = 8;

/// What a text shows, and where each part of that stands in it.
#[derive(Debug, Default)]
pub(super) struct Plain {
    pub(super) text: String,
    parts: Vec<Part>,
    /// The last part ends a fraction or an enclosed number: a digit after it is another number's.
    sealed: bool,
    /// The last part stands above or below the line.
    shifted: Option<Shift>,
}

/// A stretch of what is shown, from where it begins to where the next one does.
#[derive(Debug)]
struct Part {
    start: usize,
    /// The bytes that it was made of.
    source: Range<usize>,
    /// They are its bytes, one for one.
    verbatim: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    Raised,
    Lowered,
}

impl Plain {
    pub(super) fn of(text: &str) -> Self {
        let mut plain = Self { text: String::with_capacity(text.len()), ..Self::default() };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let len = cluster_len(rest);
            let (cluster, tail) = rest.split_at(len);
            let start = text.len() - rest.len();
            plain.append(cluster, first, start..start + len, tail);
            rest = tail;
        }
        plain
    }

    /// The bytes of the original that a range of `text` was made of.
    pub(super) fn source(&self, range: Range<usize>) -> Range<usize> {
        let first = self.parts.partition_point(|part| part.start <= range.start).saturating_sub(1);
        let after = self.parts.partition_point(|part| part.start < range.end);
        let (Some(first), Some(last)) = (self.parts.get(first), self.parts.get(first..after).and_then(<[_]>::last)) else { return 0..0 };
        let start = if first.verbatim { first.source.start + range.start.saturating_sub(first.start) } else { first.source.start };
        let end = if last.verbatim { (last.source.start + range.end - last.start).min(last.source.end) } else { last.source.end };
        start..end.max(start)
    }

    /// Appends what one cluster shows.
    fn append(&mut self, cluster: &str, first: char, source: Range<usize>, tail: &str) {
        let is_bare = || cluster.chars().skip(1).all(is_ignorable);
        if first.is_whitespace() && is_bare() && self.joins_over_space(first, tail) {
            return;
        }
        if first.is_ascii() && cluster.len() == 1 {
            self.push(cluster, None, source);
            return;
        }
        if let Some(apart) = standing_apart(first) {
            self.push(apart, None, source);
            return;
        }
        let shift = shift_of(first);
        let shown = shown(cluster);
        if shown.is_empty() {
            return;
        }
        let composed_number = shown.starts_with(|c: char| c.is_ascii_digit()) && shown.chars().count() > 1;
        let enclosed = shift.is_none() && is_numeric_form(first);
        if (composed_number || enclosed) && self.ends_in_digit() {
            self.text.push(' ');
        }
        self.push(&shown, shift, source);
        self.sealed = composed_number || enclosed;
    }

    fn push(&mut self, shown: &str, shift: Option<Shift>, source: Range<usize>) {
        let digit = shown.starts_with(|c: char| c.is_ascii_digit());
        match shift {
            Some(Shift::Raised) if self.shifted != shift && self.ends_in_base() => self.text.push('^'),
            Some(Shift::Lowered) if self.shifted != shift && digit && self.ends_in_digit() => self.text.push('_'),
            _ if digit && self.sealed => self.text.push(' '),
            // What comes down again begins anew.
            None if digit && self.shifted.is_some() => self.text.push(' '),
            None if self.shifted == Some(Shift::Raised) && shown.starts_with(char::is_alphanumeric) => self.text.push(' '),
            _ => {}
        }
        self.trace(source, shown.len());
        self.text.push_str(shown);
        self.shifted = shift;
        self.sealed = false;
    }

    /// Notes that `len` bytes are appended that stand for `source`.
    fn trace(&mut self, source: Range<usize>, len: usize) {
        let start = self.text.len();
        let verbatim = source.len() == len && len == 1;
        if let Some(last) = self.parts.last_mut()
            && (last.verbatim && verbatim)
            && last.source.end == source.start
            && last.start + last.source.len() == start
        {
            last.source.end = source.end;
        } else {
            self.parts.push(Part { start, source, verbatim });
        }
    }

    /// Whether white space that stands here is inside a word or a line of a script that does not part words
    /// by it. A blank line parts everything.
    fn joins_over_space(&self, space: char, tail: &str) -> bool {
        let mut lines = usize::from(space == '\n');
        self.text.ends_with(is_unspaced)
            && tail
                .chars()
                .filter(|c| !is_ignorable(*c))
                .take(LONGEST_GAP)
                .find(|c| {
                    lines += usize::from(*c == '\n');
                    !c.is_whitespace()
                })
                .is_some_and(|next| is_unspaced(bare(next)) && lines < 2)
    }

    fn ends_in_digit(&self) -> bool {
        self.text.ends_with(|c: char| c.is_ascii_digit())
    }

    fn ends_in_base(&self) -> bool {
        self.text.ends_with(|c: char| c.is_alphanumeric() || c == ')' || c == ']')
    }
}

/// Bytes of the shortest start of `rest` whose normal form does not depend on what follows it.
fn cluster_len(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    chars.next();
    chars.find(|(_, c)| c.is_ascii() || !(leans(*c) || is_ignorable(*c))).map_or(rest.len(), |(at, _)| at)
}

/// Whether a character goes with the one before it, as it is or in compatibility form: `ﹱ` is `ـً`, which no letter bears.
fn leans(c: char) -> bool {
    [c, bare(c)]
        .into_iter()
        .any(|c| canonical_combining_class(c) != 0 || is_accent(c) || is_nfkc_quick(std::iter::once(c)) == IsNormalized::Maybe)
}

/// What a character begins with in compatibility form.
fn bare(c: char) -> char {
    std::iter::once(c).nfkd().next().unwrap_or(c)
}

/// A cluster in compatibility form, without what leaves no mark and without the accents of letters.
fn shown(cluster: &str) -> String {
    let mut after_letter = false;
    let kept = cluster.chars().filter(|c| !is_ignorable(*c)).map(like_in_ascii).nfkd().filter(move |c| {
        if is_accent(*c) {
            return !after_letter;
        }
        after_letter = c.is_alphanumeric();
        !is_ignorable(*c)
    });
    kept.nfc().map(like_in_ascii).collect()
}

/// Characters with another reading than their compatibility form has.
fn standing_apart(c: char) -> Option<&'static str> {
    match c {
        // marks and signs, whose letters would make another word of the one before them; a blank that is drawn
        '™' | '℠' | '№' | '\u{2800}' => Some(" "),
        _ => None,
    }
}

/// What looks and means the same as an ASCII character: apostrophes, fraction bars, digits and decimal points
/// of other scripts; and lunate sigma, whose compatibility form no longer looks like `c`.
fn like_in_ascii(c: char) -> char {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2bc}' | '\u{2b9}' | '\u{55a}' | '\u{ff07}' | '\u{60}' | '\u{b4}' => '\'',
        '\u{3f2}' => 'c',
        '\u{3f9}' => 'C',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{66b}' => '.',
        '\u{66c}' => ',',
        _ => decimal_digit(c).unwrap_or(c),
    }
}

/// Raised and lowered characters.
fn shift_of(c: char) -> Option<Shift> {
    match c {
        // Not assigned, or with no form on the line.
        _ if bare(c) == c => None,
        '²' | '³' | '¹' | 'ª' | 'º' | '\u{2070}'..='\u{207f}' | '\u{2b0}'..='\u{2b8}' | '\u{1d2c}'..='\u{1d61}' => Some(Shift::Raised),
        '\u{2080}'..='\u{209c}' | '\u{1d62}'..='\u{1d6a}' => Some(Shift::Lowered),
        _ => None,
    }
}

/// Digits in circles and brackets, with full stops, and other forms of numbers that are not written digits.
fn is_numeric_form(c: char) -> bool {
    matches!(c, '\u{2460}'..='\u{24ff}' | '\u{2776}'..='\u{2793}' | '\u{3220}'..='\u{32ff}' | '\u{1f100}'..='\u{1f10c}'
        | '\u{bc}'..='\u{be}' | '\u{2150}'..='\u{215f}' | '\u{2189}' | '\u{3358}'..='\u{3370}' | '\u{33e0}'..='\u{33fe}')
}

/// The ASCII digit of a decimal digit in another script. Blocks of ten, from Unicode's `Nd`.
fn decimal_digit(c: char) -> Option<char> {
    const ZEROS: &[u32] = &[
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090,
        0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50,
        0xabf0, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0,
        0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950, 0x1fbf0,
    ];
    let code = u32::from(c);
    let zero = ZEROS.get(ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?)?;
    char::from_digit(code.checked_sub(*zero).filter(|value| *value < 10)?, 10)
}

/// Generic combining marks, and the points of Hebrew and Arabic, which running text leaves out. Marks that
/// spell (Devanagari, Thai, the voicing of kana) are none of these.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}'
        | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Unicode's Default_Ignorable_Code_Point, and the marks of interlinear annotation.
fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
