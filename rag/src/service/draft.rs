//! From what was said to everything that its receipt states but its number and time.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::alloy_primitives::keccak256;
use schemas::ids::AnswerId;
use schemas::receipt::{self, AnswerStatus, Generation, Models, ReceiptBody, Segment, Source};
use schemas::tables::{ChunkRow, Wei};

use crate::answer::{AskRequest, CopyRecord};
use crate::attribution::{self, SourceKey, compute_shares, compute_value_table};
use crate::generate::Written;
use crate::quote::{self, Quote};
use crate::receipts::Draft;
use crate::snapshot::Snapshot;
use crate::{RagConfig, Result, retrieve};

/// A question with the sources that were found for it.
pub(super) struct Found {
    pub(super) id: AnswerId,
    pub(super) request: AskRequest,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) sources: Vec<Source>,
    /// In the order of `sources`.
    pub(super) texts: Vec<String>,
}

/// An answer's text with what the receipt states of how it came about.
struct Said {
    answer: String,
    /// What the value function sees, one per row of the value table.
    sentences: Vec<String>,
    segments: Vec<Segment>,
    generation: Option<Generation>,
    answered: bool,
    generator: String,
}

impl Found {
    /// Of quoted sentences; declined where there are none.
    pub(super) fn quoted(self, quotes: &[Quote], embedder: &engine::EmbedderInfo, config: &RagConfig) -> Result<Draft> {
        let texts: Vec<&str> = self.texts.iter().map(String::as_str).collect();
        let Composed { answer, segments } = compose(&self.sources, &texts, quotes);
        let said = Said {
            answer,
            sentences: quotes.iter().filter_map(|quote| said(&texts, quote)).map(str::to_owned).collect(),
            answered: !segments.is_empty(),
            segments,
            generation: None,
            generator: quote::GENERATOR.to_owned(),
        };
        self.draft(said, embedder, config)
    }

    /// Of what a model wrote.
    pub(super) fn generated(
        mut self,
        written: Written,
        generator: &str,
        embedder: &engine::EmbedderInfo,
        config: &RagConfig,
    ) -> Result<Draft> {
        let Written { answer, declined, generation, said } = written;
        let kept = self.sources.len() - usize::try_from(generation.dropped_sources).unwrap_or(0).min(self.sources.len());
        self.sources.truncate(kept);
        self.texts.truncate(kept);
        let said = Said {
            answer,
            sentences: said,
            segments: Vec::new(),
            generation: Some(generation),
            answered: !declined,
            generator: generator.to_owned(),
        };
        self.draft(said, embedder, config)
    }

    fn draft(self, said: Said, embedder: &engine::EmbedderInfo, config: &RagConfig) -> Result<Draft> {
        let Self { id, request, snapshot, sources, texts } = self;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let sentences: Vec<&str> = said.sentences.iter().map(String::as_str).collect();
        let value_table = compute_value_table(&sentences, &texts);
        let keys: Vec<SourceKey> = sources.iter().map(SourceKey::from).collect();
        let shares = compute_shares(&keys, &value_table)?;
        let copies = copies(&snapshot, &sources, &shares.per_source_ppm);
        let body = ReceiptBody {
            schema: receipt::SCHEMA.to_owned(),
            answer_id: id,
            sequence: 0,
            issued_at_ms: 0,
            chain_id: config.domain.chain_id,
            registry: config.domain.registry,
            datanet_id: snapshot.row.datanet_id,
            version: snapshot.row.version,
            version_root: snapshot.row.root,
            question_hash: keccak256(&request.question),
            answer_hash: keccak256(&said.answer),
            status: if said.answered { AnswerStatus::Answered } else { AnswerStatus::Declined },
            retrieval: retrieve::method(config),
            models: Models { embedder: embedder.name.clone(), embedder_sha256: embedder.sha256.clone(), generator: said.generator },
            sources,
            segments: said.segments,
            generation: said.generation,
            method: attribution::METHOD.to_owned(),
            value_table,
            shares: shares.per_contributor,
            source_shares_ppm: shares.per_source_ppm,
            unattributed_ppm: shares.unattributed_ppm,
            fee_wei: if said.answered { request.fee_wei } else { Wei(0) },
            payer: request.payer,
        };
        Ok(Draft { body, question: request.question, answer: said.answer, copies })
    }
}

struct Composed {
    answer: String,
    segments: Vec<Segment>,
}

/// The quoted sentences, verbatim, joined by a space; or the words of declining.
fn compose(sources: &[Source], texts: &[&str], quotes: &[Quote]) -> Composed {
    let mut answer = String::new();
    let mut segments = Vec::new();
    for quote in quotes {
        let (Some(source), Some(said)) = (sources.get(quote.source), said(texts, quote)) else { continue };
        if !answer.is_empty() {
            answer.push(' ');
        }
        let start = answer.len() as u64;
        answer.push_str(said);
        let (source_byte_start, source_byte_end) = source_bytes(source, texts.get(quote.source).map_or(0, |text| text.len()), quote);
        segments.push(Segment { start, end: answer.len() as u64, source: quote.source as u64, source_byte_start, source_byte_end });
    }
    if segments.is_empty() {
        quote::DECLINED.clone_into(&mut answer);
    }
    Composed { answer, segments }
}

fn said<'a>(texts: &[&'a str], quote: &Quote) -> Option<&'a str> {
    texts.get(quote.source)?.get(quote.start..quote.end)
}

/// Bytes of the file: exact where the chunk's text is as long as its range of the file, for then it
/// is that range; the chunk's range where text was taken out of markup.
fn source_bytes(source: &Source, text_bytes: usize, quote: &Quote) -> (u64, u64) {
    if source.byte_end.checked_sub(source.byte_start) == Some(text_bytes as u64) {
        (source.byte_start + quote.start as u64, source.byte_start + quote.end as u64)
    } else {
        (source.byte_start, source.byte_end)
    }
}

/// The later members of every cluster that earned something, each once per contributor.
fn copies(snapshot: &Snapshot, sources: &[Source], per_source_ppm: &[u64]) -> Vec<CopyRecord> {
    let mut listed: BTreeSet<_> = sources.iter().map(|source| (source.chunk_id, source.contributor)).collect();
    let used = sources.iter().zip(per_source_ppm).filter(|(_, share)| **share > 0).map(|(source, _)| source.cluster_id);
    let mut copies: Vec<CopyRecord> = used
        .flat_map(|cluster| snapshot.copies(cluster))
        .filter(|chunk| listed.insert((chunk.chunk_id, chunk.contributor)))
        .map(|chunk: &ChunkRow| CopyRecord {
            chunk_id: chunk.chunk_id,
            contributor: chunk.contributor,
            document_id: chunk.document_id,
            cluster_id: chunk.cluster_id,
        })
        .collect();
    copies.sort_by_key(|copy| (copy.cluster_id, copy.chunk_id, copy.contributor));
    copies
}
