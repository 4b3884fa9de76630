//! Markdown: the text is the file, verbatim. Its title is the one that a reader of the page sees.

mod front_matter;
mod inlines;

use std::collections::HashSet;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Format, Marks, Parsed, html, text, tidy_title};
use inlines::Inlines;

/// Longest stretch in which a title is looked for.
const SEARCHED_BYTES: usize = 16 << 10;

pub(super) fn parse(source: &str) -> Parsed {
    let (text, map) = text::verbatim(source);
    let title = title(&text);
    let sections = std::iter::once(0..text.len()).collect();
    Parsed { format: Format::Markdown, title, text, map, bytes: None, marks: Marks::default(), sections }
}

/// The title that front matter gives, else the first heading of the first level (CommonMark: `# Title`, a line over `===`,
/// or HTML's `<h1>`), else the heading that the text begins with.
fn title(text: &str) -> Option<String> {
    let searched = text.get(..text.floor_char_boundary(SEARCHED_BYTES)).unwrap_or_default();
    // A footnote can be defined beyond what is searched: the older syntax tells of each mark, whether or not it is.
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_OLD_FOOTNOTES;
    let mut search = Search { text, ..Search::default() };
    let found = Parser::new_ext(searched, options).find_map(|event| search.take(event));
    found.or(search.opening)
}

/// What is known of a text's title so far.
#[derive(Default)]
struct Search<'a> {
    text: &'a str,
    /// The heading that the text begins with.
    opening: Option<String>,
    /// Whether anything else came before.
    begun: bool,
    /// Lists and quotes that are open: a heading in them is not the page's.
    nested: usize,
    /// What is being read: a heading, front matter, HTML.
    heading: Option<Inlines>,
    metadata: Option<String>,
    block: Option<String>,
    /// An `<h1>` is open, and Markdown follows.
    in_h1: bool,
    footnotes: Option<HashSet<&'a str>>,
}

impl Search<'_> {
    /// Reads on; the title, where it is found.
    fn take(&mut self, event: Event<'_>) -> Option<String> {
        match event {
            Event::Start(Tag::MetadataBlock(_)) => self.metadata = Some(String::new()),
            Event::End(TagEnd::MetadataBlock(kind)) => return front_matter::title(&self.metadata.take()?, kind),
            Event::Text(words) if self.metadata.is_some() => self.metadata.as_mut()?.push_str(&words),
            Event::Start(Tag::HtmlBlock) => self.block = Some(String::new()),
            Event::Html(line) => self.block.as_mut()?.push_str(&line),
            Event::End(TagEnd::HtmlBlock) => {
                let block = self.block.take()?;
                return self.html(&block);
            }
            Event::Start(Tag::Heading { level, .. }) => {
                let counts = self.nested == 0 && (level == HeadingLevel::H1 || !self.begun);
                self.heading = counts.then(Inlines::default);
            }
            Event::End(TagEnd::Heading(level)) => {
                self.begun = true;
                let heading = self.heading.take()?.shown();
                if level == HeadingLevel::H1 {
                    return heading;
                }
                self.opening = self.opening.take().or(heading);
            }
            Event::Start(Tag::Item | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_)) => {
                (self.nested, self.begun) = (self.nested + 1, true)
            }
            Event::End(TagEnd::Item | TagEnd::BlockQuote(_) | TagEnd::FootnoteDefinition) => self.nested = self.nested.saturating_sub(1),
            Event::Start(Tag::Paragraph) => {
                self.heading = (self.in_h1 && self.nested == 0).then(Inlines::default);
                self.begun = true;
            }
            Event::End(TagEnd::Paragraph) => return self.heading.take()?.shown(),
            Event::Start(Tag::CodeBlock(_) | Tag::Table(_)) | Event::Rule => self.begun = true,
            Event::FootnoteReference(label) => {
                let text = self.text;
                let is_defined = self.footnotes.get_or_insert_with(|| footnotes(text)).contains(&*label);
                self.heading.as_mut()?.footnote(&label, is_defined);
            }
            inline => self.heading.as_mut()?.take(&inline),
        }
        None
    }

    /// Reads a block of HTML; the title, where it holds that.
    fn html(&mut self, block: &str) -> Option<String> {
        if self.nested > 0 {
            return None;
        }
        let shown = html::fragment(block);
        let lower = block.to_ascii_lowercase();
        // The block ends at an empty line, which the heading can go on after.
        self.in_h1 = lower.rfind("<h1").is_some_and(|open| lower.rfind("</h1").is_none_or(|close| close < open));
        if shown.heading.is_some() {
            return shown.heading;
        }
        if !shown.text.trim().is_empty() {
            let is_heading = ["<h2", "<h3", "<h4", "<h5", "<h6"].iter().any(|tag| lower.trim_start().starts_with(tag));
            if is_heading && !self.begun {
                self.opening = shown.text.split("\n\n").next().and_then(tidy_title);
            }
            self.begun = true;
        }
        None
    }
}

/// The labels of all footnotes that a text defines.
fn footnotes(text: &str) -> HashSet<&str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix("[^")?.split_once("]:")).map(|(label, _)| label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(title(text).as_deref(), expected, "{text:?}");
    }

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
            check(text, expected);
        }
    }

    #[test]
    fn headings_in_html_are_headings() {
        for (text, expected) in [
            ("<h1 align=\"center\">Spruce rules</h1>\n\n## Install\n\ntext\n", Some("Spruce rules")),
            (
                "<div align=center>\n  <img src=a.png alt=Logo>\n  <H1>\n    Spruce <em>rules</em>\n  </H1>\n</div>\n\n# Other\n",
                Some("Spruce rules"),
            ),
            ("<h1><img src=a.png alt='Spruce rules'></h1>\n\n# Other\n", Some("Spruce rules")),
            ("<h1><img src=a.png></h1>\n\n# Other\n", Some("Other")),
            ("<h1 align=center>\n\nSpruce **rules**\n\n</h1>\n\ntext\n\n## Install\n", Some("Spruce rules")),
            ("<div align=center>\n\n# Spruce rules\n\n</div>\n", Some("Spruce rules")),
            ("<h2>Spruce rules</h2>\n\n## Install\n", Some("Spruce rules")),
            ("<h2>Spruce rules</h2>\n\n# First\n", Some("First")),
            ("<h1 hidden>Spruce</h1>\n\n## Install\n", Some("Install")),
            ("- <h1>listed</h1>\n\n# Own\n", Some("Own")),
            // Words before a heading of another level are what the text begins with; what shows none are not.
            ("<p>Some words.</p>\n\n## Install\n", None),
            ("<!-- Some words. -->\n\n## Install\n", Some("Install")),
            ("<p><img src=a.png alt=Logo></p>\n\n## Install\n", Some("Install")),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn markup_in_a_heading_says_what_it_says() {
        for (text, expected) in [
            ("# 10<sup>3</sup> rules", Some("10^3 rules")),
            ("# H<sub>2</sub>O & a < b &lt; c", Some("H2O & a < b < c")),
            ("Foo<br>bar\\\nbaz\n===", Some("Foo bar baz")),
            ("Foo  \nbar\n===", Some("Foo bar")),
            ("# ![logo](a.png) Spruce rules", Some("Spruce rules")),
            ("# <img src=a.png alt=logo> Spruce rules", Some("Spruce rules")),
            ("# ![Spruce *\"rules\"*](a.png)", Some("Spruce \"rules\"")),
            ("# [![build](b.svg)](x) Spruce ![a](a.png)![b](b.png) rules", Some("Spruce rules")),
            ("# ~~Old~~ New rules", Some("New rules")),
            ("# ~~Old~~\n\n# New", Some("New")),
            ("# <del>Old</del> New <!-- not this --><span hidden>nor this</span>", Some("New")),
            ("# Title[^1]\n\ntext\n\n[^1]: Note.\n", Some("Title")),
            ("# Letters [^a-z]\n", Some("Letters [^a-z]")),
            ("[^1]: # Noted\n\n# Own\n", Some("Own")),
            ("# The <title> and <script> tags", Some("The <title> and <script> tags")),
            ("# [Spruce](x) `<b>` rules", Some("Spruce <b> rules")),
        ] {
            check(text, expected);
        }
        // defined beyond what is searched
        check(&format!("# Title[^1]\n\n{}\n\n[^1]: Note.\n", "word ".repeat(SEARCHED_BYTES)), Some("Title"));
    }
}
