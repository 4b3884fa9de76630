//! Numbers: sign, digits, point and exponent are one word, for each of them alone says something else.

use std::ops::Range;

/// A number in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) text: String,
    /// Its sign included.
    pub(super) range: Range<usize>,
}

/// The number whose first digit is at `start`.
pub(super) fn at(text: &str, start: usize) -> Number {
    let rest = text.get(start..).unwrap_or_default();
    let mut len = grouped_len(rest);
    let mut number = ungrouped(rest.get(..len).unwrap_or_default());
    if let Some((exponent, exponent_len)) = exponent(rest.get(len..).unwrap_or_default()) {
        number.push_str(&exponent);
        len += exponent_len;
    }
    let before = text.get(..start).unwrap_or_default();
    let sign = sign_len(before);
    if sign > 0 {
        number.insert(0, '-');
    }
    Number { text: number, range: start - sign..start + len }
}

/// Whether a segment that starts with a digit is no number with a unit but a name: `0x1f`, `9fceb02d`.
pub(super) fn is_identifier(segment: &str) -> bool {
    let after = segment.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let scientific = after.strip_prefix(['e', 'E']).is_some_and(|power| !power.is_empty() && power.bytes().all(|b| b.is_ascii_digit()));
    !scientific && after.chars().any(|c| c.is_ascii_digit() || c == '_')
}

/// `^2` or `^-1` at `start`, right after a word or a bracket: the exponent of a unit or a name.
pub(super) fn exponent_after_word(text: &str, start: usize) -> Option<Number> {
    let attached = text.get(..start)?.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | ']'));
    let (text, len) = exponent(text.get(start..)?).filter(|(text, _)| attached && text.starts_with('^'))?;
    Some(Number { text, range: start..start + len })
}

/// Bytes of digits with points and commas between them.
fn grouped_len(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut len = 0;
    while digit(len) || (len > 0 && matches!(bytes.get(len), Some(b'.' | b',')) && digit(len + 1)) {
        len += 1;
    }
    len
}

/// `1,000,000.5` without the commas that group its thousands; any other number as it stands.
fn ungrouped(number: &str) -> String {
    let whole = number.split('.').next().unwrap_or_default();
    let mut groups = whole.split(',');
    let first = groups.next().is_some_and(|first| (1..=3).contains(&first.len()) && first != "0");
    if first && whole.contains(',') && groups.all(|group| group.len() == 3) && number.matches('.').count() <= 1 {
        number.replace(',', "")
    } else {
        number.to_owned()
    }
}

/// The exponent that `rest` starts with as `^n`, and its bytes: `^3`, `**3`, `e-9`, `E3`.
fn exponent(rest: &str) -> Option<(String, usize)> {
    let (mark, power) = if let Some(power) = rest.strip_prefix('^') {
        ("^", power)
    } else if let Some(power) = rest.strip_prefix("**") {
        ("^", power)
    } else {
        ("e", rest.strip_prefix(['e', 'E'])?)
    };
    let len = signed_len(power)?;
    let ends = !power.get(len..).is_some_and(|after| after.starts_with(char::is_alphanumeric));
    let digits = power.get(..len)?;
    let negative = digits.starts_with(['-', '−']);
    let digits = digits.trim_start_matches(['-', '−', '+']);
    let sign = if negative { "-" } else { "" };
    (ends || mark == "^").then(|| (format!("{mark}{sign}{digits}"), rest.len() - power.len() + len))
}

/// Bytes of a whole number with an optional sign.
fn signed_len(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['-', '−', '+']).unwrap_or(text);
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| text.len() - digits.len() + count)
}

/// Bytes of the minus that ends `before` and belongs to the number after it: not a hyphen (`COVID-19`),
/// not a range (`2-8`), not a subtraction (`a - 5`, `(b)-5`).
fn sign_len(before: &str) -> usize {
    // A true minus may stand apart from its number, where nothing is there to subtract from.
    let spaced = before.trim_end_matches([' ', '\u{a0}']);
    if before.len() > spaced.len() {
        let Some(head) = spaced.strip_suffix('−') else { return 0 };
        let head = head.trim_end_matches([' ', '\u{a0}']);
        // `at − 15`, but `x − 5`
        let after_word = head.chars().rev().take(2).filter(|c| c.is_alphabetic()).count() == 2;
        return if opens(head) || after_word { before.len() - spaced.len() + '−'.len_utf8() } else { 0 };
    }
    let Some(head) = before.strip_suffix(['-', '−', '–', '‐']) else { return 0 };
    let apart = head.is_empty() || head.ends_with(char::is_whitespace) || opens(head) || head.ends_with(['–', '—']);
    if apart { before.len() - head.len() } else { 0 }
}

/// Whether a number can begin after this.
fn opens(head: &str) -> bool {
    head.chars().next_back().is_none_or(|c| {
        matches!(
            c,
            '\n' | '('
                | '['
                | '{'
                | '<'
                | '>'
                | '='
                | '≤'
                | '≥'
                | '≠'
                | '≈'
                | '~'
                | ':'
                | ';'
                | ','
                | '/'
                | '*'
                | '×'
                | '·'
                | '÷'
                | '|'
                | '"'
                | '\''
                | '“'
                | '„'
                | '«'
                | '±'
                | '→'
                | '…'
        )
    })
}
