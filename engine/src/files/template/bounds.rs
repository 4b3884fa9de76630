//! Keeps what a template makes bounded. The library's fuel counts instructions, not bytes: a text put to itself doubles.
//!
//! Wherever a template keeps a value (an assignment, a loop's or a macro's variable, a captured text) its source gets a
//! filter, [`KEPT`], that measures and charges it; what is written is charged as it is written. A single expression can
//! then only make what its few operators and filters do of values that are small.

use std::cell::Cell;
use std::fmt::{self, Write};

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, Output, State, escape_formatter, filters};

/// Of one value as it is written. A template sees marks instead of texts, and published ones keep some kB.
pub(super) const VALUE_BYTES_MAX: usize = 512 << 10;
/// Of all values that one rendering keeps and writes, and of the texts that it captures.
pub(super) const KEPT_BYTES_MAX: usize = 64 << 20;
/// In one tag, of those that make values longer; and of those that repeat them, each up to the library's 100 MB.
const OPERATORS_MAX: usize = 100;
const REPETITIONS_MAX: usize = 2;
const INDENT_MAX: usize = 64;
const KEPT: &str = "kept_within_bounds";

mod source;
#[cfg(test)]
mod tests;

pub(super) use source::Bounded;

thread_local! {
    /// What the rendering on this thread may still keep.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Before a rendering.
pub(super) fn refill() {
    LEFT.set(KEPT_BYTES_MAX);
}

/// Fails where more is written than may be.
struct Meter(usize);

impl Write for Meter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn too_much(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("it makes {what} of more than {VALUE_BYTES_MAX} bytes"))
}

/// What the value takes up when it is written.
fn bytes_of(value: &Value) -> Result<usize, Error> {
    let mut meter = Meter(VALUE_BYTES_MAX);
    let written = match value.as_str() {
        Some(text) => meter.write_str(text),
        None => write!(meter, "{value}"),
    };
    written.map_err(|_| too_much("a value"))?;
    Ok(VALUE_BYTES_MAX - meter.0)
}

fn charge(value: &Value) -> Result<(), Error> {
    let left = LEFT.get().checked_sub(bytes_of(value)?);
    let all = || Error::new(ErrorKind::InvalidOperation, format!("its values are more than {KEPT_BYTES_MAX} bytes"));
    LEFT.set(left.ok_or_else(all)?);
    Ok(())
}

fn kept(value: Value) -> Result<Value, Error> {
    charge(&value)?;
    Ok(value)
}

fn write_value(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    charge(value)?;
    escape_formatter(output, state, value)
}

/// The filters whose result may be much longer than what they are given, bounded; those that no published template uses are
/// taken away.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.set_formatter(write_value);
    environment.add_filter(KEPT, kept);
    environment.add_filter("list", list);
    environment.add_filter("string", string);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join_filter);
    environment.add_filter("indent", indent);
    for unused in ["batch", "slice", "format", "pprint", "sum"] {
        environment.remove_filter(unused);
    }
}

fn list(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    filters::list(state, kept(value)?)
}

fn string(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    filters::string(state, &kept(value)?)
}

fn join_filter(values: &Value, joiner: Option<&str>, attribute: Option<&str>, arguments: Kwargs) -> Result<Value, Error> {
    let joiner = joiner.map_or_else(|| arguments.get::<Option<&str>>("d"), |joiner| Ok(Some(joiner)))?.unwrap_or_default();
    let attribute = attribute.map_or_else(|| arguments.get::<Option<&str>>("attribute"), |name| Ok(Some(name)))?;
    match attribute {
        None => join(values, joiner),
        Some(name) => join(&Value::from(values.try_iter()?.map(|value| value.get_attr(name)).collect::<Result<Vec<_>, _>>()?), joiner),
    }
}

/// Python's `str.replace`, every occurrence.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<Value, Error> {
    let found = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
    if found.saturating_mul(to.len()).saturating_add(text.len()) > VALUE_BYTES_MAX {
        return Err(too_much("a text"));
    }
    Ok(text.replace(from, to).into())
}

pub(super) fn join(values: &Value, joiner: &str) -> Result<Value, Error> {
    let mut joined = String::new();
    let mut meter = Meter(VALUE_BYTES_MAX);
    for (at, value) in values.try_iter()?.enumerate() {
        let joiner = if at > 0 { joiner } else { "" };
        // Measured first: a list in a list may be written longer than it is.
        write!(meter, "{joiner}{value}").map_err(|_| too_much("a text"))?;
        let _ = write!(joined, "{joiner}{value}");
    }
    Ok(joined.into())
}

/// Jinja's: by a number of spaces, or by a text.
fn indent(text: &str, width: Option<Value>, first: Option<bool>, arguments: Kwargs) -> Result<Value, Error> {
    let width = width.map_or_else(|| arguments.get::<Option<Value>>("width"), |width| Ok(Some(width)))?;
    let first = first.map_or_else(|| arguments.get::<Option<bool>>("first"), |first| Ok(Some(first)))?.unwrap_or(false);
    let prefix = match width.as_ref().map(|width| (width.as_str(), width.as_usize())) {
        None => " ".repeat(4),
        Some((Some(prefix), _)) => prefix.to_owned(),
        Some((None, width)) => " ".repeat(width.filter(|width| *width <= INDENT_MAX).ok_or_else(too_wide)?),
    };
    if prefix.len() > INDENT_MAX || text.len() > VALUE_BYTES_MAX {
        return Err(too_wide());
    }
    let lines = text.split('\n').enumerate();
    let indented = lines.map(|(at, line)| if at == 0 && !first || line.is_empty() { line.to_owned() } else { format!("{prefix}{line}") });
    Ok(indented.collect::<Vec<_>>().join("\n").into())
}

fn too_wide() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("it indents by more than {INDENT_MAX}"))
}

/// Of JSON, which escapes what it quotes.
pub(super) fn check_json(value: &Value, indent: Option<&Value>) -> Result<(), Error> {
    if indent.and_then(Value::as_usize).is_some_and(|width| width > INDENT_MAX) {
        return Err(too_wide());
    }
    charge(value)
}

/// `str.format`, whose numbers are widths.
pub(super) fn check_format(text: &str, arguments: &[Value]) -> Result<(), Error> {
    let wide = text.split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() > 3);
    let total = arguments.iter().map(bytes_of).sum::<Result<usize, _>>()?;
    if wide || text.len().saturating_mul(total.max(1)) > VALUE_BYTES_MAX * INDENT_MAX { Err(too_much("a text")) } else { Ok(()) }
}
