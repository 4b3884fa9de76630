//! HTML: what a reader sees of a page, as paragraphs. Scripts, styles, navigation and hidden elements
//! are left out; entities are decoded; white space is collapsed except in `<pre>`.
//!
//! There is no tree: tokens are read once, and all that is kept of nesting is the stack of elements
//! inside a skipped one, which is bounded.

mod elements;
mod strings;
mod writer;

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};

use super::{Format, Parsed, bom_len, tidy_title};
use elements::Kind;
use writer::Writer;

/// Elements inside a skipped element whose end tags are matched; deeper ones are taken for closed.
const MAX_SKIPPED_DEPTH: usize = 256;

pub(super) fn parse(source: &str) -> Parsed {
    let start = bom_len(source);
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut page = Page { source, start, writer: Writer::default(), skipped: Vec::new(), pre_depth: 0, title: None, heading: None };
    let content = source.get(start..).unwrap_or_default();
    for token in Tokenizer::new_with_emitter(content, emitter) {
        let Ok(token) = token;
        page.token(token);
    }
    let heading = page.heading.and_then(|(from, to)| page.writer.text.get(from..to?).and_then(tidy_title));
    let title = page.title.as_ref().and_then(|(_, title)| tidy_title(title)).or(heading);
    let sections = std::iter::once(0..page.writer.text.len()).collect();
    Parsed { format: Format::Html, title, text: page.writer.text, map: page.writer.map, sections }
}

struct Page<'a> {
    source: &'a str,
    /// Where the tokenizer's byte 0 is in the file.
    start: usize,
    writer: Writer,
    /// The skipped element and the elements open inside it; empty when nothing is skipped.
    skipped: Vec<Vec<u8>>,
    pre_depth: usize,
    /// The first `<title>`, and whether it is still open.
    title: Option<(TitleState, String)>,
    /// Where the text of the first `<h1>` starts and ends.
    heading: Option<(usize, Option<usize>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TitleState {
    Open,
    Closed,
}

impl Page<'_> {
    fn token(&mut self, token: Token<usize>) {
        match token {
            Token::StartTag(tag) => self.start_tag(&tag),
            Token::EndTag(tag) => self.end_tag(&tag.name),
            Token::String(string) => {
                if let Some((TitleState::Open, title)) = &mut self.title {
                    title.push_str(&String::from_utf8_lossy(&string.value));
                } else if self.skipped.is_empty() {
                    let span = self.start + string.span.start..self.start + string.span.end;
                    for piece in strings::pieces(self.source, span, &string.value) {
                        self.writer.push(&piece, self.pre_depth > 0);
                    }
                }
            }
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }

    fn start_tag(&mut self, tag: &StartTag<usize>) {
        let name: &[u8] = &tag.name;
        let in_head = self.skipped.is_empty() || matches!(self.skipped.as_slice(), [only] if only == b"head");
        if name == b"title" && self.title.is_none() && in_head {
            self.title = Some((TitleState::Open, String::new()));
            return;
        }
        let kind = elements::kind(name);
        self.end_implied(name, kind);
        if !self.skipped.is_empty() {
            if kind != Kind::Void && !closes_itself(tag) && self.skipped.len() < MAX_SKIPPED_DEPTH {
                self.skipped.push(name.to_vec());
            }
            return;
        }
        match kind {
            Kind::LineBreak => self.writer.line_break(),
            Kind::Rule | Kind::Block => self.writer.paragraph(),
            Kind::Cell => self.writer.gap(),
            Kind::Skipped | Kind::Void | Kind::Inline => {}
        }
        if kind != Kind::Void && !closes_itself(tag) && (kind == Kind::Skipped || elements::is_hidden(tag)) {
            self.skipped.push(name.to_vec());
            return;
        }
        if name == b"pre" {
            self.pre_depth += 1;
        } else if name == b"h1" && self.heading.is_none() {
            self.heading = Some((self.writer.text.len(), None));
        }
    }

    /// Ends a skipped element that this start tag closes without an end tag, as HTML's rules have it.
    fn end_implied(&mut self, name: &[u8], kind: Kind) {
        let [skipped] = self.skipped.as_slice() else { return };
        let implied = match skipped.as_slice() {
            b"head" => name == b"body" || kind == Kind::Block,
            b"p" => matches!(kind, Kind::Block | Kind::Rule),
            b"dt" | b"dd" => matches!(name, b"dt" | b"dd"),
            b"td" | b"th" => matches!(name, b"td" | b"th" | b"tr"),
            open @ (b"li" | b"tr") => name == open,
            _ => false,
        };
        if implied {
            self.skipped.clear();
        }
    }

    fn end_tag(&mut self, name: &[u8]) {
        if name == b"title" && matches!(self.title, Some((TitleState::Open, _))) {
            if let Some((state, _)) = &mut self.title {
                *state = TitleState::Closed;
            }
            return;
        }
        if !self.skipped.is_empty() {
            match self.skipped.iter().rposition(|open| open == name) {
                Some(at) => self.skipped.truncate(at),
                None if self.skipped.len() == 1 && self.skipped.first().is_some_and(|open| elements::end_is_optional(open)) => {
                    // The parent ends, and with it the skipped element.
                    self.skipped.clear();
                }
                None => return,
            }
            if !self.skipped.is_empty() {
                return;
            }
        }
        match elements::kind(name) {
            Kind::Block | Kind::Rule => self.writer.paragraph(),
            Kind::Cell => self.writer.gap(),
            Kind::LineBreak => self.writer.line_break(),
            Kind::Skipped | Kind::Void | Kind::Inline => {}
        }
        if name == b"pre" {
            self.pre_depth = self.pre_depth.saturating_sub(1);
        } else if name == b"h1"
            && let Some((_, end @ None)) = &mut self.heading
        {
            *end = Some(self.writer.text.len());
        }
    }
}

/// `<svg/>`: only foreign elements close themselves.
fn closes_itself(tag: &StartTag<usize>) -> bool {
    tag.self_closing && matches!(tag.name.as_slice(), b"svg" | b"math" | b"path" | b"g" | b"use" | b"circle" | b"rect" | b"line")
}
