//! Receipt v2: everything needed to check one answer without trusting who gave it.
//!
//! The body is canonical JSON of integers and strings. Its keccak256 is signed (EIP-712
//! `AnswerReceipt`) by the service, and stands in the next receipt: a receipt that is left out, or given twice, breaks the
//! chain. From the body alone a verifier checks that every source was a member of the version and when it was registered
//! (inclusion proofs), and recomputes the shares from the value table. With the texts it recomputes the value table: to
//! whom a statement belongs follows from texts and order alone.
//!
//! An answer that a model wrote has a `generation`; a quoted one has none. The first may have a `likelihood` in place of the
//! value table: then the shares follow from that, and to compute it again takes the model. [`first`] is the format before.

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::allocation::PPM;
use crate::ids::{AnswerId, ChunkId, DatanetId, DocumentId, Sha256, SubmissionId};
use crate::leaves::VersionLeaf;
use crate::signed::{self, SigningDomain};
use crate::tables::Wei;
use crate::{SchemaError, canonical, hashing, merkle};

mod candidates;
mod filter;
pub mod first;
mod generation;
mod likelihood;

pub use candidates::{Candidate, Candidates, MAX_BESIDE};
pub use filter::Filter;
pub use generation::{AnswerSentence, FinishReason, Generation, SamplingParameters, UsedAdapter};
pub use likelihood::{LEAST_TOKEN, Likelihood, players_of};

/// The format's name and version.
pub const SCHEMA: &str = "headwater.receipt/2";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    pub schema: String,
    pub answer_id: AnswerId,
    /// Order of issue, from 1, without gaps.
    pub sequence: u64,
    /// Body hash of the receipt before this one; zero for the first.
    pub previous: B256,
    /// UTC milliseconds.
    pub issued_at_ms: i64,
    pub chain_id: u64,
    pub registry: Address,
    pub datanet_id: DatanetId,
    pub version: u64,
    pub version_root: B256,
    /// [`salted_question_hash`]; the salt is in the evidence, so that the hash tells nobody who guesses. Sources and candidates do: who asks the
    /// same of the same version finds the same.
    pub question_hash: B256,
    /// keccak256 of the answer's UTF-8 bytes.
    pub answer_hash: B256,
    pub status: AnswerStatus,
    pub retrieval: Retrieval,
    /// Absent where a model wrote the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    pub models: Models,
    /// What the sources were chosen from; absent in old receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<Candidates>,
    /// What was retrieved, best first; after it the chunks that said first what the answer says, by registration.
    pub sources: Vec<Source>,
    /// How many of the sources were retrieved.
    pub retrieved: u64,
    /// The answer's sentences and where each was quoted from; none where a model wrote them.
    pub segments: Vec<Segment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Value function and its version: `support/2`, or `likelihood/1`.
    pub method: String,
    /// One row per segment, or per sentence of a generated answer: what each source was the first to say of it. None where
    /// `likelihood` is there.
    pub value_table: Vec<ValueRow>,
    /// Where the shares follow from how likely the sources made the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Per contributor, ordered by address.
    pub shares: Vec<ContributorShare>,
    /// Per source, in the order of `sources`; sums to `shares` contributor by contributor.
    pub source_shares_ppm: Vec<u64>,
    /// `shares` and this sum to 1,000,000.
    pub unattributed_ppm: u64,
    pub fee_wei: Wei,
    pub payer: Option<Address>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerStatus {
    Answered,
    Declined,
}

impl AnswerStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Declined => "declined",
        }
    }
}

/// How the sources were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// `convex/1`, `rrf/2` (in old receipts `rrf/1`): how what was found by vector and by words became one list.
    pub method: String,
    /// The constant of reciprocal rank fusion; absent where scores were added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrf_k: Option<u64>,
    /// Where scores were added: the weight of the vectors, and by how much more than the mean of the twenty nearest the nearest one's
    /// cosine is where they have all of it. Absent where ranks were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_weight_ppm: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast_ppm: Option<u64>,
    /// Candidates asked of each retriever.
    pub candidates: u64,
    /// Sources put into the prompt at most.
    pub top_k: u64,
    /// How many earlier turns of the conversation were searched for along with the question, which stand before it in what
    /// `question_hash` is of; absent where none were. Chosen by the rule of `rag/src/question.rs`: another one would be another field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Which members were searched; absent where all were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// So many of what was fused were read by a reranker, whose scores put them in order; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<u64>,
}

impl Retrieval {
    fn limits_problem(&self) -> Option<&'static str> {
        let is_none_stated = self.turns == Some(0) || self.reranked == Some(0);
        let problem = is_none_stated.then_some("what was not used is left out, and not stated as 0");
        problem.or_else(|| self.filter.as_ref().and_then(Filter::problem))
    }

    /// What is wrong with its numbers, whatever the method.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match (self.rrf_k, self.vector_weight_ppm, self.contrast_ppm) {
            (Some(_), None, None) => self.limits_problem(),
            (None, Some(weight), Some(contrast)) if weight <= PPM && (1..=PPM).contains(&contrast) => self.limits_problem(),
            _ => Some("retrieval fuses ranks or scores, and states possible numbers of the one"),
        }
    }
}

/// When a statement was quoted, in parts per million where a number is a fraction: with them quoting can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quoting {
    pub min_cosine_ppm: u32,
    pub min_coverage_ppm: u32,
    pub min_score_ppm: u32,
    pub further_score_ppm: u32,
    pub max_sentences: u64,
    pub embedded_sentences: u64,
}

/// Which models took part, by content hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    pub embedder: String,
    /// sha256 of the weights.
    pub embedder_sha256: String,
    /// `quote/2` (in old receipts `quote/1`), or the name of the model that wrote the answer.
    pub generator: String,
    /// What put the sources in order, if anything did, by name and content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranker_sha256: Option<String>,
}

/// A chunk, with its proof of membership and of when it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub chunk_id: ChunkId,
    pub contributor: Address,
    pub submission_id: SubmissionId,
    pub document_id: DocumentId,
    pub document_sha256: Sha256,
    pub byte_start: u64,
    pub byte_end: u64,
    pub text_sha256: Sha256,
    /// Registration order of its submission: the earlier owns what both say.
    pub registered: u64,
    /// 1-based rank per retriever; absent where it was not found.
    pub vector_rank: Option<u64>,
    pub lexical_rank: Option<u64>,
    /// Its cosine to the question, and its BM25 as part of the greatest that any text could have for the question's words. Absent
    /// where it was not found, and in old receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector_ppm: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexical_ppm: Option<i64>,
    /// Proof of the version leaf (chunk id, contributor, submission id, registration).
    pub proof: Vec<B256>,
}

/// A sentence of the answer. Offsets are bytes of the answer's UTF-8 text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    pub start: u64,
    pub end: u64,
    /// Index into `sources` of the chunk that was quoted.
    pub source: u64,
    /// Bytes of the quoted file.
    pub source_byte_start: u64,
    pub source_byte_end: u64,
}

/// One segment's row of the value table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRow {
    /// The segment's weight; the weights of all rows sum to 1,000,000.
    pub weight_ppm: u64,
    /// The part of the segment that each source was the first to say, in the order of `sources`; together at most 1,000,000.
    pub adds_ppm: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContributorShare {
    pub contributor: Address,
    pub share_ppm: u64,
}

/// A body with the service's signature: the document that is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub body: ReceiptBody,
    /// keccak256 of the canonical JSON of `body`.
    pub body_hash: B256,
    pub signer: Address,
    pub signature: String,
}

impl ReceiptBody {
    /// Canonical JSON, and its keccak256.
    pub fn canonical(&self) -> Result<(String, B256), SchemaError> {
        let text = canonical::to_string(self)?;
        let hash = keccak256(&text);
        Ok((text, hash))
    }

    /// Sentences of the answer, quoted or generated; none when it was declined.
    pub fn sentence_count(&self) -> usize {
        self.generation.as_ref().map_or(self.segments.len(), |generation| generation.sentences.len())
    }

    pub fn signing_domain(&self) -> SigningDomain {
        SigningDomain { chain_id: self.chain_id, registry: self.registry }
    }

    /// The digest that the service signs.
    pub fn signing_digest(&self) -> Result<B256, SchemaError> {
        let (_, hash) = self.canonical()?;
        Ok(self.signing_domain().digest(&signed::answer_receipt(self.answer_id, hash)))
    }

    fn reranker_problem(&self) -> Option<&'static str> {
        let scores = self.candidates.as_ref().is_some_and(|candidates| candidates.reranked.is_some());
        let stated = [self.retrieval.reranked.is_some(), self.models.reranker.is_some(), self.models.reranker_sha256.is_some()];
        stated
            .iter()
            .any(|stated| *stated != scores)
            .then_some("a reranker has a name, a content, a number of chunks and scores, or none of them")
    }

    /// Checks what the body must satisfy on its own: its schema, its sums, its indices, and that
    /// every source's proof leads to the version root.
    pub fn check(&self) -> Result<(), SchemaError> {
        let bad = |problem: String| Err(SchemaError::BadReceipt(problem));
        if self.schema != SCHEMA {
            return bad(format!("schema {:?} instead of {SCHEMA:?}", self.schema));
        }
        for (index, source) in self.sources.iter().enumerate() {
            if !merkle::verify(self.version_root, source.leaf().hash(), &source.proof) {
                return bad(format!(
                    "source {index} ({}) is not proven to be a member of version {}, registered as {}",
                    source.chunk_id, self.version, source.registered
                ));
            }
        }
        for (index, source) in self.sources.iter().enumerate() {
            let Source { document_sha256, byte_start, byte_end, text_sha256, .. } = *source;
            if hashing::chunk_id_of(document_sha256, byte_start, byte_end, text_sha256) != source.chunk_id {
                return bad(format!("source {index} is not chunk {}: that is of another file, place or text", source.chunk_id));
            }
        }
        if self.sequence == 0 || (self.sequence == 1) != (self.previous == B256::ZERO) {
            return bad("the first receipt has number 1 and none before it, and every other has one".into());
        }
        if let Some(problem) = self.retrieval.problem().or_else(|| scores_problem(&self.sources, self.retrieval.rrf_k.is_none())) {
            return bad(problem.into());
        }
        let problem = self.candidates.as_ref().and_then(|candidates| candidates.problem(&self.retrieval));
        if let Some(problem) = problem.or_else(|| self.reranker_problem()) {
            return bad(problem.into());
        }
        let sources = self.sources.len();
        if usize::try_from(self.retrieved).map_or(true, |retrieved| retrieved > sources) {
            return bad(format!("{} sources were retrieved, and {sources} are listed", self.retrieved));
        }
        if self.generation.is_some() && !self.segments.is_empty() {
            return bad("an answer is quoted or generated, not both".into());
        }
        if let Some(problem) = self.generation.as_ref().and_then(|generation| generation.problem(sources)) {
            return bad(problem);
        }
        let is_remote = self.generation.as_ref().is_none_or(|generation| generation.generator_sha256.is_none());
        if let Some(problem) = self.likelihood.as_ref().and_then(|likelihood| likelihood.problem(&self.sources, is_remote)) {
            return bad(problem.into());
        }
        let rows = if self.likelihood.is_some() { 0 } else { self.sentence_count() };
        if self.value_table.len() != rows {
            return bad(format!("{} value rows instead of {rows}", self.value_table.len()));
        }
        for (index, segment) in self.segments.iter().enumerate() {
            if segment.start > segment.end || usize::try_from(segment.source).map_or(true, |source| source >= sources) {
                return bad(format!("segment {index} points outside the answer or its sources"));
            }
        }
        for (index, row) in self.value_table.iter().enumerate() {
            let added: u128 = row.adds_ppm.iter().map(|adds| u128::from(*adds)).sum();
            if row.adds_ppm.len() != sources || added > u128::from(PPM) {
                return bad(format!("value row {index} does not give one part per source, of together at most {PPM}"));
            }
        }
        let weights: u128 = self.value_table.iter().map(|row| u128::from(row.weight_ppm)).sum();
        if !self.value_table.is_empty() && weights != u128::from(PPM) {
            return bad(format!("segment weights sum to {weights} instead of {PPM}"));
        }
        let shares: u128 = self.shares.iter().map(|share| u128::from(share.share_ppm)).sum();
        if shares + u128::from(self.unattributed_ppm) != u128::from(PPM) {
            return bad(format!("shares and unattributed sum to {} instead of {PPM}", shares + u128::from(self.unattributed_ppm)));
        }
        if self.shares.windows(2).any(|pair| matches!(pair, [a, b] if a.contributor >= b.contributor)) {
            return bad("shares are not ordered by contributor".into());
        }
        if self.source_shares_ppm.len() != sources {
            return bad(format!("{} source shares for {sources} sources", self.source_shares_ppm.len()));
        }
        for share in &self.shares {
            let parts: u128 = (self.sources.iter().zip(&self.source_shares_ppm))
                .filter(|(source, _)| source.contributor == share.contributor)
                .map(|(_, part)| u128::from(*part))
                .sum();
            if parts != u128::from(share.share_ppm) {
                return bad(format!("the sources of {} sum to {parts} instead of {}", share.contributor, share.share_ppm));
            }
        }
        let listed: u128 = self.source_shares_ppm.iter().map(|part| u128::from(*part)).sum();
        if listed != shares {
            return bad("a source's share belongs to no listed contributor".into());
        }
        Ok(())
    }
}

impl Receipt {
    /// Checks the hash, the signature and the body ([`ReceiptBody::check`]). That the signer may
    /// sign, that the root is on chain, and that the shares follow from the value table is for the
    /// caller to check with what it trusts.
    pub fn check(&self) -> Result<(), SchemaError> {
        let (_, hash) = self.body.canonical()?;
        if hash != self.body_hash {
            return Err(SchemaError::BadReceipt(format!(
                "the body hashes to {hash}, not to the stated {}: it was changed",
                self.body_hash
            )));
        }
        signed::check_signature(self.body.signing_digest()?, &self.signature, self.signer)?;
        self.body.check()
    }
}

impl Source {
    /// The leaf that its proof is for.
    pub fn leaf(&self) -> VersionLeaf {
        let Self { chunk_id, contributor, submission_id, registered, .. } = *self;
        VersionLeaf { chunk_id, contributor, submission_id, registered }
    }
}

/// What is wrong with the scores of sources: each goes with a rank, is within ±1, and is none above that of an earlier rank. Where
/// scores are what was fused, each rank has one.
fn scores_problem(sources: &[Source], are_fused: bool) -> Option<&'static str> {
    let of_vectors = sources.iter().map(|source| (source.vector_rank, source.vector_ppm));
    let of_words = sources.iter().map(|source| (source.lexical_rank, source.lexical_ppm));
    let lists: [Vec<(Option<u64>, Option<i64>)>; 2] = [of_vectors.collect(), of_words.collect()];
    for list in lists {
        if list.iter().any(|(rank, score)| score.is_some_and(|score| rank.is_none() || score.unsigned_abs() > PPM)) {
            return Some("a source has a score without a rank, or one that is beyond 1");
        }
        if are_fused && list.iter().any(|(rank, score)| rank.is_some() != score.is_some()) {
            return Some("a source was found by its score, and does not state it");
        }
        let mut placed: Vec<(u64, i64)> = list.into_iter().filter_map(|(rank, score)| rank.zip(score)).collect();
        placed.sort_by_key(|(rank, _)| *rank);
        if !placed.is_sorted_by(|(_, earlier), (_, later)| earlier >= later) {
            return Some("a source has a greater score than one of an earlier rank");
        }
    }
    None
}

/// keccak256 of the salt and the question's UTF-8 bytes.
pub fn salted_question_hash(salt: B256, question: &str) -> B256 {
    keccak256([salt.as_slice(), question.as_bytes()].concat())
}

/// Checks that `text` is the text of `source`: the chunk id binds it.
pub fn check_source_text(source: &Source, text: &str) -> Result<(), SchemaError> {
    let Source { chunk_id, document_sha256, byte_start, byte_end, text_sha256, .. } = *source;
    check_chunk_text(chunk_id, document_sha256, (byte_start, byte_end), text_sha256, text)
}

fn check_chunk_text(
    chunk_id: ChunkId,
    document_sha256: Sha256,
    (byte_start, byte_end): (u64, u64),
    text_sha256: Sha256,
    text: &str,
) -> Result<(), SchemaError> {
    let bound = hashing::chunk_id(document_sha256, byte_start, byte_end, text);
    if hashing::sha256(text.as_bytes()) != text_sha256 || bound != chunk_id {
        return Err(SchemaError::BadReceipt(format!("the text given for chunk {chunk_id} is not the one that was anchored")));
    }
    Ok(())
}
