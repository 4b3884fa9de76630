//! Which sentences can stand alone as an answer.

use super::sorted_terms;
use crate::sentences::{self, Kind};

/// Fewer content words than this say nothing on their own.
const MIN_TERMS: usize = 3;

/// A quotable sentence: a byte range of the text of a source.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Distinct, sorted.
    pub(crate) terms: Vec<String>,
}

impl Candidate {
    pub(crate) fn of<'a>(&self, sources: &[&'a str]) -> &'a str {
        sources.get(self.source).and_then(|text| text.get(self.start..self.end)).unwrap_or_default()
    }
}

/// The quotable sentences of all sources, in order. A sentence that an earlier source says word
/// for word is left out.
pub(super) fn all(sources: &[&str]) -> Vec<Candidate> {
    let mut seen = std::collections::BTreeSet::new();
    let mut candidates = Vec::new();
    for (source, text) in sources.iter().enumerate() {
        for sentence in sentences::split(text) {
            let said = sentence.of(text);
            if !quotable(sentence.kind, said) || !seen.insert(said) {
                continue;
            }
            let terms = sorted_terms(said);
            if terms.len() >= MIN_TERMS {
                candidates.push(Candidate { source, start: sentence.start, end: sentence.end, terms });
            }
        }
    }
    candidates
}

/// Whole statements only: no heading, table row, code or question, nothing that leads over to
/// something else, and nothing that a reader's markdown could take for an image or a link.
fn quotable(kind: Kind, said: &str) -> bool {
    let bare = said.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»', '*', '_', '」', '』', '）', '】', '》', '〉', '〕']);
    let complete = match kind {
        Kind::Prose => bare.ends_with(is_full_stop) || bare.ends_with(sentences::is_unstopped),
        Kind::Item => !bare.ends_with([':', '?', '？', '؟', '፧', ',', ';', '：', '，', '、', '；', '،', '؛']),
        Kind::Heading | Kind::Table | Kind::Code | Kind::Piece => false,
    };
    complete && !said.contains("](") && !said.contains('<') && !said.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r')
}

/// What ends a statement, and no question.
fn is_full_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '…' | '。' | '！' | '｡' | '۔' | '।' | '॥' | '։' | '።' | '។' | '៕' | '။' | '།' | '༎' | '‼')
}
