//! Verbatim spans of any text in what is published: who said the same words, word for word, and who was first registered with them.
//! Evidence, and never pay: what an answer is worth to whom, [`crate::attribution`] says, and asks nothing here.
//!
//! Of each position of the text the longest run of tokens is found that stands in some member (a suffix array; Infini-gram,
//! arXiv:2401.17377); spans are chosen as OLMoTrace does (arXiv:2504.07096). Every member counts, copies too: whoever was first is to
//! be seen, whatever is searched for answers. What a version is traced by is built when somebody first traces in it, never for a
//! question.

mod build;
mod columns;
mod kept;
mod members;
mod open;
mod part;
mod query;
mod search;
mod shown;
mod suffixes;
mod tokens;

use schemas::ids::{ChunkId, DatanetId, DocumentId, SubmissionId};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};
use tantivy::directory::OwnedBytes as Bytes;

pub(crate) use kept::remove_old;
pub(crate) use open::Traces;
pub(crate) use query::Query;
pub(crate) use shown::trace;

/// Spans that one reply shows at most, however many the density allows: what is told of each takes some kilobytes.
pub(crate) const SPANS_MAX: usize = 256;
/// The same of each version, of however many a reply is.
pub(crate) const SPANS_LEAST: usize = 8;

/// A text to trace.
#[derive(Debug, Clone, Default)]
pub struct TraceRequest {
    pub text: String,
    /// Words of a span at least; 6 where nothing is said.
    pub at_least: Option<usize>,
    /// Spans that are shown, in parts per million of the text's tokens, rounded up; 50,000 where nothing is said.
    pub density_ppm: Option<u64>,
}

/// What was found of a text in one published version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub datanet_id: DatanetId,
    pub version: u64,
    pub root: B256,
    /// Tokens of the text: its words, and each sign between them.
    pub tokens: usize,
    pub words: usize,
    /// The part of the text's words that stand in a span of `at_least` words or more.
    pub coverage_ppm: u64,
    /// Spans that were found; those below are the rarest of them.
    pub spans_found: usize,
    /// In the order of the text. They may overlap, but none is inside another.
    pub spans: Vec<TracedSpan>,
}

/// A part of the text that stands in the version word for word; white space may differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedSpan {
    /// Bytes of the text.
    pub start: usize,
    pub end: usize,
    pub text: String,
    pub words: usize,
    /// Minus the logarithm, to base 2, of its probability: of the product of its tokens' parts of all tokens of the version.
    pub rarity_bits: u64,
    /// How often it stands in the version.
    pub occurrences: u64,
    /// Ten documents at most that hold it, of the version's members the first registered first.
    pub documents: Vec<TracedDocument>,
    /// Others may hold it too.
    pub has_more: bool,
}

/// The first place of a span in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedDocument {
    pub chunk_id: ChunkId,
    pub document_id: DocumentId,
    pub file_name: Option<String>,
    pub submission_id: SubmissionId,
    pub contributor: Address,
    /// The submission's number in the order of registration, over all Datanets.
    pub registered: u64,
    /// Bytes of the chunk's text.
    pub start: usize,
    pub end: usize,
    /// The span with some words around it.
    pub snippet: String,
}

#[cfg(test)]
mod tests;
