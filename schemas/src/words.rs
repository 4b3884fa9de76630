//! The words that decide money: what of two texts is compared when it is asked who said it first, how
//! much a sentence supports an answer, and what a question asks for.
//!
//! [`METHOD`] is one definition for all of them. A text becomes what its reader sees (invisible
//! characters and accents are dropped, compatibility forms are one form, superscripts are exponents),
//! is segmented by UAX #29 with ICU's dictionaries where words are written without spaces, numbers are
//! put together with their sign, point and exponent, and each word is folded: lower case, and
//! letters that look like Latin ones are those (UTS #39). Dictionaries and not ICU's neural models, so
//! that no arithmetic of a machine has a say.
//!
//! What was paid by these words stays computable: a change of any of this, or of the pinned versions of
//! ICU's data and UTS #39's table, is a new method beside this one. `words_are_stable` holds them.
//!
//! Not folded, because it would make one word of two: `rn` and `m`, `I` and `l`, a wholly Cyrillic `НОТ`.

mod fold;
mod numbers;
mod plain;
mod scripts;
mod stop;

use std::ops::Range;
use std::sync::LazyLock;

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};

use plain::Plain;

pub use scripts::{is_unspaced, mixed_script, mixes_scripts};
pub use stop::{is_negation, is_stop_word};

/// The name and version of this definition.
pub const METHOD: &str = "words/2";

/// A longer word (a key, an encoded file) is cut into pieces of at most so many bytes.
pub const LONGEST_WORD_BYTES: usize = 240;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WordKind {
    /// Letters, perhaps with digits: `vaccine`, `b12`, `疫苗`.
    Letters,
    /// A number with its sign, point and exponent: `-15`, `0.5`, `10^-9`; after a word `^2`.
    Number,
    /// A sign that changes what numbers say: `%`, `°`, `€`, `<`, `≠`.
    Symbol,
}

/// A folded word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Bytes of the text that was segmented, invisible characters inside included.
    pub range: Range<usize>,
    pub kind: WordKind,
}

/// The words of a text, in order. Linear in its length but for the dictionaries' longest word.
pub fn segment(text: &str) -> Vec<Word> {
    let plain = Plain::of(text);
    let mut words = Vec::new();
    // What a number took of the segments after its first.
    let mut taken = 0;
    let mut start = 0;
    for end in SEGMENTER.segment_str(&plain.text) {
        for part in parts(&plain.text, start..end) {
            if part.start >= taken {
                taken = take(&plain, part, &mut words);
            }
        }
        start = end;
    }
    words
}

/// The folded words that say something: all but those of [`is_stop_word`]. Numbers, units, symbols and
/// negations are among them.
pub fn content_words(text: &str) -> Vec<Word> {
    segment(text).into_iter().filter(|word| !is_stop_word(&word.text)).collect()
}

/// ICU's dictionary segmentation; its data is compiled in.
static SEGMENTER: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()));

/// A segment, cut where a number meets letters of a script that spells no names with digits (`و8`, `제5조`):
/// there a number is a number. `B12` and `H2O` are names.
fn parts(text: &str, segment: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = segment.start;
    let mut last: Option<char> = None;
    for (at, c) in text.get(segment.clone()).unwrap_or_default().char_indices() {
        let meet = |digit: char, letter: char| digit.is_ascii_digit() && letter.is_alphabetic() && !scripts::names_with_digits(letter);
        if last.is_some_and(|last| meet(last, c) || meet(c, last)) {
            parts.push(start..segment.start + at);
            start = segment.start + at;
        }
        // What is neither belongs to what is before it: a vowel sign, a decimal point.
        last = if c.is_alphanumeric() { Some(c) } else { last };
    }
    if start < segment.end {
        parts.push(start..segment.end);
    }
    parts
}

/// Appends the words of one segment; returns where the last of them ends.
fn take(plain: &Plain, segment: Range<usize>, words: &mut Vec<Word>) -> usize {
    let text = plain.text.get(segment.clone()).unwrap_or_default();
    if text.starts_with(|c: char| c.is_ascii_digit()) && !numbers::is_identifier(text) {
        let number = numbers::at(&plain.text, segment.start);
        let rest = number.range.end..segment.end.max(number.range.end);
        push(plain, number.range, &number.text, WordKind::Number, words);
        let unit = fold::word(plain.text.get(rest.clone()).unwrap_or_default());
        push(plain, rest.clone(), &unit, WordKind::Letters, words);
        return rest.end;
    }
    if text.contains(char::is_alphanumeric) {
        push(plain, segment.clone(), &fold::word(text), WordKind::Letters, words);
        return segment.end;
    }
    if let Some(exponent) = numbers::exponent_after_word(&plain.text, segment.start) {
        let end = exponent.range.end;
        push(plain, exponent.range, &exponent.text, WordKind::Number, words);
        return end;
    }
    for (at, c) in text.char_indices().filter(|(_, c)| is_symbol(*c)) {
        let range = segment.start + at..segment.start + at + c.len_utf8();
        push(plain, range, c.encode_utf8(&mut [0; 4]), WordKind::Symbol, words);
    }
    segment.end
}

/// Appends a word, in pieces where it is too long.
fn push(plain: &Plain, range: Range<usize>, folded: &str, kind: WordKind, words: &mut Vec<Word>) {
    let source = plain.source(range);
    let mut rest = folded;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(LONGEST_WORD_BYTES));
        words.push(Word { text: piece.to_owned(), range: source.clone(), kind });
        rest = tail;
    }
}

/// Signs that change what the words beside them say.
fn is_symbol(c: char) -> bool {
    matches!(c, '%' | '‰' | '‱' | '°' | '<' | '>' | '≤' | '≥' | '≠' | '≮' | '≯' | '≰' | '≱' | '≪' | '≫' | '±' | '∓' | '¬')
        || matches!(c, '$' | '¢' | '£' | '¤' | '¥' | '֏' | '؋' | '৳' | '฿' | '៛' | '\u{20a0}'..='\u{20cf}')
}

#[cfg(test)]
mod tests;
