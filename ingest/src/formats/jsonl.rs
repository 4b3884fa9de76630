//! JSON Lines: one object per line, whose string `text` is the record.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::encoding::is_control;
use super::{Format, Marks, ParseError, Parsed, Refusal, SourceMap, bom_len};
use crate::progress::{Progress, Stopped};

/// Between two records; no chunk crosses it.
const SEPARATOR: &str = "\n\n";

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

pub(super) fn parse(source: &str, progress: &Progress) -> Result<Parsed, ParseError> {
    let mut parsed = Parsed {
        format: Format::Jsonl,
        title: None,
        text: String::new(),
        map: SourceMap::default(),
        bytes: None,
        marks: Marks::default(),
        sections: Vec::new(),
    };
    let mut line_start = bom_len(source);
    for (index, line) in source.get(line_start..).unwrap_or_default().split('\n').enumerate() {
        if !line.trim().is_empty() {
            progress.go_on()?;
            let text = record(line).map_err(|problem| malformed(index + 1, &problem))?;
            append(&mut parsed, text, line_start + offset_in(line, text), progress)?;
        }
        line_start += line.len() + 1;
    }
    Ok(parsed)
}

/// Whether `line` is a record: how a file without a telling name is recognised.
pub(super) fn is_record(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<Record<'_>>(line).is_ok_and(|record| record.text.get().starts_with('"'))
}

/// The text of a line, as the string that it spells.
fn record(line: &str) -> Result<&str, String> {
    // A derived struct also reads arrays; a record is an object.
    if !line.trim_start().starts_with('{') {
        return Err("it is not a JSON object".to_owned());
    }
    let record: Record<'_> = serde_json::from_str(line).map_err(|error| describe(&error))?;
    let raw = record.text.get();
    if !raw.starts_with('"') {
        return Err("its \"text\" is not a string".to_owned());
    }
    let decoded: String = serde_json::from_str(raw).map_err(|error| describe(&error))?;
    if decoded.trim().is_empty() {
        return Err("its \"text\" is empty".to_owned());
    }
    if let Some(control) = decoded.chars().find(|c| is_control(*c)) {
        return Err(format!("its \"text\" holds the control character U+{:04X}, remove it", u32::from(control)));
    }
    Ok(raw)
}

/// Where `part` stands in `line`, which it borrows from: their addresses tell.
fn offset_in(line: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize)
}

/// Appends a record: a JSON string literal that is known to be valid. Runs between escapes verbatim, escapes decoded.
fn append(parsed: &mut Parsed, literal: &str, literal_start: usize, progress: &Progress) -> Result<(), Stopped> {
    if !parsed.text.is_empty() {
        parsed.text.push_str(SEPARATOR);
    }
    let start = parsed.text.len();
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    let mut at = 0;
    while let Some(rest) = inner.get(at..).filter(|rest| !rest.is_empty()) {
        progress.go_on()?;
        let run = rest.find('\\').unwrap_or(rest.len());
        if run > 0 {
            parsed.map.push_verbatim(parsed.text.len(), literal_start + 1 + at, run);
            parsed.text.push_str(rest.get(..run).unwrap_or_default());
            at += run;
            continue;
        }
        let len = escape_len(rest);
        let escape = rest.get(..len).unwrap_or(rest);
        let decoded: String = serde_json::from_str(&format!("\"{escape}\"")).unwrap_or_default();
        let decoded = decoded.replace(['\u{b}', '\u{c}', '\u{85}'], "\n");
        let text_start = parsed.text.len();
        parsed.text.push_str(&decoded);
        let source_start = literal_start + 1 + at;
        parsed.map.push_decoded(text_start..parsed.text.len(), source_start..source_start + escape.len());
        at += escape.len();
    }
    parsed.sections.push(start..parsed.text.len());
    Ok(())
}

/// Bytes of the escape that `rest` starts with: `\n` 2, `\u00e9` 6, a surrogate pair 12.
fn escape_len(rest: &str) -> usize {
    if rest.as_bytes().get(1) != Some(&b'u') {
        return 2;
    }
    let unit = rest.get(2..6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    if unit.is_some_and(|unit| (0xd800..0xdc00).contains(&unit)) { 12 } else { 6 }
}

/// serde_json's words without its position, which counts from the line's start as line 1.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or_default();
    format!("{words} (column {})", error.column())
}

fn malformed(line: usize, problem: &str) -> Refusal {
    Refusal {
        code: "malformed_jsonl",
        reason: format!("line {line}: {problem}; every line must be a JSON object with a non-empty string \"text\""),
        media_type: Format::Jsonl.media_type(),
        parser: Format::Jsonl.parser(),
    }
}
