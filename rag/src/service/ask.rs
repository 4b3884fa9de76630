//! From a question to a receipt.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use schemas::alloy_primitives::keccak256;
use schemas::ids::{AnswerId, DocumentId};
use schemas::receipt::{self, AnswerStatus, Models, ReceiptBody, Segment, Source};
use schemas::tables::{ChunkRow, DocumentRow, Wei};

use super::{Held, Rag};
use crate::answer::{AnswerRecord, AskRequest, CopyRecord};
use crate::attribution::{self, SourceKey, compute_shares, compute_value_table};
use crate::quote::{self, Quote};
use crate::receipts::Draft;
use crate::retrieve::{self, Question, Retrieved};
use crate::snapshot::Snapshot;
use crate::{RagConfig, RagError, Result, blocking};

const ID_MAX_BYTES: usize = 256;

/// Refuses what cannot be answered before any work is done.
pub(super) fn check(request: &AskRequest, config: &RagConfig) -> Result<()> {
    let question = &request.question;
    if question.len() > config.question_max_bytes {
        let problem = format!("it has {} bytes, at most {} are read: ask more briefly", question.len(), config.question_max_bytes);
        return Err(RagError::InvalidQuestion(problem));
    }
    if !question.chars().any(char::is_alphanumeric) {
        return Err(RagError::InvalidQuestion("it has no word in it: write a question".into()));
    }
    for (name, id) in [("request_id", &request.request_id), ("key_id", &request.key_id)] {
        if id.is_empty() || id.len() > ID_MAX_BYTES {
            return Err(RagError::InvalidRequest(format!("{name} must have 1 to {ID_MAX_BYTES} bytes")));
        }
    }
    if request.payer.is_none() && request.fee_wei.0 > 0 {
        return Err(RagError::InvalidRequest("a fee needs a payer: name one, or set the fee to zero".into()));
    }
    if request.fee_wei.0 >= 10u128.pow(38) {
        return Err(RagError::InvalidRequest("the fee must be below 10^38 wei".into()));
    }
    Ok(())
}

/// Whether a stored answer is to this request.
pub(super) fn check_same(record: &AnswerRecord, request: &AskRequest) -> Result<()> {
    let body = &record.receipt.body;
    let same = body.question_hash == keccak256(&request.question)
        && body.datanet_id == request.datanet.datanet_id
        && request.version.is_none_or(|version| version == body.version);
    if same { Ok(()) } else { Err(RagError::Conflict(body.answer_id)) }
}

impl Rag {
    /// Computes, signs and stores a new answer.
    pub(super) async fn answer(&self, id: AnswerId, request: AskRequest, held: Held) -> Result<AnswerRecord> {
        let snapshot = self.snapshot(request.datanet.datanet_id, request.version).await?;
        let (embedder, text) = (self.embedder.clone(), request.question.clone());
        let question = blocking(move || Question::read(&text, embedder.as_ref())).await?;
        let found = retrieve::retrieve(&self.store, &snapshot, &question, &self.config).await?;
        let sources = found.iter().map(|retrieved| source(&snapshot, retrieved)).collect::<Result<Vec<Source>>>()?;
        let texts: Vec<String> = found.iter().map(|retrieved| retrieved.chunk.text.clone()).collect();
        drop(found);
        let (embedder, config, ledger) = (self.embedder.clone(), self.config.clone(), self.ledger.clone());
        let record = blocking(move || {
            // a caller that goes away does not stop this: a retry waits for it, and finds its receipt
            let _held = held;
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let quotes = quote::select(&question, &borrowed, &snapshot.text, embedder.as_ref(), &config.quote)?;
            let info = embedder.info();
            let models =
                Models { embedder: info.name.clone(), embedder_sha256: info.sha256.clone(), generator: quote::GENERATOR.to_owned() };
            ledger.issue(draft(id, &request, &snapshot, sources, &borrowed, &quotes, models, &config)?)
        })
        .await?;
        let body = &record.receipt.body;
        tracing::info!(
            answer_id = %body.answer_id, sequence = body.sequence, datanet = %body.datanet_id, version = body.version,
            status = body.status.as_str(), sources = body.sources.len(), segments = body.segments.len(), "answer issued"
        );
        Ok(Arc::unwrap_or_clone(record))
    }

    /// Names of the files that documents were read from.
    pub(super) async fn file_names(&self, documents: &[DocumentId]) -> Result<HashMap<DocumentId, String>> {
        if documents.is_empty() {
            return Ok(HashMap::new());
        }
        let list: Vec<String> = documents.iter().map(|document| format!("'{document}'")).collect();
        let rows = self.store.scan::<DocumentRow>(Some(&format!("document_id IN ({})", list.join(", ")))).await?;
        Ok(rows.into_iter().map(|row| (row.document_id, row.file_name)).collect())
    }
}

/// A retrieved chunk as the receipt states it.
fn source(snapshot: &Snapshot, retrieved: &Retrieved<'_>) -> Result<Source> {
    let chunk = retrieved.chunk;
    Ok(Source {
        chunk_id: chunk.chunk_id,
        contributor: chunk.contributor,
        submission_id: chunk.submission_id,
        document_id: chunk.document_id,
        document_sha256: chunk.document_sha256,
        byte_start: chunk.byte_start,
        byte_end: chunk.byte_end,
        text_sha256: chunk.text_sha256,
        cluster_id: chunk.cluster_id,
        registered: chunk.registered,
        vector_rank: retrieved.vector_rank,
        lexical_rank: retrieved.lexical_rank,
        proof: snapshot.proof(chunk.chunk_id)?,
    })
}

/// The answer's text, its attribution and everything the receipt states but its number and time.
#[expect(clippy::too_many_arguments, reason = "the parts of one receipt, used once")]
fn draft(
    id: AnswerId,
    request: &AskRequest,
    snapshot: &Snapshot,
    sources: Vec<Source>,
    texts: &[&str],
    quotes: &[Quote],
    models: Models,
    config: &RagConfig,
) -> Result<Draft> {
    let Composed { answer, segments } = compose(&sources, texts, quotes);
    let said: Vec<&str> = quotes.iter().filter_map(|quote| said(texts, quote)).collect();
    let value_table = compute_value_table(&said, texts);
    let keys: Vec<SourceKey> = sources.iter().map(SourceKey::from).collect();
    let shares = compute_shares(&keys, &value_table)?;
    let copies = copies(snapshot, &sources, &shares.per_source_ppm);
    let answered = !segments.is_empty();
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
        answer_hash: keccak256(&answer),
        status: if answered { AnswerStatus::Answered } else { AnswerStatus::Declined },
        retrieval: retrieve::method(config),
        models,
        sources,
        segments,
        method: attribution::METHOD.to_owned(),
        value_table,
        shares: shares.per_contributor,
        source_shares_ppm: shares.per_source_ppm,
        unattributed_ppm: shares.unattributed_ppm,
        fee_wei: if answered { request.fee_wei } else { Wei(0) },
        payer: request.payer,
    };
    Ok(Draft { body, question: request.question.clone(), answer, copies })
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
