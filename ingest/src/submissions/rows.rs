//! Turning a checked and read upload into rows.

use schemas::tables::{ChunkRow, DocumentRow, Millis, SubmissionRow};

use super::ReadFile;
use super::check::Checked;
use crate::duplicates::{Index, NewChunk, NewDocument};
use crate::reading::Reading;

/// What the index is told of the files that were read.
pub(super) fn new_documents(checked: &Checked, files: &[ReadFile]) -> Vec<NewDocument> {
    let read = files.iter().filter_map(|file| match &file.reading {
        Reading::Read(document) => Some((file, document)),
        Reading::Refused(_) => None,
    });
    read.map(|(file, document)| NewDocument {
        document_id: file.document_id,
        submission_id: checked.submission_id,
        contributor: checked.contributor,
        file_name: file.file_name.clone(),
        chunks: document
            .chunks
            .iter()
            .map(|chunk| NewChunk { chunk_id: chunk.chunk_id, flags: chunk.flags.clone(), fingerprint: chunk.fingerprint.clone() })
            .collect(),
    })
    .collect()
}

pub(super) fn documents(checked: &Checked, files: &[ReadFile]) -> Vec<DocumentRow> {
    files.iter().map(|file| document(checked, file)).collect()
}

fn document(checked: &Checked, file: &ReadFile) -> DocumentRow {
    let mut row = DocumentRow {
        document_id: file.document_id,
        submission_id: checked.submission_id,
        datanet_id: checked.datanet,
        contributor: checked.contributor,
        file_name: file.file_name.clone(),
        media_type: String::new(),
        sha256: file.sha256,
        size_bytes: file.size_bytes,
        title: file.file_name.clone(),
        status: String::new(),
        reason_code: None,
        reason: None,
        parser: String::new(),
        chunk_count: 0,
        topic_similarity_ppm: 0,
    };
    match &file.reading {
        Reading::Read(document) => {
            document.media_type.clone_into(&mut row.media_type);
            document.parser.clone_into(&mut row.parser);
            "chunked".clone_into(&mut row.status);
            if let Some(title) = &document.title {
                row.title.clone_from(title);
            }
            row.chunk_count = document.chunks.len() as u64;
            row.topic_similarity_ppm = document.topic_similarity_ppm;
        }
        Reading::Refused(refusal) => {
            refusal.media_type.clone_into(&mut row.media_type);
            refusal.parser.clone_into(&mut row.parser);
            "refused".clone_into(&mut row.status);
            row.reason_code = Some(refusal.code.to_owned());
            row.reason = Some(refusal.reason.clone());
        }
    }
    row
}

/// The chunks, with the standing that the index gave them.
pub(super) fn chunks(checked: &Checked, files: Vec<ReadFile>, registered: u64, index: &Index) -> Vec<ChunkRow> {
    let mut rows = Vec::new();
    for file in files {
        let Reading::Read(document) = file.reading else { continue };
        for (ordinal, chunk) in (0..).zip(document.chunks) {
            let standing = index.chunk(chunk.chunk_id, checked.submission_id);
            let repeats = standing.and_then(|standing| standing.repeats.as_ref());
            rows.push(ChunkRow {
                chunk_id: chunk.chunk_id,
                submission_id: checked.submission_id,
                document_id: file.document_id,
                datanet_id: checked.datanet,
                contributor: checked.contributor,
                ordinal,
                document_sha256: file.sha256,
                byte_start: chunk.byte_start,
                byte_end: chunk.byte_end,
                text: chunk.text,
                text_sha256: chunk.text_sha256,
                token_count: chunk.token_count,
                cluster_id: standing.map_or(chunk.chunk_id, |standing| standing.cluster_id),
                duplicate_of: repeats.map(|repeat| repeat.chunk_id),
                similarity_ppm: repeats.map(|repeat| repeat.similarity_ppm),
                flags: chunk.flags,
                registered,
                embedding: chunk.embedding,
            });
        }
    }
    rows
}

pub(super) fn submission(checked: &Checked, documents: &[DocumentRow], registered: u64, received_at: Millis) -> SubmissionRow {
    SubmissionRow {
        submission_id: checked.submission_id,
        datanet_id: checked.datanet,
        contributor: checked.contributor,
        licence: checked.licence.clone(),
        note: checked.note.clone(),
        manifest_hash: checked.manifest_hash,
        document_count: documents.len() as u64,
        refused_count: documents.iter().filter(|document| document.status == "refused").count() as u64,
        registered,
        signature: checked.signature.clone(),
        deadline: checked.deadline,
        received_at,
    }
}
