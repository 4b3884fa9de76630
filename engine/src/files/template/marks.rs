//! Random marks that stand for texts while a template runs.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};

use super::{Part, TemplatePiece};

/// Between a mark's number and what follows it.
const END: char = 'z';

pub(super) struct Marks<'a> {
    /// What every mark begins with: no text or template can hold it but by guessing 128 bits.
    start: String,
    /// What each mark stands for.
    texts: Vec<Marked<'a>>,
    sources: usize,
}

enum Marked<'a> {
    Text(&'a str),
    Source(usize, &'a str),
}

impl<'a> Marks<'a> {
    pub(super) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self { start: format!("x{:016x}{:016x}n", random(), random()), texts: Vec::new(), sources: 0 }
    }

    /// What the template is given for a message. Templates strip messages and ask whether they are empty: the spaces
    /// around the whole are left for them to strip, and an empty message stays empty.
    pub(super) fn content(&mut self, parts: &'a [Part]) -> String {
        let mut content = String::new();
        let last = parts.len().saturating_sub(1);
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Source(text) => {
                    self.mark(Marked::Source(self.sources, text), &mut content);
                    self.sources += 1;
                }
                Part::Text(text) => {
                    let inner = if at == 0 { text.trim_start() } else { text };
                    let before = text.get(..text.len() - inner.len()).unwrap_or_default();
                    let core = if at == last { inner.trim_end() } else { inner };
                    let after = inner.get(core.len()..).unwrap_or_default();
                    content.push_str(before);
                    if !core.is_empty() {
                        self.mark(Marked::Text(core), &mut content);
                    }
                    content.push_str(after);
                }
            }
        }
        content
    }

    fn mark(&mut self, text: Marked<'a>, content: &mut String) {
        // Writing to a String does not fail.
        let _ = write!(content, "{}{}{END}", self.start, self.texts.len());
        self.texts.push(text);
    }

    /// # Errors
    /// A sentence, where a text was left out or changed, or a source repeated.
    pub(super) fn split(&self, rendered: &str) -> Result<Vec<TemplatePiece>, String> {
        let mut seen = vec![0_usize; self.texts.len()];
        let mut pieces = Vec::new();
        let mut rest = rendered;
        while let Some((before, marked)) = rest.split_once(self.start.as_str()) {
            let (number, after) = marked.split_once(END).ok_or("cuts a message's text")?;
            let at = number.parse::<usize>().map_err(|_| "changes a message's text")?;
            let text = self.texts.get(at).ok_or("changes a message's text")?;
            if let Some(seen) = seen.get_mut(at) {
                *seen += 1;
            }
            if !before.is_empty() {
                pieces.push(TemplatePiece::Template(before.to_owned()));
            }
            pieces.push(match text {
                Marked::Text(text) => TemplatePiece::Text((*text).to_owned()),
                Marked::Source(source, text) => TemplatePiece::Source(*source, (*text).to_owned()),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePiece::Template(rest.to_owned()));
        }
        for (times, text) in seen.iter().zip(&self.texts) {
            match (times, text) {
                (0, _) => return Err("leaves out a message's text".to_owned()),
                (2.., Marked::Source(..)) => return Err("repeats a source".to_owned()),
                _ => {}
            }
        }
        Ok(pieces)
    }
}
