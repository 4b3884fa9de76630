//! Which scripts a word is written in, and whether that is honest.

use unicode_script::{Script, UnicodeScript};

use super::fold::{has_look_alikes, look_alike_as_written, reads_as_latin};

/// Letters of the scripts that part no words by spaces: Han, kana, Thai, Lao, Khmer, Burmese.
pub fn is_unspaced(c: char) -> bool {
    c.is_alphanumeric()
        && matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Whether a letter is of a script that spells names with digits in them: `B12`, `Т34`.
pub(super) fn names_with_digits(letter: char) -> bool {
    matches!(letter.script(), Script::Latin | Script::Greek | Script::Cyrillic | Script::Common | Script::Inherited)
}

/// Whether one word is spelled with letters of alphabets that pass for each other (UTS #39, section 5):
/// `vаccine` with a Cyrillic `а`. Greek letters at an edge are notation: `TNFα`, `μm`, `Δt`.
pub fn mixed_script(word: &str) -> bool {
    if word.is_ascii() {
        return false;
    }
    let mut alphabet = None;
    for c in without_notation(word).chars().filter(|c| c.is_alphabetic()) {
        let script = c.script();
        if script != Script::Latin && !has_look_alikes(script) && look_alike_as_written(c).is_none() {
            continue;
        }
        if *alphabet.get_or_insert(script) != script {
            return true;
        }
    }
    false
}

/// Whether a text holds a word of mixed scripts, or a whole word of a foreign script that reads as a Latin
/// one (`а`, `сор`) and no other word of that script that could not.
pub fn mixes_scripts(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let mut disguised: Vec<Script> = Vec::new();
    let mut honest: Vec<Script> = Vec::new();
    let mut latin = false;
    for word in text.split(|c: char| !c.is_alphanumeric() && !unicode_normalization::char::is_combining_mark(c)) {
        if mixed_script(word) {
            return true;
        }
        latin |= word.chars().any(|c| c.script() == Script::Latin);
        if let Some(script) = word.chars().map(|c| c.script()).find(|script| has_look_alikes(*script)) {
            // One Greek letter alone is a symbol.
            if without_notation(word).is_empty() {
                continue;
            }
            if reads_as_latin(word) { disguised.push(script) } else { honest.push(script) }
        }
    }
    latin && disguised.iter().any(|script| !honest.contains(script))
}

/// A Latin word without one Greek letter of notation at either edge.
fn without_notation(word: &str) -> &str {
    let notation = |c: char| {
        matches!(
            c,
            'α' | 'β'
                | 'γ'
                | 'δ'
                | 'ε'
                | 'ζ'
                | 'η'
                | 'θ'
                | 'κ'
                | 'λ'
                | 'μ'
                | 'µ'
                | 'ξ'
                | 'π'
                | 'ρ'
                | 'σ'
                | 'τ'
                | 'φ'
                | 'χ'
                | 'ψ'
                | 'ω'
                | 'Γ'
                | 'Δ'
                | 'Θ'
                | 'Λ'
                | 'Ξ'
                | 'Π'
                | 'Σ'
                | 'Φ'
                | 'Ψ'
                | 'Ω'
        )
    };
    let rest = word.strip_prefix(notation).unwrap_or(word);
    let rest = if rest.len() == word.len() { word.strip_suffix(notation).unwrap_or(word) } else { rest };
    // In words of other scripts they are letters; alone they are symbols.
    if rest.chars().filter(|c| c.is_alphabetic()).all(|c| c.script() == Script::Latin) { rest } else { word }
}
