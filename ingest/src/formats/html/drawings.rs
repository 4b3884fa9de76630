//! SVG: the labels of a drawing are read, one to a line; where they stand in it is not told.

use super::tree::Element;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The drawing itself.
    Drawing,
    /// A label.
    Label,
    /// A part of a label, at a place of its own.
    Part,
    Group,
    /// Not drawn: descriptions, definitions, scripts.
    Hidden,
}

pub(super) fn kind(element: &Element) -> Kind {
    let is = |name, value| element.attribute(name).is_some_and(|have| have.trim() == value);
    if is("display", "none") || is("visibility", "hidden") || is("opacity", "0") {
        return Kind::Hidden;
    }
    match &*element.name.local {
        "svg" => Kind::Drawing,
        "text" => Kind::Label,
        "tspan" | "textPath" | "textpath" => Kind::Part,
        "title" | "desc" | "metadata" | "defs" | "symbol" | "style" | "script" | "clipPath" | "clippath" | "mask" | "pattern"
        | "marker" => Kind::Hidden,
        _ => Kind::Group,
    }
}
