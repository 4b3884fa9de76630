//! Receipt v1, as it was issued: it still verifies as what it was, and none is made any more.
//!
//! Its roots do not bind who was registered first, so `cluster_id` and `registered` are the signer's word; receipts are
//! not chained, and the hash of the question tells whoever guesses the question.

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use super::{AnswerStatus, ContributorShare, Generation, Models, Retrieval, Segment, check_chunk_text};
use crate::allocation::PPM;
use crate::ids::{AnswerId, ChunkId, DatanetId, DocumentId, Sha256, SubmissionId};
use crate::leaves::FirstVersionLeaf;
use crate::signed::{self, SigningDomain};
use crate::tables::Wei;
use crate::{SchemaError, canonical, merkle};

/// The format's name and version.
pub const SCHEMA: &str = "headwater.receipt/1";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    pub schema: String,
    pub answer_id: AnswerId,
    /// Order of issue, from 1, without gaps.
    pub sequence: u64,
    /// UTC milliseconds.
    pub issued_at_ms: i64,
    pub chain_id: u64,
    pub registry: Address,
    pub datanet_id: DatanetId,
    pub version: u64,
    pub version_root: B256,
    /// keccak256 of the question's UTF-8 bytes.
    pub question_hash: B256,
    /// keccak256 of the answer's UTF-8 bytes.
    pub answer_hash: B256,
    pub status: AnswerStatus,
    pub retrieval: Retrieval,
    pub models: Models,
    /// The chunks in the prompt, in prompt order.
    pub sources: Vec<Source>,
    /// The answer's sentences and where each was quoted from; none where a model wrote them.
    pub segments: Vec<Segment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// Value function and its version, for instance `support/1`.
    pub method: String,
    /// One row per segment, or per sentence of a generated answer: how strongly each source supports it.
    pub value_table: Vec<ValueRow>,
    /// Per contributor, ordered by address.
    pub shares: Vec<ContributorShare>,
    /// Per source, in the order of `sources`; sums to `shares` contributor by contributor.
    pub source_shares_ppm: Vec<u64>,
    /// `shares` and this sum to 1,000,000.
    pub unattributed_ppm: u64,
    pub fee_wei: Wei,
    pub payer: Option<Address>,
}

/// A chunk in the prompt, with its proof of membership.
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
    /// The first-registered chunk of its near-duplicate cluster.
    pub cluster_id: ChunkId,
    pub registered: u64,
    /// 1-based rank per retriever; absent where it was not found.
    pub vector_rank: Option<u64>,
    pub lexical_rank: Option<u64>,
    /// Proof of the version leaf (chunk id, contributor, submission id).
    pub proof: Vec<B256>,
}

/// One segment's row of the value table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueRow {
    /// The segment's weight; the weights of all rows sum to 1,000,000.
    pub weight_ppm: u64,
    /// Support by each source, in the order of `sources`, 0 to 1,000,000.
    pub support_ppm: Vec<u64>,
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

    /// Checks what the body must satisfy on its own: its schema, its sums, its indices, and that
    /// every source's proof leads to the version root.
    pub fn check(&self) -> Result<(), SchemaError> {
        let bad = |problem: String| Err(SchemaError::BadReceipt(problem));
        if self.schema != SCHEMA {
            return bad(format!("schema {:?} instead of {SCHEMA:?}", self.schema));
        }
        for (index, source) in self.sources.iter().enumerate() {
            let leaf = FirstVersionLeaf { chunk_id: source.chunk_id, contributor: source.contributor, submission_id: source.submission_id };
            if !merkle::verify(self.version_root, leaf.hash(), &source.proof) {
                return bad(format!("source {index} ({}) is not proven to be a member of version {}", source.chunk_id, self.version));
            }
        }
        if let Some(problem) = self.retrieval.problem() {
            return bad(problem.into());
        }
        let sources = self.sources.len();
        if self.generation.is_some() && !self.segments.is_empty() {
            return bad("an answer is quoted or generated, not both".into());
        }
        if let Some(problem) = self.generation.as_ref().and_then(|generation| generation.problem(sources)) {
            return bad(problem);
        }
        if self.value_table.len() != self.sentence_count() {
            return bad(format!("{} sentences but {} value rows", self.sentence_count(), self.value_table.len()));
        }
        for (index, segment) in self.segments.iter().enumerate() {
            if segment.start > segment.end || usize::try_from(segment.source).map_or(true, |source| source >= sources) {
                return bad(format!("segment {index} points outside the answer or its sources"));
            }
        }
        for (index, row) in self.value_table.iter().enumerate() {
            if row.support_ppm.len() != sources || row.support_ppm.iter().any(|support| *support > PPM) {
                return bad(format!("value row {index} does not give one support of at most {PPM} per source"));
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

/// Checks that `text` is the text of `source`: the chunk id binds it.
pub fn check_source_text(source: &Source, text: &str) -> Result<(), SchemaError> {
    let Source { chunk_id, document_sha256, byte_start, byte_end, text_sha256, .. } = *source;
    check_chunk_text(chunk_id, document_sha256, (byte_start, byte_end), text_sha256, text)
}
