//! Plain text and Markdown: the text is the file, verbatim.

use super::{Format, Parsed, SourceMap, bom_len, tidy_title};

/// Longest stretch in which a Markdown title is looked for.
const TITLE_SEARCH_BYTES: usize = 16 << 10;

pub(super) fn parse(format: Format, source: &str) -> Parsed {
    let start = bom_len(source);
    let text = source.get(start..).unwrap_or_default().to_owned();
    let mut map = SourceMap::default();
    map.push_verbatim(0, start, text.len());
    let title = if format == Format::Markdown { markdown_title(&text) } else { None };
    let sections = std::iter::once(0..text.len()).collect();
    Parsed { format, title, text, map, sections }
}

/// The first first-level heading (`# Title`).
fn markdown_title(text: &str) -> Option<String> {
    let searched = text.get(..text.floor_char_boundary(TITLE_SEARCH_BYTES)).unwrap_or_default();
    let heading = searched.lines().find_map(|line| line.strip_prefix("# "))?;
    tidy_title(heading.trim().trim_end_matches('#'))
}
