//! Form fields: what a filled-in form shows of them.

use super::elements;
use super::reader::{Context, Reader, Step};
use super::style::Style;
use super::tree::{Element, NodeId, Tree};

/// Writes what a field shows: its value, or whether it is ticked. Secrets and files show none.
pub(super) fn input(reader: &mut Reader<'_>, element: &Element) {
    let kind = element.attribute("type").unwrap_or("text").trim().to_ascii_lowercase();
    let sign = match kind.as_str() {
        "hidden" => return,
        "password" | "file" | "color" => return reader.writer.gap(),
        "image" => return reader.image(element, "alt"),
        "checkbox" | "radio" if element.attribute("checked").is_some() => "[x]",
        "checkbox" | "radio" => "[ ]",
        _ => "",
    };
    reader.writer.gap();
    if sign.is_empty() {
        for piece in reader.value(element, "value") {
            reader.writer.push(&piece, false);
        }
    } else {
        reader.writer.sign(sign);
    }
    reader.writer.gap();
}

/// Writes the chosen options of a list that shows one line, all of one that shows several.
pub(super) fn select(reader: &mut Reader<'_>, id: NodeId, element: &Element, context: Context) {
    let tree = reader.tree;
    let options = options(tree, id);
    let chosen: Vec<NodeId> = options
        .iter()
        .copied()
        .filter(|option| tree.element(*option).is_some_and(|option| option.attribute("selected").is_some()))
        .collect();
    let several = element.attribute("multiple").is_some()
        || element.attribute("size").and_then(|size| size.trim().parse::<u32>().ok()).is_some_and(|size| size > 1);
    let shown = match chosen.last() {
        _ if several => options,
        Some(last) => vec![*last],
        None => options.into_iter().take(1).collect(),
    };
    reader.writer.gap();
    for option in shown.into_iter().rev() {
        reader.steps.push(Step::Visit(option, context));
    }
}

fn options(tree: &Tree, id: NodeId) -> Vec<NodeId> {
    let mut options = Vec::new();
    let mut open = vec![id];
    while let Some(at) = open.pop() {
        match tree.element(at) {
            Some(element) if elements::is_hidden(element, &Style::of(element.attribute("style"))) => {}
            Some(element) if element.html_name() == "option" => options.push(at),
            _ => open.extend(tree.children(at).iter().rev()),
        }
    }
    options
}
