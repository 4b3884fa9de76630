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
use super::writer::{Bracket, Writer};
use super::{drawings, fields, math, scripts, typeset};
use crate::formats::{DRAWING, IMAGE_TEXT, LEFT_OUT, REORDERED_TEXT, STRUCK_TEXT};
use crate::progress::{Progress, Stopped};

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
    /// Its items have bullets or numbers.
    marked: bool,
    quotes: usize,
}

/// What is still to be done, last first.
#[derive(Debug)]
pub(super) enum Step {
    Visit(NodeId, Context),
    /// The content of an element of this kind ends.
    Close(Kind),
    /// The exponent or index ends that began with what is to be written after it.
    CloseShifted(scripts::Shifted),
    /// How a base is read ends.
    CloseReading(Bracket),
    CloseQuote(usize),
    /// The text from here on is marked.
    CloseMarked(usize, &'static str),
    /// Something is left out here, or the cell that starts here is not what it seems.
    Mark(&'static str),
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
    /// Where the text of a typeset formula ended last.
    pub typeset: Option<usize>,
    /// Where the text of the first heading that has any starts and ends.
    pub heading: Option<(usize, Option<usize>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str, tree: &'a Tree) -> Self {
        let (steps, lists) = (Vec::new(), Vec::new());
        Self { source, tree, writer: Writer::default(), steps, lists, grid: Grid::new(source.len()), typeset: None, heading: None }
    }

    /// Reads all of the page.
    pub(super) fn read(&mut self, progress: &Progress) -> Result<(), Stopped> {
        let context = Context { visible: true, sized: true, preformatted: false, labelled: true, list: None, marked: true, quotes: 0 };
        self.steps.push(Step::Visit(Tree::DOCUMENT, context));
        while let Some(step) = self.steps.pop() {
            progress.go_on()?;
            self.step(step);
        }
        Ok(())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Visit(id, context) => self.visit(id, context),
            Step::Close(kind) => self.close(kind),
            Step::CloseShifted(shifted) => shifted.close(&mut self.writer),
            Step::CloseReading(bracket) => self.writer.close_bracket(bracket),
            Step::CloseQuote(depth) => self.writer.closing_sign(if depth.is_multiple_of(2) { "”" } else { "’" }),
            Step::CloseMarked(start, flag) => self.writer.mark(start, flag),
            Step::Mark(flag) => self.writer.mark(self.writer.text.len(), flag),
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
            Some(Data::Text(pieces)) if context.sized && context.labelled => {
                for piece in pieces {
                    if context.visible || piece.text.trim().is_empty() {
                        self.writer.push(piece, context.preformatted);
                    } else {
                        self.writer.gap();
                    }
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
        let hidden = elements::is_hidden(element, &style);
        if elements::typesets(element) {
            let shown = style.visible.unwrap_or(context.visible) && style.sized.unwrap_or(context.sized) && !style.blank;
            return typeset::formula(self, id, shown && !hidden);
        }
        if hidden {
            return;
        }
        let kind = elements::kind(element, &style);
        if style.blank || typeset::is_preview(self, element) {
            return if kind.is_block() { self.writer.paragraph() } else { self.writer.gap() };
        }
        if elements::reorders(element, &style) {
            self.steps.push(Step::CloseMarked(self.writer.text.len(), REORDERED_TEXT));
        }
        context.visible = style.visible.unwrap_or(context.visible);
        context.sized = style.sized.unwrap_or(context.sized);
        context.preformatted = style.preformatted.unwrap_or(context.preformatted);
        if is_math(&element.name.ns) {
            if context.visible && context.sized {
                return math::write(self.tree, id, &mut self.writer);
            }
            return self.writer.gap();
        }
        if is_drawing(&element.name.ns) {
            return self.drawing(id, element, context);
        }
        let name = element.html_name();
        context.labelled = true;
        if matches!(name, "ol" | "ul" | "menu" | "dir") {
            context.marked = !style.unmarked;
        }
        let seen = context.visible && (context.sized || kind == Kind::Image);
        self.open(id, element, if seen { kind } else { kind.unseen() }, context);
    }

    /// Does what an element asks for before its content, and notes what it asks for after it.
    fn open(&mut self, id: NodeId, element: &'a Element, kind: Kind, mut context: Context) {
        match kind {
            Kind::Skipped => return,
            Kind::Furniture | Kind::Rule => return self.writer.paragraph(),
            Kind::Lost => {
                self.writer.gap();
                return self.writer.mark(self.writer.text.len(), LEFT_OUT);
            }
            Kind::Struck => {
                // What stood around it is no one number.
                self.writer.close_digits();
                return self.writer.mark(self.writer.text.len(), STRUCK_TEXT);
            }
            Kind::StruckBlock | Kind::StruckItem => {
                self.writer.paragraph();
                if kind == Kind::StruckItem {
                    self.number(element, context);
                }
                return self.writer.mark(self.writer.text.len(), STRUCK_TEXT);
            }
            Kind::FormulaSource => return typeset::source(self, id),
            Kind::Apart => {
                self.writer.gap();
                self.steps.push(Step::Close(kind));
            }
            Kind::LineBreak => return self.writer.line_break(),
            Kind::Image => return self.image(element, "alt"),
            Kind::Input => return fields::input(self, element),
            Kind::Select => return fields::select(self, id, element, context),
            Kind::Raised if self.is_degree(id) => return self.writer.closing_sign("°"),
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
                let bracket = self.writer.open_bracket();
                self.steps.push(Step::CloseReading(bracket));
            }
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
                let number = self.number(element, context);
                self.writer.set_marker(context.marked.then(|| number.unwrap_or_else(|| "• ".to_owned())));
                self.steps.push(Step::Close(kind));
            }
            Kind::Heading | Kind::Block | Kind::Row | Kind::Cell => {
                self.writer.paragraph();
                // One that says nothing is none.
                if kind == Kind::Heading && self.heading.is_none_or(|(start, end)| end == Some(start)) {
                    self.heading = Some((self.writer.text.len(), None));
                }
                self.steps.push(Step::Close(kind));
            }
            Kind::Inline => {
                if self.tree.children(id).is_empty() {
                    return self.empty(element);
                }
            }
        }
        self.visit_children(id, context);
    }

    fn is_degree(&self, id: NodeId) -> bool {
        matches!(self.steps.last(), Some(Step::Visit(next, _)) if scripts::is_degree(self.tree, id, *next, &self.writer))
    }

    /// Counts an item; the number it has in an ordered list.
    fn number(&mut self, item: &Element, context: Context) -> Option<String> {
        Some(self.lists.get_mut(context.list?)?.number(item))
    }

    /// An element without content, which style sheets may show: a picture by its name, or an icon. At once
    /// after text an icon may be a sign of it (`2–8`).
    fn empty(&mut self, element: &Element) {
        if element.attribute("role").is_some_and(|role| role.trim() == "img") {
            self.image(element, "aria-label");
        } else if element.html_name() == "i" || elements::is_unspoken(element) {
            if self.writer.last().is_some() {
                self.writer.mark(self.writer.text.len(), LEFT_OUT);
            }
            self.writer.gap();
        }
    }

    fn close(&mut self, kind: Kind) {
        match kind {
            Kind::Apart => self.writer.gap(),
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
            // In a cell there is no place for rows and columns.
            Some(_) if self.writer.in_cell() => {
                self.writer.mark(self.writer.text.len(), LEFT_OUT);
                self.steps.push(Step::Close(Kind::Block));
                self.visit_children(id, context);
            }
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
    pub(super) fn image(&mut self, element: &Element, name: &str) {
        let start = self.writer.text.len();
        self.writer.gap();
        for piece in self.value(element, name) {
            self.writer.push(&piece, false);
        }
        self.writer.gap();
        if self.writer.text.len() > start {
            self.writer.mark(start, IMAGE_TEXT);
        } else if element.attribute(name).is_none() {
            self.writer.mark(start, LEFT_OUT);
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
                if element.attribute("role").is_some_and(|role| role.trim() == "img") && element.attribute("aria-label").is_some() {
                    self.image(element, "aria-label");
                }
                self.writer.gap();
                self.steps.push(Step::Close(Kind::Apart));
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
}
