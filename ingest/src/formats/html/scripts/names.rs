//! Raised and lowered letters that belong to the word before them: `1st`, `XIXe`, `Mme`, `PM2.5`, `NOx`. What can as well be an
//! exponent or an index stays one: `^` and `_` can be read past, a sign that is lost cannot be read.

use super::Shifted;
use crate::formats::html::tree::{NodeId, Tree};
use crate::formats::html::writer::Writer;

/// After digits these are ordinals, in English and French.
const AFTER_DIGITS: &[&str] = &[
    "st", "nd", "rd", "th", "er", "ers", "re", "res", "ère", "ères", "ere", "nde", "nds", "ndes", "ème", "èmes", "eme", "emes", "ième",
    "ièmes",
];

/// The same after Roman numerals, which can be variables too: `V`, `C`.
const AFTER_ROMAN: &[&str] = &["ème", "èmes", "eme", "emes", "ième", "ièmes"];
const AFTER_LONG_ROMAN: &[&str] = &["e", "st", "nd", "rd", "th", "nde"];
const AFTER_ROMAN_ONE: &[&str] = &["er", "ers", "re", "res", "ère", "ères"];

/// One letter after a number is an exponent or a note's mark, but in these languages an ordinal: `2e étage`, `3a fila`.
const BY_LANGUAGE: &[(&str, &[&str])] = &[("e", &["fr", "nl"]), ("a", &["es", "pt", "it", "gl"]), ("o", &["es", "pt", "it", "gl"])];

/// Words that are written with raised letters.
const ABBREVIATIONS: &[(&str, &[&str])] = &[
    ("M", &["me", "mes", "lle", "lles", "gr", "grs", "rs"]),
    ("D", &["r", "rs", "re"]),
    ("N", &["o", "os"]),
    ("n", &["o", "os"]),
    ("S", &["te", "tes"]),
    ("C", &["ie", "ies"]),
    ("V", &["ve"]),
];

/// Whether the raised text of `id` ends the word before it: `1st`, `2º`, `XIXe`, `Mme`, `Word®`.
pub(super) fn ends_the_word(tree: &Tree, id: NodeId, text: &str, writer: &Writer) -> bool {
    if writer.last().is_none() {
        return false;
    }
    if matches!(text, "®" | "©" | "™" | "℠" | "º" | "ª" | "°") {
        return true;
    }
    let word = writer.joined_word();
    let among = |ends: &[&str]| ends.contains(&text);
    if ABBREVIATIONS.iter().any(|(base, ends)| *base == word && among(ends)) {
        return true;
    }
    let (numbered, roman) = (word.ends_with(|c: char| c.is_ascii_digit()), is_of(word, "IVXLCDM"));
    let by_language = || {
        let languages = BY_LANGUAGE.iter().find(|(letter, _)| *letter == text).map(|(_, languages)| *languages);
        languages.is_some_and(|languages| language(tree, id).is_some_and(|own| languages.contains(&own.as_str())))
    };
    (numbered && AFTER_DIGITS.contains(&text.to_lowercase().as_str()))
        || (roman && among(AFTER_ROMAN))
        || (is_of(word, "IVX") && word.len() > 1 && among(AFTER_LONG_ROMAN))
        || (word == "I" && among(AFTER_ROMAN_ONE))
        || ((numbered || roman) && by_language())
}

fn is_of(word: &str, letters: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| letters.contains(c))
}

/// The language that a page says an element is in, without its region and script.
fn language(tree: &Tree, id: NodeId) -> Option<String> {
    let mut at = Some(id);
    while let Some(id) = at {
        let element = tree.element(id);
        let stated = element.and_then(|element| element.attribute("lang").or_else(|| element.attribute("xml:lang")));
        if let Some(stated) = stated {
            return stated.trim().split(['-', '_']).next().map(str::to_ascii_lowercase);
        }
        at = tree.node(id)?.parent;
    }
    None
}

/// Whether a raised text says whose the word before it is: `Acme TM`, `Acme (TM)`.
pub(super) fn is_trade_mark(text: &str, word: &str) -> bool {
    let bracketed = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    match bracketed.map(str::to_ascii_uppercase).as_deref() {
        None => matches!(text, "TM" | "SM" | "MC"),
        Some("TM" | "SM" | "MC") => true,
        // After a letter or two it is a variable's: x^((r)).
        Some("R" | "C") => word.chars().count() > 2,
        Some(_) => false,
    }
}

/// How a lowered text goes on with the name before it, where it is a part of that.
pub(super) fn part_of(text: &str, word: &str) -> Option<Shifted> {
    if !is_formula(word) {
        return None;
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = text.get(digits..).unwrap_or_default();
    // One capital alone is a variable as often as an atom: T_max, T_1c.
    let long = word.chars().count() > 1;
    let is = |all: fn(&u8) -> bool, text: &str| !text.is_empty() && text.bytes().all(|byte| all(&byte));
    match rest {
        // Atoms: H2O, C6H12O6.
        "" if digits > 0 => Some(Shifted::Index),
        "x" | "X" | "y" if digits == 0 && is_oxide(word) => Some(Shifted::Word),
        // PM2.5
        _ if long && digits > 0 && rest.strip_prefix('.').is_some_and(|rest| is(u8::is_ascii_digit, rest)) => Some(Shifted::Index),
        // HbA1c, CO2eq, VO2max
        _ if long && digits > 0 && rest.len() <= 4 && is(u8::is_ascii_lowercase, rest) => Some(Shifted::Word),
        _ => None,
    }
}

/// Whether a word can be the start of a chemical formula: it ends in an atom's sign, and begins with a capital
/// or a number of molecules.
fn is_formula(word: &str) -> bool {
    let mut back = word.chars().rev();
    let atom = match back.next() {
        Some(last) if last.is_ascii_uppercase() => true,
        Some(last) => last.is_ascii_lowercase() && back.next().is_some_and(|c| c.is_ascii_uppercase()),
        None => false,
    };
    atom && word.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Whether an `x` after a formula stands for how many atoms of the last there are: NOx, SOx, CHx.
fn is_oxide(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.ends_with(['O', 'H'])
        && word.bytes().filter(u8::is_ascii_uppercase).count() > 1
}
