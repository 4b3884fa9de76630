//! MathML as a line of text: `10^3`, `(a + b)/c`, `x_1`, `√(2)`. Neighbours are kept apart where they would be
//! read as one number or name; what has no such form marks the text.

use super::strings::Piece;
use super::tree::{Data, Element, NodeId, Tree, is_math};
use super::writer::Writer;
use crate::formats::FORMULA;

/// Deeper formulas are written as their text, and marked.
const MAX_DEPTH: usize = 64;

/// Writes a formula into the flow of text.
pub(super) fn write(tree: &Tree, id: NodeId, writer: &mut Writer) {
    let start = writer.text.len();
    let mut formula = Formula { tree, writer, last: Last::Start, exact: true };
    formula.element(id, 0);
    let exact = formula.exact;
    if !exact {
        writer.mark(start, FORMULA);
    }
}

/// Writes a formula as it is spelled; of MathML the text alone.
pub(super) fn write_source(pieces: &[Piece], writer: &mut Writer) {
    let chars = pieces.iter().flat_map(|piece| piece.text.chars());
    let is_mathml = chars.skip_while(|c| c.is_whitespace()).take("<math".len()).eq("<math".chars());
    let mut in_tag = false;
    for piece in pieces {
        let mut start = 0;
        for (at, sign) in piece.text.match_indices(['<', '>']).filter(|_| is_mathml) {
            if !in_tag {
                writer.push(&piece.part(start..at), false);
                writer.gap();
            }
            in_tag = sign == "<";
            start = at + 1;
        }
        if !in_tag {
            writer.push(&piece.part(start..piece.text.len()), false);
        }
    }
}

/// What was written last, which decides what may follow at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing, or something after which a minus is a sign.
    Start,
    Number,
    Name,
    /// A closed group.
    Closed,
}

struct Formula<'a, 'w> {
    tree: &'a Tree,
    writer: &'w mut Writer,
    last: Last,
    /// Whether all of it has a form in a line.
    exact: bool,
}

impl Formula<'_, '_> {
    fn element(&mut self, id: NodeId, depth: usize) {
        let tree = self.tree;
        let Some(element) = tree.element(id) else { return };
        if depth > MAX_DEPTH {
            self.exact = false;
            return;
        }
        let parts = parts(tree, id);
        let all = parts.as_slice();
        match (&*element.name.local, all) {
            ("mn" | "mi" | "mo", [first, ..]) if is_wrapped(tree, *first) => {
                all.iter().for_each(|part| self.element(*part, depth + 1));
            }
            ("mn", _) => self.token(id, Last::Number),
            ("mi" | "mtext" | "ms", _) => self.token(id, Last::Name),
            ("mo", _) => self.operator(id),
            ("mspace", _) => self.writer.gap(),
            ("mphantom" | "annotation" | "annotation-xml" | "maligngroup" | "malignmark" | "none" | "mprescripts", _) => {}
            ("semantics" | "maction", [shown, ..]) => self.element(*shown, depth + 1),
            ("mfrac", [over, under]) => self.fraction(element, *over, *under, depth),
            ("msup", [base, power]) => self.scripts(*base, &[("^", *power)], depth),
            ("msub", [base, index]) => self.scripts(*base, &[("_", *index)], depth),
            ("msubsup", [base, index, power]) => self.scripts(*base, &[("_", *index), ("^", *power)], depth),
            ("munder", [base, under]) if self.has_limits(*base, *under) => self.scripts(*base, &[("_", *under)], depth),
            ("mover", [base, over]) if self.has_limits(*base, *over) => self.scripts(*base, &[("^", *over)], depth),
            ("munder", [base, under]) => self.stacked(" below ", *under, *base, depth),
            ("mover", [base, over]) => self.stacked(" above ", *over, *base, depth),
            ("munderover", [base, under, over]) => {
                self.exact &= self.has_limits(*base, *under);
                self.scripts(*base, &[("_", *under), ("^", *over)], depth);
            }
            ("msqrt", _) => self.root(None, all, depth),
            ("mroot", [base, index]) => self.root(Some(*index), &[*base], depth),
            ("mfenced", _) => self.fenced(element, all, depth),
            ("mtable", _) => self.list("[", "; ", "]", all, depth),
            ("mtr" | "mlabeledtr", _) => self.list("", ", ", "", all, depth),
            ("mpadded", _)
                if element.attribute("voffset").is_some() || element.attribute("lspace").is_some_and(|by| by.starts_with('-')) =>
            {
                // Moved to where it is read as something else.
                self.exact = false;
                self.writer.gap();
                all.iter().for_each(|part| self.element(*part, depth + 1));
                self.writer.gap();
            }
            ("math" | "mrow" | "mstyle" | "mpadded" | "merror" | "mtd", _) => all.iter().for_each(|part| self.element(*part, depth + 1)),
            _ => {
                self.exact = false;
                all.iter().for_each(|part| self.element(*part, depth + 1));
                self.text_of_html(id);
            }
        }
    }

    /// A number or a name. Two of a kind are not one.
    fn token(&mut self, id: NodeId, kind: Last) {
        let glued = match (self.last, kind) {
            (Last::Number, Last::Number) | (Last::Name, Last::Number) => true,
            (Last::Name | Last::Closed, Last::Name) => length(self.tree, id) > 1,
            _ => false,
        };
        if glued {
            self.writer.gap();
        }
        self.text(id);
        self.last = if kind == Last::Name && length(self.tree, id) > 1 { Last::Closed } else { kind };
        if self.last == Last::Closed {
            self.writer.close_word();
        }
    }

    fn operator(&mut self, id: NodeId) {
        let text: String = own_text(self.tree, id);
        let sign = text.trim();
        match sign {
            // Function application and invisible signs.
            "" | "\u{2061}" | "\u{2063}" => {}
            "\u{2062}" | "\u{2064}" => self.writer.gap(),
            "(" | "[" | "{" | "|" | "⌊" | "⌈" | "⟨" => {
                self.text(id);
                self.last = Last::Start;
            }
            ")" | "]" | "}" | "⌋" | "⌉" | "⟩" | "!" | "%" | "′" | "°" => {
                self.writer.join();
                self.text(id);
                self.last = Last::Closed;
            }
            "," | ";" | ":" | "." => {
                self.text(id);
                if sign != "." {
                    self.writer.gap();
                }
                self.last = Last::Start;
            }
            "/" => {
                self.text(id);
                self.last = Last::Start;
            }
            // A sign where nothing stands before it, else an operation.
            _ if self.last == Last::Start => self.text(id),
            _ => {
                self.writer.gap();
                self.text(id);
                self.writer.gap();
                self.last = Last::Start;
            }
        }
    }

    fn fraction(&mut self, element: &Element, over: NodeId, under: NodeId, depth: usize) {
        // 1½ is not 11/2, whether the 1 is the formula's or stands before it.
        if matches!(self.last, Last::Number | Last::Closed) || self.writer.last().is_some_and(char::is_alphanumeric) {
            self.writer.gap();
        }
        let stacked = element.attribute("linethickness").is_some_and(|line| line.trim().starts_with('0'));
        if stacked {
            return self.list("(", " over ", ")", &[over, under], depth);
        }
        self.operand(over, depth);
        self.writer.closing_sign("/");
        self.operand(under, depth);
        self.last = Last::Closed;
        self.writer.close_word();
    }

    /// Whether what stands over or under a base bounds it (∑, lim) or is its accent.
    fn has_limits(&self, base: NodeId, other: NodeId) -> bool {
        let (base, other) = (core(self.tree, base), core(self.tree, other));
        let is = |id, name| self.tree.element(id).is_some_and(|element| &*element.name.local == name);
        let text = own_text(self.tree, base);
        let sign = text.trim();
        let is_word = sign.chars().count() > 1 && sign.chars().all(char::is_alphabetic);
        is_word || (!sign.is_empty() && "∑∏∐∫∬∭∮⋃⋂⋁⋀⨁⨂⨀".contains(sign)) || (is(other, "mo") && !is(base, "mn"))
    }

    /// What stands over or under something else, which is no exponent.
    fn stacked(&mut self, place: &str, other: NodeId, base: NodeId, depth: usize) {
        self.exact = false;
        if self.last != Last::Start || self.writer.last().is_some_and(char::is_alphanumeric) {
            self.writer.gap();
        }
        self.list("(", place, ")", &[other, base], depth);
        self.writer.close_word();
    }

    /// A base with what stands raised and lowered beside it.
    fn scripts(&mut self, base: NodeId, scripts: &[(&'static str, NodeId)], depth: usize) {
        self.operand(base, depth);
        for (sign, script) in scripts {
            if length(self.tree, *script) == 0 {
                continue;
            }
            self.writer.join();
            self.writer.closing_sign(sign);
            self.operand(*script, depth);
        }
        self.last = Last::Closed;
        self.writer.close_word();
    }

    /// A part in brackets unless it is one token, or a number with its sign.
    fn operand(&mut self, id: NodeId, depth: usize) {
        if is_simple(self.tree, id, depth) {
            if self.last == Last::Number || (self.last == Last::Name && length(self.tree, id) > 1) {
                let after_script = self.writer.last().is_some_and(|c| matches!(c, '^' | '_' | '/'));
                if !after_script {
                    self.writer.gap();
                }
            }
            self.last = Last::Start;
            self.element(id, depth + 1);
        } else {
            self.list("(", "", ")", &[id], depth);
        }
    }

    fn root(&mut self, index: Option<NodeId>, parts: &[NodeId], depth: usize) {
        self.writer.sign("√");
        if let Some(index) = index {
            self.list("[", "", "]", &[index], depth);
        }
        self.list("(", "", ")", parts, depth);
    }

    fn fenced(&mut self, element: &Element, parts: &[NodeId], depth: usize) {
        let own = |name: &str, usual: &str| element.attribute(name).unwrap_or(usual).trim().to_owned();
        let separator = own("separators", ",").chars().next().map(|c| format!("{c} ")).unwrap_or_default();
        self.list(&own("open", "("), &separator, &own("close", ")"), parts, depth);
    }

    fn list(&mut self, open: &str, separator: &str, close: &str, parts: &[NodeId], depth: usize) {
        if !open.is_empty() {
            self.writer.sign(open);
        }
        for (at, part) in parts.iter().enumerate() {
            if at > 0 && !separator.is_empty() {
                self.writer.join();
                self.writer.closing_sign(separator);
            }
            self.last = Last::Start;
            self.element(*part, depth + 1);
        }
        self.writer.join();
        self.writer.closing_sign(close);
        self.last = Last::Closed;
    }

    /// Writes the text of a token, without white space around it.
    fn text(&mut self, id: NodeId) {
        for child in self.tree.children(id) {
            match self.tree.node(*child).map(|node| &node.data) {
                Some(Data::Text(pieces)) => {
                    for piece in pieces {
                        let trimmed = piece.text.trim_matches(|c: char| c.is_ascii_whitespace());
                        let start = piece.text.len() - piece.text.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
                        self.writer.push(&piece.part(start..start + trimmed.len()), false);
                    }
                }
                Some(Data::Element(_)) => self.text_of_html(*child),
                _ => {}
            }
        }
    }

    /// Writes all text under an element of another kind.
    fn text_of_html(&mut self, id: NodeId) {
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            if let Some(Data::Text(pieces)) = self.tree.node(at).map(|node| &node.data) {
                pieces.iter().for_each(|piece| self.writer.push(piece, false));
            }
            open.extend(
                self.tree
                    .children(at)
                    .iter()
                    .rev()
                    .filter(|child| self.tree.element(**child).is_none_or(|element| !is_math(&element.name.ns))),
            );
        }
    }
}

/// The elements in an element.
fn parts(tree: &Tree, id: NodeId) -> Vec<NodeId> {
    tree.children(id).iter().copied().filter(|child| tree.element(*child).is_some()).collect()
}

fn own_text(tree: &Tree, id: NodeId) -> String {
    let mut text = String::new();
    for child in tree.children(id) {
        if let Some(Data::Text(pieces)) = tree.node(*child).map(|node| &node.data) {
            pieces.iter().for_each(|piece| text.push_str(&piece.text));
        }
    }
    text
}

/// Whether a part in a token is a formula: KaTeX wraps those of `\overset` so, and HTML takes them for its own.
fn is_wrapped(tree: &Tree, id: NodeId) -> bool {
    const NAMES: &[&str] = &["mover", "munder", "munderover", "mrow", "mstyle", "mpadded", "mn", "mi", "mo", "msup", "msub", "mfrac"];
    tree.element(id).is_some_and(|part| NAMES.contains(&&*part.name.local))
}

/// What is in elements that hold it alone.
fn core(tree: &Tree, mut id: NodeId) -> NodeId {
    for _ in 0..MAX_DEPTH {
        match parts(tree, id).as_slice() {
            [only] => id = *only,
            _ => break,
        }
    }
    id
}

/// Characters of a token; of anything else more than one.
fn length(tree: &Tree, id: NodeId) -> usize {
    if parts(tree, id).is_empty() { own_text(tree, id).trim().chars().count() } else { 2 }
}

/// Whether a part is one token, in whatever it is wrapped.
fn is_simple(tree: &Tree, id: NodeId, depth: usize) -> bool {
    let Some(element) = tree.element(id) else { return true };
    let parts = parts(tree, id);
    match (&*element.name.local, parts.as_slice()) {
        ("mn" | "mi" | "mo" | "mtext", []) | ("mtext" | "mphantom" | "none", _) => true,
        ("mn" | "mi" | "mo" | "mrow" | "mstyle" | "mpadded" | "semantics" | "mtd", [only]) if depth < MAX_DEPTH => {
            is_simple(tree, *only, depth + 1)
        }
        // −9
        ("mrow" | "mstyle" | "mpadded", [sign, number]) => {
            let is = |id: NodeId, name| tree.element(id).is_some_and(|element| &*element.name.local == name);
            is(*sign, "mo") && is(*number, "mn") && matches!(own_text(tree, *sign).trim(), "-" | "−" | "+")
        }
        _ => false,
    }
}
