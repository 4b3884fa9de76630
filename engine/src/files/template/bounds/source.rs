//! A template's source, with the filter that measures put where it keeps a value.
//!
//! Tags are told from texts as the library's own reader does it, strings in them skipped; what is broken stays broken,
//! for the library to say.

use super::{KEPT, KEPT_BYTES_MAX, OPERATORS_MAX, REPETITIONS_MAX};

/// A template's source with its values measured, and the instructions that it may be run for.
pub(in crate::files::template) struct Bounded {
    pub(in crate::files::template) source: String,
    /// So many that the texts between tags, captured again and again, stay within the bounds.
    pub(in crate::files::template) fuel_max: u64,
}

struct Writer {
    out: String,
    /// What is being captured: the variable that a text is set to, or none for a macro.
    captures: Vec<Option<String>>,
    /// The longest text between two tags that is captured.
    captured_bytes: usize,
}

impl Bounded {
    /// # Errors
    /// A sentence, where the template uses what cannot be measured.
    pub(in crate::files::template) fn new(source: &str) -> Result<Self, String> {
        let mut writer = Writer { out: String::with_capacity(source.len() * 2), captures: Vec::new(), captured_bytes: 1 };
        let mut rest = source;
        while let Some((text, tag, after)) = next_tag(rest) {
            writer.text(text);
            rest = after;
            if tag.starts_with("{%") {
                writer.tag(tag)?;
                if Tag::read(tag).name == "raw" {
                    let end = after.find("endraw").unwrap_or(after.len());
                    let (raw, after) = after.split_at(end);
                    writer.text(raw);
                    rest = after;
                }
            } else {
                check_operators(tag)?;
                writer.out.push_str(tag);
            }
        }
        writer.text(rest);
        Ok(Self { fuel_max: (KEPT_BYTES_MAX / writer.captured_bytes) as u64, source: writer.out })
    }
}

impl Writer {
    fn text(&mut self, text: &str) {
        if !self.captures.is_empty() {
            self.captured_bytes = self.captured_bytes.max(text.len());
        }
        self.out.push_str(text);
    }

    fn tag(&mut self, text: &str) -> Result<(), String> {
        check_operators(text)?;
        let tag = Tag::read(text);
        match tag.name {
            "set" => match assignment(tag.rest) {
                Some((target, value)) => {
                    let (start, end) = (tag.start, tag.end);
                    self.out.push_str(&format!("{{%{start} set {target} = ({value}) | {KEPT} {end}%}}"));
                    return Ok(());
                }
                None => self.captures.push(Some(tag.rest.split('|').next().unwrap_or_default().trim().to_owned())),
            },
            "macro" => self.captures.push(None),
            "with" | "call" | "filter" | "autoescape" => {
                return Err(format!("it uses {{% {} %}}, which is not run", tag.name));
            }
            _ => {}
        }
        self.out.push_str(text);
        match tag.name {
            "for" => {
                let targets: String = tag.rest.split_whitespace().take_while(|word| *word != "in").collect();
                targets.split(',').for_each(|name| self.keep(name, tag.end));
            }
            "macro" => parameters(tag.rest).iter().for_each(|name| self.keep(name, tag.end)),
            "endset" | "endmacro" => {
                if let Some(Some(name)) = self.captures.pop() {
                    self.keep(&name, tag.end);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// After a tag that gave a variable its value.
    fn keep(&mut self, name: &str, end: &str) {
        let name = name.trim_matches(|character: char| character.is_whitespace() || "()".contains(character));
        if !name.is_empty() {
            self.out.push_str(&format!("{{% set {name} = {name} | {KEPT} {end}%}}"));
        }
    }
}

/// `{%- name rest -%}`
struct Tag<'a> {
    start: &'a str,
    name: &'a str,
    rest: &'a str,
    end: &'a str,
}

impl<'a> Tag<'a> {
    fn read(text: &'a str) -> Self {
        let inner = text.strip_prefix("{%").and_then(|inner| inner.strip_suffix("%}")).unwrap_or_default();
        let marker = |part: &'a str| if matches!(part, "-" | "+") { part } else { "" };
        let start = marker(inner.get(..1).unwrap_or_default());
        let inner = inner.get(start.len()..).unwrap_or_default();
        let end = marker(inner.len().checked_sub(1).and_then(|last| inner.get(last..)).unwrap_or_default());
        let inner = inner.get(..inner.len() - end.len()).unwrap_or_default().trim();
        let (name, rest) = inner.split_at(inner.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(inner.len()));
        Self { start, name, rest: rest.trim(), end }
    }
}

/// The text before the next tag, the tag, and what follows. Comments are left to the text. None where no tag is closed.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + source.get(from..)?.find('{')?;
        let tag = source.get(at..)?;
        let close = match tag.as_bytes().get(1) {
            Some(b'%') => "%}",
            Some(b'{') => "}}",
            Some(b'#') => {
                from = at + tag.find("#}")? + 2;
                continue;
            }
            _ => {
                from = at + 1;
                continue;
            }
        };
        let length =
            2 + code(tag.get(2..)?).find(|(at, depth)| *depth == 0 && tag.get(2 + at..).is_some_and(|rest| rest.starts_with(close)))?.0 + 2;
        return Some((source.get(..at)?, tag.get(..length)?, tag.get(length..)?));
    }
}

/// The bytes of an expression that are in no string, with how many braces and brackets are open before each.
fn code(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut quote = None;
    let mut escaped = false;
    let mut depth = 0_usize;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        match quote {
            Some(open) => {
                if escaped {
                    escaped = false;
                } else if byte == b'\\' {
                    escaped = true;
                } else if byte == open {
                    quote = None;
                }
                return None;
            }
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None => {}
        }
        let before = depth;
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        Some((at, before))
    })
}

fn check_operators(tag: &str) -> Result<(), String> {
    let inner = tag.get(2..).unwrap_or_default();
    let count = |wanted: &[u8]| code(inner).filter(|(at, _)| inner.as_bytes().get(*at).is_some_and(|byte| wanted.contains(byte))).count();
    if count(b"~+") > OPERATORS_MAX || count(b"*") > REPETITIONS_MAX {
        return Err(format!("one of its tags has more than {OPERATORS_MAX} signs that join texts, or {REPETITIONS_MAX} that repeat them"));
    }
    Ok(())
}

/// The two sides of an assignment; none where the tag begins a text that is set.
fn assignment(rest: &str) -> Option<(&str, &str)> {
    let (at, _) = code(rest).find(|(at, depth)| *depth == 0 && rest.as_bytes().get(*at) == Some(&b'='))?;
    Some((rest.get(..at)?.trim(), rest.get(at + 1..)?.trim()))
}

/// Names in `macro(a, b=[1, 2])`.
fn parameters(rest: &str) -> Vec<&str> {
    let list = rest.find('(').and_then(|at| rest.get(at + 1..)).unwrap_or_default();
    let list = list.trim_end().strip_suffix(')').unwrap_or(list);
    let mut ends: Vec<usize> =
        code(list).filter(|(at, depth)| *depth == 0 && list.as_bytes().get(*at) == Some(&b',')).map(|(at, _)| at).collect();
    ends.push(list.len());
    let mut start = 0;
    let mut names = Vec::new();
    for end in ends {
        let parameter = list.get(start..end).unwrap_or_default();
        names.push(parameter.split('=').next().unwrap_or_default().trim());
        start = end + 1;
    }
    names
}
