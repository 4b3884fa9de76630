//! The tokens of a text: Unicode words (UAX #29), and whatever stands between them, sign by sign; white space is none.
//!
//! By the rules alone, without dictionaries: where a text is cut then depends on a few characters around the place, so a span is cut
//! alike in any text that holds it. In scripts that write no spaces (Chinese, Japanese, Thai) a token is a character or a few.

use std::ops::Range;

use unicode_segmentation::{UNICODE_VERSION, UnicodeSegmentation};

/// What ends a sentence, beside the end of a paragraph.
const SENTENCE_ENDS: [&str; 7] = [".", "!", "?", "。", "！", "？", "।"];

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) range: Range<usize>,
    /// It has a letter or a digit.
    pub(super) is_word: bool,
}

/// The tokens of a text, in order. Linear in its length.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = (Token, &str)> {
    text.split_word_bound_indices().flat_map(pieces).filter(|(_, token)| !token.is_empty()).map(|(at, token)| {
        let is_word = token.chars().any(char::is_alphanumeric);
        (Token { range: at..at + token.len(), is_word }, token)
    })
}

/// What white space that joins words (U+202F) stands between: the rules keep it in a token, and no reader sees it.
fn pieces((at, token): (usize, &str)) -> impl Iterator<Item = (usize, &str)> {
    token.split_inclusive(char::is_whitespace).scan(at, |next, piece| {
        let start = std::mem::replace(next, *next + piece.len());
        Some((start, piece.trim_end()))
    })
}

/// Whether the token is a sign that ends a sentence.
pub(super) fn is_sentence_end(token: &str) -> bool {
    SENTENCE_ENDS.contains(&token)
}

/// Whether a paragraph ends in what stands between two tokens: with an empty line. Lines alone end where a page was narrow.
pub(super) fn is_paragraph_end(between: &str) -> bool {
    between.contains(['\u{c}', '\u{2029}']) || between.replace("\r\n", "\n").matches(['\n', '\r', '\u{85}', '\u{2028}']).count() > 1
}

/// The name of this definition: another version of Unicode may cut otherwise.
pub(super) fn method() -> String {
    let (major, minor, update) = UNICODE_VERSION;
    format!("uax29/{major}.{minor}.{update}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        tokens(text).map(|(_, token)| token).collect()
    }

    #[test]
    fn words_and_signs_are_tokens_and_white_space_is_none() {
        for (text, expected) in [
            ("Keep it at 2.5 °C, always.", vec!["Keep", "it", "at", "2.5", "°", "C", ",", "always", "."]),
            ("don't \t\r\n (stop)!", vec!["don't", "(", "stop", ")", "!"]),
            ("cafe\u{301} va\u{ad}ccine", vec!["cafe\u{301}", "va\u{ad}ccine"]),
            ("a\0b \u{200b}c", vec!["a", "\0", "b", "\u{200b}", "c"]),
            ("mot\u{202f}! un\u{202f}deux", vec!["mot", "!", "un", "deux"]),
            ("疫苗。", vec!["疫", "苗", "。"]),
            (" \n\u{2028} ", vec![]),
        ] {
            assert_eq!(cut(text), expected, "{text:?}");
        }
    }

    #[test]
    fn any_text_is_cut_in_order_into_what_it_holds() {
        for text in ["", "\u{301}\u{301}", " \u{301}x", "🇩🇪🇫🇷🇪", "\r\n\r", "👩‍👩‍👧 a:\u{301}b"] {
            let mut last = 0;
            for (token, word) in tokens(text) {
                assert!(token.range.start >= last && text[token.range.clone()] == *word, "{text:?}");
                last = token.range.end;
            }
        }
    }
}
