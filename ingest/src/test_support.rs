//! A service on in-memory seams, and people who sign.

use std::sync::Arc;

use bytes::Bytes;
use engine::HashingEmbedder;
use schemas::hashing::{self, ManifestEntry};
use schemas::ids::{DatanetId, DocumentId};
use schemas::signed::{self, SigningDomain};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::{DatanetRow, Millis};
use schemas::{Address, B256};
use store::Store;

use crate::service::Step;
use crate::{
    Ingest, IngestConfig, NewDatanet, Preview, SignedManifest, SignedPublication, SignedReview, SignedSubmission, SubmissionReport,
    UploadedFile,
};

pub(crate) const DOMAIN: SigningDomain = SigningDomain { chain_id: 31_337, registry: Address::repeat_byte(0xaa) };
pub(crate) const DEADLINE: u64 = 4_000_000_000;
pub(crate) const OWNER: u8 = 1;
pub(crate) const CURATOR: u8 = 2;
pub(crate) const ALICE: u8 = 3;
pub(crate) const BOB: u8 = 4;

pub(crate) fn key(n: u8) -> KeySigner {
    KeySigner::from_bytes(&B256::repeat_byte(n)).unwrap()
}

pub(crate) fn address(n: u8) -> Address {
    key(n).address()
}

pub(crate) fn config() -> IngestConfig {
    IngestConfig::new(DOMAIN, address(OWNER))
}

pub(crate) fn service_on(store: Store) -> Ingest {
    Ingest::new(store, Arc::new(HashingEmbedder::new()), config())
}

/// A service with the Datanet `cold-chain`.
pub(crate) async fn service() -> (Ingest, DatanetRow) {
    let ingest = service_on(Store::in_memory().await.unwrap());
    let datanet = ingest.create_datanet(cold_chain()).await.unwrap();
    (ingest, datanet)
}

pub(crate) fn cold_chain() -> NewDatanet {
    NewDatanet {
        name: "cold-chain".into(),
        title: "Cold chain".into(),
        description: "Storage and transport of vaccines".into(),
        topic: "keeping vaccines cold in storage and transport".into(),
        curators: vec![address(CURATOR), address(BOB)],
    }
}

/// An upload signed by contributor `n`.
pub(crate) fn upload(n: u8, datanet: DatanetId, files: &[(&str, &[u8])]) -> SignedSubmission {
    upload_under(n, datanet, files, "CC-BY-4.0")
}

pub(crate) fn upload_under(n: u8, datanet: DatanetId, files: &[(&str, &[u8])], licence: &str) -> SignedSubmission {
    let entries: Vec<ManifestEntry> = files
        .iter()
        .map(|(name, bytes)| ManifestEntry {
            file_name: (*name).to_owned(),
            sha256: hashing::sha256(bytes),
            size_bytes: bytes.len() as u64,
        })
        .collect();
    let message = signed::submission(address(n), datanet, hashing::manifest_hash(&entries), licence, DEADLINE);
    SignedSubmission {
        datanet,
        contributor: address(n),
        licence: licence.into(),
        note: String::new(),
        deadline: DEADLINE,
        signature: key(n).sign_digest(DOMAIN.digest(&message)).unwrap(),
        files: files
            .iter()
            .map(|(name, bytes)| UploadedFile { file_name: (*name).to_owned(), bytes: Bytes::copy_from_slice(bytes) })
            .collect(),
    }
}

/// What of an upload is announced before its files.
pub(crate) fn manifest_of(upload: &SignedSubmission) -> SignedManifest {
    let entry = |file: &UploadedFile| ManifestEntry {
        file_name: file.file_name.clone(),
        sha256: hashing::sha256(&file.bytes),
        size_bytes: file.bytes.len() as u64,
    };
    SignedManifest {
        datanet: upload.datanet,
        contributor: upload.contributor,
        licence: upload.licence.clone(),
        note: upload.note.clone(),
        deadline: upload.deadline,
        signature: upload.signature.clone(),
        files: upload.files.iter().map(entry).collect(),
    }
}

pub(crate) async fn submit(ingest: &Ingest, n: u8, datanet: DatanetId, files: &[(&str, &str)]) -> SubmissionReport {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    ingest.submit(upload(n, datanet, &files)).await.unwrap()
}

/// A decision signed by curator `n`, dated `age_s` seconds ago.
pub(crate) fn decision(n: u8, datanet: DatanetId, document: DocumentId, decision: &str, code: &str, age_s: u64) -> SignedReview {
    let mut review = SignedReview {
        datanet,
        document_id: document,
        curator: address(n),
        decision: decision.into(),
        reason_code: code.into(),
        comment: String::new(),
        decided_at: Millis::now().unix_seconds() - age_s,
        signature: String::new(),
    };
    sign_review(n, &mut review);
    review
}

pub(crate) fn sign_review(n: u8, review: &mut SignedReview) {
    let message = signed::review(
        review.curator,
        review.datanet,
        review.document_id,
        &review.decision,
        &review.reason_code,
        &review.comment,
        review.decided_at,
    );
    review.signature = key(n).sign_digest(DOMAIN.digest(&message)).unwrap();
}

pub(crate) fn publication(n: u8, datanet: DatanetId, preview: &Preview) -> SignedPublication {
    let Preview { version, parent_root, root, chunk_count, .. } = *preview;
    let message = signed::Publication {
        publisher: address(n),
        datanetId: datanet.0,
        version,
        parentRoot: parent_root,
        root,
        chunkCount: chunk_count,
    };
    let signature = key(n).sign_digest(DOMAIN.digest(&message)).unwrap();
    SignedPublication { publisher: address(n), datanet, version, parent_root, root, chunk_count, signature }
}

pub(crate) fn crash_at(ingest: &Ingest, step: Step) {
    *ingest.inner.crash_at.lock().unwrap() = Some(step);
}

/// `count` distinct sentences; the same `seed` gives the same text.
pub(crate) fn prose(seed: u64, count: usize) -> String {
    const WORDS: [&str; 32] = [
        "vaccine", "cold", "box", "freezer", "ice", "log", "truck", "sensor", "door", "alarm", "battery", "pack", "shelf", "dose", "vial",
        "batch", "clinic", "nurse", "road", "night", "heat", "fuse", "fan", "gauge", "limit", "hour", "degree", "label", "strap", "crate",
        "lid", "valve",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let sentence = |next: &mut dyn FnMut() -> u64| {
        let words: Vec<&str> = (0..8 + next() % 6).map(|_| WORDS[usize::try_from(next() % 32).unwrap()]).collect();
        format!("The {} {}.", words.join(" "), next() % 1000)
    };
    (0..count).map(|_| sentence(&mut next)).collect::<Vec<_>>().join(" ")
}
