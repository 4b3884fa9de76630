//! How content becomes ids. sha256 names bytes at rest; keccak256, with a domain in front, names
//! whatever a contract or a receipt refers to. Integers are big-endian u64s.

use alloy_primitives::{Address, B256, Keccak256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::ids::{AnswerId, ChunkId, DatanetId, DocumentId, Sha256, SubmissionId};

/// sha256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(B256::from_slice(&sha2::Sha256::digest(bytes)))
}

/// sha256 of bytes that come in parts.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> B256 {
        B256::from_slice(&self.0.finalize())
    }
}

/// `keccak256(abi.encode(owner, keccak256(name)))`: the id that `DatanetRegistry.createDatanet` gives.
pub fn datanet_id(owner: Address, name: &str) -> DatanetId {
    DatanetId(keccak256((owner, keccak256(name)).abi_encode()))
}

/// One file as a submission's manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestEntry {
    pub file_name: String,
    pub sha256: Sha256,
    pub size_bytes: u64,
}

/// What a contributor signs to say "these files": keccak over the entries, sorted, so that their
/// order in the request does not matter.
pub fn manifest_hash(entries: &[ManifestEntry]) -> B256 {
    let mut sorted: Vec<&ManifestEntry> = entries.iter().collect();
    sorted.sort();
    let mut hasher = domain("headwater/manifest/1");
    for entry in sorted {
        hasher.update(keccak256(&entry.file_name));
        hasher.update(entry.sha256.0);
        hasher.update(entry.size_bytes.to_be_bytes());
    }
    hasher.finalize()
}

/// The same files from the same contributor for the same Datanet are the same submission.
pub fn submission_id(datanet: DatanetId, contributor: Address, manifest_hash: B256) -> SubmissionId {
    let mut hasher = domain("headwater/submission/1");
    hasher.update(datanet.0);
    hasher.update(contributor);
    hasher.update(manifest_hash);
    SubmissionId(hasher.finalize())
}

/// One file of one submission.
pub fn document_id(submission: SubmissionId, file_name: &str, sha256: Sha256) -> DocumentId {
    let mut hasher = domain("headwater/document/1");
    hasher.update(submission.0);
    hasher.update(keccak256(file_name));
    hasher.update(sha256.0);
    DocumentId(hasher.finalize())
}

/// `keccak256("headwater/chunk/1" ‖ document sha256 ‖ byte_start ‖ byte_end ‖ sha256(text))`.
pub fn chunk_id(document_sha256: Sha256, byte_start: u64, byte_end: u64, text: &str) -> ChunkId {
    chunk_id_of(document_sha256, byte_start, byte_end, sha256(text.as_bytes()))
}

/// [`chunk_id`], of a text that is known by its sha256.
pub fn chunk_id_of(document_sha256: Sha256, byte_start: u64, byte_end: u64, text_sha256: Sha256) -> ChunkId {
    let mut hasher = domain("headwater/chunk/1");
    hasher.update(document_sha256.0);
    hasher.update(byte_start.to_be_bytes());
    hasher.update(byte_end.to_be_bytes());
    hasher.update(text_sha256.0);
    ChunkId(hasher.finalize())
}

/// The same request id from the same API key is the same answer.
pub fn answer_id(key_id: &str, request_id: &str) -> AnswerId {
    let mut hasher = domain("headwater/answer/1");
    hasher.update(keccak256(key_id));
    hasher.update(keccak256(request_id));
    AnswerId(hasher.finalize())
}

fn domain(name: &str) -> Keccak256 {
    let mut hasher = Keccak256::new();
    hasher.update(name);
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden values: these formulas are fixed by the first anchored version.
    #[test]
    fn ids_are_stable() {
        let owner = Address::repeat_byte(0x11);
        let datanet = datanet_id(owner, "cold-chain");
        let file = sha256(b"hello");
        assert_eq!(file.to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        let entry = ManifestEntry { file_name: "a.md".into(), sha256: file, size_bytes: 5 };
        let manifest = manifest_hash(&[entry]);
        let submission = submission_id(datanet, owner, manifest);
        insta::assert_snapshot!(format!(
            "{datanet}\n{manifest}\n{submission}\n{}\n{}\n{}",
            document_id(submission, "a.md", file),
            chunk_id(file, 0, 5, "hello"),
            answer_id("key", "request")
        ));
    }

    #[test]
    fn manifest_ignores_order_but_not_content() {
        let entry = |name: &str, size| ManifestEntry { file_name: name.into(), sha256: sha256(name.as_bytes()), size_bytes: size };
        let (a, b) = (entry("a", 1), entry("b", 2));
        assert_eq!(manifest_hash(&[a.clone(), b.clone()]), manifest_hash(&[b.clone(), a.clone()]));
        assert_ne!(manifest_hash(&[a.clone(), b.clone()]), manifest_hash(&[a.clone()]));
        assert_ne!(manifest_hash(&[a]), manifest_hash(&[entry("a", 2)]));
    }
}
