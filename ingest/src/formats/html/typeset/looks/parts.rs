//! What KaTeX and MathJax call the parts of a formula.

use crate::formats::html::style::{self, Style};
use crate::formats::html::tree::Element;

/// How parts stand that are shifted within one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One below the other, for whatever reason.
    Lines,
    Fraction,
    /// Exponents and indices, to what is written before them.
    Scripts,
    /// A base, then the same.
    BaseAndScripts,
    /// What is under a root, and the root's sign.
    Root,
}

/// Whether an element has a name, as its own or as a class: `mjx-sup` (MathJax 3; 2 with its CommonHTML), `mn` (2).
pub(super) fn is(element: &Element, name: &str) -> bool {
    let has = |full: &str| full.strip_prefix("mjx-").unwrap_or(full) == name;
    has(element.html_name()) || classes(element).any(has)
}

fn classes(element: &Element) -> impl Iterator<Item = &str> {
    element.attribute("class").unwrap_or_default().split_ascii_whitespace()
}

/// The sign of an element that is raised or lowered by its name, or by its style in a word: lengths shift much that is neither.
pub(super) fn sign_of(element: &Element) -> Option<&'static str> {
    let (raised, lowered) = (is(element, "sup"), is(element, "sub"));
    let attribute = element.attribute("style");
    let style = Style::of(attribute);
    let by_word = || ["vertical-align", "top", "bottom"].iter().all(|property| style::length(attribute, property).is_none());
    match (raised || style.raised, lowered || style.lowered) {
        (false, false) => None,
        _ if !(raised || lowered || by_word()) => None,
        (is_raised, _) => Some(if is_raised { "^" } else { "_" }),
    }
}

/// How the parts of an element stand, by its name. KaTeX: `mfrac`, `msupsub` beside its base, `sqrt`; MathJax 2: `msubsup` around it.
pub(super) fn layout_of(element: &Element) -> Option<Layout> {
    let any = |names: &[&str]| names.iter().any(|name| is(element, name));
    if any(&["mfrac"]) {
        Some(Layout::Fraction)
    } else if any(&["msupsub"]) {
        Some(Layout::Scripts)
    } else if any(&["msubsup", "msup", "msub"]) {
        Some(Layout::BaseAndScripts)
    } else {
        // In MathJax 3 `mjx-sqrt` is in `mjx-msqrt`.
        (element.has_class("sqrt") || any(&["msqrt", "mroot"])).then_some(Layout::Root)
    }
}

/// Whether an element stands apart from what is before it.
pub(super) fn is_spaced(element: &Element) -> bool {
    const SPACED: &[&str] = &["mspace", "over", "under", "row", "mtr", "mtd", "arraycolsep"];
    let pushed = |property| style::length(element.attribute("style"), property).is_some_and(|by| by > 0.0);
    SPACED.iter().any(|name| is(element, name))
        || element.attribute("space").is_some()
        || classes(element).any(|class| class.starts_with("MJXc-space"))
        || pushed("padding-left")
        || pushed("margin-left")
}

/// The character that an element of MathJax 3 draws: `mjx-c33` is a `3`.
pub(super) fn glyph(element: &Element) -> Option<char> {
    if element.html_name() != "mjx-c" {
        return None;
    }
    let codes = classes(element).filter_map(|class| class.strip_prefix("mjx-c"));
    codes.filter_map(|code| u32::from_str_radix(code, 16).ok()).find_map(char::from_u32)
}
