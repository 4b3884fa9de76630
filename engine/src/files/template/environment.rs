//! What transformers gives to chat templates, without what reaches outside.

use std::fmt;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use super::bounds;

/// What a template said when it refused.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

const RAISED_CHARACTERS_MAX: usize = 200;

pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_test("iterable", is_iterable);
    Ok(environment)
}

/// None is not, as in Python; the library goes through it as through an empty list.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

fn raise(message: &str) -> Result<Value, Error> {
    let message: String = message.chars().take(RAISED_CHARACTERS_MAX).collect();
    Err(Error::new(ErrorKind::InvalidOperation, "the template raised an exception").with_source(Raised(message)))
}

fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = value.as_str().zip(arguments.first().and_then(Value::as_str));
    match (name, text) {
        ("removeprefix", Some((text, end))) => Ok(Value::from(text.strip_prefix(end).unwrap_or(text))),
        ("removesuffix", Some((text, end))) => Ok(Value::from(text.strip_suffix(end).unwrap_or(text))),
        ("replace", Some((text, from))) => {
            let all = bounds::replace(text, from, arguments.get(1).and_then(Value::as_str).unwrap_or_default())?;
            if arguments.len() == 2 { Ok(all) } else { minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments) }
        }
        ("join", _) if value.as_str().is_some() && arguments.len() == 1 => {
            bounds::join(arguments.first().unwrap_or(&Value::UNDEFINED), value.as_str().unwrap_or_default())
        }
        ("format", _) if value.as_str().is_some() => {
            bounds::check_format(value.as_str().unwrap_or_default(), arguments)?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// The same request gives the same answer on any day: there is no clock. It is the day that Llama's own template
/// takes where it is told none, 26 July 2024, at noon.
fn strftime_now(format: &str) -> Result<Value, Error> {
    let mut written = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            written.push(character);
            continue;
        }
        let directive = match characters.next() {
            Some('-') => characters.next().map(|directive| (directive, true)),
            directive => directive.map(|directive| (directive, false)),
        };
        let part = match directive {
            Some(('d', _)) => "26",
            Some(('m', false)) => "07",
            Some(('m', true)) => "7",
            Some(('Y', _)) => "2024",
            Some(('y', _)) => "24",
            Some(('B', _)) => "July",
            Some(('b' | 'h', _)) => "Jul",
            Some(('A', _)) => "Friday",
            Some(('a', _)) => "Fri",
            Some(('j', _)) => "208",
            Some(('H' | 'I', _)) => "12",
            Some(('M' | 'S', false)) => "00",
            Some(('M' | 'S', true)) => "0",
            Some(('p', _)) => "PM",
            Some(('F', _)) => "2024-07-26",
            Some(('T', _)) => "12:00:00",
            Some(('Z', _)) => "UTC",
            Some(('z', _)) => "+0000",
            Some(('%', _)) => "%",
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "strftime_now is given a format that is not known")),
        };
        written.push_str(part);
    }
    Ok(Value::from(written))
}

/// As Python's `json.dumps(…, ensure_ascii=False)`: the library's own filter, without its escapes for HTML.
fn to_json(value: &Value, indent: Option<Value>, arguments: Kwargs) -> Result<Value, Error> {
    for ignored in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = arguments.get(ignored)?;
    }
    let indent = match indent {
        Some(indent) => Some(indent),
        None => arguments.get("indent")?,
    };
    bounds::check_json(value, indent.as_ref())?;
    let escaped = minijinja::filters::tojson(value, indent, Kwargs::from_iter(std::iter::empty::<(&str, Value)>()))?;
    Ok(Value::from(without_html_escapes(escaped.as_str().unwrap_or_default())))
}

fn without_html_escapes(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let known = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        let found = known.iter().find_map(|(written, meant)| escape.strip_prefix(written).map(|rest| (*meant, rest)));
        if let Some((meant, after)) = found {
            plain.push(meant);
            rest = after;
        } else {
            // A backslash and what it escapes, which may be a backslash.
            let length = escape.chars().take(2).map(char::len_utf8).sum();
            let (kept, after) = escape.split_at(length);
            plain.push_str(kept);
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

/// `{% generation %}` marks for training what an assistant said; here it always holds.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        plain.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end + 2);
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}");
        let name = inner.trim_matches(['-', '+']).trim();
        match name {
            "generation" => plain.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => plain.push_str(&tag.replace("endgeneration", "endif")),
            _ => plain.push_str(tag),
        }
        rest = after;
    }
    plain.push_str(rest);
    plain
}
