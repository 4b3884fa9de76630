//! What is asked, what is answered, and what is kept of it.

use schemas::ids::{AnswerId, ChunkId, DocumentId};
use schemas::receipt::{Filter, Receipt, Source};
use schemas::tables::{DatanetRow, Wei};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::generate::GenerationSettings;

/// A question to one Datanet.
#[derive(Debug, Clone)]
pub struct AskRequest {
    pub datanet: DatanetRow,
    /// The published version to answer from; the newest where absent.
    pub version: Option<u64>,
    /// What the caller said before in this conversation, oldest first; the newest that fit are used to search, and stand before
    /// the question in what the receipt is for.
    pub earlier: Vec<String>,
    pub question: String,
    /// The members that the answer may rest on; all where absent.
    pub filter: Option<Filter>,
    /// 32 random bytes: with them the receipt's hash of the question tells nothing to who guesses it. A stored answer keeps its own.
    pub salt: B256,
    /// With `key_id` the identity of the request: sent again it gives the stored answer.
    pub request_id: String,
    /// The API key that asks.
    pub key_id: String,
    /// Who pays; where nobody does, the fee must be zero.
    pub payer: Option<Address>,
    /// The price of an answer, in wei. A declined answer costs nothing.
    pub fee_wei: Wei,
    pub answerer: Answerer,
    /// For a model; quoted answers have none of it.
    pub generation: GenerationSettings,
}

/// Who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answerer {
    /// The model that the service has; without one, [`Answerer::Quote`].
    #[default]
    Configured,
    /// Sentences of the sources, word for word.
    Quote,
}

/// An answer with its signed receipt, which is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub receipt: Receipt,
    pub text: String,
    /// One per quoted sentence, or per source that a generated sentence cites, in the order of the text; none when the
    /// answer was declined.
    pub citations: Vec<Citation>,
    /// Contributors with a share, greatest first; then those whose chunks repeat one that was used, at zero.
    pub shares: Vec<ShareLine>,
}

/// Where a sentence of the answer was quoted from, or what it cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// Bytes of the answer's text.
    pub start: u64,
    pub end: u64,
    pub chunk_id: ChunkId,
    pub document_id: DocumentId,
    pub contributor: Address,
    pub file_name: Option<String>,
    /// The answer's words in that range: the source's own where the answer is quoted.
    pub quote: String,
    /// Bytes of the file: of the sentence where it is quoted and the chunk is a verbatim part of the file, else of the chunk.
    pub source_byte_start: u64,
    pub source_byte_end: u64,
}

/// A line of who earned what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareLine {
    pub contributor: Address,
    pub share_ppm: u64,
    /// Set where this contributor's chunk repeats an earlier one, and earns nothing for it.
    pub copy_of: Option<CopyOf>,
}

/// A repeated chunk and what it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The repeating chunk.
    pub chunk_id: ChunkId,
    pub document_id: DocumentId,
    /// The chunk that said it first.
    pub original_chunk_id: ChunkId,
    pub original_contributor: Address,
}

/// Everything that re-executing an answer's attribution needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    pub receipt: Receipt,
    pub question: String,
    /// Of the receipt's hash of the question.
    pub question_salt: B256,
    pub answer: String,
    /// In the order of the receipt's sources.
    pub source_texts: Vec<String>,
}

/// A member that repeats one that an answer used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyRecord {
    pub(crate) chunk_id: ChunkId,
    pub(crate) contributor: Address,
    pub(crate) document_id: DocumentId,
    /// The chunk that it repeats.
    pub(crate) original_id: ChunkId,
}

/// What is kept of an answer; the rest of an [`Answer`] follows from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerRecord {
    pub(crate) receipt: Receipt,
    pub(crate) question: String,
    pub(crate) question_salt: B256,
    pub(crate) answer: String,
    pub(crate) copies: Vec<CopyRecord>,
}

impl AnswerRecord {
    pub(crate) fn id(&self) -> AnswerId {
        self.receipt.body.answer_id
    }

    /// The documents that citations name.
    pub(crate) fn cited_documents(&self) -> Vec<DocumentId> {
        let mut cited: Vec<DocumentId> = self.cited().into_iter().map(|cited| cited.source.document_id).collect();
        cited.sort();
        cited.dedup();
        cited
    }

    fn cited(&self) -> Vec<Cited<'_>> {
        let body = &self.receipt.body;
        let source = |index: u64| usize::try_from(index).ok().and_then(|index| body.sources.get(index));
        let quoted = body.segments.iter().filter_map(|segment| {
            let bytes = (segment.source_byte_start, segment.source_byte_end);
            Some(Cited { start: segment.start, end: segment.end, source: source(segment.source)?, bytes })
        });
        let sentences = body.generation.iter().flat_map(|generation| &generation.sentences);
        let generated = sentences.flat_map(|sentence| {
            sentence.cited.iter().filter_map(|index| {
                let source = source(*index)?;
                Some(Cited { start: sentence.start, end: sentence.end, source, bytes: (source.byte_start, source.byte_end) })
            })
        });
        quoted.chain(generated).collect()
    }

    /// The text in the pieces in which it can be read out: sentences, each with what stands before it.
    pub(crate) fn pieces(&self) -> Vec<&str> {
        let body = &self.receipt.body;
        let sentences = body.generation.iter().flat_map(|generation| &generation.sentences).map(|sentence| sentence.end);
        let mut ends: Vec<u64> = body.segments.iter().map(|segment| segment.end).chain(sentences).collect();
        ends.pop();
        ends.push(self.answer.len() as u64);
        let mut from = 0;
        let mut pieces = Vec::with_capacity(ends.len());
        for end in ends {
            pieces.push(slice(&self.answer, from, end).unwrap_or_default());
            from = end;
        }
        pieces
    }

    /// Unfolds the answer; `file_name` knows the documents of [`Self::cited_documents`].
    pub(crate) fn into_answer(self, file_name: impl Fn(DocumentId) -> Option<String>) -> Answer {
        let citations = (self.cited().into_iter())
            .map(|Cited { start, end, source, bytes }| Citation {
                start,
                end,
                chunk_id: source.chunk_id,
                document_id: source.document_id,
                contributor: source.contributor,
                file_name: file_name(source.document_id),
                quote: slice(&self.answer, start, end).unwrap_or_default().to_owned(),
                source_byte_start: bytes.0,
                source_byte_end: bytes.1,
            })
            .collect();
        let shares = self.share_lines();
        Answer { citations, shares, text: self.answer, receipt: self.receipt }
    }

    fn share_lines(&self) -> Vec<ShareLine> {
        let body = &self.receipt.body;
        let mut lines: Vec<ShareLine> = (body.shares.iter())
            .map(|share| ShareLine { contributor: share.contributor, share_ppm: share.share_ppm, copy_of: None })
            .collect();
        lines.sort_by(|a, b| b.share_ppm.cmp(&a.share_ppm).then(a.contributor.cmp(&b.contributor)));
        lines.extend(self.copies.iter().filter_map(|copy| {
            let original = body.sources.iter().find(|source| source.chunk_id == copy.original_id)?;
            let copy_of = CopyOf {
                chunk_id: copy.chunk_id,
                document_id: copy.document_id,
                original_chunk_id: original.chunk_id,
                original_contributor: original.contributor,
            };
            Some(ShareLine { contributor: copy.contributor, share_ppm: 0, copy_of: Some(copy_of) })
        }));
        lines
    }
}

/// A range of the answer and the source that it names.
struct Cited<'a> {
    start: u64,
    end: u64,
    source: &'a Source,
    /// Of the file.
    bytes: (u64, u64),
}

/// A byte range of a text, if it is one.
pub(crate) fn slice(text: &str, start: u64, end: u64) -> Option<&str> {
    text.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
