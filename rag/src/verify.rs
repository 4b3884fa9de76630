//! Checking an answer without trusting who gave it. Nothing here reads a table, a clock or a key.
//!
//! That the signer may sign and that the version root is on chain is for the caller to check.

use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::{AnswerStatus, Generation, Receipt, ReceiptBody, Segment, Source, check_source_text};

use crate::answer::{Evidence, slice};
use crate::attribution::{self, SourceKey, compute_shares, compute_value_table};
use crate::prompt::{self, Form};
use crate::{RagError, Result, generate};

/// Checks the receipt's hash, signature, proofs and sums, and that its shares are exactly what its
/// value table leads to.
///
/// # Errors
/// [`RagError::Schema`] for what contradicts itself, [`RagError::Unproven`] for shares that do not follow.
pub fn verify_receipt(receipt: &Receipt) -> Result<()> {
    receipt.check()?;
    verify_shares(&receipt.body)
}

/// [`verify_receipt`], and re-execution: the question and the answer are the ones that were
/// hashed, the texts are the ones that were anchored, every quoted sentence stands in its source, a
/// generated answer has the sentences and citations that are stated, and the value table is what those texts give.
/// What a model was asked and which tokens it chose is the signer's word: to repeat it takes the model.
///
/// # Errors
/// As [`verify_receipt`].
pub fn verify_evidence(evidence: &Evidence) -> Result<()> {
    verify_receipt(&evidence.receipt)?;
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
        Some(generation) => generated_sentences(evidence, generation)?,
        None => quoted_sentences(evidence)?,
    };
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let texts: Vec<&str> = evidence.source_texts.iter().map(String::as_str).collect();
    if compute_value_table(&said, &texts) != body.value_table {
        return bad("the value table is not what the texts give".into());
    }
    Ok(())
}

/// The quoted sentences, each found where it says it stands.
fn quoted_sentences(evidence: &Evidence) -> Result<Vec<String>> {
    let body = &evidence.receipt.body;
    let bad = |problem: String| Err(RagError::Unproven(problem));
    let mut segments = Vec::with_capacity(body.segments.len());
    for (index, segment) in body.segments.iter().enumerate() {
        let Some(said) = slice(&evidence.answer, segment.start, segment.end) else {
            return bad(format!("segment {index} is not a range of the answer"));
        };
        let index_of = usize::try_from(segment.source).unwrap_or(usize::MAX);
        let (source, text) = (body.sources.get(index_of), evidence.source_texts.get(index_of));
        if !source.zip(text).is_some_and(|(source, text)| stands_in(segment, said, source, text)) {
            return bad(format!("segment {index} does not stand where it says it does"));
        }
        segments.push(said.to_owned());
    }
    if body.status == AnswerStatus::Answered && segments.join(" ") != evidence.answer {
        return bad("the answer says more than its segments".into());
    }
    Ok(segments)
}

/// The sentences of a generated answer: they are the receipt's, and cite what it says they cite.
fn generated_sentences(evidence: &Evidence, generation: &Generation) -> Result<Vec<String>> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if generation.prompt != prompt::VERSION {
        return bad(format!("prompt {:?} is not known here, only {:?}: use a newer version", generation.prompt, prompt::VERSION));
    }
    if generation.prompt_hash != prompt::hash() {
        return bad(format!("the prompt's texts are not those of {}", prompt::VERSION));
    }
    if evidence.receipt.body.status == AnswerStatus::Declined {
        return Ok(Vec::new());
    }
    let form = if generation.constraint_hash.is_some() { Form::Prescribed } else { Form::Prose };
    let (sentences, said): (Vec<_>, Vec<_>) = generate::read(&evidence.answer, form).into_iter().unzip();
    if sentences != generation.sentences {
        return bad("the sentences are not those of the answer".into());
    }
    Ok(said)
}

/// Whether `said` is in the source's text, at the bytes of the file that the segment names. Where
/// the text was taken out of markup, the chunk's own range is all that can be named.
fn stands_in(segment: &Segment, said: &str, source: &Source, text: &str) -> bool {
    let offset = |byte: u64| byte.checked_sub(source.byte_start);
    if source.byte_end.checked_sub(source.byte_start) == Some(text.len() as u64) {
        let (start, end) = (offset(segment.source_byte_start), offset(segment.source_byte_end));
        start.zip(end).and_then(|(start, end)| slice(text, start, end)) == Some(said)
    } else {
        (segment.source_byte_start, segment.source_byte_end) == (source.byte_start, source.byte_end) && text.contains(said)
    }
}

fn verify_shares(body: &ReceiptBody) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if body.method != attribution::METHOD {
        return bad(format!("method {:?} is not known here, only {:?}: use a newer version", body.method, attribution::METHOD));
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
