//! Quoted strings of YAML and TOML. What YAML escapes with a backslash, TOML does too, as far as it does.

/// A string of YAML past its opening quote, up to the closing one; `None` where none closes it, or more than a comment follows.
pub(super) fn double_quoted(text: &str) -> Option<String> {
    let end = closing(text, "\"", true)?;
    ends_line(text.get(end + 1..)?).then(|| unescaped(text.get(..end).unwrap_or_default()))
}

/// The same in single quotes, which only double them.
pub(super) fn single_quoted(text: &str) -> Option<String> {
    let (mut value, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('\'')?;
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => (value, rest) = (value + "'", more),
            None => return ends_line(after).then_some(value),
        }
    }
}

/// The string that a value of TOML is.
pub(super) fn toml(value: &str) -> Option<String> {
    let (quotes, rest) = opening(value)?;
    let (end, escapes) = (closing(rest, quotes, quotes.starts_with('"'))?, quotes.starts_with('"'));
    let inside = rest.get(..end)?;
    if (quotes.len() == 1 && inside.contains('\n')) || !ends_line(rest.get(end + quotes.len()..)?) {
        return None;
    }
    Some(if escapes { unescaped(inside) } else { inside.to_owned() })
}

/// What follows a value of TOML and its line.
pub(super) fn after_toml(value: &str) -> &str {
    let (mut rest, mut depth) = (value, 0_usize);
    while let Some(c) = rest.chars().next() {
        if let Some((quotes, inside)) = opening(rest) {
            let end = closing(inside, quotes, quotes.starts_with('"')).map_or(inside.len(), |end| end + quotes.len());
            rest = inside.get(end..).unwrap_or_default();
            continue;
        }
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '#' => {
                rest = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or_default();
                continue;
            }
            '\n' if depth == 0 => return rest,
            _ => {}
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    rest
}

/// The quotes that a string of TOML opens with, and what follows them.
fn opening(text: &str) -> Option<(&'static str, &str)> {
    ["\"\"\"", "'''", "\"", "'"].into_iter().find_map(|quotes| Some((quotes, text.strip_prefix(quotes)?)))
}

/// Where the closing quotes stand: not escaped, where a backslash escapes.
fn closing(text: &str, quotes: &str, escapes: bool) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let is_escaped = std::mem::take(&mut escaped);
        escaped = escapes && c == '\\' && !is_escaped;
        (!is_escaped && text.get(at..)?.starts_with(quotes)).then_some(at)
    })
}

/// Whether nothing but a comment follows in the line.
fn ends_line(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    line.trim().is_empty() || (line.starts_with([' ', '\t']) && line.trim_start().starts_with('#'))
}

/// What the escapes in a text stand for; what is none stays.
fn unescaped(text: &str) -> String {
    let (mut value, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        value.push_str(before);
        let Some(c) = after.chars().next() else {
            value.push('\\');
            return value;
        };
        rest = after.get(c.len_utf8()..).unwrap_or_default();
        match (simple(c), numbered(after)) {
            (Some(stands_for), _) => value.push(stands_for),
            (None, Some((scalar, more))) => {
                value.push(scalar);
                rest = more;
            }
            // A line that is escaped goes on in the next one.
            (None, None) if matches!(c, '\n' | '\r') => rest = rest.trim_start(),
            (None, None) => value.extend(['\\', c]),
        }
    }
    value + rest
}

fn simple(c: char) -> Option<char> {
    Some(match c {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' | '\t' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        ' ' | '"' | '/' | '\\' => c,
        _ => return None,
    })
}

/// `x41`, `u0041`, `U00000041`, or the two halves of a character that JSON spells `ud83d\ude00`; and what follows.
fn numbered(text: &str) -> Option<(char, &str)> {
    let (number, rest) = hexadecimal(text)?;
    if let Some(scalar) = char::from_u32(number) {
        return Some((scalar, rest));
    }
    let (low, rest) = hexadecimal(rest.strip_prefix('\\')?)?;
    let halves = [u16::try_from(number).ok()?, u16::try_from(low).ok()?];
    let scalar = char::decode_utf16(halves).next()?.ok()?;
    Some((scalar, rest))
}

fn hexadecimal(text: &str) -> Option<(u32, &str)> {
    let digits = match text.chars().next()? {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let (number, rest) = text.get(1..)?.split_at_checked(digits)?;
    let all_digits = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((u32::from_str_radix(number, 16).ok().filter(|_| all_digits)?, rest))
}
