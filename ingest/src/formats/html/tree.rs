//! The tree of a page: an arena of nodes whose texts know the bytes they were read from.

use std::ops::Range;

use html5ever::{Attribute, LocalName, Namespace, QualName, local_name, ns};

use super::strings::Piece;

/// Deeper pages are refused: browsers keep 512 levels, and the work per tag grows with the depth.
pub(super) const MAX_DEPTH: usize = 512;
/// Misnested formatting makes elements that the page does not spell. So many nodes per tag or text are
/// more than any page needs.
const MAX_NODES_PER_TOKEN: usize = 8;
const MOST_NODES_OF_A_SMALL_PAGE: usize = 10_000;

/// A node's place in the arena.
pub(super) type NodeId = usize;
/// Where the values of attributes stand, by their names.
pub(super) type Spans = Vec<(LocalName, Range<usize>)>;

#[derive(Debug)]
pub(super) struct Node {
    pub parent: Option<NodeId>,
    pub children: Vec<NodeId>,
    pub data: Data,
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Data {
    /// The document, or the content of a template.
    Root,
    Element(Element),
    Text(Vec<Piece>),
    #[cfg_attr(not(test), expect(dead_code, reason = "only the suite of tests reads it"))]
    Comment(String),
    #[cfg_attr(not(test), expect(dead_code, reason = "only the suite of tests reads it"))]
    Doctype(String),
}

#[derive(Debug, Clone)]
pub(super) struct Element {
    pub name: QualName,
    pub attributes: Vec<Attribute>,
    pub spans: Spans,
    /// What a `<template>` holds.
    pub contents: Option<NodeId>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
    }

    /// The name of an HTML element; empty for those of drawings and formulas.
    pub(super) fn html_name(&self) -> &str {
        if self.name.ns == ns!(html) { &self.name.local } else { "" }
    }

    pub(super) fn has_class(&self, class: &str) -> bool {
        self.attribute("class").is_some_and(|classes| classes.split_ascii_whitespace().any(|one| one == class))
    }
}

/// Why a page is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMuch {
    Depth,
    Nodes,
    Attributes,
    Names,
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    tokens: usize,
    pub too_much: Option<TooMuch>,
}

impl Tree {
    pub(super) const DOCUMENT: NodeId = 0;

    pub(super) fn new() -> Self {
        let document = Node { parent: None, children: Vec::new(), data: Data::Root, depth: 0 };
        Self { nodes: vec![document], tokens: 0, too_much: None }
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub(super) fn element(&self, id: NodeId) -> Option<&Element> {
        match &self.nodes.get(id)?.data {
            Data::Element(element) => Some(element),
            _ => None,
        }
    }

    pub(super) fn children(&self, id: NodeId) -> &[NodeId] {
        self.nodes.get(id).map_or(&[], |node| &node.children)
    }

    /// Counts what the page spells, by which the nodes it may make are measured.
    pub(super) fn count_token(&mut self) {
        self.tokens += 1;
    }

    pub(super) fn add(&mut self, data: Data) -> NodeId {
        if self.nodes.len() > MOST_NODES_OF_A_SMALL_PAGE + self.tokens * MAX_NODES_PER_TOKEN {
            self.too_much = Some(TooMuch::Nodes);
        }
        self.nodes.push(Node { parent: None, children: Vec::new(), data, depth: 0 });
        self.nodes.len() - 1
    }

    pub(super) fn add_element(&mut self, name: QualName, attributes: Vec<Attribute>) -> NodeId {
        let contents = (name.ns == ns!(html) && name.local == local_name!("template")).then(|| self.add(Data::Root));
        self.add(Data::Element(Element { name, attributes, spans: Vec::new(), contents }))
    }

    pub(super) fn element_mut(&mut self, id: NodeId) -> Option<&mut Element> {
        match &mut self.nodes.get_mut(id)?.data {
            Data::Element(element) => Some(element),
            _ => None,
        }
    }

    /// Puts `child` at the end of `parent`.
    pub(super) fn append(&mut self, parent: NodeId, child: NodeId) {
        let at = self.children(parent).len();
        self.insert(parent, at, child);
    }

    /// Puts `child` before `sibling`, where that has a parent.
    pub(super) fn insert_before(&mut self, sibling: NodeId, child: NodeId) {
        let Some((parent, at)) = self.place(sibling) else { return };
        self.insert(parent, at, child);
    }

    /// Puts text at the end of `parent`, into the text that stands there.
    pub(super) fn append_text(&mut self, parent: NodeId, pieces: Vec<Piece>) {
        let at = self.children(parent).len();
        self.insert_text(parent, at, pieces);
    }

    pub(super) fn insert_text_before(&mut self, sibling: NodeId, pieces: Vec<Piece>) {
        let Some((parent, at)) = self.place(sibling) else { return };
        self.insert_text(parent, at, pieces);
    }

    pub(super) fn detach(&mut self, child: NodeId) {
        let Some((parent, at)) = self.place(child) else { return };
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.remove(at);
        }
        if let Some(child) = self.nodes.get_mut(child) {
            child.parent = None;
        }
    }

    pub(super) fn move_children(&mut self, from: NodeId, to: NodeId) {
        let moved = self.nodes.get_mut(from).map(|node| std::mem::take(&mut node.children)).unwrap_or_default();
        for child in moved {
            if let Some(child) = self.nodes.get_mut(child) {
                child.parent = None;
            }
            self.append(to, child);
        }
    }

    fn insert_text(&mut self, parent: NodeId, at: usize, pieces: Vec<Piece>) {
        let before = at.checked_sub(1).and_then(|before| self.children(parent).get(before)).copied();
        if let Some(Node { data: Data::Text(text), .. }) = before.and_then(|before| self.nodes.get_mut(before)) {
            text.extend(pieces);
            return;
        }
        let text = self.add(Data::Text(pieces));
        self.insert(parent, at, text);
    }

    fn insert(&mut self, parent: NodeId, at: usize, child: NodeId) {
        self.detach(child);
        let depth = self.nodes.get(parent).map_or(0, |node| node.depth) + 1;
        if depth > MAX_DEPTH {
            self.too_much = Some(TooMuch::Depth);
        }
        if let Some(node) = self.nodes.get_mut(parent) {
            node.children.insert(at.min(node.children.len()), child);
        }
        if let Some(node) = self.nodes.get_mut(child) {
            node.parent = Some(parent);
            node.depth = depth;
        }
    }

    /// A node's parent, and where it stands among its children.
    fn place(&self, id: NodeId) -> Option<(NodeId, usize)> {
        let parent = self.nodes.get(id)?.parent?;
        // Near the end: what moves is what was put there last.
        let at = self.children(parent).iter().rposition(|child| *child == id)?;
        Some((parent, at))
    }
}

/// Whether an element is of MathML.
pub(super) fn is_math(namespace: &Namespace) -> bool {
    *namespace == ns!(mathml)
}

/// Whether an element is of SVG.
pub(super) fn is_drawing(namespace: &Namespace) -> bool {
    *namespace == ns!(svg)
}
