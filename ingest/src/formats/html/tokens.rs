//! From a page's source to the tokens that build its tree, each with its bytes.

use std::collections::HashSet;
use std::ops::Range;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, State, Tokenizer};

use super::strings::{self, Piece};
use super::tree::TooMuch;
use crate::progress::{Progress, Stopped};

/// Attributes of a tag that are read; browsers have no bound, pages have a dozen. What is done with a tag grows with their square.
pub(super) const MAX_ATTRIBUTES: usize = 256;
/// Different names of elements and attributes. html5ever keeps each in a table of 4,096 lists: a page of a million names walks them.
pub(super) const MAX_NAMES: usize = 10_000;

/// A start tag as it is spelled, with where the values of its attributes stand.
#[derive(Debug, Default)]
pub(super) struct StartTag {
    pub name: String,
    pub attributes: Vec<(String, String, Range<usize>)>,
    pub self_closing: bool,
}

/// A document type as it is spelled.
#[derive(Debug)]
pub(super) struct Doctype<'a> {
    pub name: &'a str,
    pub public_id: Option<&'a str>,
    pub system_id: Option<&'a str>,
    pub force_quirks: bool,
}

/// Makes a tree of tokens.
pub(super) trait Builder {
    /// How the tokenizer goes on: the content of some elements is text alone.
    fn start_tag(&mut self, tag: StartTag) -> Option<State>;
    /// An end tag, and the byte at which it starts.
    fn end_tag(&mut self, name: &str, at: usize) -> Option<State>;
    fn text(&mut self, piece: Piece);
    fn comment(&mut self, text: &str);
    fn doctype(&mut self, doctype: &Doctype<'_>);
    fn end(&mut self);
    /// Whether `<![CDATA[` is what it says here.
    fn reads_cdata(&self) -> bool;
    /// The page is not to be read: it asks for too much.
    fn refuse(&mut self, problem: TooMuch);
    /// Whether it was refused.
    fn is_refused(&self) -> bool;
}

/// Tokenizes `source` from byte `start` on, from `state` on, until its end or until it is refused.
pub(super) fn run(source: &str, start: usize, state: State, builder: &mut impl Builder, progress: &Progress) -> Result<(), Stopped> {
    let (tag, names) = (StartTag::default(), HashSet::new());
    let events = Events { source, start, builder, progress, tag, names, next_state: None };
    let emitter = TokenEmitter { inner: CallbackEmitter::new(events) };
    let mut tokenizer = Tokenizer::new_with_emitter(source.get(start..).unwrap_or_default(), emitter);
    tokenizer.set_state(state);
    // The reader of a string cannot fail.
    match tokenizer.next() {
        Some(Ok(Ended::Stopped(stopped))) => Err(stopped),
        Some(Ok(Ended::Refused)) | None => Ok(()),
    }
}

/// Why tokens end before the page does.
#[derive(Debug, Clone, Copy)]
enum Ended {
    Refused,
    Stopped(Stopped),
}

struct Events<'a, B> {
    source: &'a str,
    /// Where the tokenizer's byte 0 is in the source.
    start: usize,
    builder: &'a mut B,
    progress: &'a Progress,
    tag: StartTag,
    /// Of elements and attributes, as far as they are spelled.
    names: HashSet<String>,
    next_state: Option<State>,
}

impl<B: Builder> Events<'_, B> {
    fn place(&self, span: Span<usize>) -> Range<usize> {
        self.start + span.start..self.start + span.end
    }

    /// The name of a tag or an attribute.
    fn name(&mut self, name: &[u8]) -> String {
        let name = text(name);
        if !self.names.contains(&name) {
            self.names.insert(name.clone());
        }
        if self.names.len() > MAX_NAMES {
            self.builder.refuse(TooMuch::Names);
        }
        name
    }

    fn ended(&self) -> Option<Ended> {
        if self.builder.is_refused() {
            return Some(Ended::Refused);
        }
        self.progress.go_on().err().map(Ended::Stopped)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<B: Builder> Callback<Ended, usize> for Events<'_, B> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, span: Span<usize>) -> Option<Ended> {
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag = StartTag { name: self.name(name), ..StartTag::default() },
            CallbackEvent::AttributeName { .. } if self.tag.attributes.len() >= MAX_ATTRIBUTES => self.builder.refuse(TooMuch::Attributes),
            CallbackEvent::AttributeName { name } => {
                let name = self.name(name);
                self.tag.attributes.push((name, String::new(), 0..0));
            }
            CallbackEvent::AttributeValue { value } => {
                let place = self.place(span);
                if let Some((_, last, at)) = self.tag.attributes.last_mut() {
                    *last = text(value);
                    *at = place;
                }
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                let mut tag = std::mem::take(&mut self.tag);
                tag.self_closing = self_closing;
                self.next_state = self.builder.start_tag(tag);
            }
            CallbackEvent::EndTag { name } => {
                self.tag = StartTag::default();
                self.next_state = self.builder.end_tag(&text(name), self.place(span).start);
            }
            CallbackEvent::String { value } => {
                for piece in strings::pieces(self.source, self.place(span), value) {
                    if let Some(ended) = self.ended() {
                        return Some(ended);
                    }
                    self.builder.text(piece);
                }
            }
            CallbackEvent::Comment { value } => self.builder.comment(&text(value)),
            CallbackEvent::Doctype { name, public_identifier, system_identifier, force_quirks } => {
                let (name, public_id, system_id) = (text(name), public_identifier.map(text), system_identifier.map(text));
                let (public_id, system_id) = (public_id.as_deref(), system_id.as_deref());
                self.builder.doctype(&Doctype { name: &name, public_id, system_id, force_quirks });
            }
            CallbackEvent::Error(_) => {}
        }
        self.ended()
    }
}

/// Lets the builder say how the tokenizer goes on.
struct TokenEmitter<'a, B: Builder> {
    inner: CallbackEmitter<Events<'a, B>, Ended, usize>,
}

impl<B: Builder> ForwardingEmitter for TokenEmitter<'_, B> {
    type Token = Ended;

    fn inner(&mut self) -> &mut impl Emitter<Token = Self::Token> {
        &mut self.inner
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    fn emit_eof(&mut self) {
        self.inner.emit_eof();
        self.inner.callback_mut().builder.end();
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        let _none = self.inner.emit_current_tag();
        let next = self.inner.callback_mut().next_state.take();
        if next.is_some() {
            // The text that follows starts here.
            self.inner.init_string();
        }
        next
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.inner.callback_mut().builder.reads_cdata()
    }
}
