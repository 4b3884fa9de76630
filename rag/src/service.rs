//! [`Rag`]: everything this crate does, wired to one store.

mod ask;
pub(crate) mod draft;
mod epochs;
mod likelihood;
mod reexecute;
mod trace;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use engine::{Embedder, Generator, GeneratorInfo, Reranker, RerankerInfo};
use schemas::ids::{AnswerId, ChunkId, DatanetId, DocumentId};
use schemas::receipt::{Filter, Receipt};
use schemas::signer::Signer;
use schemas::tables::{DatanetRow, Embedding, TextRow, VersionRow};
use store::{Memo, Store};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::answer::{Answer, AnswerRecord, Answerer, AskRequest, Evidence};
use crate::epochs::{Asked, Proofs, Settled};
use crate::generate::{Counters, GenerationStats, Listener, Progress};
use crate::inclusion::Inclusion;
use crate::open_version::{OpenVersion, OpenVersions, REPLACED_FOR};
use crate::receipts::Ledger;
use crate::stages::{Stage, Stages};
use crate::trace::Traces;
use crate::{Boxed, RagConfig, RagError, Result, blocking, index, kept, question};
use ask::Searched;

/// Rows of versions kept in memory at most, and names of files.
const MAX_VERSION_ROWS: usize = 1_000;
const MAX_FILE_NAMES: usize = 10_000;
/// Questions of which it is remembered what they found, at most;
/// and how many chunks each found, at most: some fifty kilobytes.
const MAX_SEARCHED: usize = 512;
const MAX_SEARCHED_CHUNKS: usize = 1_000;

/// Pause between two drains that readers cause.
const DRAIN_PACE: Duration = Duration::from_millis(250);

/// Answers questions, keeps receipts, closes epochs. Share it behind an [`Arc`].
#[derive(Debug)]
pub struct Rag {
    store: Store,
    embedder: Arc<dyn Embedder>,
    generator: Option<Arc<dyn Generator>>,
    reranker: Option<Arc<dyn Reranker>>,
    config: RagConfig,
    ledger: Arc<Ledger>,
    open_versions: OpenVersions,
    /// Rows of versions that were asked for, by Datanet and number; without a number, of the newest.
    versions: Memo<u64, (DatanetId, Option<u64>), VersionRow>,
    /// By Datanet, version and question.
    searched: Memo<(), (DatanetId, u64, String), Arc<Searched>>,
    /// Of documents, which never change.
    file_names: Memo<(), DocumentId, String>,
    settled: Memo<[u64; 3], (), Arc<Settled>>,
    /// What the epoch that is being debited asks for, which takes all its receipts to say.
    asked: Memo<(), u64, Vec<Asked>>,
    proofs: Proofs,
    /// Answers being computed; answers being computed or waiting.
    computing: Arc<Semaphore>,
    admitted: Semaphore,
    /// Answers that a model writes.
    generating: Arc<Semaphore>,
    /// What versions are traced by.
    pub(crate) traces: Arc<Traces>,
    counters: Arc<Counters>,
    stages: Stages,
    /// Requests with the same identity take turns.
    answering: Mutex<HashMap<AnswerId, Weak<tokio::sync::Mutex<()>>>>,
    closing: tokio::sync::Mutex<()>,
}

/// What an answer holds until its receipt is durable, even if nobody waits for it any more.
#[derive(Debug)]
struct Held {
    _turn: Turn,
    _computing: OwnedSemaphorePermit,
}

/// A request's turn among those with its identity, and what its caller wants held as long.
struct Turn {
    // Let go in this order: whose turn is next finds nothing held any more.
    _along: Box<dyn Any + Send>,
    _alone: OwnedMutexGuard<()>,
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

impl Rag {
    /// Opens the receipt log and replays it; clears what unfinished index builds left.
    ///
    /// # Errors
    /// [`RagError::Config`] for settings or an embedder that cannot work; [`RagError::LogLocked`] or
    /// [`RagError::CorruptLog`] for the log.
    pub async fn open(store: Store, embedder: Arc<dyn Embedder>, signer: Arc<dyn Signer>, config: RagConfig) -> Result<Self> {
        config.check()?;
        let dimensions = embedder.info().dimensions;
        if dimensions != Embedding::DIMENSIONS {
            return Err(RagError::Config(format!("the embedder gives {dimensions} dimensions, the tables hold {}", Embedding::DIMENSIONS)));
        }
        // the log's lock first: from here on no other process is building indexes
        let ledger = Ledger::open(store.clone(), signer, &config.wal_dir, config.pending_receipts).await?;
        let index_dir = config.index_dir.clone();
        blocking(move || kept::remove_leftovers(&index_dir)).await?;
        let traces =
            Traces::new(store.clone(), config.index_dir.clone(), config.concurrent_traces, config.waiting_traces, config.open_traces);
        Ok(Self {
            traces: Arc::new(traces),
            proofs: Proofs::new(store.clone()),
            store,
            embedder,
            generator: None,
            reranker: None,
            ledger: Arc::new(ledger),
            open_versions: OpenVersions::new(config.open_versions_bytes, REPLACED_FOR),
            versions: Memo::new(MAX_VERSION_ROWS),
            searched: Memo::new(MAX_SEARCHED),
            file_names: Memo::new(MAX_FILE_NAMES),
            settled: Memo::new(1),
            asked: Memo::new(1),
            computing: Arc::new(Semaphore::new(config.concurrent_answers)),
            admitted: Semaphore::new(config.concurrent_answers + config.waiting_answers),
            generating: Arc::new(Semaphore::new(0)),
            counters: Arc::default(),
            stages: Stages::default(),
            answering: Mutex::default(),
            closing: tokio::sync::Mutex::default(),
            config,
        })
    }

    /// Lets a model write the answers, of those who ask for nothing else.
    #[must_use]
    pub fn with_generator(mut self, generator: Arc<dyn Generator>) -> Self {
        self.admitted.add_permits(self.config.generation.concurrent_answers);
        self.generating = Arc::new(Semaphore::new(self.config.generation.concurrent_answers));
        self.generator = Some(generator);
        self
    }

    /// Lets a model put what was found in order.
    #[must_use]
    pub fn with_reranker(mut self, reranker: Arc<dyn Reranker>) -> Self {
        self.reranker = Some(reranker);
        self
    }

    /// Tells how long each stage of every answer takes.
    #[must_use]
    pub fn with_stage_listener(mut self, listener: impl Fn(Stage, Duration) + Send + Sync + 'static) -> Self {
        self.stages = Stages::told_to(Arc::new(listener));
        self
    }

    /// The model that writes answers, if there is one.
    pub fn generator(&self) -> Option<&GeneratorInfo> {
        self.generator.as_ref().map(|generator| generator.info())
    }

    fn reranker_info(&self) -> Option<RerankerInfo> {
        self.reranker.as_ref().map(|reranker| reranker.info().clone())
    }

    /// Bytes of memory that open versions take, about.
    pub fn open_version_bytes(&self) -> usize {
        self.open_versions.bytes()
    }

    /// Names of the adapters that the model may answer with.
    pub fn adapters(&self) -> Vec<String> {
        let adapters = self.generator.as_ref().map(|generator| generator.adapters());
        adapters.unwrap_or_default().into_iter().map(|adapter| adapter.name).collect()
    }

    /// What the generator was asked and gave since start.
    pub fn generation_stats(&self) -> GenerationStats {
        self.counters.stats()
    }

    /// Answers a question, or declines to; either leaves a signed receipt that is durable when this
    /// returns. The same request again returns the stored answer.
    ///
    /// # Errors
    /// [`RagError::InvalidQuestion`], [`RagError::InvalidRequest`], [`RagError::Parameter`], [`RagError::NothingPublished`],
    /// [`RagError::NotFound`] for the version, [`RagError::Conflict`], [`RagError::Busy`], [`RagError::Generator`], or what
    /// failed underneath.
    pub async fn ask(&self, request: AskRequest) -> Result<Answer> {
        self.ask_aloud(request, &mut |_| {}).await
    }

    /// [`Rag::ask`], telling `listener` the answer's words as they come: a model's as it writes them; quoted sentences, and
    /// those of a stored answer, one by one. They are the answer's whole text when this returns. Dropping it before the model
    /// is done ends the generation: nothing is kept, nothing is charged.
    ///
    /// # Errors
    /// As [`Rag::ask`]; what was told before is then worth nothing.
    pub async fn ask_aloud(&self, request: AskRequest, listener: Listener<'_>) -> Result<Answer> {
        self.ask_holding(request, Box::new(()), listener).await
    }

    /// [`Rag::ask_aloud`]; what is held `along` is let go when the receipt is there, or there will be none: also where the answer
    /// is finished after this was dropped.
    ///
    /// # Errors
    /// As [`Rag::ask_aloud`].
    pub async fn ask_holding(&self, request: AskRequest, along: Box<dyn Any + Send>, listener: Listener<'_>) -> Result<Answer> {
        let question = question::conversation(&request.earlier, &request.question, self.config.question_max_bytes);
        let request = AskRequest { question, earlier: Vec::new(), filter: request.filter.map(Filter::ordered), ..request };
        let generation = &self.config.generation;
        let by_model = self.generator.is_some() && request.answerer == Answerer::Configured;
        ask::check(&request, &self.config, by_model.then_some(generation.tokens_max))?;
        let _admitted = self.admit()?;
        let id = schemas::hashing::answer_id(&request.key_id, &request.request_id);
        let turn = Turn { _alone: self.turn(id).lock_owned().await, _along: along };
        let mut said = 0;
        let record = match self.ledger.find(id).await? {
            Some(record) => {
                ask::check_same(&record, &request)?;
                record
            }
            None => {
                let mut heard = |progress: Progress| {
                    said += usize::from(matches!(progress, Progress::Piece { .. }));
                    listener(progress);
                };
                self.answer(id, request, turn, &mut heard).await?
            }
        };
        if said == 0 {
            let pieces = record.pieces();
            pieces.into_iter().for_each(|piece| listener(Progress::Piece { text: piece.to_owned(), tokens: Vec::new() }));
        }
        let names = self.file_names(&record.cited_documents()).await?;
        Ok(record.into_answer(|document| names.get(&document).cloned()))
    }

    /// Returns when what is read in the background after a start has been read, or could not be: from then on a new request looks into
    /// no table for its answer where it was.
    pub async fn caught_up(&self) {
        self.ledger.caught_up().await;
    }

    /// The receipt of an answer.
    ///
    /// # Errors
    /// [`RagError::NotFound`].
    pub async fn receipt(&self, id: AnswerId) -> Result<Receipt> {
        let record = self.ledger.find(id).await?.ok_or_else(|| RagError::not_found("answer", id))?;
        Ok(record.receipt)
    }

    /// The answer as it was given.
    ///
    /// # Errors
    /// [`RagError::NotFound`].
    pub async fn answer_of(&self, id: AnswerId) -> Result<Answer> {
        let record = self.ledger.find(id).await?.ok_or_else(|| RagError::not_found("answer", id))?;
        let names = self.file_names(&record.cited_documents()).await?;
        Ok(record.into_answer(|document| names.get(&document).cloned()))
    }

    /// Everything a verifier needs to re-execute the answer's attribution ([`crate::verify_evidence`]).
    ///
    /// # Errors
    /// [`RagError::NotFound`].
    pub async fn evidence(&self, id: AnswerId) -> Result<Evidence> {
        let record = self.ledger.find(id).await?.ok_or_else(|| RagError::not_found("answer", id))?;
        let body = &record.receipt.body;
        let chunks: Vec<ChunkId> = body.sources.iter().map(|source| source.chunk_id).collect();
        let source_texts = self.texts(body.datanet_id, body.version, &chunks).await?;
        let AnswerRecord { receipt, question, question_salt, answer, .. } = record;
        Ok(Evidence { receipt, question, question_salt, answer, source_texts })
    }

    /// Where the answer's receipt stands in its epoch; none while that is not closed.
    ///
    /// # Errors
    /// [`RagError::NotFound`]; [`RagError::EpochConflict`] when the tables contradict the epoch's root.
    pub async fn inclusion(&self, id: AnswerId) -> Result<Option<Inclusion>> {
        let receipt = self.receipt(id).await?;
        self.proofs.inclusion(receipt.body.sequence, receipt.body_hash).await
    }

    async fn datanet(&self, id: DatanetId) -> Result<DatanetRow> {
        let rows = self.store.scan::<DatanetRow>(Some(&format!("datanet_id = '{id}'"))).await?;
        rows.into_iter().next().ok_or_else(|| RagError::not_found("Datanet", id))
    }

    /// Makes the text index of a published version ready; does nothing where it is.
    ///
    /// # Errors
    /// [`RagError::NotFound`] for the version, [`RagError::CorruptVersion`], or what failed underneath.
    pub async fn ensure_index(&self, datanet: DatanetId, version: u64) -> Result<()> {
        self.opened(datanet, Some(version)).await.map(drop)
    }

    /// Builds the text index of every Datanet's newest version that has none. (Older versions get
    /// theirs when somebody asks them; a damaged one is rebuilt when it is opened.) Returns how many were built.
    ///
    /// # Errors
    /// What failed underneath first, when all others were tried; running it again goes on.
    pub async fn reconcile(&self) -> Result<usize> {
        let mut newest: HashMap<DatanetId, VersionRow> = HashMap::new();
        for row in self.store.scan::<VersionRow>(None).await? {
            match newest.get(&row.datanet_id) {
                Some(other) if other.version >= row.version => {}
                _ => drop(newest.insert(row.datanet_id, row)),
            }
        }
        let index_dir = self.config.index_dir.clone();
        let missing = blocking(move || {
            Ok(newest.into_values().filter(|row| !index::is_there(&index::directory(&index_dir, row))).collect::<Vec<_>>())
        });
        let missing = missing.await?;
        let (mut built, mut failed) = (0, None);
        for row in &missing {
            match self.ensure_index(row.datanet_id, row.version).await {
                Ok(()) => built += 1,
                // Others wait for theirs.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(built), Err)
    }

    /// Receipts in the log that may not be in the tables yet.
    pub fn pending_receipts(&self) -> usize {
        self.ledger.pending_count()
    }

    /// Moves waiting receipts into the tables, where SQL sees them. Returns how many.
    ///
    /// # Errors
    /// What failed underneath; the receipts stay in the log and the next drain moves them.
    pub async fn drain(&self) -> Result<usize> {
        self.ledger.drain().await
    }

    /// Whether receipts can be issued. What was issued before is drained and settled all the same.
    ///
    /// # Errors
    /// [`RagError::LogStopped`].
    pub async fn check_log(&self) -> Result<()> {
        let ledger = self.ledger.clone();
        blocking(move || ledger.stopped().map_or(Ok(()), Err)).await
    }

    /// Waits until the receipts issued so far are in the tables, where SQL sees them; any number of callers cause a few drains a
    /// second at most.
    ///
    /// # Errors
    /// As [`Rag::drain`].
    pub async fn drained(&self) -> Result<()> {
        self.ledger.drained(DRAIN_PACE).await
    }

    /// The opened version; the newest where none is named.
    pub(crate) async fn opened(&self, datanet: DatanetId, version: Option<u64>) -> Result<Arc<OpenVersion>> {
        let row = self.version_row(datanet, version).await?;
        self.open_versions.get((datanet, row.version), async || self.open_version(row).await).await
    }

    async fn version_row(&self, datanet: DatanetId, version: Option<u64>) -> Result<VersionRow> {
        let missing = |version: u64| RagError::not_found("published version", format!("{version} of Datanet {datanet}"));
        let filter = match version {
            // a query's numbers are signed
            Some(version) if i64::try_from(version).is_err() => return Err(missing(version)),
            Some(version) => format!("datanet_id = '{datanet}' AND version = {version}"),
            None => format!("datanet_id = '{datanet}'"),
        };
        let read = async || {
            let rows = self.store.scan::<VersionRow>(Some(&filter)).await?;
            rows.into_iter().max_by_key(|row| row.version).ok_or_else(|| match version {
                Some(version) => missing(version),
                None => RagError::NothingPublished(datanet),
            })
        };
        self.versions.get(self.store.version::<VersionRow>()?, (datanet, version), read).await
    }

    /// Texts of members of a version. One of which nothing derived is kept is not opened for them: that would be derived anew.
    async fn texts(&self, datanet: DatanetId, version: u64, chunks: &[ChunkId]) -> Result<Vec<String>> {
        let row = self.version_row(datanet, Some(version)).await?;
        if index::is_there(&index::directory(&self.config.index_dir, &row)) {
            return self.opened(datanet, Some(version)).await?.texts_of(chunks).await;
        }
        let _computing = self.computing().await?;
        let known: Vec<TextRow> = self.store.members_of(datanet, row.lance_version, chunks).await?;
        let text = |id: &ChunkId| known.iter().find(|row| row.chunk_id == *id).map(|row| row.text.clone());
        chunks.iter().map(|id| text(id).ok_or_else(|| RagError::not_found("chunk", id))).collect()
    }

    fn open_version(&self, row: VersionRow) -> Boxed<'_, Result<OpenVersion>> {
        Box::pin(async move {
            let index_dir = self.config.index_dir.clone();
            let earlier = if index::is_there(&index::directory(&index_dir, &row)) { None } else { self.earlier(&row).await };
            OpenVersion::load(&self.store, index_dir, row, earlier).await
        })
    }

    /// The last version before this one of which something is kept, if it can be opened: without it all is derived from the texts.
    async fn earlier(&self, row: &VersionRow) -> Option<Arc<OpenVersion>> {
        let earlier = self.opened_earlier(row).await;
        earlier
            .inspect_err(
                |error| tracing::warn!(datanet = %row.datanet_id, version = row.version, %error, "an earlier version serves nothing"),
            )
            .ok()
            .flatten()
    }

    async fn opened_earlier(&self, row: &VersionRow) -> Result<Option<Arc<OpenVersion>>> {
        let before = format!("datanet_id = '{}' AND version < {}", row.datanet_id, row.version);
        let mut rows = self.store.scan::<VersionRow>(Some(&before)).await?;
        rows.retain(|row| index::is_there(&index::directory(&self.config.index_dir, row)));
        let Some(row) = rows.into_iter().max_by_key(|row| row.version) else { return Ok(None) };
        let (store, index_dir) = (self.store.clone(), self.config.index_dir.clone());
        let key = (row.datanet_id, row.version);
        self.open_versions.get(key, async move || OpenVersion::load(&store, index_dir, row, None).await).await.map(Some)
    }

    /// A place among those who ask.
    fn admit(&self) -> Result<SemaphorePermit<'_>> {
        let RagConfig { concurrent_answers, waiting_answers, generation, .. } = &self.config;
        let limit = concurrent_answers + waiting_answers + self.generator.as_ref().map_or(0, |_| generation.concurrent_answers);
        self.admitted.try_acquire().map_err(|_| RagError::Busy { what: "the queue of questions", limit })
    }

    /// The lock that requests with this identity share.
    fn turn(&self, id: AnswerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut answering = self.answering.lock().unwrap_or_else(PoisonError::into_inner);
        answering.retain(|_, turn| turn.strong_count() > 0);
        let held = answering.get(&id).and_then(Weak::upgrade);
        held.unwrap_or_else(|| {
            let turn = Arc::default();
            answering.insert(id, Arc::downgrade(&turn));
            turn
        })
    }
}
