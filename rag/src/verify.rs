//! Checking an answer without trusting who gave it. Nothing here reads a table, a clock or a key.
//!
//! That the signer may sign and that the version root is on chain is for the caller to check, and that nothing better was
//! left out of the candidates only searching the version again shows ([`crate::Rag::reexecute`]).

pub(crate) mod candidates;
mod first;

pub use first::{FirstEvidence, verify_first_evidence, verify_first_receipt};

use schemas::allocation::PPM;
use schemas::alloy_primitives::keccak256;
use schemas::receipt::{AnswerStatus, Generation, Receipt, ReceiptBody, Segment, check_source_text, salted_question_hash};

use crate::answer::{Evidence, slice};
use crate::attribution::likelihood::{self, Told};
use crate::attribution::{self, SourceText, compute_shares, compute_value_table};
use crate::prompt::{self, Form};
use crate::sentences::Edition;
use crate::{RagError, Result, generate, question};

/// Texts that are compared with each other, together.
const MAX_COMPARED_BYTES: usize = 1 << 20;

/// Checks the receipt's hash, signature, proofs and sums, that its sources are what its candidates lead to, and that its shares are
/// exactly what its value table leads to.
///
/// # Errors
/// [`RagError::Schema`] for what contradicts itself, [`RagError::Unproven`] for shares that do not follow.
pub fn verify_receipt(receipt: &Receipt) -> Result<()> {
    receipt.check()?;
    candidates::verify(&receipt.body)?;
    verify_shares(&receipt.body)
}

/// [`verify_receipt`], and re-execution: the question and the answer are the ones that were
/// hashed, the texts are the ones that were anchored, every quoted sentence stands in its source, a
/// generated answer has the sentences and citations that are stated, and the value table is what those texts give.
/// What a model was asked, which tokens it chose and how likely it found them is the signer's word: to repeat it takes the model.
///
/// # Errors
/// As [`verify_receipt`].
pub fn verify_evidence(evidence: &Evidence) -> Result<()> {
    verify_receipt(&evidence.receipt)?;
    let body = &evidence.receipt.body;
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if salted_question_hash(evidence.question_salt, &evidence.question) != body.question_hash {
        return bad("the question is not the one that the receipt is for".into());
    }
    // old receipts are of one question, whatever stands in it
    if body.candidates.is_some() && body.retrieval.turns.unwrap_or(0) != question::turns(&evidence.question) as u64 {
        return bad("it states another number of earlier turns than stand before the question".into());
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
        Some(generation) => generated_sentences(&evidence.answer, body.status, generation, Edition::Second)?,
        None => {
            let places: Vec<(u64, u64)> = body.sources.iter().map(|source| (source.byte_start, source.byte_end)).collect();
            quoted_sentences(&evidence.answer, body.status, &body.segments, &places, &evidence.source_texts)?
        }
    };
    if let Some(stated) = &body.likelihood {
        if evidence.source_texts.iter().map(String::len).sum::<usize>() > MAX_COMPARED_BYTES {
            return bad(format!("its sources have more than {MAX_COMPARED_BYTES} bytes"));
        }
        let told: Vec<Told<'_>> = body.sources.iter().zip(&evidence.source_texts).map(|(source, text)| Told::of(source, text)).collect();
        if likelihood::needs(&evidence.question, &said, &told) != stated.needs {
            return bad("who says again what another said before is not what the texts give".into());
        }
        return Ok(());
    }
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let texts: Vec<SourceText<'_>> =
        body.sources.iter().zip(&evidence.source_texts).map(|(source, text)| SourceText { source, text }).collect();
    if compute_value_table(&evidence.question, &said, &texts) != body.value_table {
        return bad("the value table is not what the texts give".into());
    }
    Ok(())
}

/// Checks that receipts of one signer are one run: each names the one before it, none is left out between them, and no
/// sequence and no answer has two.
///
/// # Errors
/// [`RagError::Unproven`].
pub fn verify_run(receipts: &[Receipt]) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    let mut ordered: Vec<&Receipt> = receipts.iter().collect();
    ordered.sort_by_key(|receipt| receipt.body.sequence);
    let mut answers = std::collections::BTreeSet::new();
    for pair in ordered.windows(2) {
        let [before, after] = pair else { continue };
        let (sequence, next) = (before.body.sequence, after.body.sequence);
        if sequence == next {
            return bad(format!("two receipts have the number {sequence}: the signer gave one answer two of them"));
        }
        if sequence.checked_add(1) == Some(next) && after.body.previous != before.body_hash {
            return bad(format!("receipt {next} names another receipt before it than the {sequence} that was given"));
        }
    }
    match ordered.iter().find(|receipt| !answers.insert(receipt.body.answer_id)) {
        Some(twice) => bad(format!("answer {} has two receipts", twice.body.answer_id)),
        None => Ok(()),
    }
}

/// The quoted sentences, each found where it says it stands. `places` are the byte ranges of the sources in their files.
fn quoted_sentences(
    answer: &str,
    status: AnswerStatus,
    stated: &[Segment],
    places: &[(u64, u64)],
    texts: &[String],
) -> Result<Vec<String>> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    let mut said = Vec::with_capacity(stated.len());
    for (index, segment) in stated.iter().enumerate() {
        let Some(sentence) = slice(answer, segment.start, segment.end) else {
            return bad(format!("segment {index} is not a range of the answer"));
        };
        let index_of = usize::try_from(segment.source).unwrap_or(usize::MAX);
        let (place, text) = (places.get(index_of), texts.get(index_of));
        if !place.zip(text).is_some_and(|(place, text)| stands_in(segment, sentence, *place, text)) {
            return bad(format!("segment {index} does not stand where it says it does"));
        }
        said.push(sentence.to_owned());
    }
    if status == AnswerStatus::Answered && said.join(" ") != answer {
        return bad("the answer says more than its segments".into());
    }
    Ok(said)
}

/// The sentences of a generated answer: they are the receipt's, and cite what it says they cite.
fn generated_sentences(answer: &str, status: AnswerStatus, generation: &Generation, edition: Edition) -> Result<Vec<String>> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    if generation.prompt != prompt::VERSION {
        return bad(format!("prompt {:?} is not known here, only {:?}: use a newer version", generation.prompt, prompt::VERSION));
    }
    if generation.prompt_hash != prompt::hash() {
        return bad(format!("the prompt's texts are not those of {}", prompt::VERSION));
    }
    if status == AnswerStatus::Declined {
        return Ok(Vec::new());
    }
    let form = Form::of(generation);
    let (sentences, said): (Vec<_>, Vec<_>) = generate::read_by(answer, form, edition).into_iter().unzip();
    if sentences != generation.sentences {
        return bad("the sentences are not those of the answer".into());
    }
    Ok(said)
}

/// Whether `said` is in the source's text, at the bytes of the file that the segment names. Where
/// the text was taken out of markup, the chunk's own range is all that can be named.
fn stands_in(segment: &Segment, said: &str, place: (u64, u64), text: &str) -> bool {
    let (byte_start, byte_end) = place;
    let offset = |byte: u64| byte.checked_sub(byte_start);
    if byte_end.checked_sub(byte_start) == Some(text.len() as u64) {
        let (start, end) = (offset(segment.source_byte_start), offset(segment.source_byte_end));
        start.zip(end).and_then(|(start, end)| slice(text, start, end)) == Some(said)
    } else {
        (segment.source_byte_start, segment.source_byte_end) == place && text.contains(said)
    }
}

fn verify_shares(body: &ReceiptBody) -> Result<()> {
    let bad = |problem: String| Err(RagError::Unproven(problem));
    let shares = match (body.method.as_str(), &body.likelihood) {
        (attribution::METHOD, None) => compute_shares(&body.sources, &body.value_table)?,
        (likelihood::METHOD, Some(stated)) if is_of_prompt(body) => likelihood::compute_shares(&body.sources, stated),
        (attribution::METHOD | likelihood::METHOD, _) => {
            return bad(format!("a receipt of {} is of other things than this one states", body.method));
        }
        (method, _) => {
            let known = [attribution::METHOD, likelihood::METHOD];
            return bad(format!("method {method:?} is not known here, only {known:?}: use a newer version"));
        }
    };
    let same = shares.per_contributor == body.shares
        && shares.per_source_ppm == body.source_shares_ppm
        && shares.unattributed_ppm == body.unattributed_ppm;
    if !same {
        return bad("the shares are not what the table leads to".into());
    }
    let declined = body.status == AnswerStatus::Declined;
    if declined != (body.sentence_count() == 0) || (declined && (body.unattributed_ppm != PPM || body.fee_wei.0 != 0)) {
        return bad("a declined answer has no sentences, no shares and no fee, and any other has sentences".into());
    }
    Ok(())
}

/// Whether a model wrote the answer in a mode that is known, and all sources were in its prompt.
fn is_of_prompt(body: &ReceiptBody) -> bool {
    let answered = body.status == AnswerStatus::Answered;
    let mode = body.generation.as_ref().and_then(|generation| generate::mode_named(&generation.mode));
    answered && mode.is_some() && body.retrieved == body.sources.len() as u64
}
