//! A kept answer as table rows, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::SchemaError;
use schemas::receipt::{Receipt, ReceiptBody};
use schemas::tables::{AnswerRow, AttributionRow, Millis, ReceiptRow};

use crate::Result;
use crate::answer::{AnswerRecord, CopyRecord};

/// The rows of a batch of answers.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) answers: Vec<AnswerRow>,
    pub(super) attributions: Vec<AttributionRow>,
    pub(super) receipts: Vec<ReceiptRow>,
}

impl Rows {
    pub(super) fn of(records: &[Arc<AnswerRecord>]) -> Result<Self> {
        let mut rows = Self::default();
        for record in records {
            rows.answers.push(answer_row(record));
            rows.attributions.extend(attribution_rows(record));
            rows.receipts.push(receipt_row(&record.receipt)?);
        }
        Ok(rows)
    }
}

fn answer_row(record: &AnswerRecord) -> AnswerRow {
    let body = &record.receipt.body;
    AnswerRow {
        answer_id: body.answer_id,
        sequence: body.sequence,
        datanet_id: body.datanet_id,
        version: body.version,
        question: record.question.clone(),
        question_salt: record.question_salt,
        answer: record.answer.clone(),
        status: body.status.as_str().into(),
        generator: body.models.generator.clone(),
        embedder: body.models.embedder.clone(),
        fee_wei: body.fee_wei,
        payer: body.payer,
        unattributed_ppm: body.unattributed_ppm,
        issued_at: Millis(body.issued_at_ms),
    }
}

/// One row per source with a share, and one at zero per copy of a used chunk.
fn attribution_rows(record: &AnswerRecord) -> Vec<AttributionRow> {
    let body = &record.receipt.body;
    let row = |chunk_id, contributor, document_id, original_id, share_ppm| AttributionRow {
        answer_id: body.answer_id,
        chunk_id,
        contributor,
        document_id,
        datanet_id: body.datanet_id,
        version: body.version,
        share_ppm,
        original_id,
        method: body.method.clone(),
        issued_at: Millis(body.issued_at_ms),
    };
    let earning = (body.sources.iter().zip(&body.source_shares_ppm)).filter(|(_, share)| **share > 0);
    let mut rows: Vec<AttributionRow> =
        earning.map(|(source, share)| row(source.chunk_id, source.contributor, source.document_id, source.chunk_id, *share)).collect();
    rows.extend(record.copies.iter().map(|copy| row(copy.chunk_id, copy.contributor, copy.document_id, copy.original_id, 0)));
    rows
}

fn receipt_row(receipt: &Receipt) -> Result<ReceiptRow> {
    let body = &receipt.body;
    let (text, body_hash) = body.canonical()?;
    Ok(ReceiptRow {
        answer_id: body.answer_id,
        sequence: body.sequence,
        datanet_id: body.datanet_id,
        version: body.version,
        fee_wei: body.fee_wei,
        payer: body.payer,
        body: text,
        body_hash,
        signer: receipt.signer,
        signature: receipt.signature.clone(),
        issued_at: Millis(body.issued_at_ms),
    })
}

/// The receipt that a row holds.
pub(crate) fn receipt_of(row: &ReceiptRow) -> Result<Receipt> {
    let body: ReceiptBody = serde_json::from_str(&row.body)
        .map_err(|error| SchemaError::BadReceipt(format!("the stored body of answer {} cannot be read: {error}", row.answer_id)))?;
    Ok(Receipt { body, body_hash: row.body_hash, signer: row.signer, signature: row.signature.clone() })
}

/// The kept answer that rows hold.
pub(super) fn record(receipt: &ReceiptRow, answer: AnswerRow, mut attributions: Vec<AttributionRow>) -> Result<AnswerRecord> {
    let receipt = receipt_of(receipt)?;
    let sources: BTreeSet<_> = receipt.body.sources.iter().map(|source| (source.chunk_id, source.contributor)).collect();
    attributions.retain(|row| !sources.contains(&(row.chunk_id, row.contributor)));
    let mut copies: Vec<CopyRecord> = attributions
        .into_iter()
        .map(|row| CopyRecord {
            chunk_id: row.chunk_id,
            contributor: row.contributor,
            document_id: row.document_id,
            original_id: row.original_id,
        })
        .collect();
    copies.sort_by_key(|copy| (copy.original_id, copy.chunk_id, copy.contributor));
    Ok(AnswerRecord { receipt, question: answer.question, question_salt: answer.question_salt, answer: answer.answer, copies })
}
