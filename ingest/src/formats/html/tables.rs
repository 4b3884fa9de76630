//! Tables: a cell says what it does by its row and column, so each keeps its place. A row is written between
//! strokes; an empty cell leaves its place empty, and a cell of several rows is repeated in each.
//!
//! A table that has one column lays out, and so does one that heads nothing and holds pages (headings, other
//! tables); its cells are blocks. A table in a cell is written as lines of it.

use super::elements;
use super::reader::{Context, Step};
use super::style::Style;
use super::tree::{Data, Element, NodeId, Tree};
use super::writer::Writer;
use crate::formats::{REORDERED_TEXT, STRUCK_TEXT};

/// What HTML allows.
const MOST_COLUMNS: usize = 1000;
/// A longer cell is not repeated in further rows: `…` stands for it.
const REPEATED_BYTES: usize = 200;

/// A part of a table, in the order of the page.
#[derive(Debug)]
pub(super) enum Part {
    /// A caption, or what has no place in a table.
    Block(NodeId),
    /// Rows that share cells.
    Section(Vec<Row>),
}

#[derive(Debug)]
pub(super) struct Row {
    /// The section, where there is one, and the row: what their styles say holds for the cells.
    owners: Vec<NodeId>,
    cells: Vec<NodeId>,
}

/// The parts of a table that is read as a grid; `None` for one that lays out.
pub(super) fn rows(tree: &Tree, id: NodeId, element: &Element) -> Option<Vec<Part>> {
    if matches!(element.attribute("role").map(str::trim), Some("presentation" | "none")) {
        return None;
    }
    let mut parts = Vec::new();
    let mut loose = Vec::new();
    for child in tree.children(id) {
        let Some(part) = tree.element(*child) else { continue };
        match part.html_name() {
            "tr" => loose.extend(row(tree, *child, Vec::new())),
            "tbody" | "thead" | "tfoot" if !is_hidden(part) => {
                parts.extend((!loose.is_empty()).then(|| Part::Section(std::mem::take(&mut loose))));
                let rows = tree.children(*child).iter().filter_map(|at| row(tree, *at, vec![*child]));
                parts.push(Part::Section(rows.collect()));
            }
            "tbody" | "thead" | "tfoot" | "colgroup" | "col" => {}
            _ => parts.push(Part::Block(*child)),
        }
    }
    parts.extend((!loose.is_empty()).then_some(Part::Section(loose)));
    is_grid(tree, &parts).then_some(parts)
}

/// A row with its cells, where it is shown.
fn row(tree: &Tree, id: NodeId, mut owners: Vec<NodeId>) -> Option<Row> {
    tree.element(id).filter(|element| element.html_name() == "tr" && !is_hidden(element))?;
    owners.push(id);
    let is_cell = |at: &NodeId| tree.element(*at).is_some_and(|cell| matches!(cell.html_name(), "td" | "th") && !is_hidden(cell));
    Some(Row { owners, cells: tree.children(id).iter().copied().filter(is_cell).collect() })
}

fn is_hidden(element: &Element) -> bool {
    elements::is_hidden(element, &Style::of(element.attribute("style")))
}

fn is_grid(tree: &Tree, parts: &[Part]) -> bool {
    let rows = || parts.iter().filter_map(|part| if let Part::Section(rows) = part { Some(rows) } else { None }).flatten();
    let cells = || rows().flat_map(|row| &row.cells);
    let heads = || cells().any(|cell| tree.element(*cell).is_some_and(|cell| cell.html_name() == "th"));
    rows().any(|row| row.cells.len() > 1) && (heads() || cells().all(|cell| !holds_a_page(tree, *cell)))
}

/// Whether a cell holds what stands badly in a line.
fn holds_a_page(tree: &Tree, cell: NodeId) -> bool {
    let mut open: Vec<(NodeId, bool)> = tree.children(cell).iter().map(|child| (*child, false)).collect();
    // Whether a line of preformatted text has ended, so that more text would be a second one.
    let mut line_ended = false;
    while let Some((at, mut preformatted)) = open.pop() {
        match tree.node(at).map(|node| &node.data) {
            Some(Data::Text(pieces)) if preformatted => {
                for text in pieces.iter().map(|piece| piece.text.as_str()) {
                    if text.trim().contains('\n') || (line_ended && !text.trim().is_empty()) {
                        return true;
                    }
                    line_ended |= text.contains('\n');
                }
            }
            Some(Data::Element(element)) => match element.html_name() {
                "table" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "article" | "section" => return true,
                name => preformatted |= name == "pre",
            },
            _ => {}
        }
        open.extend(tree.children(at).iter().rev().map(|child| (*child, preformatted)));
    }
    false
}

/// Appends the steps that write a part, last first.
pub(super) fn plan(tree: &Tree, part: &Part, context: Context, steps: &mut Vec<Step>) {
    let rows = match part {
        Part::Block(id) => return steps.push(Step::Visit(*id, context)),
        Part::Section(rows) => rows,
    };
    steps.push(Step::EndSection);
    for row in rows.iter().rev() {
        let (context, row_says) = row.owners.iter().fold((context, Says::default()), |so_far, owner| inherit(tree, *owner, so_far));
        steps.push(Step::EndRow);
        for cell in row.cells.iter().rev() {
            let (context, says) = inherit(tree, *cell, (context, row_says));
            let span = |name| tree.element(*cell).and_then(|cell| cell.attribute(name)?.trim().parse::<usize>().ok());
            let rows = span("rowspan").map_or(1, |rows| if rows == 0 { usize::MAX } else { rows });
            let columns = span("colspan").unwrap_or(1).clamp(1, MOST_COLUMNS);
            steps.push(Step::EndCell { rows, columns });
            if !says.nothing {
                steps.extend(tree.children(*cell).iter().rev().map(|child| Step::Visit(*child, context)));
            }
            steps.extend(says.flags.into_iter().flatten().map(Step::Mark));
            steps.push(Step::StartCell);
        }
        steps.push(Step::StartRow);
    }
}

/// What the styles of a cell, its row and its section say of its text.
#[derive(Debug, Clone, Copy, Default)]
struct Says {
    nothing: bool,
    flags: [Option<&'static str>; 2],
}

fn inherit(tree: &Tree, owner: NodeId, (mut context, says): (Context, Says)) -> (Context, Says) {
    let Some(element) = tree.element(owner) else { return (context, says) };
    let style = Style::of(element.attribute("style"));
    context.visible = style.visible.unwrap_or(context.visible);
    context.sized = style.sized.unwrap_or(context.sized);
    let [struck, reordered] = says.flags;
    let flags = [struck.or(style.struck.then_some(STRUCK_TEXT)), reordered.or(style.reordered.then_some(REORDERED_TEXT))];
    (context, Says { nothing: says.nothing || style.blank || style.struck, flags })
}

/// Where the next cell of the table that is being written stands.
#[derive(Debug)]
pub(super) struct Grid {
    column: usize,
    /// By column, the cells from rows above that reach into the rows to come: how many, and what they say.
    carried: Vec<Option<(usize, String)>>,
    /// So many bytes may still be written for cells that are spelled elsewhere.
    allowance: usize,
}

impl Grid {
    /// For a page of so many bytes.
    pub(super) fn new(page_bytes: usize) -> Self {
        Self { column: 0, carried: Vec::new(), allowance: page_bytes.max(4096) }
    }

    pub(super) fn start_row(&mut self) {
        self.column = 0;
    }

    pub(super) fn end_section(&mut self) {
        self.carried.clear();
    }

    /// Writes the cells from above that stand before the next one.
    pub(super) fn fill_carried(&mut self, writer: &mut Writer) {
        while let Some(slot) = self.carried.get_mut(self.column)
            && let Some((rows, text)) = slot
        {
            if self.allowance >= text.len() + 3 {
                self.allowance -= text.len() + 3;
                writer.repeat_cell(text);
            }
            *rows -= 1;
            if *rows == 0 {
                *slot = None;
            }
            self.column += 1;
        }
    }

    pub(super) fn end_cell(&mut self, writer: &mut Writer, rows: usize, columns: usize) {
        let said = writer.end_cell();
        let said = if said.len() <= REPEATED_BYTES { said.to_owned() } else { "…".to_owned() };
        for column in 0..columns {
            if column > 0 && self.allowance >= 2 {
                self.allowance -= 2;
                writer.repeat_cell("");
            }
            if rows > 1 {
                let carried = if column == 0 { said.clone() } else { String::new() };
                self.carry(rows - 1, carried);
            }
            self.column += 1;
        }
    }

    fn carry(&mut self, rows: usize, text: String) {
        if self.column < MOST_COLUMNS {
            if self.carried.len() <= self.column {
                self.carried.resize(self.column + 1, None);
            }
            if let Some(slot) = self.carried.get_mut(self.column) {
                *slot = Some((rows, text));
            }
        }
    }
}
