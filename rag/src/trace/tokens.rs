//! The tokens of a text: Unicode words (UAX #29), and whatever stands between them, sign by sign; white space is none.
//!
//! By the rules alone, without dictionaries: where a text is cut then depends on a few characters around the place, so a span is cut
//! alike in any text that holds it. In scripts that write no spaces (Chinese, Japanese, Thai) a token is a character or a few.

use std::ops::Range;

use unicode_segmentation::{UNICODE_VERSION, UnicodeSegmentation};

/// What ends a sentence, beside the end of a line.
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
    text.split_word_bound_indices().filter(|(_, token)| !token.chars().all(char::is_whitespace)).map(|(at, token)| {
        let is_word = token.chars().any(char::is_alphanumeric);
        (Token { range: at..at + token.len(), is_word }, token)
    })
}

/// Whether the token is a sign that ends a sentence.
pub(super) fn is_sentence_end(token: &str) -> bool {
    SENTENCE_ENDS.contains(&token)
}

/// Whether a line ends in what stands between two tokens.
pub(super) fn has_line_end(between: &str) -> bool {
    between.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'])
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
