//! From tokens to text that is certain: whole characters, and never the beginning of a stop text.
//!
//! Owns the bytes of the vocabulary as generation sees them. Texts, stop texts and constraints all work on these bytes,
//! so that they cannot disagree about what a token says.

use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// What every token says.
#[derive(Debug, Default)]
pub(crate) struct TokenTable {
    bytes: Vec<u8>,
    /// Where the bytes of each token end.
    ends: Vec<usize>,
    /// Tokens that steer the model and say nothing.
    special: Vec<bool>,
    /// Tokens that end an answer.
    endings: Vec<u32>,
}

impl TokenTable {
    pub(crate) fn new(endings: Vec<u32>) -> Self {
        Self { endings, ..Self::default() }
    }

    /// Adds the next token. A special one says nothing, whatever its bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], special: bool) {
        self.bytes.extend_from_slice(if special { &[] } else { bytes });
        self.ends.push(self.bytes.len());
        self.special.push(special);
    }

    pub(crate) fn tokens(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_ending(&self, token: u32) -> bool {
        self.endings.contains(&token)
    }

    pub(crate) fn endings(&self) -> &[u32] {
        &self.endings
    }

    pub(crate) fn is_special(&self, token: u32) -> bool {
        self.special.get(token as usize).copied().unwrap_or(true)
    }

    /// What it adds to an answer.
    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        let token = token as usize;
        let start = token.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.ends.get(token).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }
}

/// An answer's text as its tokens come. `T` is what is told about a token along with its text.
#[derive(Debug)]
pub(crate) struct AnswerText<T> {
    stops: Vec<String>,
    /// The beginning of a character.
    undecoded: Vec<u8>,
    /// Decoded, but it may be the beginning of a stop text.
    held: String,
    /// Bytes of text that were given out.
    given: usize,
    /// What is told about tokens whose text was not given out yet.
    tokens: VecDeque<Told<T>>,
    /// Where the text of each token of the answer starts.
    starts: Vec<usize>,
    stopped: bool,
    /// A space that comes first is the vocabulary's, not the text's.
    drops_space: bool,
}

/// In bytes of the answer.
#[derive(Debug)]
struct Told<T> {
    start: usize,
    end: usize,
    about: T,
}

/// Text that is certain, with the tokens that end in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CertainText<T> {
    pub(crate) text: String,
    pub(crate) tokens: Vec<T>,
}

impl<T> AnswerText<T> {
    /// Some vocabularies put a space before every text: with `drops_space` the first character is left out where it is one.
    pub(crate) fn new(stops: Vec<String>, drops_space: bool) -> Self {
        Self {
            stops,
            undecoded: Vec::new(),
            held: String::new(),
            given: 0,
            tokens: VecDeque::new(),
            starts: Vec::new(),
            stopped: false,
            drops_space,
        }
    }

    /// A stop text has come; what followed it is gone.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// How many of the answer's tokens have text, or came, before the stop text.
    pub(crate) fn kept_tokens(&self) -> usize {
        self.starts.len()
    }

    /// What has become certain by this token.
    pub(crate) fn push(&mut self, bytes: &[u8], token: Option<T>) -> CertainText<T> {
        let start = self.end();
        self.starts.push(start);
        let dropped = usize::from(self.drops_space && bytes.first() == Some(&b' '));
        self.drops_space &= bytes.is_empty();
        self.undecoded.extend(bytes.iter().skip(dropped));
        self.decode();
        if let Some(about) = token {
            self.tokens.push_back(Told { start, end: self.end(), about });
        }
        if let Some(start) = self.first_stop() {
            self.cut(start);
            return self.give(start);
        }
        self.give(self.held.len() - self.beginning_of_a_stop())
    }

    /// The rest, when the answer ends otherwise than by a stop text.
    pub(crate) fn finish(&mut self) -> CertainText<T> {
        if !self.undecoded.is_empty() {
            self.held.push_str(&String::from_utf8_lossy(&self.undecoded));
            self.undecoded.clear();
        }
        let text = std::mem::take(&mut self.held);
        self.given += text.len();
        CertainText { text, tokens: self.tokens.drain(..).map(|told| told.about).collect() }
    }

    /// Where the next token's text starts, in bytes of the answer.
    fn end(&self) -> usize {
        self.given + self.held.len() + self.undecoded.len()
    }

    /// Moves whole characters to `held`; what can become none is replaced by U+FFFD.
    fn decode(&mut self) {
        let mut certain = 0;
        for chunk in self.undecoded.utf8_chunks() {
            let end = certain + chunk.valid().len() + chunk.invalid().len();
            self.held.push_str(chunk.valid());
            certain += chunk.valid().len();
            let incomplete = end == self.undecoded.len() && may_become_a_character(chunk.invalid());
            if !chunk.invalid().is_empty() && !incomplete {
                self.held.push(char::REPLACEMENT_CHARACTER);
                certain = end;
            }
        }
        self.undecoded.drain(..certain);
    }

    /// Where the stop text starts that was complete first.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start)));
        found.min().map(|(_, start)| start)
    }

    /// The longest end of the held text that a stop text starts with.
    fn beginning_of_a_stop(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or_default();
        let starts = self.held.char_indices().map(|(start, _)| start).filter(|start| self.held.len() - start < longest);
        let ends = starts.filter_map(|start| self.held.get(start..));
        ends.filter(|end| self.stops.iter().any(|stop| stop.starts_with(*end))).map(str::len).max().unwrap_or_default()
    }

    /// Forgets what follows the held text's byte `start`.
    fn cut(&mut self, start: usize) {
        self.stopped = true;
        let end = self.given + start;
        self.starts.truncate(self.starts.partition_point(|token| *token < end));
        self.tokens.retain(|told| told.start < end);
        self.held.truncate(start);
        self.undecoded.clear();
        for told in &mut self.tokens {
            told.end = told.end.min(end);
        }
    }

    fn give(&mut self, bytes: usize) -> CertainText<T> {
        let rest = self.held.split_off(bytes);
        let text = std::mem::replace(&mut self.held, rest);
        self.given += text.len();
        let certain = self.tokens.partition_point(|told| told.end <= self.given);
        CertainText { text, tokens: self.tokens.drain(..certain).map(|told| told.about).collect() }
    }
}

/// Whether more bytes can complete it: `std` calls an unfinished sequence at the end invalid too.
fn may_become_a_character(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
