//! A Datanet of any size, as ingest leaves it.

use std::path::Path;
use std::sync::Arc;

use engine::{Embedder, HashingEmbedder};
use ingest::{Ingest, IngestConfig, Preview, SignedPublication};
use rag::{Answer, Answerer, AskRequest, GenerationSettings, Rag, RagConfig};
use schemas::hashing;
use schemas::ids::DatanetId;
use schemas::signed::{self, SigningDomain};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::{ChunkRow, DatanetRow, DocumentRow, Embedding, Millis, ReviewRow, SubmissionRow, VersionRow, Wei};
use schemas::{Address, B256, U256};
use store::{Durability, Store, StoreConfig};

const DOMAIN: SigningDomain = SigningDomain { chain_id: 31_337, registry: Address::repeat_byte(0xaa) };
const CHUNKS_PER_DOCUMENT: usize = 20;
const SENTENCES_PER_CHUNK: usize = 3;
const CONTRIBUTORS: u64 = 97;
/// Rows per insertion.
const BATCH_DOCUMENTS: usize = 500;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) ingest: Ingest,
    pub(super) embedder: Arc<dyn Embedder>,
    folder: std::path::PathBuf,
    owner: KeySigner,
}

impl World {
    pub(super) async fn open(folder: &Path) -> anyhow::Result<Self> {
        let owner = KeySigner::from_bytes(&B256::repeat_byte(7))?;
        let url = format!("file://{}/store", folder.display());
        let store = Store::open(&StoreConfig::new(url, Durability::Fast)).await?;
        let embedder: Arc<dyn Embedder> = Arc::new(HashingEmbedder::new());
        let config = IngestConfig { duplicates_dir: Some(folder.join("duplicates")), ..IngestConfig::new(DOMAIN, owner.address()) };
        let ingest = Ingest::new(store.clone(), embedder.clone(), config);
        Ok(Self { store, ingest, embedder, folder: folder.to_owned(), owner })
    }

    pub(super) async fn rag(&self) -> anyhow::Result<Rag> {
        let mut config = RagConfig::new(DOMAIN, self.folder.join("index"), self.folder.join("wal"));
        config.concurrent_answers = std::thread::available_parallelism()?.get();
        // shared spellings make smaller cosines than shared meaning
        (config.quote.min_cosine_ppm, config.quote.min_score_ppm) = (150_000, 300_000);
        Ok(Rag::open(self.store.clone(), self.embedder.clone(), Arc::new(self.owner.clone()), config).await?)
    }

    pub(super) fn datanet(&self) -> DatanetRow {
        let owner = self.owner.address();
        DatanetRow {
            datanet_id: hashing::datanet_id(owner, "scale"),
            name: "scale".into(),
            title: "Scale".into(),
            description: String::new(),
            topic: String::new(),
            owner,
            curators: vec![],
            metadata_hash: B256::ZERO,
            policy_hash: B256::ZERO,
            created_at: Millis(0),
        }
    }

    /// Puts so many chunks, from chunk `from` on, into the tables, accepted.
    pub(super) async fn fill(&self, from: usize, chunks: usize) -> anyhow::Result<()> {
        let datanet = self.datanet();
        self.store.insert_new(&[datanet.clone()]).await?;
        let documents: Vec<usize> = (from / CHUNKS_PER_DOCUMENT..(from + chunks).div_ceil(CHUNKS_PER_DOCUMENT)).collect();
        for batch in documents.chunks(BATCH_DOCUMENTS) {
            let mut rows = Rows::default();
            for document in batch {
                let here = CHUNKS_PER_DOCUMENT.min(from + chunks - document * CHUNKS_PER_DOCUMENT);
                rows.add(datanet.datanet_id, *document, here, self.embedder.as_ref())?;
            }
            self.store.insert_new(&rows.chunks).await?;
            self.store.insert_new(&rows.documents).await?;
            self.store.insert_new(&rows.submissions).await?;
            self.store.insert_new(&rows.reviews).await?;
        }
        // what taking uploads in would have compared and kept
        self.ingest.queue(datanet.datanet_id, None, 1).await?;
        Ok(())
    }

    pub(super) async fn publish(&self) -> anyhow::Result<VersionRow> {
        let datanet = self.datanet().datanet_id;
        let Preview { version, parent_root, root, chunk_count, .. } = self.ingest.preview(datanet).await?;
        let publisher = self.owner.address();
        let message =
            signed::Publication { publisher, datanetId: datanet.0, version, parentRoot: parent_root, root, chunkCount: chunk_count };
        let signature = self.owner.sign_digest(DOMAIN.digest(&message))?;
        let publication = SignedPublication { publisher, datanet, version, parent_root, root, chunk_count, signature };
        Ok(self.ingest.publish(publication).await?)
    }

    /// A question about what chunk `at` says.
    pub(super) async fn ask(&self, rag: &Rag, at: usize, request: &str) -> anyhow::Result<Answer> {
        let request = AskRequest {
            datanet: self.datanet(),
            version: None,
            earlier: Vec::new(),
            question: question(at),
            filter: None,
            salt: B256::ZERO,
            request_id: request.to_owned(),
            key_id: "key".into(),
            payer: Some(Address::repeat_byte(0xbb)),
            fee_wei: Wei(1_000_003),
            answerer: Answerer::Configured,
            generation: GenerationSettings::default(),
        };
        Ok(rag.ask(request).await?)
    }
}

/// About what chunk `at` says.
pub(super) fn question(at: usize) -> String {
    let sentence = sentence(at / CHUNKS_PER_DOCUMENT, at % CHUNKS_PER_DOCUMENT, 0);
    let words: Vec<&str> = sentence.split_whitespace().take(9).collect();
    format!("What is known of {}?", words.join(" ").trim_end_matches('.'))
}

#[derive(Default)]
struct Rows {
    chunks: Vec<ChunkRow>,
    documents: Vec<DocumentRow>,
    submissions: Vec<SubmissionRow>,
    reviews: Vec<ReviewRow>,
}

impl Rows {
    fn add(&mut self, datanet: DatanetId, number: usize, chunks: usize, embedder: &dyn Embedder) -> anyhow::Result<()> {
        let registered = number as u64 + 1;
        let contributor = Address::left_padding_from(&(registered % CONTRIBUTORS + 1).to_be_bytes());
        let texts: Vec<String> = (0..chunks).map(|chunk| text(number, chunk)).collect();
        let whole = texts.join("\n\n");
        let sha256 = hashing::sha256(whole.as_bytes());
        let submission_id = hashing::submission_id(datanet, contributor, B256::from(U256::from(registered)));
        let file_name = format!("document-{number}.txt");
        let document_id = hashing::document_id(submission_id, &file_name, sha256);
        let vectors = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut byte_start = 0;
        for ((ordinal, text), vector) in (0..).zip(texts).zip(vectors) {
            let byte_end = byte_start + text.len() as u64;
            let chunk_id = hashing::chunk_id(sha256, byte_start, byte_end, &text);
            self.chunks.push(ChunkRow {
                chunk_id,
                submission_id,
                document_id,
                datanet_id: datanet,
                contributor,
                ordinal,
                document_sha256: sha256,
                byte_start,
                byte_end,
                text_sha256: hashing::sha256(text.as_bytes()),
                text,
                token_count: 40,
                cluster_id: chunk_id,
                duplicate_of: None,
                similarity_ppm: None,
                flags: vec![],
                registered,
                embedding: Embedding(vector),
            });
            byte_start = byte_end + 2;
        }
        self.documents.push(DocumentRow {
            document_id,
            submission_id,
            datanet_id: datanet,
            contributor,
            title: file_name.clone(),
            file_name,
            media_type: "text/plain".into(),
            sha256,
            size_bytes: whole.len() as u64,
            status: "chunked".into(),
            reason_code: None,
            reason: None,
            parser: "scale".into(),
            chunk_count: chunks as u64,
            topic_similarity_ppm: 0,
        });
        self.submissions.push(SubmissionRow {
            submission_id,
            datanet_id: datanet,
            contributor,
            licence: "CC0-1.0".into(),
            note: String::new(),
            manifest_hash: B256::ZERO,
            document_count: 1,
            refused_count: 0,
            registered,
            signature: String::new(),
            deadline: 0,
            received_at: Millis(0),
        });
        self.reviews.push(ReviewRow {
            review_id: schemas::ids::ReviewId(schemas::alloy_primitives::keccak256(document_id.0)),
            document_id,
            submission_id,
            datanet_id: datanet,
            curator: Address::repeat_byte(0xee),
            decision: "accept".into(),
            reason_code: "accepted".into(),
            comment: String::new(),
            sequence: registered,
            signature: String::new(),
            decided_at: 0,
            received_at: Millis(0),
        });
        Ok(())
    }
}

fn text(document: usize, chunk: usize) -> String {
    (0..SENTENCES_PER_CHUNK).map(|at| sentence(document, chunk, at)).collect::<Vec<_>>().join(" ")
}

/// A sentence of words that are rare as words are: the n-th most frequent comes with one in n of the first.
fn sentence(document: usize, chunk: usize, at: usize) -> String {
    let mut state = ((document * CHUNKS_PER_DOCUMENT + chunk) * SENTENCES_PER_CHUNK + at) as u64;
    let mut next = || {
        // splitmix64 (Steele et al. 2014)
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut words: Vec<String> = (0..8 + next() % 6).map(|_| word(rank(next()))).collect();
    words.insert(3, "of the".to_owned());
    format!("The {} is kept at {} degrees.", words.join(" "), next() % 1000)
}

/// Of words by frequency, log-uniform over 60,000.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a word out of many")]
fn rank(random: u64) -> u64 {
    let uniform = (random >> 11) as f64 / (1u64 << 53) as f64;
    (60_000f64.powf(uniform)) as u64
}

/// Letters that no other rank has.
fn word(rank: u64) -> String {
    const SYLLABLES: [&str; 16] = ["ba", "ke", "li", "mo", "nu", "pra", "se", "ti", "vo", "zu", "dra", "fe", "gi", "lo", "ru", "sta"];
    let mut rest = rank + 16;
    let mut word = String::new();
    while rest > 0 {
        word.push_str(SYLLABLES[usize::try_from(rest % 16).unwrap_or_default()]);
        rest /= 16;
    }
    word
}
