//! HTML's own rules of what a page's tags make (html5ever's tree builder), with the way back to the
//! bytes: the builder is handed text as strings and hands it on in order, leaving out some of it, so what it
//! hands on is found again in what it was handed.

use std::borrow::Cow;
use std::cell::{Ref, RefCell};
use std::collections::VecDeque;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::StrTendril;
use html5ever::{Attribute, LocalName, QualName};

use super::strings::Piece;
use super::tokens::MAX_ATTRIBUTES;
use super::tree::{Data, NodeId, Spans, Tree};

#[derive(Debug)]
pub(super) struct Sink {
    pub tree: RefCell<Tree>,
    /// Text that the builder was handed, and how much of it is done with.
    handed: RefCell<VecDeque<(Piece, usize)>>,
    /// Name and attribute positions of the tag that the builder works on.
    tag: RefCell<(LocalName, Spans)>,
}

impl Sink {
    pub(super) fn new() -> Self {
        Self { tree: RefCell::new(Tree::new()), handed: RefCell::default(), tag: RefCell::new((LocalName::from(""), Vec::new())) }
    }

    /// Text that the builder is about to be handed.
    pub(super) fn hand(&self, piece: Piece) {
        self.handed.borrow_mut().push_back((piece, 0));
    }

    /// After a token that is no text nothing of earlier text is still to come.
    pub(super) fn settle(&self) {
        self.handed.borrow_mut().clear();
    }

    pub(super) fn set_tag(&self, name: LocalName, spans: Spans) {
        *self.tag.borrow_mut() = (name, spans);
    }

    /// The pieces of `text`, which the builder hands on.
    fn pieces_of(&self, text: &str) -> Vec<Piece> {
        let mut handed = self.handed.borrow_mut();
        while let Some((first, at)) = handed.front_mut() {
            let rest = first.text.get(*at..).unwrap_or_default();
            if rest.starts_with(text) {
                let part = first.part(*at..*at + text.len());
                *at += text.len();
                return vec![part];
            }
            // The builder left out white space here, or all of it.
            match rest.chars().next().filter(char::is_ascii_whitespace) {
                Some(space) => *at += space.len_utf8(),
                None => _ = handed.pop_front(),
            }
        }
        // Not reached by any page that is known; such text stands for no bytes.
        vec![Piece { text: text.to_owned(), source: 0..0, verbatim: false }]
    }
}

impl TreeSink for Sink {
    type Handle = NodeId;
    type Output = Tree;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Tree {
        self.tree.into_inner()
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> NodeId {
        Tree::DOCUMENT
    }

    fn elem_name<'a>(&'a self, target: &'a NodeId) -> Ref<'a, QualName> {
        Ref::map(self.tree.borrow(), |tree| match tree.element(*target) {
            Some(element) => &element.name,
            None => &*NO_NAME,
        })
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _flags: ElementFlags) -> NodeId {
        let mut tree = self.tree.borrow_mut();
        let (tag, spans) = &*self.tag.borrow();
        let own = *tag == name.local;
        let id = tree.add_element(name, attributes);
        if let Some(element) = tree.element_mut(id).filter(|_| own) {
            element.spans.clone_from(spans);
        }
        id
    }

    fn create_comment(&self, text: StrTendril) -> NodeId {
        self.tree.borrow_mut().add(Data::Comment(text.to_string()))
    }

    fn create_pi(&self, target: StrTendril, _data: StrTendril) -> NodeId {
        self.tree.borrow_mut().add(Data::Comment(target.to_string()))
    }

    fn append(&self, parent: &NodeId, child: NodeOrText<NodeId>) {
        match child {
            NodeOrText::AppendNode(child) => self.tree.borrow_mut().append(*parent, child),
            NodeOrText::AppendText(text) => {
                let pieces = self.pieces_of(&text);
                self.tree.borrow_mut().append_text(*parent, pieces);
            }
        }
    }

    fn append_based_on_parent_node(&self, element: &NodeId, previous: &NodeId, child: NodeOrText<NodeId>) {
        let has_parent = self.tree.borrow().node(*element).is_some_and(|node| node.parent.is_some());
        if has_parent { self.append_before_sibling(element, child) } else { self.append(previous, child) }
    }

    fn append_doctype_to_document(&self, name: StrTendril, public_id: StrTendril, system_id: StrTendril) {
        let ids = if public_id.is_empty() && system_id.is_empty() { String::new() } else { format!(" \"{public_id}\" \"{system_id}\"") };
        let mut tree = self.tree.borrow_mut();
        let doctype = tree.add(Data::Doctype(format!("{name}{ids}")));
        tree.append(Tree::DOCUMENT, doctype);
    }

    fn get_template_contents(&self, target: &NodeId) -> NodeId {
        self.tree.borrow().element(*target).and_then(|element| element.contents).unwrap_or(*target)
    }

    fn same_node(&self, x: &NodeId, y: &NodeId) -> bool {
        x == y
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &NodeId, new_node: NodeOrText<NodeId>) {
        match new_node {
            NodeOrText::AppendNode(node) => self.tree.borrow_mut().insert_before(*sibling, node),
            NodeOrText::AppendText(text) => {
                let pieces = self.pieces_of(&text);
                self.tree.borrow_mut().insert_text_before(*sibling, pieces);
            }
        }
    }

    fn add_attrs_if_missing(&self, target: &NodeId, attributes: Vec<Attribute>) {
        if let Some(element) = self.tree.borrow_mut().element_mut(*target) {
            for attribute in attributes {
                // A page can repeat `<body>` as often as it likes.
                if element.attributes.len() >= MAX_ATTRIBUTES {
                    break;
                }
                if element.attributes.iter().all(|have| have.name != attribute.name) {
                    element.attributes.push(attribute);
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &NodeId) {
        self.tree.borrow_mut().detach(*target);
    }

    fn reparent_children(&self, node: &NodeId, new_parent: &NodeId) {
        self.tree.borrow_mut().move_children(*node, *new_parent);
    }

    fn is_mathml_annotation_xml_integration_point(&self, handle: &NodeId) -> bool {
        self.tree.borrow().element(*handle).is_some_and(|element| {
            let encoding = element.attribute("encoding").unwrap_or_default();
            &*element.name.local == "annotation-xml"
                && (encoding.eq_ignore_ascii_case("text/html") || encoding.eq_ignore_ascii_case("application/xhtml+xml"))
        })
    }
}

/// The name of what has none; the builder asks for names of elements alone.
static NO_NAME: std::sync::LazyLock<QualName> = std::sync::LazyLock::new(|| QualName::new(None, html5ever::ns!(), LocalName::from("")));
