//! A small Datanet to ask: files published straight into an in-memory store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{Embedder, EmbedderInfo, EngineError, HashingEmbedder};
use schemas::alloy_primitives::keccak256;
use schemas::ids::{ChunkId, DatanetId};
use schemas::leaves::VersionLeaf;
use schemas::merkle::StandardMerkleTree;
use schemas::signed::SigningDomain;
use schemas::signer::KeySigner;
use schemas::tables::{ChunkRow, DatanetRow, DocumentRow, Embedding, Millis, VersionRow, Wei};
use schemas::{Address, B256, U256, hashing};
use store::Store;

use crate::{Answer, AskRequest, Rag, RagConfig, Result};

pub(crate) const CHAIN_ID: u64 = 31337;

/// A file to publish: one chunk per paragraph.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) contributor: u8,
    pub(crate) text: String,
}

pub(crate) fn file(name: &str, contributor: u8, text: &str) -> File {
    File { name: name.into(), contributor, text: text.into() }
}

pub(crate) fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// Three contributors on keeping vaccines cold, and one on something else.
pub(crate) fn cold_chain() -> Vec<File> {
    vec![
        file(
            "storage.md",
            1,
            "# Storing vaccines\n\nThe recommended temperature range for storing most vaccines in a refrigerator is 2 °C to 8 °C. The usual set point is 5 °C.\n\n\
             Heat damage to a vaccine is cumulative. Freezing destroys vaccines that contain an aluminium adjuvant.",
        ),
        file(
            "monitoring.md",
            2,
            "Most vaccines must be stored in a refrigerator at a temperature range of 2 °C to 8 °C from arrival until use.\n\n\
             A digital data logger with a buffered probe shows the temperature of the vaccine better than a bare sensor.",
        ),
        file(
            "dry-ice.md",
            3,
            "Dry ice sublimates at -78.5 °C and must be vented during air transport. Never seal it in an airtight container.",
        ),
        file("reefers.md", 2, "A reefer container needs a power socket aboard the ship. Its genset is checked before loading."),
    ]
}

/// Counts the texts that are embedded.
#[derive(Debug)]
pub(crate) struct Counting {
    embedder: HashingEmbedder,
    pub(crate) texts: AtomicUsize,
}

impl Default for Counting {
    fn default() -> Self {
        Self { embedder: HashingEmbedder::new(), texts: AtomicUsize::new(0) }
    }
}

impl Embedder for Counting {
    fn info(&self) -> &EmbedderInfo {
        self.embedder.info()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        self.embedder.embed(texts)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.embedder.count_tokens(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.embedder.token_offsets(text)
    }
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) datanet: DatanetRow,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(files: &[File]) -> Self {
        Self::with(Arc::new(HashingEmbedder::new()), files).await
    }

    pub(crate) async fn with(embedder: Arc<dyn Embedder>, files: &[File]) -> Self {
        let owner = account(0xee);
        let datanet = DatanetRow {
            datanet_id: hashing::datanet_id(owner, "cold-chain"),
            name: "cold-chain".into(),
            title: "Cold chain".into(),
            description: String::new(),
            topic: String::new(),
            owner,
            curators: vec![],
            metadata_hash: B256::ZERO,
            policy_hash: B256::ZERO,
            created_at: Millis(0),
        };
        let store = Store::in_memory().await.unwrap();
        store.insert_new(std::slice::from_ref(&datanet)).await.unwrap();
        let world = Self { store, datanet, embedder, dir: tempfile::tempdir().unwrap() };
        if !files.is_empty() {
            world.publish(1, files).await;
        }
        world
    }

    /// Publishes `files` as a version; the n-th file is the n-th submission.
    pub(crate) async fn publish(&self, version: u64, files: &[File]) -> VersionRow {
        let (chunks, documents) = rows(self.datanet.datanet_id, files, self.embedder.as_ref());
        self.store.insert_new::<DocumentRow>(&documents).await.unwrap();
        let lance_version = self.store.publish_members(self.datanet.datanet_id, version, &chunks).await.unwrap();
        let leaves: Vec<B256> = chunks.iter().map(|chunk| VersionLeaf::of(chunk).hash()).collect();
        let row = VersionRow {
            datanet_id: self.datanet.datanet_id,
            version,
            parent_root: B256::ZERO,
            root: StandardMerkleTree::new(&leaves).unwrap().root(),
            chunk_count: chunks.len() as u64,
            document_count: documents.len() as u64,
            contributor_count: 0,
            manifest_hash: B256::ZERO,
            lance_version,
            publisher: account(0xee),
            signature: String::new(),
            published_at: Millis(0),
        };
        self.store.insert_new(std::slice::from_ref(&row)).await.unwrap();
        row
    }

    pub(crate) fn config(&self) -> RagConfig {
        let domain = SigningDomain { chain_id: CHAIN_ID, registry: account(0xaa) };
        let mut config = RagConfig::new(domain, self.dir.path().join("index"), self.dir.path().join("wal"));
        // shared spellings make smaller cosines than shared meaning
        if self.embedder.info().name == HashingEmbedder::new().info().name {
            config.quote.min_cosine_ppm = 150_000;
            config.quote.min_score_ppm = 300_000;
        }
        config
    }

    pub(crate) async fn rag(&self) -> Rag {
        self.open().await.unwrap()
    }

    pub(crate) async fn open(&self) -> Result<Rag> {
        self.open_with(self.config()).await
    }

    pub(crate) async fn open_with(&self, config: RagConfig) -> Result<Rag> {
        let signer = KeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        Rag::open(self.store.clone(), self.embedder.clone(), Arc::new(signer), config).await
    }

    pub(crate) fn wal(&self) -> std::path::PathBuf {
        self.dir.path().join("wal/receipts.wal")
    }

    pub(crate) fn index(&self, version: u64) -> std::path::PathBuf {
        self.dir.path().join(format!("index/{}/v{version}", self.datanet.datanet_id))
    }

    pub(crate) fn request(&self, request_id: &str, question: &str) -> AskRequest {
        AskRequest {
            datanet: self.datanet.clone(),
            version: None,
            earlier: Vec::new(),
            question: question.into(),
            filter: None,
            salt: keccak256(request_id),
            request_id: request_id.into(),
            key_id: "key".into(),
            payer: Some(account(0xbb)),
            fee_wei: Wei(1_000_003),
            answerer: crate::Answerer::Configured,
            generation: crate::GenerationSettings::default(),
        }
    }

    pub(crate) async fn ask(&self, rag: &Rag, question: &str) -> Answer {
        rag.ask(self.request(question, question)).await.unwrap()
    }
}

/// Chunks and documents as ingest would make them.
pub(crate) fn rows(datanet: DatanetId, files: &[File], embedder: &dyn Embedder) -> (Vec<ChunkRow>, Vec<DocumentRow>) {
    let (mut chunks, mut documents): (Vec<ChunkRow>, Vec<DocumentRow>) = Default::default();
    for (registered, file) in (1u64..).zip(files) {
        let contributor = account(file.contributor);
        let sha256 = hashing::sha256(file.text.as_bytes());
        let submission_id = hashing::submission_id(datanet, contributor, B256::from(U256::from(registered)));
        let document_id = hashing::document_id(submission_id, &file.name, sha256);
        documents.push(document(datanet, file, document_id, submission_id));
        let mut at = 0;
        for (ordinal, text) in (0..).zip(file.text.split("\n\n")) {
            let (byte_start, byte_end) = (at, at + text.len() as u64);
            at = byte_end + 2;
            let chunk_id = hashing::chunk_id(sha256, byte_start, byte_end, text);
            chunks.push(ChunkRow {
                chunk_id,
                submission_id,
                document_id,
                datanet_id: datanet,
                contributor,
                ordinal,
                document_sha256: sha256,
                byte_start,
                byte_end,
                text: text.into(),
                text_sha256: hashing::sha256(text.as_bytes()),
                token_count: 1,
                cluster_id: chunk_id,
                duplicate_of: None,
                similarity_ppm: None,
                flags: vec![],
                registered,
                embedding: Embedding(embedder.embed(&[text]).unwrap().remove(0)),
            });
        }
    }
    (chunks, documents)
}

fn document(
    datanet: DatanetId,
    file: &File,
    document_id: schemas::ids::DocumentId,
    submission_id: schemas::ids::SubmissionId,
) -> DocumentRow {
    DocumentRow {
        document_id,
        submission_id,
        datanet_id: datanet,
        contributor: account(file.contributor),
        file_name: file.name.clone(),
        media_type: "text/markdown".into(),
        sha256: hashing::sha256(file.text.as_bytes()),
        size_bytes: file.text.len() as u64,
        title: file.name.clone(),
        status: "chunked".into(),
        reason_code: None,
        reason: None,
        parser: "test".into(),
        chunk_count: 1,
        topic_similarity_ppm: 0,
    }
}

/// Every file below `dir`, by path.
pub(crate) fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<std::path::PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn ids(answer: &Answer) -> Vec<ChunkId> {
    answer.receipt.body.sources.iter().map(|source| source.chunk_id).collect()
}
