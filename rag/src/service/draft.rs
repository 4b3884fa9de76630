//! From what was said to everything that its receipt states but its number and time.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::RerankerInfo;
use schemas::ids::AnswerId;
use schemas::receipt::{self, AnswerStatus, Candidates, Generation, Likelihood, Models, ReceiptBody, Retrieval, Segment, Source};
use schemas::said::Said as Tokens;
use schemas::tables::{PassageRow, Wei};
use schemas::{B256, alloy_primitives::keccak256, hashing};

use crate::answer::{AskRequest, CopyRecord};
use crate::attribution::likelihood::{self, Told};
use crate::attribution::{self, MAX_SOURCES, SourceText, compute_shares, compute_value_table};
use crate::generate::Written;
use crate::open_version::OpenVersion;
use crate::quote::{self, Quote};
use crate::receipts::Draft;
use crate::retrieve::Retrieved;
use crate::{RagConfig, RagError, Result};

/// A question with what was found for it.
pub(crate) struct Found {
    pub(crate) id: AnswerId,
    pub(crate) request: AskRequest,
    pub(crate) opened: Arc<OpenVersion>,
    pub(crate) method: Retrieval,
    /// Best first.
    pub(crate) retrieved: Vec<Retrieved>,
    pub(crate) candidates: Candidates,
    /// What put them in order, if anything did.
    pub(crate) reranker: Option<RerankerInfo>,
}

/// An answer's text with what the receipt states of how it came about.
struct Said {
    answer: String,
    /// What the value function sees, one per row of the value table.
    sentences: Vec<String>,
    quotes: Vec<Quote>,
    generation: Option<Generation>,
    likelihood: Option<Likelihood>,
    answered: bool,
    generator: String,
}

impl Found {
    pub(crate) fn positions(&self) -> Vec<usize> {
        self.retrieved.iter().map(|retrieved| retrieved.position).collect()
    }

    /// In the order of what was retrieved. Blocks.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        self.retrieved.iter().map(|retrieved| Ok(self.opened.passage(retrieved.position)?.text.clone())).collect()
    }

    /// Of quoted statements, verbatim, joined by a space; declined where there are none.
    pub(crate) fn quoted(self, quotes: Vec<Quote>, embedder: &engine::EmbedderInfo, config: &RagConfig) -> Result<Draft> {
        let sentences: Vec<String> = quotes.iter().map(|quote| said(&self.opened, quote)).collect::<Result<_>>()?;
        let answered = !sentences.is_empty();
        let said = Said {
            answer: if answered { sentences.join(" ") } else { quote::DECLINED.to_owned() },
            sentences,
            quotes,
            generation: None,
            likelihood: None,
            answered,
            generator: quote::GENERATOR.to_owned(),
        };
        self.draft(said, embedder, config)
    }

    /// Of what a model wrote.
    pub(crate) fn generated(
        mut self,
        written: Written,
        generator: &str,
        embedder: &engine::EmbedderInfo,
        config: &RagConfig,
    ) -> Result<Draft> {
        let Written { answer, declined, generation, said, likelihood } = written;
        let kept = self.retrieved.len() - usize::try_from(generation.dropped_sources).unwrap_or(0).min(self.retrieved.len());
        self.retrieved.truncate(kept);
        let said = Said {
            answer,
            sentences: said,
            quotes: Vec::new(),
            generation: Some(generation),
            likelihood,
            answered: !declined,
            generator: generator.to_owned(),
        };
        self.draft(said, embedder, config)
    }

    fn draft(self, said: Said, embedder: &engine::EmbedderInfo, config: &RagConfig) -> Result<Draft> {
        let retrieved = self.retrieved.len() as u64;
        let positions = self.sources(&said);
        let Self { id, request, opened, method: retrieval, retrieved: found, candidates, reranker } = self;
        let members = positions.iter().map(|position| opened.passage(*position)).collect::<Result<Vec<Arc<PassageRow>>>>()?;
        let sources = (positions.iter().zip(&members))
            .map(|(position, chunk)| source(&opened, *position, chunk, &found))
            .collect::<Result<Vec<Source>>>()?;
        let segments = segments(&said, &positions, &members);
        let texts: Vec<SourceText<'_>> =
            sources.iter().zip(&members).map(|(source, chunk)| SourceText { source, text: &chunk.text }).collect();
        let sentences: Vec<&str> = said.sentences.iter().map(String::as_str).collect();
        let (method, value_table, shares) = match &said.likelihood {
            Some(likelihood) => (likelihood::METHOD, Vec::new(), likelihood::compute_shares(&sources, likelihood)),
            None => {
                let value_table = compute_value_table(&request.question, &sentences, &texts);
                let shares = compute_shares(&sources, &value_table)?;
                (attribution::METHOD, value_table, shares)
            }
        };
        let copies = copies(&opened, &positions, &sources, &shares.per_source_ppm);
        let body = ReceiptBody {
            schema: receipt::SCHEMA.to_owned(),
            answer_id: id,
            sequence: 0,
            previous: B256::ZERO,
            issued_at_ms: 0,
            chain_id: config.domain.chain_id,
            registry: config.domain.registry,
            datanet_id: opened.row.datanet_id,
            version: opened.row.version,
            version_root: opened.row.root,
            question_hash: receipt::salted_question_hash(request.salt, &request.question),
            answer_hash: keccak256(&said.answer),
            status: if said.answered { AnswerStatus::Answered } else { AnswerStatus::Declined },
            quoting: said.generation.is_none().then(|| config.quote.stated()),
            retrieval,
            models: Models {
                embedder: embedder.name.clone(),
                embedder_sha256: embedder.sha256.clone(),
                generator: said.generator,
                reranker: reranker.as_ref().map(|reranker| reranker.name.clone()),
                reranker_sha256: reranker.map(|reranker| reranker.sha256),
            },
            candidates: Some(candidates),
            sources,
            retrieved,
            segments,
            generation: said.generation,
            method: method.to_owned(),
            value_table,
            likelihood: said.likelihood,
            shares: shares.per_contributor,
            source_shares_ppm: shares.per_source_ppm,
            unattributed_ppm: shares.unattributed_ppm,
            fee_wei: if said.answered { request.fee_wei } else { Wei(0) },
            payer: request.payer,
        };
        Ok(Draft { body, question: request.question, salt: request.salt, answer: said.answer, copies })
    }

    /// Whose the first of what was retrieved are, with their texts.
    pub(crate) fn told<'a>(&self, texts: &'a [String]) -> Result<Vec<Told<'a>>> {
        let told = |(retrieved, text): (&Retrieved, &'a String)| {
            let position = retrieved.position;
            let member = self.opened.chunk_id(position).zip(self.opened.origin(position));
            let (chunk_id, origin) = member.ok_or_else(|| RagError::not_found("member", position))?;
            Ok(Told { contributor: origin.contributor, registered: origin.registered, chunk_id, text })
        };
        self.retrieved.iter().zip(texts).map(told).collect()
    }

    /// What was retrieved; after it, by registration, what was quoted beside it and who was the first to say what is said. What the
    /// model did not read made nothing likely.
    fn sources(&self, said: &Said) -> Vec<usize> {
        let mut positions = self.positions();
        if said.likelihood.is_some() {
            return positions;
        }
        let mut further: BTreeSet<usize> = BTreeSet::new();
        let quoted = said.quotes.iter().map(|quote| quote.chunk);
        let first = said.sentences.iter().flat_map(|sentence| self.opened.statements.first_to_say(&Tokens::of(sentence)));
        for position in quoted.chain(first).filter(|position| !positions.contains(position)) {
            if positions.len() + further.len() < MAX_SOURCES {
                further.insert(position);
            }
        }
        positions.extend(further);
        positions
    }
}

/// A member as the receipt states it.
fn source(opened: &OpenVersion, position: usize, chunk: &PassageRow, found: &[Retrieved]) -> Result<Source> {
    let retrieved = found.iter().find(|retrieved| retrieved.position == position);
    let (vector, words) = (retrieved.and_then(|retrieved| retrieved.vector), retrieved.and_then(|retrieved| retrieved.words));
    let (chunk_id, origin) =
        opened.chunk_id(position).zip(opened.origin(position)).ok_or_else(|| RagError::not_found("member", position))?;
    Ok(Source {
        chunk_id,
        contributor: origin.contributor,
        submission_id: origin.submission,
        document_id: origin.document,
        document_sha256: chunk.document_sha256,
        byte_start: chunk.byte_start,
        byte_end: chunk.byte_end,
        text_sha256: hashing::sha256(chunk.text.as_bytes()),
        registered: origin.registered,
        vector_rank: vector.map(|place| place.rank),
        lexical_rank: words.map(|place| place.rank),
        vector_ppm: vector.map(|place| place.score_ppm),
        lexical_ppm: words.map(|place| place.score_ppm),
        proof: opened.proof(position)?,
    })
}

fn said(opened: &OpenVersion, quote: &Quote) -> Result<String> {
    Ok(opened.passage(quote.chunk)?.text.get(quote.start..quote.end).unwrap_or_default().to_owned())
}

/// Where each quote stands in the answer and in its file.
fn segments(said: &Said, positions: &[usize], members: &[Arc<PassageRow>]) -> Vec<Segment> {
    let mut start = 0;
    let mut segments = Vec::with_capacity(said.quotes.len());
    for (quote, sentence) in said.quotes.iter().zip(&said.sentences) {
        let end = start + sentence.len() as u64;
        let source = positions.iter().position(|position| *position == quote.chunk);
        if let Some((source, chunk)) = source.and_then(|source| Some((source, members.get(source)?))) {
            let (source_byte_start, source_byte_end) = source_bytes(chunk, quote);
            segments.push(Segment { start, end, source: source as u64, source_byte_start, source_byte_end });
        }
        start = end + 1;
    }
    segments
}

/// Bytes of the file: exact where the chunk's text is as long as its range of the file, for then it
/// is that range; the chunk's range where text was taken out of markup.
fn source_bytes(chunk: &PassageRow, quote: &Quote) -> (u64, u64) {
    if chunk.byte_end.checked_sub(chunk.byte_start) == Some(chunk.text.len() as u64) {
        (chunk.byte_start + quote.start as u64, chunk.byte_start + quote.end as u64)
    } else {
        (chunk.byte_start, chunk.byte_end)
    }
}

/// The members that repeat one that earned something, each once per contributor.
fn copies(opened: &OpenVersion, positions: &[usize], sources: &[Source], per_source_ppm: &[u64]) -> Vec<CopyRecord> {
    let mut listed: BTreeSet<_> = sources.iter().map(|source| (source.chunk_id, source.contributor)).collect();
    let mut copies = Vec::new();
    for ((position, source), _) in positions.iter().zip(sources).zip(per_source_ppm).filter(|(_, share)| **share > 0) {
        for (chunk_id, origin) in opened.copies(*position).filter(|(_, origin)| origin.contributor != source.contributor) {
            if listed.insert((chunk_id, origin.contributor)) {
                copies.push(CopyRecord {
                    chunk_id,
                    contributor: origin.contributor,
                    document_id: origin.document,
                    original_id: source.chunk_id,
                });
            }
        }
    }
    copies.sort_by_key(|copy| (copy.original_id, copy.chunk_id, copy.contributor));
    copies
}
