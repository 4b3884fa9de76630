//! html5lib's tree-construction suite (`tests/fixtures/html5lib`): what browsers agree that tags make.

use std::fmt::Write as _;
use std::path::PathBuf;

use html5ever::interface::create_element;
use html5ever::tokenizer::states::{RawKind, State as HtmlState};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{LocalName, QualName, ns};
use html5gum::State;

use super::builders::Html;
use super::sink::Sink;
use super::tokens;
use super::tree::{Data, Element, NodeId, Tree};
use crate::progress::Progress;

/// Cases in which the libraries do otherwise than the suite, by file and by number within it; a change in
/// either shows here. What a closed `<select>` shows is not copied into its `<selectedcontent>` (44 to 47), and an
/// `<input>` is kept in a `<select>` whose content alone is parsed (75).
const DIFFERENCES: &[(&str, &[usize])] = &[("tests_innerHTML_1.dat", &[75]), ("webkit02.dat", &[44, 45, 46, 47])];

struct Case {
    data: String,
    /// The element whose content the data is.
    fragment: Option<String>,
    /// Whether scripts run; both where the case does not say.
    scripting: Option<bool>,
    tree: String,
}

fn cases(text: &str) -> Vec<Case> {
    text.strip_prefix("#data\n").unwrap().split("\n#data\n").map(case).collect()
}

fn case(text: &str) -> Case {
    // The data ends at the errors; an empty one has no line of its own.
    let (data, rest) = match text.strip_prefix("#errors\n") {
        Some(rest) => ("", rest),
        None => text.split_once("\n#errors\n").unwrap(),
    };
    let (rest, tree) = match rest.strip_prefix("#document\n") {
        Some(tree) => ("", tree),
        None => rest.split_once("\n#document\n").unwrap(),
    };
    let lines: Vec<&str> = rest.lines().collect();
    let after = |name| lines.iter().position(|line| *line == name).map(|at| lines[at + 1].to_owned());
    let scripting = if lines.contains(&"#script-on") { Some(true) } else { lines.contains(&"#script-off").then_some(false) };
    Case { data: data.to_owned(), fragment: after("#document-fragment"), scripting, tree: tree.trim_end_matches('\n').to_owned() }
}

/// The tree of a case in the notation of the suite.
fn built(case: &Case, scripting: bool) -> String {
    let options = TreeBuilderOpts { scripting_enabled: scripting, ..TreeBuilderOpts::default() };
    let (mut html, state) = match &case.fragment {
        None => (Html::new(options), State::Data),
        Some(context) => fragment(context, options, scripting),
    };
    tokens::run(&case.data, 0, state, &mut html, &Progress::default()).unwrap();
    let tree = html.finish().unwrap();
    let mut shown = String::new();
    let top = match &case.fragment {
        None => Tree::DOCUMENT,
        Some(_) => tree.children(Tree::DOCUMENT)[0],
    };
    for child in tree.children(top) {
        show(&tree, *child, 0, &mut shown);
    }
    shown.trim_end_matches('\n').to_owned()
}

fn fragment(context: &str, options: TreeBuilderOpts, scripting: bool) -> (Html, State) {
    let (namespace, local) = match context.split_once(' ') {
        Some(("svg", local)) => (ns!(svg), local),
        Some(("math", local)) => (ns!(mathml), local),
        _ => (ns!(html), context),
    };
    let sink = Sink::new();
    let element = create_element(&sink, QualName::new(None, namespace, LocalName::from(local)), Vec::new());
    let builder = TreeBuilder::new_for_fragment(sink, element, None, options);
    let state = match builder.tokenizer_state_for_context_elem(scripting) {
        HtmlState::RawData(RawKind::Rcdata) => State::RcData,
        HtmlState::RawData(RawKind::Rawtext) => State::RawText,
        HtmlState::RawData(_) => State::ScriptData,
        HtmlState::Plaintext => State::PlainText,
        _ => State::Data,
    };
    (Html { builder }, state)
}

fn show(tree: &Tree, id: NodeId, depth: usize, into: &mut String) {
    let indent = "  ".repeat(depth);
    let node = tree.node(id).unwrap();
    match &node.data {
        Data::Root => {}
        Data::Text(pieces) => {
            let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
            writeln!(into, "| {indent}\"{text}\"").unwrap();
        }
        Data::Comment(text) => writeln!(into, "| {indent}<!-- {text} -->").unwrap(),
        Data::Doctype(text) => writeln!(into, "| {indent}<!DOCTYPE {text}>").unwrap(),
        Data::Element(element) => show_element(tree, element, depth, into),
    }
    for child in &node.children {
        show(tree, *child, depth + 1, into);
    }
}

fn show_element(tree: &Tree, element: &Element, depth: usize, into: &mut String) {
    let indent = "  ".repeat(depth);
    let prefix = if element.name.ns == ns!(svg) {
        "svg "
    } else if element.name.ns == ns!(mathml) {
        "math "
    } else {
        ""
    };
    writeln!(into, "| {indent}<{prefix}{}>", element.name.local).unwrap();
    let mut attributes: Vec<(String, String)> = (element.attributes.iter())
        .map(|attribute| {
            let namespace = match &attribute.name.ns {
                of if *of == ns!(xlink) => "xlink ",
                of if *of == ns!(xml) => "xml ",
                of if *of == ns!(xmlns) => "xmlns ",
                _ => "",
            };
            (format!("{namespace}{}", attribute.name.local), attribute.value.to_string())
        })
        .collect();
    attributes.sort();
    for (name, value) in attributes {
        writeln!(into, "| {indent}  {name}=\"{value}\"").unwrap();
    }
    if let Some(contents) = element.contents {
        writeln!(into, "| {indent}  content").unwrap();
        for child in tree.children(contents) {
            show(tree, *child, depth + 2, into);
        }
    }
}

#[test]
fn the_tree_is_the_one_that_browsers_make() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/html5lib");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "dat"));
    files.sort();
    let (mut run, mut found) = (0, Vec::new());
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut wrong = Vec::new();
        for (number, case) in cases(&std::fs::read_to_string(path).unwrap()).iter().enumerate() {
            let modes = case.scripting.map_or(vec![false, true], |scripting| vec![scripting]);
            run += 1;
            for scripting in modes {
                let built = built(case, scripting);
                if built != case.tree && !wrong.contains(&number) {
                    wrong.push(number);
                    println!("{name} {number} {:?}\nis\n{built}\nnot\n{}\n", case.data, case.tree);
                }
            }
        }
        if !wrong.is_empty() {
            found.push((name, wrong));
        }
    }
    let known: Vec<(String, Vec<usize>)> = DIFFERENCES.iter().map(|(name, numbers)| ((*name).to_owned(), numbers.to_vec())).collect();
    assert_eq!(found, known);
    assert!(run > 1500, "{run} cases");
}
