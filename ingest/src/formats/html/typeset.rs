//! Formulas that a script has typeset (KaTeX, MathJax, wikis) or will: each is said once. What says it best is read: MathML, else
//! the source that stands beside it, else what is seen of it, else what is written for those who do not see it.

mod looks;

use super::elements;
use super::math;
use super::reader::{Reader, Step};
use super::strings::Piece;
use super::tree::{Data, Element, NodeId, Tree, is_math};
use crate::characters::is_hidden;
use crate::formats::{FORMULA, LEFT_OUT};
use looks::Glyphs;

/// Steps that are looked through for the next element.
const LOOKED_THROUGH: usize = 4;

/// Reads the formula in an element that typesets one: what else it holds is the same in glyphs and pictures. What is not
/// `seen` counts where it is MathML, for of that any part can be hidden.
pub(super) fn formula(reader: &mut Reader<'_>, id: NodeId, seen: bool) {
    let tree = reader.tree;
    if let Some(math) = find(tree, id, |element| is_math(&element.name.ns)) {
        math::write(tree, math, &mut reader.writer);
    } else if let Some(script) = find(tree, id, elements::is_formula_source) {
        source(reader, script);
    } else if !seen || source_follows(reader, id) {
        return reader.writer.gap();
    } else {
        let start = reader.writer.text.len();
        let wrote = looks::write(tree, id, Glyphs::Text, &mut reader.writer)
            || attribute(reader, id, "alt")
            || attribute(reader, id, "data-latex")
            || attribute(reader, id, "data-mathml")
            || attribute(reader, id, "aria-label")
            || looks::write(tree, id, Glyphs::Named, &mut reader.writer);
        reader.writer.mark(start, if wrote { FORMULA } else { LEFT_OUT });
    }
    reader.typeset = Some(reader.writer.text.len());
}

/// A formula as it is spelled, unless it stands typeset before.
pub(super) fn source(reader: &mut Reader<'_>, id: NodeId) {
    if reader.typeset == Some(reader.writer.text.len()) {
        return;
    }
    reader.writer.gap();
    let start = reader.writer.text.len();
    let tree = reader.tree;
    if let Some(Data::Text(pieces)) = tree.children(id).first().and_then(|text| tree.node(*text)).map(|node| &node.data) {
        math::write_source(pieces, &mut reader.writer);
    }
    reader.writer.mark(start, FORMULA);
    reader.writer.gap();
}

/// Whether an element shows a formula until the script that follows has typeset it.
pub(super) fn is_preview(reader: &Reader<'_>, element: &Element) -> bool {
    let Some(Step::Visit(next, _)) = reader.steps.last() else { return false };
    element.has_class("MathJax_Preview") && reader.tree.element(*next).is_some_and(elements::is_formula_source)
}

/// Whether a script follows that spells the formula: next to it, or to the box in which it stands in a line of its own.
fn source_follows(reader: &Reader<'_>, id: NodeId) -> bool {
    const BOXES: &[&str] = &["MathJax_Display", "MathJax_SVG_Display", "MJXc-display"];
    let tree = reader.tree;
    let parent = tree.node(id).and_then(|node| tree.element(node.parent?));
    let boxed = parent.is_some_and(|parent| BOXES.iter().any(|class| parent.has_class(class)));
    let is_blank = |id: NodeId| match tree.node(id).map(|node| &node.data) {
        Some(Data::Text(pieces)) => pieces.iter().all(|piece| piece.text.trim().is_empty()),
        _ => false,
    };
    let next = reader.steps.iter().rev().take(LOOKED_THROUGH).find(|step| match step {
        Step::Visit(next, _) => !is_blank(*next),
        Step::Close(_) => !boxed,
        _ => true,
    });
    matches!(next, Some(Step::Visit(next, _)) if tree.element(*next).is_some_and(elements::is_formula_source))
}

/// The first element in `id`, itself included, that is as wanted.
fn find(tree: &Tree, id: NodeId, wanted: impl Fn(&Element) -> bool) -> Option<NodeId> {
    let mut open = vec![id];
    while let Some(at) = open.pop() {
        if tree.element(at).is_some_and(&wanted) {
            return Some(at);
        }
        open.extend(tree.children(at).iter().rev());
    }
    None
}

/// Writes the first value of an attribute that says something; whether there is one.
fn attribute(reader: &mut Reader<'_>, id: NodeId, name: &str) -> bool {
    let says = |value: &str| value.chars().any(|c| !c.is_whitespace() && !is_hidden(c));
    let tree = reader.tree;
    let found = find(tree, id, |element| element.attribute(name).is_some_and(says));
    let Some(element) = found.and_then(|found| tree.element(found)) else { return false };
    let pieces = without_style(reader.value(element, name));
    reader.writer.gap();
    math::write_source(&pieces, &mut reader.writer);
    reader.writer.gap();
    true
}

/// TeX without the group in which wikis state its style: `{\displaystyle 10^{3}}`.
fn without_style(pieces: Vec<Piece>) -> Vec<Piece> {
    let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let opening = ["{\\displaystyle ", "{\\textstyle "].into_iter().find(|opening| whole.starts_with(opening));
    let Some((from, to)) = opening.map(str::len).zip(whole.trim_end().len().checked_sub(1)) else { return pieces };
    if from > to || closes_at(&whole) != Some(to) {
        return pieces;
    }
    let mut at = 0;
    let within = pieces.iter().filter_map(|piece| {
        let start = at;
        at += piece.text.len();
        let (start, end) = (from.max(start) - start, to.clamp(start, at) - start);
        (start < end).then(|| piece.part(start..end))
    });
    within.collect()
}

/// Where the group ends with which TeX begins.
fn closes_at(tex: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in tex.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth <= 1 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
