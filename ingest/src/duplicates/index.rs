//! What every upload to one Datanet repeats of earlier ones, in registration order, whatever became of those: what
//! contributors and curators are told. It decides nothing: the clusters of a version are those of its members
//! ([`super::Clusters`] over them alone).
//!
//! Derived: built by replaying the committed submissions, and equal however often it is rebuilt. The columns in
//! `submitted_chunks` record what was found when the rows were written, which can differ only where a crash came
//! between an upload's rows and its commit, and somebody else committed before the upload was tried again.
//!
//! In memory, some four kilobytes for a chunk of thirty words while it is built.

use std::collections::HashMap;
use std::ops::Range;

use schemas::Address;
use schemas::ids::{ChunkId, DocumentId, SubmissionId};

use super::clusters::Clusters;
use super::fingerprint::Fingerprint;
use super::holders::Holders;
use super::sketch::Sketch;

/// Most documents that are listed under one phrase: beyond, it is a common one.
const MAX_DOCUMENTS_PER_PHRASE: usize = 64;
/// Most earlier documents that one is compared with: those that share the most phrases.
const MAX_CANDIDATES: usize = 256;
/// Least part of a document found in an earlier one that is told.
const LEAST_OVERLAP_PPM: u64 = 300_000;

/// A document to be added.
#[derive(Debug)]
pub(crate) struct NewDocument {
    pub document_id: DocumentId,
    pub submission_id: SubmissionId,
    pub contributor: Address,
    pub file_name: String,
    /// In the order of the text.
    pub chunks: Vec<NewChunk>,
}

#[derive(Debug)]
pub(crate) struct NewChunk {
    pub chunk_id: ChunkId,
    pub flags: Vec<String>,
    pub fingerprint: Fingerprint,
}

/// What became of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub chunk_id: ChunkId,
    pub ordinal: u64,
    /// The first-registered chunk of the cluster: itself when it is original.
    pub cluster_id: ChunkId,
    pub flags: Vec<String>,
    /// The earlier chunk that it repeats, and how closely.
    pub repeats: Option<Repeat>,
}

#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub chunk_id: ChunkId,
    /// Its document, as a position for [`Index::document_at`].
    pub document: usize,
    pub similarity_ppm: u64,
}

/// A document, and the earlier one that holds the most of it.
#[derive(Debug)]
pub(crate) struct DocumentEntry {
    pub document_id: DocumentId,
    pub submission_id: SubmissionId,
    pub contributor: Address,
    pub file_name: String,
    pub overlap: Option<(usize, u64)>,
    chunks: Range<usize>,
    sketch: Sketch,
}

#[derive(Debug)]
struct Entry {
    standing: Standing,
    document: usize,
}

#[derive(Debug)]
pub(crate) struct Index {
    /// The last registration that is in.
    pub through: u64,
    /// Position for position those of `clusters`.
    entries: Vec<Entry>,
    clusters: Clusters,
    by_key: HashMap<(ChunkId, SubmissionId), usize>,
    documents: Vec<DocumentEntry>,
    by_document: HashMap<DocumentId, usize>,
    phrases: Holders,
}

impl Index {
    pub(crate) fn new(near_duplicate_ppm: u64) -> Self {
        Self {
            through: 0,
            entries: Vec::new(),
            clusters: Clusters::new(near_duplicate_ppm),
            by_key: HashMap::new(),
            documents: Vec::new(),
            by_document: HashMap::new(),
            phrases: Holders::new(MAX_DOCUMENTS_PER_PHRASE),
        }
    }

    /// Adds the documents of the next submission.
    pub(crate) fn add(&mut self, registered: u64, documents: Vec<NewDocument>) {
        self.place(documents);
        self.through = registered;
    }

    /// Adds documents in the order of their file names, under a registration that is still to come.
    pub(crate) fn place(&mut self, mut documents: Vec<NewDocument>) {
        documents.sort_by(|a, b| a.file_name.cmp(&b.file_name));
        for document in documents {
            self.add_document(document);
        }
    }

    pub(crate) fn chunk(&self, chunk_id: ChunkId, submission_id: SubmissionId) -> Option<&Standing> {
        self.by_key.get(&(chunk_id, submission_id)).and_then(|at| self.entries.get(*at)).map(|entry| &entry.standing)
    }

    /// A document and its chunks, in order; `None` when it is unknown or has no chunks.
    pub(crate) fn document(&self, id: DocumentId) -> Option<(&DocumentEntry, impl Iterator<Item = &Standing>)> {
        let document = self.documents.get(*self.by_document.get(&id)?)?;
        let entries = self.entries.get(document.chunks.clone()).unwrap_or_default();
        Some((document, entries.iter().map(|entry| &entry.standing)))
    }

    pub(crate) fn document_at(&self, at: usize) -> Option<&DocumentEntry> {
        self.documents.get(at)
    }

    fn add_document(&mut self, document: NewDocument) {
        let at = self.documents.len();
        let sketch = Sketch::of(document.chunks.iter().map(|chunk| &chunk.fingerprint));
        let overlap = self.overlap(&sketch);
        for hash in sketch.hashes() {
            self.phrases.add(*hash, at);
        }
        let first = self.entries.len();
        for (ordinal, chunk) in (0..).zip(document.chunks) {
            self.add_chunk(at, document.submission_id, ordinal, chunk);
        }
        self.by_document.insert(document.document_id, at);
        self.documents.push(DocumentEntry {
            document_id: document.document_id,
            submission_id: document.submission_id,
            contributor: document.contributor,
            file_name: document.file_name,
            overlap,
            chunks: first..self.entries.len(),
            sketch,
        });
    }

    /// The earlier document that holds the most of one with this sketch; the earliest of equals.
    fn overlap(&self, sketch: &Sketch) -> Option<(usize, u64)> {
        let mut sharing: Vec<usize> = sketch.hashes().iter().flat_map(|hash| self.phrases.of(*hash)).collect();
        sharing.sort_unstable();
        let count = |documents: &[usize]| Some((documents.len(), *documents.first()?));
        let mut candidates: Vec<(usize, usize)> = sharing.chunk_by(|a, b| a == b).filter_map(count).collect();
        candidates.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        candidates
            .into_iter()
            .take(MAX_CANDIDATES)
            .filter_map(|(_, at)| Some((at, sketch.contained_in_ppm(&self.documents.get(at)?.sketch))))
            .filter(|(_, ppm)| *ppm >= LEAST_OVERLAP_PPM)
            .max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    fn add_chunk(&mut self, document: usize, submission_id: SubmissionId, ordinal: u64, chunk: NewChunk) {
        let NewChunk { chunk_id, flags, fingerprint } = chunk;
        let placement = self.clusters.place(chunk_id, fingerprint);
        let repeats = placement.repeats.and_then(|(earlier, similarity_ppm)| {
            let earlier = self.entries.get(earlier)?;
            Some(Repeat { chunk_id: earlier.standing.chunk_id, document: earlier.document, similarity_ppm })
        });
        self.by_key.insert((chunk_id, submission_id), self.entries.len());
        let standing = Standing { chunk_id, ordinal, cluster_id: placement.cluster_id, flags, repeats };
        self.entries.push(Entry { standing, document });
    }
}
