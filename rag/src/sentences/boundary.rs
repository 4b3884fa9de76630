//! Where a sentence ends within a paragraph.

use schemas::words::is_unspaced;

use super::{Edition, after_markers};

/// Never end a sentence.
const JOINING: &[&str] = &[
    "e.g", "i.e", "eg", "ie", "cf", "vs", "viz", "dr", "mr", "mrs", "ms", "prof", "st", "fig", "figs", "sec", "art", "approx", "ca", "al",
    "ref", "refs", "eq", "eqs", "vol", "vols", "ed", "eds", "pp", "gen", "col", "lt", "sgt", "capt", "hon", "rev", "sr", "jr", "dept",
];
/// End no sentence when a number follows.
const NUMBERING: &[&str] = &[
    "no", "nos", "nr", "p", "ch", "para", "item", "art", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov",
    "dec",
];
/// Words that begin sentences, so that `9 a.m. The` and `the U.S. It` are two.
const OPENERS: &[&str] = &[
    "The", "A", "An", "In", "It", "This", "That", "These", "Those", "He", "She", "They", "We", "You", "If", "When", "For", "On", "At",
    "As", "But", "However", "All", "No", "Its", "His", "Her", "Their", "There", "After", "Before", "Since", "By",
];

/// In Thai and Lao a space parts clauses and sentences alike: one after fewer letters than this is a clause's.
const SHORTEST_SPACED_SENTENCE: usize = 20;

/// Byte offsets in `body` just after the end of each sentence but the last.
pub(super) fn ends(body: &str, edition: Edition) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut sentence_start = 0;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        if stops_alone(c, edition) || edition == Edition::Second && stops_among(body.get(..at), c, next) {
            let mut end = at + c.len_utf8();
            while let Some((next, more)) = chars.next_if(|(_, c)| edition == Edition::Second && (stops_alone(*c, edition) || closes(*c))) {
                end = next + more.len_utf8();
            }
            sentence_start = end;
            ends.push(end);
            continue;
        }
        if edition == Edition::Second && c == ' ' && ends_by_space(body.get(sentence_start..at), next) {
            sentence_start = at;
            ends.push(at);
            continue;
        }
        if !matches!(c, '.' | '!' | '?' | '…') {
            continue;
        }
        let mut end = at + c.len_utf8();
        let mut run = 1;
        while let Some((next, follower)) = chars.next_if(|(_, c)| matches!(c, '.' | '!' | '?' | '…')) {
            end = next + follower.len_utf8();
            run += 1;
        }
        while let Some((next, closer)) = chars.next_if(|(_, c)| matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '»' | '*' | '_')) {
            end = next + closer.len_utf8();
        }
        let (Some(before), Some(after)) = (body.get(sentence_start..at), body.get(end..)) else { continue };
        if !after.starts_with(char::is_whitespace) {
            continue;
        }
        let (before, after) = match edition {
            Edition::First => (before, after.trim_start()),
            Edition::Second => (after_markers(before), after_markers(after)),
        };
        if (c == '.' && run == 1 && !full_stop(before, after)) || !opens(after) {
            continue;
        }
        ends.push(end);
        sentence_start = end;
    }
    ends
}

/// Whether a sentence ends with `c` whatever follows it.
fn stops_alone(c: char, edition: Edition) -> bool {
    match c {
        '。' | '！' | '？' => true,
        // half width, Arabic, Urdu, Devanagari and its neighbours, Armenian, Ethiopic, Khmer, Burmese, Tibetan
        '｡' | '؟' | '۔' | '।' | '॥' | '։' | '።' | '፧' | '។' | '៕' | '။' | '།' | '༎' | '‼' | '⁇' | '⁈' | '⁉' => {
            edition == Edition::Second
        }
        _ => false,
    }
}

/// Whether a sentence ends with `c` for what stands beside it: a full-width full stop that is in no number, and the full stops of Latin
/// between letters of a script that writes no spaces.
fn stops_among(before: Option<&str>, c: char, next: Option<char>) -> bool {
    let before = before.and_then(|before| before.chars().next_back());
    match c {
        '．' => !(before.is_some_and(char::is_numeric) && next.is_some_and(char::is_numeric)),
        '.' | '!' | '?' => before.is_some_and(is_unspaced) && next.is_some_and(is_unspaced),
        _ => false,
    }
}

/// Brackets and quotation marks that close after a full stop that stands alone.
fn closes(c: char) -> bool {
    matches!(c, '」' | '』' | '）' | '】' | '》' | '〉' | '〕' | '”' | '’' | '"' | '\'' | ')' | ']' | '»')
}

/// Whether a space between `before`, from the start of its sentence, and `next` ends a Thai or Lao sentence.
fn ends_by_space(before: Option<&str>, next: Option<char>) -> bool {
    let Some(before) = before.filter(|before| before.ends_with(is_unstopped)) else { return false };
    next.is_some_and(is_unstopped) && before.chars().filter(|c| is_unstopped(*c)).count() >= SHORTEST_SPACED_SENTENCE
}

/// Letters and marks of the scripts that are written without full stops: Thai and Lao.
pub(crate) fn is_unstopped(c: char) -> bool {
    matches!(c, '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ecd}' | '\u{edc}'..='\u{edf}')
}

/// Whether a sentence can begin so: anything but a lower-case letter or a closing mark.
fn opens(after: &str) -> bool {
    after.chars().next().is_some_and(|c| !c.is_lowercase() && !matches!(c, ',' | ';' | ':' | ')' | ']'))
}

/// Whether a single full stop between `before` (from the start of its sentence) and `after` ends the sentence.
fn full_stop(before: &str, after: &str) -> bool {
    let mut words = before.split_whitespace().rev();
    let word = if before.ends_with(char::is_whitespace) { "" } else { words.next().unwrap_or_default() };
    let word = word.trim_start_matches(['(', '[', '"', '\'', '“', '‘', '*', '_']);
    let lower = word.to_lowercase();
    if JOINING.contains(&lower.as_str()) {
        return false;
    }
    if NUMBERING.contains(&lower.as_str()) && after.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    if word.contains('.') && word.split('.').all(|part| part.chars().count() <= 1 && part.chars().all(char::is_alphabetic)) {
        // U.S., a.m.: both inside and at the end of a sentence
        let next = after.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        return OPENERS.contains(&next);
    }
    let mut letters = word.chars();
    if let (Some(initial), None) = (letters.next(), letters.next())
        && initial.is_uppercase()
    {
        // "John D. Haynes", "J. Smith", but "hepatitis B. The"
        return words.next().is_some_and(|previous| !previous.starts_with(char::is_uppercase));
    }
    true
}
