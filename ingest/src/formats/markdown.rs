//! Markdown: the text is the file, verbatim. Its title is the one that a reader of the page sees.

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};

use super::{Format, Marks, Parsed, text, tidy_title};

/// Longest stretch in which a title is looked for.
const SEARCHED_BYTES: usize = 16 << 10;

pub(super) fn parse(source: &str) -> Parsed {
    let (text, map) = text::verbatim(source);
    let title = title(&text);
    let sections = std::iter::once(0..text.len()).collect();
    Parsed { format: Format::Markdown, title, text, map, bytes: None, marks: Marks::default(), sections }
}

/// The title that front matter gives, else the first heading of the first level (CommonMark: `# Title`, or a
/// line over `===`), else the heading that the text begins with.
fn title(text: &str) -> Option<String> {
    let searched = text.get(..text.floor_char_boundary(SEARCHED_BYTES)).unwrap_or_default();
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let (mut opening, mut first) = (None, None);
    let mut begun = false;
    // The heading or front matter that is being read.
    let mut open: Option<String> = None;
    // Lists and quotes that are open: a heading in them is not the page's.
    let mut nested = 0_usize;
    for event in Parser::new_ext(searched, options) {
        match event {
            Event::Start(Tag::MetadataBlock(_)) => open = Some(String::new()),
            Event::End(TagEnd::MetadataBlock(kind)) => {
                let stated = open.take().and_then(|block| stated_title(&block, kind));
                if stated.is_some() {
                    return stated;
                }
            }
            Event::Start(Tag::Heading { level, .. }) if nested == 0 && (level == HeadingLevel::H1 || !begun) => open = Some(String::new()),
            Event::End(TagEnd::Heading(level)) => {
                let heading = open.take().and_then(|heading| tidy_title(&heading));
                let kept = if level == HeadingLevel::H1 { &mut first } else { &mut opening };
                *kept = kept.take().or(heading);
                begun = true;
            }
            Event::Start(Tag::Item | Tag::BlockQuote(_)) => (nested, begun) = (nested + 1, true),
            Event::End(TagEnd::Item | TagEnd::BlockQuote(_)) => nested = nested.saturating_sub(1),
            Event::Text(words) | Event::Code(words) if open.is_some() => open.as_mut().into_iter().for_each(|open| open.push_str(&words)),
            Event::SoftBreak | Event::HardBreak if open.is_some() => open.as_mut().into_iter().for_each(|open| open.push(' ')),
            Event::Start(Tag::Paragraph | Tag::CodeBlock(_) | Tag::Table(_)) | Event::Rule => begun = true,
            _ => {}
        }
        if first.is_some() {
            break;
        }
    }
    first.or(opening)
}

/// The value of `title` at the top level of front matter: YAML or TOML, on one line.
fn stated_title(block: &str, kind: MetadataBlockKind) -> Option<String> {
    let sign = match kind {
        MetadataBlockKind::YamlStyle => ':',
        MetadataBlockKind::PlusesStyle => '=',
    };
    let value = block.lines().find_map(|line| {
        let (name, value) = line.split_once(sign)?;
        (name.trim_end() == "title" || name.trim_end() == "\"title\"").then_some(value.trim())
    })?;
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.rsplit_once(quote)).map(|(inner, _)| inner);
    let value = match quoted('"').or_else(|| quoted('\'')) {
        Some(inner) => inner,
        // A value over several lines, or a reference, is not read.
        None if value.starts_with(['|', '>', '&', '*', '[', '{']) => return None,
        None => value.split(" #").next().unwrap_or_default(),
    };
    tidy_title(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_those_that_a_reader_sees() {
        for (text, expected) in [
            ("# Spruce *rules* ##\n", Some("Spruce rules")),
            ("```sh\n# install\n```\n\n# Tamarind rules\n", Some("Tamarind rules")),
            ("~~~\n# no\n~~~\n    # nor this\n\nTamarack rules\n==============\n", Some("Tamarack rules")),
            ("Two\nlines\n===\n", Some("Two lines")),
            ("---\ntitle: 'Front: matter'\n---\n\n# Heading\n", Some("Front: matter")),
            ("---\ntitle: Plain # comment\ndraft: true\n---\n", Some("Plain")),
            ("+++\ntitle = \"Pluses\"\n+++\n# Heading\n", Some("Pluses")),
            ("---\ndraft: true\n# comment\n---\n# Heading\n", Some("Heading")),
            ("<!--\n# hidden\n-->\n\n# Shown `code`\n", Some("Shown code")),
            ("> # quoted\n\n- # listed\n\n# Own\n", Some("Own")),
            ("## Only a second level\n\ntext\n", Some("Only a second level")),
            ("text\n\n## Later\n", None),
            ("#no heading\n\n\\# nor this\n", None),
            ("# \u{200b}\n# Second", Some("Second")),
            ("#\tTabbed\n", Some("Tabbed")),
            ("", None),
        ] {
            assert_eq!(title(text).as_deref(), expected, "{text:?}");
        }
    }
}
