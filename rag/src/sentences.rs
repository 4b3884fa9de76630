//! Cutting a text into sentences. What is quoted and what is paid is counted in them, so there are two
//! editions: a change here changes what people are paid, and receipts say by which one they were.
//!
//! Spans depend on nothing before the sentence's own start but the line it begins on, so cutting a
//! text at a sentence boundary leaves its sentences as they were (unless one begins with what is a list
//! or heading marker at the start of a line). Only [`Kind`] looks further
//! (fenced code), and kinds decide what may be quoted, never what is paid.

mod boundary;

pub(crate) use boundary::is_unstopped;

/// What a sentence stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prose,
    /// A list item, marker not included.
    Item,
    Heading,
    /// A row of a markdown table.
    Table,
    /// In or at a code fence.
    Code,
    /// A piece of a sentence longer than [`MAX_SENTENCE_BYTES`].
    Piece,
}

/// A byte range of the text, without surrounding white space; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

impl Sentence {
    pub(crate) fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Longer sentences are cut at white space, so that a text without full stops cannot pass for one
/// sentence that says everything.
pub(crate) const MAX_SENTENCE_BYTES: usize = 600;

/// Where sentences end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    /// As `support/1` was paid by: full stops of Latin, Cyrillic and Greek, and those of Chinese and Japanese.
    First,
    /// The full stops of all scripts, and the spaces of those that write none (Thai, Lao); lines of one block quote belong together.
    Second,
}

/// The sentences of `text`, in order.
pub(crate) fn split(text: &str) -> Vec<Sentence> {
    split_by(text, Edition::Second)
}

/// The sentences of `text` as an edition cuts them.
pub(crate) fn split_by(text: &str, edition: Edition) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut block: Option<Block> = None;
    let mut fenced = false;
    let mut at = 0;
    for raw in text.split_inclusive('\n') {
        let line_start = at;
        at += raw.len();
        let line = Line::read(raw, edition);
        let content = line_start + line.content_at;
        let end = line_start + raw.trim_end().len();
        let fence = matches!(line.shape, Shape::Fence);
        if fence {
            fenced = !fenced;
        }
        let in_code = fenced || fence;
        if let Some(open) = block.as_mut().filter(|open| line.goes_on(text.get(open.start..open.end).unwrap_or_default())) {
            open.end = end;
            continue;
        }
        if let Some(done) = block.take() {
            done.cut(text, edition, &mut sentences);
        }
        let kind = match line.shape {
            Shape::Blank => continue,
            _ if in_code => Kind::Code,
            Shape::Text => Kind::Prose,
            Shape::Item | Shape::Quote => Kind::Item,
            Shape::Heading => Kind::Heading,
            Shape::Table => Kind::Table,
            Shape::Fence => Kind::Code,
        };
        // by shape, not by kind: where sentences begin does not depend on a fence further up
        let running = matches!(line.shape, Shape::Text | Shape::Item | Shape::Quote);
        let opened = Block { start: content, end, kind, running };
        if running {
            block = Some(opened);
        } else {
            opened.cut(text, edition, &mut sentences);
        }
    }
    if let Some(done) = block {
        done.cut(text, edition, &mut sentences);
    }
    sentences
}

/// Lines that belong together: a paragraph, a list item, a heading, a row.
struct Block {
    start: usize,
    end: usize,
    kind: Kind,
    /// Of running text, which has sentences.
    running: bool,
}

impl Block {
    fn cut(&self, text: &str, edition: Edition, into: &mut Vec<Sentence>) {
        let Some(body) = text.get(self.start..self.end) else { return };
        let mut from = 0;
        let mut bounds = if self.running { boundary::ends(body, edition) } else { Vec::new() };
        bounds.push(body.len());
        for end in bounds {
            let piece = body.get(from..end).unwrap_or_default();
            let trimmed = if edition == Edition::First { piece.trim_start() } else { after_markers(piece) };
            let start = self.start + from + (piece.len() - trimmed.len());
            let trimmed = trimmed.trim_end();
            if !trimmed.is_empty() {
                push_bounded(trimmed, start, self.kind, into);
            }
            from = end;
        }
    }
}

/// Adds a sentence, in pieces where it is too long.
fn push_bounded(sentence: &str, start: usize, kind: Kind, into: &mut Vec<Sentence>) {
    if sentence.len() <= MAX_SENTENCE_BYTES {
        into.push(Sentence { start, end: start + sentence.len(), kind });
        return;
    }
    let mut rest = sentence;
    let mut at = start;
    while !rest.is_empty() {
        let mut end = rest.len();
        if end > MAX_SENTENCE_BYTES {
            end = rest.floor_char_boundary(MAX_SENTENCE_BYTES);
            if let Some(space) = rest.get(..end).and_then(|head| head.rfind(char::is_whitespace)).filter(|space| *space > 0) {
                end = space;
            }
        }
        let (piece, tail) = rest.split_at(end);
        into.push(Sentence { start: at, end: at + piece.trim_end().len(), kind: Kind::Piece });
        at += end + (tail.len() - tail.trim_start().len());
        rest = tail.trim_start();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Blank,
    Text,
    Item,
    /// Text after the marker of a block quote.
    Quote,
    Heading,
    Table,
    Fence,
}

/// A line's form, and where its content begins.
struct Line {
    shape: Shape,
    content_at: usize,
}

impl Line {
    fn read(raw: &str, edition: Edition) -> Self {
        if edition == Edition::First {
            return Self::unquoted(raw, edition);
        }
        let content = after_quote_markers(raw);
        let line = Self::unquoted(content, edition);
        let content_at = line.content_at + raw.len() - content.len();
        let shape = match line.shape {
            _ if content.len() == raw.len() => line.shape,
            Shape::Text if is_alert(content) => Shape::Blank,
            Shape::Text => Shape::Quote,
            other => other,
        };
        Self { shape, content_at }
    }

    /// Whether it goes on with the text of the lines before it: one of a block quote with those before it, whose first may have been cut
    /// in the middle and have no marker, but not with words that introduce the quote.
    fn goes_on(&self, before: &str) -> bool {
        match self.shape {
            Shape::Text => true,
            Shape::Quote => !before.ends_with([':', '：']),
            _ => false,
        }
    }

    fn unquoted(raw: &str, edition: Edition) -> Self {
        let indent = raw.len() - raw.trim_start().len();
        let body = raw.trim();
        let at = |shape, skip: usize| Self { shape, content_at: indent + skip };
        if body.is_empty() || is_rule(body) {
            return at(Shape::Blank, 0);
        }
        if body.starts_with("```") || body.starts_with("~~~") {
            return at(Shape::Fence, 0);
        }
        let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=6).contains(&hashes) && body.get(hashes..).is_some_and(|rest| rest.starts_with(' ')) {
            return at(Shape::Heading, hashes);
        }
        if body.starts_with('|') {
            return at(Shape::Table, 0);
        }
        match marker(body).filter(|_| edition == Edition::First || !body.starts_with('>')) {
            Some(skip) => at(Shape::Item, skip),
            None => at(Shape::Text, 0),
        }
    }
}

/// Bytes of a list or block-quote marker with its space: `- `, `* `, `+ `, `• `, `> `, `12. `, `12) `.
fn marker(body: &str) -> Option<usize> {
    let first = body.chars().next()?;
    let after = if matches!(first, '-' | '*' | '+' | '•' | '–' | '▪' | '>') {
        first.len_utf8()
    } else {
        let digits = body.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=3).contains(&digits) || !matches!(body.as_bytes().get(digits), Some(b'.' | b')')) {
            return None;
        }
        digits + 1
    };
    let rest = body.get(after..)?;
    (rest.starts_with([' ', '\t']) && !rest.trim().is_empty()).then(|| after + rest.len() - rest.trim_start().len())
}

/// What is left of a line after the markers of block quotes: `>` and a space each, or one after the other.
fn after_quote_markers(raw: &str) -> &str {
    let mut rest = raw;
    while let Some(after) = rest.trim_start().strip_prefix('>').filter(|after| after.is_empty() || after.starts_with(is_space_or_marker)) {
        rest = after;
    }
    rest
}

fn is_space_or_marker(c: char) -> bool {
    c == '>' || c.is_whitespace()
}

/// What is left of a text after white space at its beginning, and where a line begins there, after its markers of block quotes.
pub(super) fn after_markers(text: &str) -> &str {
    let rest = text.trim_start();
    let space = text.len() - rest.len();
    if text.get(..space).is_some_and(|space| space.contains('\n')) { after_quote_markers(rest).trim_start() } else { rest }
}

/// What GitHub makes a block quote a note by: `[!NOTE]`.
fn is_alert(line: &str) -> bool {
    let name = line.trim().strip_prefix("[!").and_then(|rest| rest.strip_suffix(']'));
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()))
}

/// A thematic break or the underline of a heading: three or more of one of `-=*_`, and nothing else.
fn is_rule(body: &str) -> bool {
    let mut chars = body.chars().filter(|c| !c.is_whitespace());
    let Some(first) = chars.next() else { return false };
    matches!(first, '-' | '=' | '*' | '_') && body.len() >= 3 && chars.all(|c| c == first)
}

#[cfg(test)]
pub(crate) mod tests;
