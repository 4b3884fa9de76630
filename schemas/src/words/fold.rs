//! Folding a word: lower case, and letters that look like Latin ones are those (UTS #39's skeleton, to
//! Latin alone). A wholly Cyrillic or Greek word is folded letter by letter, the same in either case, so
//! that it still is itself and no other word of its language.

use unicode_script::{Script, UnicodeScript};
use unicode_security::confusable_detection::skeleton;

/// Folds one word of a [`Plain`] text.
pub(super) fn word(word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return word.to_ascii_lowercase();
    }
    // A letter that becomes a Latin one can make look-alikes of its neighbours, so as often as there are letters.
    let mut folded = letters(word);
    for _ in word.chars() {
        let again = letters(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

/// Folds every letter, by what they are together.
fn letters(word: &str) -> String {
    let shape = Shape::of(word);
    let mut folded = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            '0' if shape.one_digit_inside => folded.push('o'),
            '1' if shape.one_digit_inside => folded.push('l'),
            _ => fold_letter(c, &shape, &mut folded),
        }
    }
    folded
}

/// What the letters of a word are together.
struct Shape {
    letters: usize,
    has_latin: bool,
    /// Every letter is of a script that has look-alikes, and is one.
    all_alike: bool,
    /// One digit stands between at least three letters: there it is the letter that it looks like (`c0ld`,
    /// but `H1N1` and `B1b`).
    one_digit_inside: bool,
}

impl Shape {
    fn of(word: &str) -> Self {
        let mut shape = Self { letters: 0, has_latin: false, all_alike: true, one_digit_inside: false };
        for c in word.chars().filter(|c| c.is_alphabetic()) {
            let script = c.script();
            shape.letters += 1;
            shape.has_latin |= script == Script::Latin;
            shape.all_alike &= has_look_alikes(script) && look_alike(c).is_some();
        }
        let edges = |c: char| c.is_alphabetic();
        shape.one_digit_inside = shape.letters >= 3
            && shape.letters + 1 == word.chars().count()
            && word.chars().filter(char::is_ascii_digit).count() == 1
            && word.starts_with(edges)
            && word.ends_with(edges);
        shape
    }
}

fn fold_letter(c: char, shape: &Shape, into: &mut String) {
    let alike = match c.script() {
        _ if c.is_ascii() => None,
        Script::Cyrillic => cyrillic(c, shape),
        Script::Greek => return into.push(greek(c, shape)),
        Script::Latin => look_alike(c),
        _ if shape.has_latin || shape.all_alike => look_alike(c),
        _ => None,
    };
    match alike {
        Some(letter) => into.push(letter),
        None => into.extend(c.to_lowercase()),
    }
}

/// Scripts whose letters pass for Latin ones in whole words.
pub(super) fn has_look_alikes(script: Script) -> bool {
    matches!(script, Script::Cyrillic | Script::Greek | Script::Armenian | Script::Cherokee | Script::Coptic | Script::Lisu)
}

/// Whether a word of another script has look-alikes of Latin letters alone, in the case it is written in.
pub(super) fn reads_as_latin(word: &str) -> bool {
    word.chars().all(|c| has_look_alikes(c.script()) && look_alike_as_written(c).is_some())
}

/// The Latin letter that a Cyrillic one looks like in either of its cases. Not so `Н`, or the Russian `не`
/// (not) would be the English `he`: it is an `h` as a capital among Latin letters alone.
fn cyrillic(c: char, shape: &Shape) -> Option<char> {
    let lower = c.to_lowercase().next().unwrap_or(c);
    Some(match lower {
        'н' if shape.has_latin && c != lower => 'h',
        'а' => 'a',
        'в' | 'ь' => 'b',
        'с' => 'c',
        'ԁ' => 'd',
        'е' => 'e',
        'ԍ' => 'g',
        'һ' => 'h',
        'і' => 'i',
        'ј' => 'j',
        'к' => 'k',
        'ӏ' => 'l',
        'м' => 'm',
        'о' => 'o',
        'р' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' => 't',
        'ѵ' => 'v',
        'ԝ' => 'w',
        'х' => 'x',
        'у' | 'ү' => 'y',
        _ => return None,
    })
}

/// A Greek letter: in a Latin word what it looks like as it is written; in a Greek word what its capital
/// looks like, so that case does not matter; alone it is a symbol. Letters that look like none stay,
/// as capitals where they spell, so that folding again finds them done.
fn greek(c: char, shape: &Shape) -> char {
    let capital = if c == 'ς' { 'Σ' } else { c.to_uppercase().next().unwrap_or(c) };
    if shape.has_latin {
        return match c {
            'μ' => c,
            _ => look_alike_as_written(c).or_else(|| look_alike_as_written(capital)).unwrap_or(capital),
        };
    }
    if shape.letters > 1 {
        return look_alike_as_written(capital).unwrap_or(capital);
    }
    match c {
        'α' | 'Α' => 'a',
        'ι' | 'Ι' => 'i',
        'ο' | 'Ο' => 'o',
        _ => c.to_lowercase().next().unwrap_or(c),
    }
}

/// The Latin letter that `c` looks like in either of its cases.
fn look_alike(c: char) -> Option<char> {
    look_alike_as_written(c).or_else(|| look_alike_as_written(c.to_lowercase().next()?))
}

/// The lower-case Latin letter that UTS #39 takes `c` for. Its one prototype of `I`, `l` and `1` is `l`; a
/// capital whose small letter looks like `i` is an `i`.
pub(super) fn look_alike_as_written(c: char) -> Option<char> {
    let lower = c.to_lowercase().next()?;
    match prototype(c)? {
        'l' if lower != c => prototype(lower).or(Some('l')),
        letter => Some(letter),
    }
}

fn prototype(c: char) -> Option<char> {
    let shown: Vec<char> = skeleton(c.encode_utf8(&mut [0; 4])).take(3).collect();
    match shown.as_slice() {
        [letter] if letter.is_ascii_alphabetic() => Some(letter.to_ascii_lowercase()),
        ['r', 'n'] => Some('m'),
        _ => None,
    }
}
