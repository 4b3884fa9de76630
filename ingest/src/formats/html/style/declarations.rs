//! A `style` attribute cut into declarations as CSS Syntax (level 3, 5.4.4) cuts them: a `;` in a string, in brackets,
//! in a comment or escaped ends none.

/// The declarations of a `style` attribute in its order, those that are `!important` last. Names and values are in lower case;
/// a string in a value is `""`, and a function `name()`: what stands in them is no keyword.
pub(super) fn declarations(text: &str) -> Vec<(String, String)> {
    let mut scan = Scan { rest: text, name: None, value: String::new(), found: Vec::new() };
    while let Some(c) = scan.next() {
        scan.take(c);
    }
    scan.end();
    let (important, usual): (Vec<Declaration>, _) = scan.found.into_iter().partition(|declaration| declaration.important);
    usual.into_iter().chain(important).map(|Declaration { name, value, .. }| (name, value)).collect()
}

struct Declaration {
    name: String,
    value: String,
    important: bool,
}

struct Scan<'a> {
    rest: &'a str,
    /// Of the declaration that is being read, once its colon is.
    name: Option<String>,
    /// What is read of its value, or of its name before the colon.
    value: String,
    found: Vec<Declaration>,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    /// Reads on from `c`, which stands in no string and in no brackets.
    fn take(&mut self, c: char) {
        match c {
            ';' => self.end(),
            ':' if self.name.is_none() => self.name = Some(std::mem::take(&mut self.value)),
            '"' | '\'' => {
                self.skip_string(c);
                self.value.push_str("\"\"");
            }
            '(' | '[' | '{' => {
                self.skip_brackets(c);
                self.value.push_str("()");
            }
            '/' if self.skip_comment() => self.value.push(' '),
            '\\' => {
                let escaped = self.escaped();
                self.value.extend(escaped);
            }
            _ => self.value.push(c),
        }
    }

    /// Ends a declaration. What has no colon is none, nor what has any other mark than `!important` at its end.
    fn end(&mut self) {
        let value = std::mem::take(&mut self.value).to_lowercase();
        let Some(name) = self.name.take() else { return };
        let (value, mark) = value.split_once('!').map_or((value.as_str(), None), |(value, mark)| (value, Some(mark.trim())));
        if mark.is_none_or(|mark| mark == "important") {
            let (name, value) = (name.trim().to_lowercase(), value.trim().to_owned());
            self.found.push(Declaration { name, value, important: mark.is_some() });
        }
    }

    /// A string ends at its quote, or with its line.
    fn skip_string(&mut self, quote: char) {
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                '\n' | '\u{c}' => return,
                c if c == quote => return,
                _ => {}
            }
        }
    }

    /// Passes over brackets and what they hold. All that are open end with the text.
    fn skip_brackets(&mut self, open: char) {
        let is_url = open == '(' && self.value.to_ascii_lowercase().ends_with("url");
        if is_url && !self.rest.trim_start().starts_with(['"', '\'']) {
            return self.skip_address();
        }
        let mut closing = vec![closing(open)];
        while let Some(wanted) = closing.last().copied() {
            let Some(c) = self.next() else { return };
            match c {
                '"' | '\'' => self.skip_string(c),
                '(' | '[' | '{' => closing.push(self::closing(c)),
                '/' => _ = self.skip_comment(),
                '\\' => _ = self.next(),
                c if c == wanted => _ = closing.pop(),
                _ => {}
            }
        }
    }

    /// `url(…)` without quotes holds neither comments nor brackets.
    fn skip_address(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                ')' => return,
                _ => {}
            }
        }
    }

    /// Whether a comment follows on a `/`; if so it is passed over.
    fn skip_comment(&mut self) -> bool {
        let Some(comment) = self.rest.strip_prefix('*') else { return false };
        self.rest = comment.split_once("*/").map_or("", |(_, after)| after);
        true
    }

    /// What a backslash stands for with what follows: up to six hexadecimal digits with a space, or a character as it is.
    fn escaped(&mut self) -> Option<char> {
        let digits = self.rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits == 0 {
            // At the end of a line it is no escape.
            return if self.rest.starts_with('\n') { Some('\\') } else { self.next() };
        }
        let (number, after) = self.rest.split_at(digits);
        self.rest = after.strip_prefix(|c: char| c.is_ascii_whitespace()).unwrap_or(after);
        let scalar = u32::from_str_radix(number, 16).ok().and_then(char::from_u32);
        Some(scalar.filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_end_where_css_ends_them() {
        for (text, expected) in [
            ("color:red; DISPLAY : None", &[("color", "red"), ("display", "none")][..]),
            ("content:';display:none;'", &[("content", "\"\"")]),
            ("content:\"a\\\";display:none\";color:red", &[("content", "\"\""), ("color", "red")]),
            ("content:'open;display:none", &[("content", "\"\"")]),
            // A string that its line ends is none, and what follows it is read on.
            ("content:'open\n;display:none", &[("content", "\"\""), ("display", "none")]),
            ("background:url(a;display:none);color:red", &[("background", "url()"), ("color", "red")]),
            ("background:url( '/*' );color:red", &[("background", "url()"), ("color", "red")]),
            ("background:url(/*);color:red", &[("background", "url()"), ("color", "red")]),
            ("background:url(a\\);display:none);top:0", &[("background", "url()"), ("top", "0")]),
            ("width:calc((1px + [2px;]);3px);top:0", &[("width", "calc()"), ("top", "0")]),
            ("width:calc(1px;display:none", &[("width", "calc()")]),
            ("--x:{a;b:c};top:0", &[("--x", "()"), ("top", "0")]),
            ("a:b\\;c;top:0", &[("a", "b;c"), ("top", "0")]),
            ("d\\69splay:n\\6f ne;dis\\000070lay:no\\6e\\65", &[("display", "none"), ("display", "none")]),
            ("display/* ; */:none/*", &[("display", "none")]),
            ("dis/**/play:none", &[("dis play", "none")]),
            ("display:none!IMPORTANT;display:block", &[("display", "block"), ("display", "none")]),
            ("display:none ! important", &[("display", "none")]),
            ("display:none!imp;top:0", &[("top", "0")]),
            ("content:'!important';top:0", &[("content", "\"\""), ("top", "0")]),
            (";;none;a:b:c;", &[("a", "b:c")]),
            ("a:\\0;b:\\", &[("a", "\u{fffd}"), ("b", "")]),
            ("", &[]),
        ] {
            let found = declarations(text);
            let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
