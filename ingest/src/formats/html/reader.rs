//! Reads a tree as its reader does: what is shown, in order, with what its markup says about it.
//!
//! The walk keeps its own stack. What markup says that plain text cannot is written as signs (`^` before an
//! exponent, `|` between cells, a list's numbers) or marks the text.

use super::elements::{self, Kind};
use super::lists::List;
use super::strings::{self, Piece};
use super::style::Style;
use super::tables::{self, Grid};
use super::tree::{Data, Element, NodeId, Tree, is_drawing, is_math};
use super::writer::Writer;
use super::{drawings, fields, math, scripts};
use crate::formats::{DRAWING, IMAGE_TEXT, LEFT_OUT, REORDERED_TEXT, STRUCK_TEXT};

/// What an element's content inherits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub visible: bool,
    pub sized: bool,
    pub preformatted: bool,
    /// In a label of a drawing, or not in a drawing at all.
    pub labelled: bool,
    /// The list whose items these are.
    pub list: Option<usize>,
    quotes: usize,
    /// In a heading or a summary, where a button's words are the heading's.
    heading: bool,
}

/// What is still to be done, last first.
#[derive(Debug)]
pub(super) enum Step {
    Visit(NodeId, Context),
    /// The content of an element of this kind ends.
    Close(Kind),
    /// The exponent or index ends that began with what is to be written after it.
    CloseShifted(scripts::Shifted),
    CloseQuote(usize),
    /// The text from here on is marked.
    CloseMarked(usize, &'static str),
    StartRow,
    EndRow,
    EndSection,
    StartCell,
    EndCell {
        rows: usize,
        columns: usize,
    },
    EndGrid,
}

pub(super) struct Reader<'a> {
    pub source: &'a str,
    pub tree: &'a Tree,
    pub writer: Writer,
    pub steps: Vec<Step>,
    pub lists: Vec<List>,
    grid: Grid,
    /// Where the text of the first heading starts and ends.
    pub heading: Option<(usize, Option<usize>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str, tree: &'a Tree) -> Self {
        Self { source, tree, writer: Writer::default(), steps: Vec::new(), lists: Vec::new(), grid: Grid::new(source.len()), heading: None }
    }

    /// Reads all of the page.
    pub(super) fn read(&mut self) {
        let context = Context { visible: true, sized: true, preformatted: false, labelled: true, list: None, quotes: 0, heading: false };
        self.steps.push(Step::Visit(Tree::DOCUMENT, context));
        while let Some(step) = self.steps.pop() {
            self.step(step);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Visit(id, context) => self.visit(id, context),
            Step::Close(kind) => self.close(kind),
            Step::CloseShifted(shifted) => shifted.close(&mut self.writer),
            Step::CloseQuote(depth) => self.writer.closing_sign(if depth.is_multiple_of(2) { "”" } else { "’" }),
            Step::CloseMarked(start, flag) => self.writer.mark(start, flag),
            Step::StartRow => {
                self.writer.start_row();
                self.grid.start_row();
            }
            Step::StartCell => {
                self.grid.fill_carried(&mut self.writer);
                self.writer.start_cell();
            }
            Step::EndCell { rows, columns } => self.grid.end_cell(&mut self.writer, rows, columns),
            Step::EndRow => {
                self.grid.fill_carried(&mut self.writer);
                self.writer.end_row();
            }
            Step::EndSection => self.grid.end_section(),
            Step::EndGrid => {
                self.grid.end_section();
                self.writer.paragraph();
            }
        }
    }

    fn visit(&mut self, id: NodeId, context: Context) {
        let tree = self.tree;
        match tree.node(id).map(|node| &node.data) {
            Some(Data::Root) => self.visit_children(id, context),
            Some(Data::Text(pieces)) if context.visible && context.sized && context.labelled => {
                for piece in pieces {
                    self.writer.push(piece, context.preformatted);
                }
            }
            Some(Data::Element(element)) => self.element(id, element, context),
            _ => {}
        }
    }

    pub(super) fn visit_children(&mut self, id: NodeId, context: Context) {
        self.steps.extend(self.tree.children(id).iter().rev().map(|child| Step::Visit(*child, context)));
    }

    fn element(&mut self, id: NodeId, element: &'a Element, mut context: Context) {
        let style = Style::of(element.attribute("style"));
        if element.has_class("mwe-math-element") {
            // A wiki shows the picture and hides the formula that it shows.
            return self.formula_inside(id);
        }
        if elements::is_hidden(element, &style) {
            return;
        }
        context.visible = style.visible.unwrap_or(context.visible);
        context.sized = style.sized.unwrap_or(context.sized);
        context.preformatted = style.preformatted.unwrap_or(context.preformatted);
        if is_math(&element.name.ns) {
            return if context.visible && context.sized { math::write(self.tree, id, &mut self.writer) } else { () };
        }
        if is_drawing(&element.name.ns) {
            return self.drawing(id, element, context);
        }
        let name = element.html_name();
        context.labelled = true;
        context.heading |= matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "summary" | "dt" | "legend" | "caption");
        if name == "button" && context.heading {
            return self.visit_children(id, context);
        }
        self.open(id, element, elements::kind(element, &style), context);
    }

    /// Does what an element asks for before its content, and notes what it asks for after it.
    fn open(&mut self, id: NodeId, element: &'a Element, kind: Kind, mut context: Context) {
        match kind {
            Kind::Skipped => return,
            Kind::Lost => return self.writer.mark(self.writer.text.len(), LEFT_OUT),
            Kind::Struck => return self.writer.mark(self.writer.text.len(), STRUCK_TEXT),
            Kind::LineBreak => return self.writer.line_break(),
            Kind::Rule => return self.writer.paragraph(),
            Kind::Image => {
                return if context.visible {
                    self.image(element)
                };
            }
            Kind::Input => {
                return if context.visible {
                    fields::input(self, element)
                };
            }
            Kind::Select => return fields::select(self, id, element, context),
            Kind::Raised | Kind::Lowered => {
                let shifted = scripts::open(self.tree, id, kind, &mut self.writer);
                self.steps.push(Step::CloseShifted(shifted));
            }
            Kind::Quoted => {
                self.writer.sign(if context.quotes.is_multiple_of(2) { "“" } else { "‘" });
                self.steps.push(Step::CloseQuote(context.quotes));
                context.quotes += 1;
            }
            Kind::Reading => {
                self.writer.join();
                self.writer.closing_sign("(");
                self.steps.push(Step::Close(kind));
            }
            Kind::Reordered => self.steps.push(Step::CloseMarked(self.writer.text.len(), REORDERED_TEXT)),
            Kind::Table => return self.table(id, element, context),
            Kind::Preformatted => {
                self.writer.paragraph();
                context.preformatted = true;
                self.steps.push(Step::Close(kind));
            }
            Kind::OrderedList | Kind::List => {
                self.writer.paragraph();
                context.list = (kind == Kind::OrderedList).then(|| {
                    self.lists.push(List::of(self.tree, id, element));
                    self.lists.len() - 1
                });
                self.steps.push(Step::Close(kind));
            }
            Kind::Item => {
                self.writer.paragraph();
                let number = context.list.and_then(|list| self.lists.get_mut(list)).map(|list| list.number(element));
                self.writer.set_marker(Some(number.unwrap_or_else(|| "• ".to_owned())));
                self.steps.push(Step::Close(kind));
            }
            Kind::Heading | Kind::Block | Kind::Row | Kind::Cell => {
                self.writer.paragraph();
                if kind == Kind::Heading && self.heading.is_none() {
                    self.heading = Some((self.writer.text.len(), None));
                }
                self.steps.push(Step::Close(kind));
            }
            Kind::Inline => {}
        }
        self.visit_children(id, context);
    }

    fn close(&mut self, kind: Kind) {
        match kind {
            Kind::Reading => {
                self.writer.join();
                self.writer.closing_sign(")");
            }
            Kind::Heading => {
                if let Some((_, end @ None)) = &mut self.heading {
                    *end = Some(self.writer.text.len());
                }
                self.writer.paragraph();
            }
            Kind::Item => {
                self.writer.set_marker(None);
                self.writer.paragraph();
            }
            _ => self.writer.paragraph(),
        }
    }

    fn table(&mut self, id: NodeId, element: &Element, mut context: Context) {
        self.writer.paragraph();
        context.list = None;
        match tables::rows(self.tree, id, element) {
            Some(parts) => {
                self.steps.push(Step::EndGrid);
                for part in parts.iter().rev() {
                    tables::plan(self.tree, part, context, &mut self.steps);
                }
            }
            None => {
                self.steps.push(Step::Close(Kind::Block));
                self.visit_children(id, context);
            }
        }
    }

    /// What stands for an image, where it is not seen.
    fn image(&mut self, element: &Element) {
        let start = self.writer.text.len();
        self.writer.gap();
        for piece in self.value(element, "alt") {
            self.writer.push(&piece, false);
        }
        self.writer.gap();
        if self.writer.text.len() > start {
            self.writer.mark(start, IMAGE_TEXT);
        }
    }

    /// The value of an attribute with its bytes.
    pub(super) fn value(&self, element: &Element, name: &str) -> Vec<Piece> {
        let value = element.attribute(name).unwrap_or_default();
        let span = element.spans.iter().find(|(of, _)| of == name).map_or(0..0, |(_, span)| span.clone());
        if value.is_empty() { Vec::new() } else { strings::pieces(self.source, span, value.as_bytes()) }
    }

    fn drawing(&mut self, id: NodeId, element: &Element, mut context: Context) {
        match drawings::kind(element) {
            drawings::Kind::Hidden => return,
            drawings::Kind::Drawing => {
                context.labelled = false;
                self.steps.push(Step::CloseMarked(self.writer.text.len(), DRAWING));
            }
            drawings::Kind::Label => {
                context.labelled = true;
                self.writer.line_break();
                self.steps.push(Step::Close(Kind::Block));
            }
            drawings::Kind::Part => self.writer.gap(),
            drawings::Kind::Group => {}
        }
        self.visit_children(id, context);
    }

    /// The first formula in an element.
    fn formula_inside(&mut self, id: NodeId) {
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            if self.tree.element(at).is_some_and(|element| is_math(&element.name.ns)) {
                return math::write(self.tree, at, &mut self.writer);
            }
            open.extend(self.tree.children(at).iter().rev());
        }
        self.writer.mark(self.writer.text.len(), LEFT_OUT);
    }
}
