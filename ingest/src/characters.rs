//! Characters that a reader does not see.

/// Whether `c` leaves no mark of its own on a screen, or changes the order in which others are shown:
/// zero-width and bidirectional controls (Unicode TR36, TR39), tags, soft hyphen, byte order mark, joiners and
/// fillers of syllables.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' | '\u{1d173}'..='\u{1d17a}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Letters and marks of Thai, Lao, Khmer and Burmese: spaces part their phrases, and nothing their words, or U+200B.
pub(crate) fn is_southeast_asian(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}' | '\u{e81}'..='\u{ece}' | '\u{edc}'..='\u{edf}' | '\u{1000}'..='\u{103f}'
        | '\u{1050}'..='\u{108f}' | '\u{109a}'..='\u{109d}' | '\u{1780}'..='\u{17d3}' | '\u{17d7}' | '\u{17dc}' | '\u{17dd}')
}

/// Whether a text holds hidden characters that it has no honest need of. The joiners U+200C and U+200D
/// are part of ordinary spelling in several scripts and of emoji, so they count between ASCII letters
/// only, and so do variation selectors, which choose among forms of Han characters and emoji; direction marks and
/// soft hyphens are left out for the same reason. One U+200B parts words in the scripts that have no spaces for it.
pub(crate) fn hides_something(text: &str) -> bool {
    let mut before = None;
    let mut joiner = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after_latin = before.is_some_and(|before: char| before.is_ascii_alphabetic());
        match c {
            '\u{200c}' | '\u{200d}' => joiner = after_latin,
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' if !after_latin => {}
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => return true,
            '\u{ad}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => {}
            '\u{200b}' if parts_words(before, chars.peek().copied()) => before = None,
            _ if is_hidden(c) || (joiner && c.is_ascii_alphabetic()) => return true,
            _ => {
                joiner = false;
                before = Some(c);
            }
        }
    }
    false
}

/// Whether U+200B between two characters parts words: on one side is a letter of a script that needs it, on the other one too, or
/// none at all, as where a sentence or the text ends.
fn parts_words(before: Option<char>, after: Option<char>) -> bool {
    let fits = |c: Option<char>| c.is_none_or(|c| is_southeast_asian(c) || !(c.is_alphabetic() || is_hidden(c)));
    fits(before) && fits(after) && [before, after].into_iter().flatten().any(is_southeast_asian)
}

/// Whether a text can stand for something in a list: all of it is seen, in one line, in the order in which it is written.
pub fn is_shown_in_a_line(text: &str) -> bool {
    let unfit = |c: char| c.is_control() || is_hidden(c) || matches!(c, '\u{2028}' | '\u{2029}');
    !text.chars().any(unfit) && !hides_something(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_told_from_spelling() {
        for honest in [
            "",
            "plain",
            "👩\u{200d}🔬 works",
            "می\u{200c}خواهم",
            "co\u{ad}operate",
            "שלום\u{200f}!",
            "葛\u{e0100}城",
            "☀\u{fe0f}",
            "1\u{fe0f}\u{20e3}",
            "ភាសា\u{200b}ខ្មែរ\u{200b} ៥\u{200b}ថ្ងៃ\u{200b}។",
            "\u{200b}ความ\u{200b}เย็น",
            "ພາສາ\u{200b}ລາວ",
            "မြန်မာ\u{200b}စာ\u{200b}",
        ] {
            assert!(!hides_something(honest), "{honest:?}");
        }
        for hidden in [
            "ig\u{200d}nore",
            "a\u{200b}b",
            "abc\u{202e}txt",
            "x\u{e0041}",
            "\u{feff}",
            "a\u{2066}b",
            "a\u{e0101}",
            "fi\u{34f}t",
            "\u{3164}",
            "\u{200b}",
            "\u{200b} ",
            "a\u{200b}ខ្មែរ",
            "ខ្មែរ\u{200b}a",
            "ខ្មែរ\u{200b}\u{200b}ខ្មែរ",
            "ខ្មែរ\u{200b}\u{202e}ខ្មែរ",
            "漢\u{200b}字",
        ] {
            assert!(hides_something(hidden), "{hidden:?}");
        }
    }
}
