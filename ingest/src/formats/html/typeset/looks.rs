//! What is seen of a typeset formula, as a line: `10^3`, `x_1`, `1/2`. Where its parts stand is told by the names that KaTeX and
//! MathJax give them and by how far their styles shift them; what tells nothing is written in order, apart where it stands apart.

mod parts;

use crate::characters::is_hidden;
use crate::formats::html::drawings;
use crate::formats::html::elements::{self, Kind};
use crate::formats::html::scripts::Shifted;
use crate::formats::html::strings::Piece;
use crate::formats::html::style::{self, Style};
use crate::formats::html::tree::{Data, Element, NodeId, Tree, is_drawing};
use crate::formats::html::writer::Writer;
use parts::{Layout, is, is_spaced, layout_of, sign_of};

/// So much of a part is looked at to tell whether it is one word.
const LOOKED_AT_BYTES: usize = 64;

/// What is read of a formula.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glyphs {
    /// Its text.
    Text,
    /// Glyphs that style sheets draw, too: their elements name them (MathJax 3: `mjx-c33` is a `3`).
    Named,
}

/// Writes what is seen of the formula in `id`; whether that is anything.
pub(super) fn write(tree: &Tree, id: NodeId, glyphs: Glyphs, writer: &mut Writer) -> bool {
    let mut looks = Looks { tree, glyphs, writer, steps: vec![Step::Visit(id, Layout::Lines)] };
    if looks.text(id).is_empty() {
        return false;
    }
    while let Some(step) = looks.steps.pop() {
        match step {
            Step::Visit(id, layout) => looks.visit(id, layout),
            Step::Inside(id) => looks.inside(id, Layout::Lines),
            Step::Sign(sign) => looks.writer.sign(sign),
            Step::Join(sign) => {
                looks.writer.join();
                looks.writer.sign(sign);
            }
            Step::Gap => looks.gap(),
            Step::Close(shifted) => shifted.close(looks.writer),
        }
    }
    true
}

/// What is still to be done, last first.
#[derive(Debug, Clone, Copy)]
enum Step {
    Visit(NodeId, Layout),
    /// Visits what is in an element that has been visited.
    Inside(NodeId),
    Sign(&'static str),
    /// A sign at once after what is written.
    Join(&'static str),
    Gap,
    Close(Shifted),
}

struct Looks<'a, 'w> {
    tree: &'a Tree,
    glyphs: Glyphs,
    writer: &'w mut Writer,
    steps: Vec<Step>,
}

impl Looks<'_, '_> {
    fn visit(&mut self, id: NodeId, layout: Layout) {
        let tree = self.tree;
        match tree.node(id).map(|node| &node.data) {
            Some(Data::Text(pieces)) => {
                for piece in pieces.iter().filter(|piece| !piece.text.chars().all(is_hidden)) {
                    self.writer.push(piece, false);
                }
            }
            Some(Data::Element(element)) if is_seen(element) => self.element(id, element, layout),
            Some(Data::Element(_)) => self.gap(),
            _ => {}
        }
    }

    fn element(&mut self, id: NodeId, element: &Element, layout: Layout) {
        if let Some(glyph) = self.glyph(id, element) {
            let source = element.spans.iter().find(|(name, _)| name == "class").map_or(0..0, |(_, span)| span.clone());
            return self.writer.push(&Piece { text: glyph.to_string(), source, verbatim: false }, false);
        }
        if is_spaced(element) || (is(element, "mn") && self.writer.last().is_some_and(|c| c.is_ascii_digit())) {
            self.gap();
        }
        let own = layout_of(element);
        let inside = Step::Inside(id);
        if let Some(sign) = sign_of(element) {
            self.plan(self.script(sign, id, inside));
        } else if element.html_name() == "mjx-script" {
            self.plan(self.scripts_of(id));
        } else if is(element, "num") || is(element, "numerator") {
            self.begin_fraction();
            self.plan(self.operand(id, inside));
        } else if is(element, "den") || is(element, "denominator") {
            let under = self.operand(id, inside);
            self.plan(std::iter::once(Step::Join("/")).chain(under).collect());
        } else if is(element, "root") {
            self.plan(vec![Step::Sign("["), inside, Step::Join("]")]);
        } else if own == Some(Layout::Scripts) && !self.holds_shifted(id) {
            self.plan(self.script("^", id, inside));
        } else if own == Some(Layout::Root) {
            self.writer.sign("√(");
            self.steps.push(Step::Join(")"));
            self.inside(id, Layout::Root);
        } else {
            self.inside(id, own.unwrap_or(layout));
        }
    }

    /// Plans what is in an element: parts that are shifted as they stand, all else in order.
    fn inside(&mut self, id: NodeId, layout: Layout) {
        let shifted = self.shifted(id);
        // KaTeX has one for all that does not stand in the line.
        let is_list = layout != Layout::Root && self.tree.element(id).is_some_and(|element| element.has_class("vlist"));
        if shifted.len() > 1 || (!shifted.is_empty() && (is_list || layout == Layout::Scripts)) {
            return self.lay_out(shifted, layout);
        }
        let children = self.tree.children(id).iter().copied();
        let visit = |child| Step::Visit(child, layout);
        let steps = if is_list {
            children.filter(|child| !self.text(*child).is_empty()).flat_map(|child| [Step::Gap, visit(child), Step::Gap]).collect()
        } else {
            children.map(visit).collect()
        };
        self.plan(steps);
    }

    /// To be done next, first first.
    fn plan(&mut self, steps: Vec<Step>) {
        self.steps.extend(steps.into_iter().rev());
    }

    /// Plans parts that stand shifted: how far up, and what.
    fn lay_out(&mut self, mut parts: Vec<(f64, NodeId)>, layout: Layout) {
        let visit = |id| Step::Visit(id, Layout::Lines);
        let mut steps = Vec::new();
        let mut level = 0.0;
        if layout == Layout::BaseAndScripts {
            let (up, base) = parts.remove(0);
            (level, steps) = (up, vec![visit(base)]);
        }
        // From above to below; but an index is written before an exponent.
        match layout {
            Layout::Scripts | Layout::BaseAndScripts => parts.sort_by(|(one, _), (other, _)| one.total_cmp(other)),
            Layout::Fraction | Layout::Lines => parts.sort_by(|(one, _), (other, _)| other.total_cmp(one)),
            Layout::Root => parts.retain(|(_, id)| self.text(*id) != "√"),
        }
        if layout == Layout::Fraction {
            self.begin_fraction();
        }
        for (at, (up, id)) in parts.into_iter().enumerate() {
            match layout {
                Layout::Scripts | Layout::BaseAndScripts => steps.extend(self.script(if up < level { "_" } else { "^" }, id, visit(id))),
                Layout::Fraction => {
                    steps.extend((at > 0).then_some(Step::Join("/")));
                    steps.extend(self.operand(id, visit(id)));
                }
                Layout::Root | Layout::Lines => steps.extend([Step::Gap, visit(id), Step::Gap]),
            }
        }
        self.plan(steps);
    }

    /// A gap, but not after a sign to which what follows belongs.
    fn gap(&mut self) {
        if !self.writer.last().is_some_and(|c| matches!(c, '(' | '[' | '^' | '_' | '/')) {
            self.writer.gap();
        }
    }

    /// 1½ is not 11/2.
    fn begin_fraction(&mut self) {
        if self.writer.last().is_some_and(char::is_alphanumeric) {
            self.writer.gap();
        }
    }

    /// What writes a part that stands raised or lowered.
    fn script(&self, sign: &'static str, id: NodeId, visit: Step) -> Vec<Step> {
        match self.text(id) {
            text if text.is_empty() => Vec::new(),
            text if is_word(&text) => vec![Step::Join(sign), visit, Step::Close(Shifted::Word)],
            _ => vec![Step::Join(sign), Step::Sign("("), visit, Step::Close(Shifted::Group)],
        }
    }

    /// What writes a part of a fraction: in brackets, unless it is one word.
    fn operand(&self, id: NodeId, visit: Step) -> Vec<Step> {
        if is_word(&self.text(id)) {
            vec![visit, Step::Close(Shifted::Word)]
        } else {
            vec![Step::Sign("("), visit, Step::Close(Shifted::Group)]
        }
    }

    /// What writes what an element of MathJax 3 raises or lowers: the element around it tells which, or there are both, the raised above.
    fn scripts_of(&self, id: NodeId) -> Vec<Step> {
        let seen = self.tree.children(id).iter().copied().filter(|part| !self.text(*part).is_empty());
        let parts: Vec<NodeId> = seen.collect();
        let spacer = |part: &NodeId| self.tree.element(*part).is_some_and(|part| part.html_name() == "mjx-spacer");
        if let [raised, lowered] = parts.as_slice()
            && self.tree.children(id).iter().any(spacer)
        {
            let script = |sign, part| self.script(sign, part, Step::Visit(part, Layout::Lines));
            return [script("_", *lowered), script("^", *raised)].concat();
        }
        let around = self.tree.node(id).and_then(|node| self.tree.element(node.parent?)).map_or("", Element::html_name);
        self.script(if matches!(around, "mjx-msub" | "mjx-munder") { "_" } else { "^" }, id, Step::Inside(id))
    }

    /// The parts of an element, each with how far its style shifts it up; none where it holds anything else that is seen.
    fn shifted(&self, id: NodeId) -> Vec<(f64, NodeId)> {
        let children = self.tree.children(id);
        if !children.iter().any(|child| self.top(*child).is_some()) {
            return Vec::new();
        }
        let seen = children.iter().copied().filter(|child| !self.text(*child).is_empty());
        let shifts: Option<Vec<(f64, NodeId)>> = seen.map(|part| Some((self.shift(part)?, part))).collect();
        shifts.unwrap_or_default()
    }

    /// How far up a part is shifted. It stands on a strut, whose height is no shift.
    fn shift(&self, part: NodeId) -> Option<f64> {
        let struts = self.tree.children(part).iter().filter(|strut| self.text(**strut).is_empty());
        let heights = struts.filter_map(|strut| style::length(self.tree.element(*strut)?.attribute("style"), "height"));
        Some(-self.top(part)? - heights.fold(0.0, f64::max))
    }

    fn top(&self, id: NodeId) -> Option<f64> {
        style::length(self.tree.element(id)?.attribute("style"), "top")
    }

    /// Whether anything in an element is shifted.
    fn holds_shifted(&self, id: NodeId) -> bool {
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            if !self.shifted(at).is_empty() {
                return true;
            }
            open.extend(self.tree.children(at));
        }
        false
    }

    /// What a part shows, as far as it is looked at, without white space around it.
    fn text(&self, id: NodeId) -> String {
        let mut text = String::new();
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            match self.tree.node(at).map(|node| &node.data) {
                Some(Data::Text(pieces)) => {
                    pieces.iter().for_each(|piece| text.extend(piece.text.chars().filter(|c| !is_hidden(*c))));
                }
                Some(Data::Element(element)) if is_seen(element) => {
                    text.extend(self.glyph(at, element));
                    open.extend(self.tree.children(at).iter().rev());
                }
                _ => {}
            }
            if text.trim_start().len() > LOOKED_AT_BYTES {
                break;
            }
        }
        text.trim().to_owned()
    }

    /// The character that an empty element draws, where such are read.
    fn glyph(&self, id: NodeId, element: &Element) -> Option<char> {
        let drawn = self.glyphs == Glyphs::Named && self.tree.children(id).is_empty();
        if drawn { parts::glyph(element) } else { None }
    }
}

/// Whether an element is one that is seen. The sign of a root is written for its element.
fn is_seen(element: &Element) -> bool {
    let style = Style::of(element.attribute("style"));
    let hidden = elements::is_hidden(element, &style) || style.blank || style.visible == Some(false) || style.sized == Some(false);
    let described = is_drawing(&element.name.ns) && drawings::kind(element) == drawings::Kind::Hidden;
    !(hidden || described || elements::kind(element, &style) == Kind::Skipped || is(element, "surd"))
}

/// Whether a text is one word, or a number with its sign.
fn is_word(text: &str) -> bool {
    let number = text.trim_start_matches(['-', '−', '+']);
    let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    digits || text.chars().all(char::is_alphanumeric)
}
