//! The corpus and the attacks, taken in, published, and asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use engine::{Embedder, EmbedderInfo, EngineError, HashingEmbedder};
use ingest::{Ingest, IngestConfig, NewDatanet, Preview, SignedPublication, SignedReview, SignedSubmission, UploadedFile};
use rag::{Answerer, AskRequest, GenerationSettings, Rag, RagConfig};
use schemas::hashing::{self, ManifestEntry};
use schemas::signed::{self, SigningDomain};
use schemas::signer::{KeySigner, Signer};
use schemas::tables::{DatanetRow, Millis, Wei};
use schemas::{Address, B256};
use store::Store;

use super::attacks::Extra;
use super::corpus::Corpus;

/// What the names of the attacker's other accounts begin with.
pub(super) const SYBIL: &str = "sybil-";
const DEADLINE: u64 = 4_000_000_000;
const FILES_AT_ONCE: usize = 64;

/// Who earned what, in parts of a million of one answer, and what was answered.
pub(super) struct Pay {
    pub(super) by_name: BTreeMap<String, u64>,
    pub(super) answers: Vec<String>,
}

/// An embedder that embeds a text once.
#[derive(Debug)]
pub(super) struct Remembering {
    inner: Arc<dyn Embedder>,
    known: Mutex<HashMap<String, Vec<f32>>>,
}

impl Remembering {
    pub(super) fn new(inner: Arc<dyn Embedder>) -> Self {
        Self { inner, known: Mutex::default() }
    }
}

impl Embedder for Remembering {
    fn info(&self) -> &EmbedderInfo {
        self.inner.info()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EngineError> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unknown: Vec<&str> = texts.iter().copied().filter(|text| !known().contains_key(*text)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let vectors = self.inner.embed(&unknown)?;
        let mut known = known();
        known.extend(unknown.into_iter().map(str::to_owned).zip(vectors));
        Ok(texts.iter().filter_map(|text| known.get(*text)).cloned().collect())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, EngineError> {
        self.inner.count_tokens(text)
    }

    fn token_offsets(&self, text: &str) -> Result<Vec<(usize, usize)>, EngineError> {
        self.inner.token_offsets(text)
    }
}

struct People {
    domain: SigningDomain,
    names: Vec<String>,
}

impl People {
    fn key(&mut self, name: &str) -> anyhow::Result<KeySigner> {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        Ok(KeySigner::from_bytes(&B256::from(schemas::U256::from(at + 100)))?)
    }

    fn name(&mut self, address: Address) -> anyhow::Result<String> {
        for name in self.names.clone() {
            if self.key(&name)?.address() == address {
                return Ok(name);
            }
        }
        Ok(address.to_string())
    }
}

/// Publishes the corpus and after it the attacks, and asks every question.
pub(super) async fn play(corpus: &Corpus, embedder: &Arc<Remembering>, extras: &[Extra]) -> anyhow::Result<Pay> {
    let domain = SigningDomain { chain_id: 31_337, registry: Address::repeat_byte(0xaa) };
    let mut people = People { domain, names: Vec::new() };
    let owner = people.key("owner")?.address();
    let store = Store::in_memory().await?;
    let ingest = Ingest::new(store.clone(), embedder.clone(), IngestConfig::new(domain, owner));
    let mut datanets = BTreeMap::new();
    for datanet in &corpus.datanets {
        let text = |name: &str| datanet[name].as_str().unwrap_or_default().to_owned();
        let curators = vec![people.key("curator")?.address()];
        let new = NewDatanet { name: text("name"), title: text("title"), description: text("description"), topic: text("topic"), curators };
        datanets.insert(new.name.clone(), ingest.create_datanet(new).await?);
    }
    for submission in &corpus.submissions {
        let datanet = datanets.get(&submission.datanet).context("a Datanet")?;
        submit(&ingest, &mut people, datanet, &submission.contributor, submission.files.clone()).await?;
    }
    let mut of_account: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for extra in extras {
        let files = of_account.entry((extra.account, extra.datanet.as_str())).or_default();
        files.push((extra.file_name.clone(), extra.text.clone().into_bytes()));
    }
    for ((account, datanet), files) in of_account {
        let datanet = datanets.get(datanet).context("a Datanet")?;
        for files in files.chunks(FILES_AT_ONCE) {
            submit(&ingest, &mut people, datanet, &format!("{SYBIL}{account}"), files.to_vec()).await?;
        }
    }
    for datanet in datanets.values() {
        publish(&ingest, &mut people, datanet).await?;
    }
    ask(corpus, embedder, store, &mut people, &datanets).await
}

async fn submit(
    ingest: &Ingest,
    people: &mut People,
    datanet: &DatanetRow,
    who: &str,
    mut files: Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    let key = people.key(who)?;
    // one account may send names twice
    files.sort();
    files.dedup_by(|a, b| a.0 == b.0);
    let entry = |(name, bytes): &(String, Vec<u8>)| ManifestEntry {
        file_name: name.clone(),
        sha256: hashing::sha256(bytes),
        size_bytes: bytes.len() as u64,
    };
    let entries: Vec<ManifestEntry> = files.iter().map(entry).collect();
    let licence = "CC-BY-4.0";
    let message = signed::submission(key.address(), datanet.datanet_id, hashing::manifest_hash(&entries), licence, DEADLINE);
    ingest
        .submit(SignedSubmission {
            datanet: datanet.datanet_id,
            contributor: key.address(),
            licence: licence.into(),
            note: String::new(),
            deadline: DEADLINE,
            signature: key.sign_digest(people.domain.digest(&message))?,
            files: files.into_iter().map(|(file_name, bytes)| UploadedFile { file_name, bytes: bytes.into() }).collect(),
        })
        .await?;
    Ok(())
}

/// Accepts everything, for whoever plays a trick gets past somebody, and publishes.
async fn publish(ingest: &Ingest, people: &mut People, datanet: &DatanetRow) -> anyhow::Result<()> {
    let curator = people.key("curator")?;
    let id = datanet.datanet_id;
    for item in ingest.queue(id, None, usize::MAX).await? {
        let decided_at = Millis::now().unix_seconds();
        let message = signed::review(curator.address(), id, item.document.document_id, "accept", "", "", decided_at);
        ingest
            .review(SignedReview {
                datanet: id,
                document_id: item.document.document_id,
                curator: curator.address(),
                decision: "accept".into(),
                reason_code: String::new(),
                comment: String::new(),
                decided_at,
                signature: curator.sign_digest(people.domain.digest(&message))?,
            })
            .await?;
    }
    let Preview { version, parent_root, root, chunk_count, .. } = ingest.preview(id).await?;
    let publisher = curator.address();
    let message = signed::Publication { publisher, datanetId: id.0, version, parentRoot: parent_root, root, chunkCount: chunk_count };
    let signature = curator.sign_digest(people.domain.digest(&message))?;
    ingest.publish(SignedPublication { publisher, datanet: id, version, parent_root, root, chunk_count, signature }).await?;
    Ok(())
}

async fn ask(
    corpus: &Corpus,
    embedder: &Arc<Remembering>,
    store: Store,
    people: &mut People,
    datanets: &BTreeMap<String, DatanetRow>,
) -> anyhow::Result<Pay> {
    let dir = tempfile::tempdir()?;
    let mut config = RagConfig::new(people.domain, dir.path().join("index"), dir.path().join("wal"));
    if embedder.info().name == HashingEmbedder::new().info().name {
        // shared spellings make smaller cosines than shared meaning
        config.quote.min_cosine_ppm = 150_000;
        config.quote.min_score_ppm = 300_000;
    }
    let rag = Rag::open(store, embedder.clone(), Arc::new(people.key("owner")?), config).await?;
    let mut pay = Pay { by_name: BTreeMap::new(), answers: Vec::new() };
    for question in &corpus.questions {
        let request = AskRequest {
            datanet: datanets.get(&question.datanet).context("a Datanet")?.clone(),
            version: None,
            earlier: Vec::new(),
            question: question.text.clone(),
            filter: None,
            salt: B256::ZERO,
            request_id: question.text.clone(),
            key_id: "key".into(),
            payer: None,
            fee_wei: Wei(0),
            answerer: Answerer::Quote,
            generation: GenerationSettings::default(),
        };
        let answer = rag.ask(request).await?;
        rag::verify_evidence(&rag.evidence(answer.receipt.body.answer_id).await?)?;
        for share in &answer.receipt.body.shares {
            *pay.by_name.entry(people.name(share.contributor)?).or_default() += share.share_ppm;
        }
        pay.answers.push(answer.text);
    }
    Ok(pay)
}
