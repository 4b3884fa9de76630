//! HTML and XHTML: what a reader sees of a page, as paragraphs. Scripts, styles, navigation and hidden
//! elements are left out; entities are decoded; white space is collapsed except in `<pre>`.
//!
//! The tree is HTML's own (html5ever's tree builder over html5gum's tokens, which know their bytes), so that
//! what is hidden hides itself and nothing else, however its tags are written. Work is bounded: by the depth
//! of the tree, by the elements that a tag can make, and by the attributes and different names that a page has.

mod builders;
mod drawings;
mod elements;
mod fields;
mod instructions;
mod lists;
mod math;
mod reader;
mod scripts;
mod sink;
mod strings;
mod style;
mod tables;
mod tokens;
mod tree;
mod typeset;
mod writer;

use std::ops::Range;

use html5ever::tree_builder::TreeBuilderOpts;
use html5gum::State;

use super::{Format, IMAGE_TEXT, Marks, ParseError, Parsed, Refusal, bom_len, tidy_title};
use crate::progress::{Progress, Stopped};
use reader::Reader;
use tree::{Data, NodeId, TooMuch, Tree};
use writer::Writer;

/// How a page says what its tags mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Html,
    /// XHTML: what is closed is closed, and nothing is implied.
    Xml,
}

pub(super) fn parse(source: &str, syntax: Syntax, progress: &Progress) -> Result<Parsed, ParseError> {
    let tree = match build(source, syntax, progress)? {
        Ok(tree) => tree,
        Err(unread) => return Err(refusal(unread).into()),
    };
    let mut reader = Reader::new(source, &tree);
    reader.read(progress)?;
    let title = title(&tree).as_deref().and_then(tidy_title).or_else(|| heading(&reader));
    let Reader { writer, .. } = reader;
    let sections = std::iter::once(0..writer.text.len()).collect();
    Ok(Parsed { format: Format::Html, title, text: writer.text, map: writer.map, bytes: None, marks: Marks::of(writer.marks), sections })
}

/// HTML that stands in another document.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    /// What a reader sees of it, without what stands for images.
    pub text: String,
    /// Its first heading of the first level.
    pub heading: Option<String>,
}

/// Reads HTML that stands in another document; nothing of what asks for too much.
pub(super) fn fragment(source: &str) -> Fragment {
    let progress = Progress::default();
    let Ok(Ok(tree)) = build(source, Syntax::Html, &progress) else { return Fragment::default() };
    let mut reader = Reader::new(source, &tree);
    if reader.read(&progress).is_err() {
        return Fragment::default();
    }
    let all = 0..reader.writer.text.len();
    Fragment { text: without_images(&reader.writer, all), heading: heading(&reader) }
}

/// The first heading that says something. What stands for an image in it counts where it says nothing else.
fn heading(reader: &Reader<'_>) -> Option<String> {
    let (from, to) = reader.heading?;
    let range = from..to?;
    tidy_title(&without_images(&reader.writer, range.clone())).or_else(|| tidy_title(reader.writer.text.get(range)?))
}

/// A range of a page's text without what stands in it for images.
fn without_images(writer: &Writer, range: Range<usize>) -> String {
    let images = writer.marks.iter().filter(|mark| mark.flag == IMAGE_TEXT && !mark.range.is_empty()).map(|mark| &mark.range);
    let (mut text, mut at) = (String::new(), range.start);
    for image in images.filter(|image| image.start >= range.start && image.end <= range.end) {
        text.push_str(writer.text.get(at..image.start).unwrap_or_default());
        text.push(' ');
        at = image.end.max(at);
    }
    text.push_str(writer.text.get(at..range.end).unwrap_or_default());
    text
}

/// Why a page is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    TooMuch(TooMuch),
    /// Its tags do not match at this byte, and it cannot be HTML.
    NotXml(usize),
    /// It declares entities of its own from this byte on.
    Entities(usize),
}

fn build(source: &str, syntax: Syntax, progress: &Progress) -> Result<Result<Tree, Unread>, Stopped> {
    let start = bom_len(source);
    if syntax == Syntax::Xml {
        if let Some(at) = internal_subset(source) {
            return Ok(Err(Unread::Entities(at)));
        }
        let mut xml = builders::Xml::new();
        tokens::run(&instructions::closed(source), start, State::Data, &mut xml, progress)?;
        if let Some(decided) = xml.finish(source.len()).transpose() {
            return Ok(decided);
        }
    }
    let mut html = builders::Html::new(TreeBuilderOpts::default());
    tokens::run(source, start, State::Data, &mut html, progress)?;
    Ok(html.finish().map_err(Unread::TooMuch))
}

/// Where declarations start in the document type of a page that is XML.
fn internal_subset(source: &str) -> Option<usize> {
    let mut at = bom_len(source);
    loop {
        let rest = source.get(at..)?;
        let past = |end: &str| rest.find(end).map(|found| found + end.len());
        at += match rest.chars().next()? {
            c if c.is_whitespace() => c.len_utf8(),
            _ if rest.starts_with("<?") => past("?>")?,
            _ if rest.starts_with("<!--") => past("-->")?,
            _ if rest.starts_with("<!") => {
                // Identifiers are quoted.
                let mut quote = None;
                let end = rest.char_indices().find(|(_, c)| {
                    match (quote, c) {
                        (Some(open), c) if open == *c => quote = None,
                        (None, '"' | '\'') => quote = Some(*c),
                        (None, '[' | '>') => return true,
                        _ => {}
                    }
                    false
                });
                return end.filter(|(_, c)| *c == '[').map(|(offset, _)| at + offset);
            }
            _ => return None,
        };
    }
}

/// The text of the page's first title.
fn title(tree: &Tree) -> Option<String> {
    let mut open = vec![Tree::DOCUMENT];
    while let Some(at) = open.pop() {
        if tree.element(at).is_some_and(|element| element.html_name() == "title") {
            return Some(text(tree, at));
        }
        open.extend(tree.children(at).iter().rev());
    }
    None
}

fn text(tree: &Tree, id: NodeId) -> String {
    let pieces = tree.children(id).iter().filter_map(|child| match &tree.node(*child)?.data {
        Data::Text(pieces) => Some(pieces),
        _ => None,
    });
    pieces.flatten().map(|piece| piece.text.as_str()).collect()
}

fn refusal(problem: Unread) -> Refusal {
    let (code, reason) = match problem {
        Unread::TooMuch(TooMuch::Depth) => {
            ("too_complex", format!("the page nests elements more than {} deep; flatten it, or save its text", tree::MAX_DEPTH))
        }
        Unread::TooMuch(TooMuch::Nodes) => (
            "too_complex",
            "the page's formatting tags are left open so often that it grows beyond bounds; close them, or save its text".to_owned(),
        ),
        Unread::TooMuch(TooMuch::Attributes) => (
            "too_complex",
            format!(
                "a tag of the page has more than {} attributes; leave out those that say nothing, or save its text",
                tokens::MAX_ATTRIBUTES
            ),
        ),
        Unread::TooMuch(TooMuch::Names) => (
            "too_complex",
            format!(
                "the page has more than {} different names of elements and attributes; leave out those that say nothing, or save its text",
                tokens::MAX_NAMES
            ),
        ),
        Unread::NotXml(at) => {
            ("malformed_xml", format!("the page is XHTML, but not well-formed XML at byte {at}; make its tags match, or save it as HTML"))
        }
        Unread::Entities(at) => (
            "malformed_xml",
            format!("the page's document type has declarations of its own (byte {at}), which are not read; write its entities out"),
        ),
    };
    Refusal { code, reason, media_type: Format::Html.media_type(), parser: Format::Html.parser() }
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
