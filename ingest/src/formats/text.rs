//! Plain text: the text is the file, verbatim; form feeds are line breaks.

use super::{Format, Marks, Parsed, SourceMap, bom_len};

pub(super) fn parse(source: &str) -> Parsed {
    let (text, map) = verbatim(source);
    let sections = std::iter::once(0..text.len()).collect();
    Parsed { format: Format::Text, title: None, text, map, bytes: None, marks: Marks::default(), sections }
}

/// The file past its byte order mark. What parts pages and lines and is no line break becomes one.
pub(super) fn verbatim(source: &str) -> (String, SourceMap) {
    let start = bom_len(source);
    let (mut text, mut map) = (String::with_capacity(source.len()), SourceMap::default());
    let mut rest = source.get(start..).unwrap_or_default();
    while !rest.is_empty() {
        let at = source.len() - rest.len();
        let run = rest.find(['\u{b}', '\u{c}', '\u{85}']).unwrap_or(rest.len());
        let (same, tail) = rest.split_at(run);
        if !same.is_empty() {
            map.push_verbatim(text.len(), at, same.len());
            text.push_str(same);
        }
        let Some(feed) = tail.chars().next() else { break };
        map.push_decoded(text.len()..text.len() + 1, at + run..at + run + feed.len_utf8());
        text.push('\n');
        rest = tail.get(feed.len_utf8()..).unwrap_or_default();
    }
    (text, map)
}
