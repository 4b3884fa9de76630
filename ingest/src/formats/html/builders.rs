//! The two ways in which tags make a tree: HTML's, which knows every element, and XML's, which believes
//! what is written.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{Attribute, LocalName, Namespace, QualName, ns};
use html5gum::State;

use super::Unread;
use super::sink::Sink;
use super::strings::Piece;
use super::tokens::{Builder, Doctype, StartTag};
use super::tree::{Data, NodeId, TooMuch, Tree};

/// Builds by HTML's rules.
pub(super) struct Html {
    pub builder: TreeBuilder<NodeId, Sink>,
}

impl Html {
    pub(super) fn new(options: TreeBuilderOpts) -> Self {
        Self { builder: TreeBuilder::new(Sink::new(), options) }
    }

    /// The page, or why it is not read.
    pub(super) fn finish(self) -> Result<Tree, TooMuch> {
        let tree = self.builder.sink.tree.into_inner();
        tree.too_much.map_or(Ok(tree), Err)
    }

    fn stopped(&self) -> bool {
        let mut tree = self.builder.sink.tree.borrow_mut();
        tree.count_token();
        tree.too_much.is_some()
    }

    /// Hands on a token that is no text.
    fn process(&self, token: Token) -> Option<State> {
        let result = self.builder.process_token(token, 1);
        self.builder.sink.settle();
        match result {
            TokenSinkResult::Continue | TokenSinkResult::EncodingIndicator(_) => None,
            TokenSinkResult::Script(_) => Some(State::Data),
            TokenSinkResult::Plaintext => Some(State::PlainText),
            TokenSinkResult::RawData(RawKind::Rcdata) => Some(State::RcData),
            TokenSinkResult::RawData(RawKind::Rawtext) => Some(State::RawText),
            TokenSinkResult::RawData(RawKind::ScriptData | RawKind::ScriptDataEscaped(_)) => Some(State::ScriptData),
        }
    }
}

impl Builder for Html {
    fn start_tag(&mut self, tag: StartTag) -> Option<State> {
        if self.stopped() {
            return None;
        }
        let name = LocalName::from(tag.name);
        let mut attrs: Vec<Attribute> = Vec::with_capacity(tag.attributes.len());
        let mut spans = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for (name, value, span) in tag.attributes {
            // Of two attributes with one name the first counts.
            if !seen.insert(name.clone()) {
                continue;
            }
            let local = LocalName::from(name);
            if !span.is_empty() {
                spans.push((local.clone(), span));
            }
            attrs.push(Attribute { name: QualName::new(None, ns!(), local), value: StrTendril::from(value) });
        }
        self.builder.sink.set_tag(name.clone(), spans);
        let had_duplicate_attributes = false;
        self.process(Token::TagToken(Tag {
            kind: TagKind::StartTag,
            name,
            self_closing: tag.self_closing,
            attrs,
            had_duplicate_attributes,
        }))
    }

    fn end_tag(&mut self, name: &str, _at: usize) -> Option<State> {
        if self.stopped() {
            return None;
        }
        let name = LocalName::from(name);
        let (attrs, had_duplicate_attributes) = (Vec::new(), false);
        self.process(Token::TagToken(Tag { kind: TagKind::EndTag, name, self_closing: false, attrs, had_duplicate_attributes }))
    }

    fn text(&mut self, piece: Piece) {
        if self.stopped() {
            return;
        }
        for part in piece.parts_at_nul() {
            if part.text == "\0" {
                let _goes_on = self.builder.process_token(Token::NullCharacterToken, 1);
                continue;
            }
            let text = StrTendril::from(part.text.as_str());
            self.builder.sink.hand(part);
            let _goes_on = self.builder.process_token(Token::CharacterTokens(text), 1);
        }
    }

    fn comment(&mut self, text: &str) {
        if !self.stopped() {
            self.process(Token::CommentToken(StrTendril::from(text)));
        }
    }

    fn doctype(&mut self, doctype: &Doctype<'_>) {
        if self.stopped() {
            return;
        }
        self.process(Token::DoctypeToken(html5ever::tokenizer::Doctype {
            name: Some(doctype.name).filter(|name| !name.is_empty()).map(StrTendril::from),
            public_id: doctype.public_id.map(StrTendril::from),
            system_id: doctype.system_id.map(StrTendril::from),
            force_quirks: doctype.force_quirks,
        }));
    }

    fn end(&mut self) {
        self.process(Token::EOFToken);
        self.builder.end();
    }

    fn reads_cdata(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }

    fn refuse(&mut self, problem: TooMuch) {
        self.builder.sink.tree.borrow_mut().too_much = Some(problem);
    }

    fn is_refused(&self) -> bool {
        self.builder.sink.tree.borrow().too_much.is_some()
    }
}

/// Elements of HTML that have no content.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "frame", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Builds by XML's rules: `<title/>` is closed, and nothing is implied.
pub(super) struct Xml {
    tree: Tree,
    /// Where a tag first does not match.
    wrong_at: Option<usize>,
    /// Whether an element is closed as XML alone can close it.
    closed_as_xml: bool,
    /// Open elements with their names as they are spelled.
    open: Vec<(String, NodeId, Namespace)>,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self { tree: Tree::new(), wrong_at: None, closed_as_xml: false, open: Vec::new() }
    }

    /// The page of so many bytes; `None` where its tags do not match, so that it is HTML, whatever it says.
    pub(super) fn finish(self, bytes: usize) -> Result<Option<Tree>, Unread> {
        if let Some(problem) = self.tree.too_much {
            return Err(Unread::TooMuch(problem));
        }
        match self.wrong_at.or((!self.open.is_empty()).then_some(bytes)) {
            None => Ok(Some(self.tree)),
            // HTML would take what follows for the content of an element that is closed.
            Some(at) if self.closed_as_xml => Err(Unread::NotXml(at)),
            Some(_) => Ok(None),
        }
    }

    fn parent(&self) -> NodeId {
        self.open.last().map_or(Tree::DOCUMENT, |(_, id, _)| *id)
    }
}

impl Builder for Xml {
    fn start_tag(&mut self, tag: StartTag) -> Option<State> {
        self.tree.count_token();
        if self.tree.too_much.is_some() {
            return None;
        }
        let local = tag.name.rsplit(':').next().unwrap_or_default();
        let inherited = self.open.last().map_or(ns!(html), |(_, _, namespace)| namespace.clone());
        let namespace = match local {
            "svg" => ns!(svg),
            "math" => ns!(mathml),
            // HTML stands in drawings and formulas in these alone.
            _ if self
                .open
                .last()
                .is_some_and(|(name, _, _)| matches!(name.rsplit(':').next(), Some("foreignobject" | "annotation-xml"))) =>
            {
                ns!(html)
            }
            _ => inherited,
        };
        self.closed_as_xml |= tag.self_closing && namespace == ns!(html) && !VOID.contains(&local);
        if self.wrong_at.is_some() {
            return None;
        }
        let mut spans = Vec::new();
        let attributes = tag.attributes.into_iter().map(|(name, value, span)| {
            let local = LocalName::from(name);
            spans.push((local.clone(), span));
            Attribute { name: QualName::new(None, ns!(), local), value: StrTendril::from(value) }
        });
        let attributes = attributes.collect();
        let id = self.tree.add_element(QualName::new(None, namespace.clone(), LocalName::from(local)), attributes);
        if let Some(element) = self.tree.element_mut(id) {
            element.spans = spans;
        }
        self.tree.append(self.parent(), id);
        if !tag.self_closing {
            self.open.push((tag.name, id, namespace));
        }
        None
    }

    fn end_tag(&mut self, name: &str, at: usize) -> Option<State> {
        if self.open.pop().is_none_or(|(open, _, _)| open != name) {
            self.wrong_at.get_or_insert(at);
        }
        None
    }

    fn text(&mut self, piece: Piece) {
        self.tree.count_token();
        if self.tree.too_much.is_none() {
            self.tree.append_text(self.parent(), vec![piece]);
        }
    }

    fn comment(&mut self, text: &str) {
        let comment = self.tree.add(Data::Comment(text.to_owned()));
        self.tree.append(self.parent(), comment);
    }

    fn doctype(&mut self, _doctype: &Doctype<'_>) {}

    fn end(&mut self) {}

    fn reads_cdata(&self) -> bool {
        true
    }

    fn refuse(&mut self, problem: TooMuch) {
        self.tree.too_much = Some(problem);
    }

    fn is_refused(&self) -> bool {
        self.tree.too_much.is_some()
    }
}
