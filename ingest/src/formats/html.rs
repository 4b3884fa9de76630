//! HTML and XHTML: what a reader sees of a page, as paragraphs. Scripts, styles, navigation and hidden
//! elements are left out; entities are decoded; white space is collapsed except in `<pre>`.
//!
//! The tree is HTML's own (html5ever's tree builder over html5gum's tokens, which know their bytes), so that
//! what is hidden hides itself and nothing else, however its tags are written. Work is bounded: by the depth
//! of the tree, and by the elements that a tag can make.

mod builders;
mod drawings;
mod elements;
mod fields;
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
mod writer;

use html5ever::tree_builder::TreeBuilderOpts;
use html5gum::State;

use super::{Format, Parsed, Refusal, bom_len, tidy_title};
use reader::Reader;
use tree::{Data, NodeId, TooMuch, Tree};

/// How a page says what its tags mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Html,
    /// XHTML: what is closed is closed, and nothing is implied.
    Xml,
}

pub(super) fn parse(source: &str, syntax: Syntax) -> Result<Parsed, Refusal> {
    let tree = build(source, syntax).map_err(too_much)?;
    let mut reader = Reader::new(source, &tree);
    reader.read();
    let Reader { writer, heading, .. } = reader;
    let heading = heading.and_then(|(from, to)| writer.text.get(from..to?).and_then(tidy_title));
    let title = title(&tree).as_deref().and_then(tidy_title).or(heading);
    let sections = std::iter::once(0..writer.text.len()).collect();
    Ok(Parsed { format: Format::Html, title, text: writer.text, map: writer.map, bytes: None, marks: writer.marks, sections })
}

fn build(source: &str, syntax: Syntax) -> Result<Tree, TooMuch> {
    let start = bom_len(source);
    if syntax == Syntax::Xml {
        let mut xml = builders::Xml::new();
        tokens::run(source, start, State::Data, &mut xml);
        if let Some(tree) = xml.finish()? {
            return Ok(tree);
        }
    }
    let mut html = builders::Html::new(TreeBuilderOpts::default());
    tokens::run(source, start, State::Data, &mut html);
    html.finish()
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

fn too_much(problem: TooMuch) -> Refusal {
    let reason = match problem {
        TooMuch::Depth => format!("the page nests elements more than {} deep; flatten it, or save its text", tree::MAX_DEPTH),
        TooMuch::Nodes => {
            "the page's formatting tags are left open so often that it grows beyond bounds; close them, or save its text".to_owned()
        }
    };
    Refusal { code: "too_complex", reason, media_type: Format::Html.media_type(), parser: Format::Html.parser() }
}

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;
