//! From a page's source to the tokens that build its tree, each with its bytes.

use std::convert::Infallible;
use std::ops::Range;

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, State, Tokenizer};

use super::strings::{self, Piece};

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
}

/// Tokenizes `source` from byte `start` on, from `state` on.
pub(super) fn run(source: &str, start: usize, state: State, builder: &mut impl Builder) {
    let events = Events { source, start, builder, tag: StartTag::default(), next_state: None };
    let emitter = TokenEmitter { inner: CallbackEmitter::new(events) };
    let mut tokenizer = Tokenizer::new_with_emitter(source.get(start..).unwrap_or_default(), emitter);
    tokenizer.set_state(state);
    // The reader of a string cannot fail.
    let Ok(()) = tokenizer.finish();
}

struct Events<'a, B> {
    source: &'a str,
    /// Where the tokenizer's byte 0 is in the source.
    start: usize,
    builder: &'a mut B,
    tag: StartTag,
    next_state: Option<State>,
}

impl<B> Events<'_, B> {
    fn place(&self, span: Span<usize>) -> Range<usize> {
        self.start + span.start..self.start + span.end
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl<B: Builder> Callback<Infallible, usize> for Events<'_, B> {
    fn handle_event(&mut self, event: CallbackEvent<'_>, span: Span<usize>) -> Option<Infallible> {
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag = StartTag { name: text(name), ..StartTag::default() },
            CallbackEvent::AttributeName { name } => self.tag.attributes.push((text(name), String::new(), 0..0)),
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
        None
    }
}

/// Lets the builder say how the tokenizer goes on.
struct TokenEmitter<'a, B: Builder> {
    inner: CallbackEmitter<Events<'a, B>, Infallible, usize>,
}

impl<B: Builder> ForwardingEmitter for TokenEmitter<'_, B> {
    type Token = Infallible;

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
