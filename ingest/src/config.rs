//! Limits and constants of one service.

use std::path::PathBuf;

use schemas::Address;
use schemas::signed::SigningDomain;

/// How this service takes uploads in. Every limit has its unit in its name.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// The chain and registry that signatures are bound to.
    pub domain: SigningDomain,
    /// The service account: it owns the Datanets on chain and anchors their versions.
    pub owner: Address,
    pub max_file_bytes: u64,
    pub max_files_per_submission: usize,
    /// All files of one submission together.
    pub max_submission_bytes: u64,
    /// What one contributor may send within 24 hours.
    pub max_files_per_contributor_per_day: u64,
    pub max_bytes_per_contributor_per_day: u64,
    /// Uploads of one contributor, and of all, that are being received or wait to be done.
    pub max_submissions_under_way_per_contributor: usize,
    pub max_submissions_under_way: usize,
    /// A file that would give more is refused.
    pub max_chunks_per_document: usize,
    /// All files of one submission together: a file with which there would be more is refused.
    pub max_chunks_per_submission: usize,
    /// What a chunk is filled up to where the text allows it; the embedder's window is the hard limit.
    pub target_chunk_tokens: usize,
    /// Where fingerprints of texts are kept, so that a start need not compute them again; none: nowhere.
    pub duplicates_dir: Option<PathBuf>,
    /// From this Jaccard similarity on, two chunks are the same content.
    pub near_duplicate_ppm: u64,
    /// Files read (parsed, embedded) at the same time, and uploads worked at.
    pub max_concurrent_files: usize,
    /// Texts per call of the embedder.
    pub embedding_batch_texts: usize,
}

impl IngestConfig {
    /// The defaults, for the chain and account given.
    #[must_use]
    pub fn new(domain: SigningDomain, owner: Address) -> Self {
        Self {
            domain,
            owner,
            max_file_bytes: 16 << 20,
            max_files_per_submission: 64,
            max_submission_bytes: 64 << 20,
            max_files_per_contributor_per_day: 2000,
            max_bytes_per_contributor_per_day: 512 << 20,
            max_submissions_under_way_per_contributor: 32,
            max_submissions_under_way: 256,
            max_chunks_per_document: 20_000,
            max_chunks_per_submission: 50_000,
            target_chunk_tokens: 180,
            duplicates_dir: None,
            near_duplicate_ppm: 800_000,
            max_concurrent_files: 2,
            embedding_batch_texts: 64,
        }
    }
}
