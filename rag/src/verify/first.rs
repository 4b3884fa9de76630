//! Checking the first receipts (`headwater.receipt/1`, `support/1`) as what they were.

use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::AnswerStatus;
use schemas::receipt::first::{Receipt, ReceiptBody, check_source_text};
use serde::{Deserialize, Serialize};

use super::{generated_sentences, quoted_sentences};
use crate::attribution::first::{METHOD, SourceKey, compute_shares, compute_value_table};
use crate::sentences::Edition;
use crate::{RagError, Result};

/// Everything that re-executing the attribution of a first receipt needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstEvidence {
    pub receipt: Receipt,
    pub question: String,
    pub answer: String,
    /// In the order of the receipt's sources.
    pub source_texts: Vec<String>,
}

/// Checks the receipt's hash, signature, proofs and sums, and that its shares are exactly what its
/// value table leads to.
///
/// # Errors
/// [`RagError::Schema`] for what contradicts itself, [`RagError::Unproven`] for shares that do not follow.
pub fn verify_first_receipt(receipt: &Receipt) -> Result<()> {
    receipt.check()?;
    verify_shares(&receipt.body)
}

/// [`verify_first_receipt`], and re-execution: the question and the answer are the ones that were
/// hashed, the texts are the ones that were anchored, every quoted sentence stands in its source, a
/// generated answer has the sentences and citations that are stated, and the value table is what those texts give.
/// What a model was asked and which tokens it chose is the signer's word: to repeat it takes the model.
///
/// # Errors
/// As [`verify_first_receipt`].
pub fn verify_first_evidence(evidence: &FirstEvidence) -> Result<()> {
    verify_first_receipt(&evidence.receipt)?;
    let body = &evidence.receipt.body;
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if keccak256(&evidence.question) != body.question_hash {
        return bad("the question is not the one that the receipt is for".into());
    }
    if keccak256(&evidence.answer) != body.answer_hash {
        return bad("the answer is not the one that the receipt is for".into());
    }
    if evidence.source_texts.len() != body.sources.len() {
        return bad(format!("{} texts for {} sources", evidence.source_texts.len(), body.sources.len()));
    }
    for (source, text) in body.sources.iter().zip(&evidence.source_texts) {
        check_source_text(source, text)?;
    }
    let said: Vec<String> = match &body.generation {
        Some(generation) => generated_sentences(&evidence.answer, body.status, generation, Edition::First)?,
        None => {
            let places: Vec<(u64, u64)> = body.sources.iter().map(|source| (source.byte_start, source.byte_end)).collect();
            quoted_sentences(&evidence.answer, body.status, &body.segments, &places, &evidence.source_texts)?
        }
    };
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let texts: Vec<&str> = evidence.source_texts.iter().map(String::as_str).collect();
    if compute_value_table(&said, &texts) != body.value_table {
        return bad("the value table is not what the texts give".into());
    }
    Ok(())
}

fn verify_shares(body: &ReceiptBody) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if body.method != METHOD {
        return bad(format!("method {:?} is not known here, only {:?}: use a newer version", body.method, METHOD));
    }
    let keys: Vec<SourceKey> = body.sources.iter().map(SourceKey::from).collect();
    let shares = compute_shares(&keys, &body.value_table)?;
    let same = shares.per_contributor == body.shares
        && shares.per_source_ppm == body.source_shares_ppm
        && shares.unattributed_ppm == body.unattributed_ppm;
    if !same {
        return bad("the shares are not what the value table leads to".into());
    }
    let declined = body.status == AnswerStatus::Declined;
    if declined != (body.sentence_count() == 0) || (declined && (body.unattributed_ppm != PPM || body.fee_wei.0 != 0)) {
        return bad("a declined answer has no sentences, no shares and no fee, and any other has sentences".into());
    }
    Ok(())
}
