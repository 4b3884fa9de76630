//! From a question to a receipt.

use std::collections::HashMap;
use std::sync::Arc;

use engine::Generator;
use schemas::ids::{AnswerId, DocumentId};
use schemas::receipt::{Filter, Retrieval};
use schemas::tables::DocumentRow;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::draft::Found;
use super::{Held, Rag, Turn, likelihood};
use crate::answer::{AnswerRecord, Answerer, AskRequest};
use crate::config::AttributionMethod;
use crate::generate::{self, Chosen, Listener, Running};
use crate::open_version::OpenVersion;
use crate::question::{self, Question};
use crate::retrieve;
use crate::stages::Stage;
use crate::{RagConfig, RagError, Result, blocking, quote};

const ID_MAX_BYTES: usize = 256;

/// What a version was searched by for a question, and what it gave. A version never changes, nor does what it is searched with while
/// this runs: the same question finds the same.
#[derive(Debug, Clone)]
pub(super) struct Searched {
    question: Question,
    method: Retrieval,
    search: retrieve::Search,
}

impl Searched {
    fn is_small(&self) -> bool {
        let candidates = &self.search.candidates;
        candidates.by_vector.len() + candidates.by_words.len() <= super::MAX_SEARCHED_CHUNKS
    }
}

/// Refuses what cannot be answered before any work is done. `tokens_max` is what a model may say, where one answers.
pub(super) fn check(request: &AskRequest, config: &RagConfig, tokens_max: Option<usize>) -> Result<()> {
    let question = question::last(&request.question);
    if question.len() > config.question_max_bytes {
        let problem = format!("it has {} bytes, at most {} are read: ask more briefly", question.len(), config.question_max_bytes);
        return Err(RagError::InvalidQuestion(problem));
    }
    if !question.chars().any(char::is_alphanumeric) {
        return Err(RagError::InvalidQuestion("it has no word in it: write a question".into()));
    }
    for (name, id) in [("request_id", &request.request_id), ("key_id", &request.key_id)] {
        if id.is_empty() || id.len() > ID_MAX_BYTES {
            return Err(RagError::InvalidRequest(format!("{name} must have 1 to {ID_MAX_BYTES} bytes")));
        }
    }
    if let Some(problem) = request.filter.as_ref().and_then(Filter::problem) {
        return Err(RagError::InvalidRequest(problem.into()));
    }
    generate::check(&request.generation, tokens_max)?;
    if request.payer.is_none() && request.fee_wei.0 > 0 {
        return Err(RagError::InvalidRequest("a fee needs a payer: name one, or set the fee to zero".into()));
    }
    if request.fee_wei.0 >= 10u128.pow(38) {
        return Err(RagError::InvalidRequest("the fee must be below 10^38 wei".into()));
    }
    Ok(())
}

/// Whether a stored answer is to this request. Settings count for an answer that a model wrote.
pub(super) fn check_same(record: &AnswerRecord, request: &AskRequest) -> Result<()> {
    let body = &record.receipt.body;
    // what did not count was not kept
    let asked = question::with_turns(&request.question, question::turns(&record.question));
    let same = record.question == asked
        && body.datanet_id == request.datanet.datanet_id
        && request.version.is_none_or(|version| version == body.version)
        && request.filter == body.retrieval.filter
        && body.generation.as_ref().is_none_or(|made| generate::same(&request.generation, made));
    if same { Ok(()) } else { Err(RagError::Conflict(body.answer_id)) }
}

impl Rag {
    /// Computes, signs and stores a new answer.
    pub(super) async fn answer(&self, id: AnswerId, request: AskRequest, turn: Turn, listener: Listener<'_>) -> Result<AnswerRecord> {
        let computing = self.stages.wait(Stage::Queue, self.computing()).await?;
        let (question, found) = self.find_sources(id, request).await?;
        let opened = found.opened.clone();
        let generator = self.generator.clone().filter(|_| found.request.answerer == Answerer::Configured && !found.retrieved.is_empty());
        let record = match generator {
            None => self.quote(question, found, Held { _turn: turn, _computing: computing }).await?,
            Some(generator) => {
                // the model's time is its own to share out
                drop(computing);
                self.generate(&generator, found, turn, listener).await?
            }
        };
        // they are told with the answer, and would be looked for in the tables
        for document in record.cited_documents() {
            if self.file_names.find(&(), &document).is_none()
                && let Some(name) = opened.file_name(document)
            {
                self.file_names.keep((), document, name.to_owned());
            }
        }
        let body = &record.receipt.body;
        tracing::info!(
            answer_id = %body.answer_id, sequence = body.sequence, datanet = %body.datanet_id, version = body.version,
            generator = body.models.generator, status = body.status.as_str(), sources = body.sources.len(),
            sentences = body.sentence_count(), "answer issued"
        );
        Ok(Arc::unwrap_or_clone(record))
    }

    /// What the pinned version holds on the question.
    async fn find_sources(&self, id: AnswerId, request: AskRequest) -> Result<(Question, Found)> {
        let opened = self.stages.wait(Stage::Open, self.opened(request.datanet.datanet_id, request.version)).await?;
        // which members a filter leaves takes a byte a member to say
        let asked = request.filter.is_none().then(|| (opened.row.datanet_id, opened.row.version, request.question.clone()));
        let searched = match asked.as_ref().and_then(|asked| self.searched.find(&(), asked)) {
            Some(searched) => {
                self.stages.wait(Stage::Retrieve, retrieve::read_ahead(&opened, &searched.search.retrieved)).await?;
                searched
            }
            None => {
                let searched = Arc::new(self.search(&opened, &request).await?);
                if let Some(asked) = asked.filter(|_| searched.is_small()) {
                    self.searched.keep((), asked, searched.clone());
                }
                searched
            }
        };
        let Searched { question, method, search } = Arc::unwrap_or_clone(searched);
        let retrieve::Search { retrieved, candidates } = search;
        let request = AskRequest { question: question::with_turns(&request.question, question.turns), ..request };
        Ok((question, Found { id, request, opened, method, retrieved, candidates, reranker: self.reranker_info() }))
    }

    async fn search(&self, opened: &Arc<OpenVersion>, request: &AskRequest) -> Result<Searched> {
        let (embedder, text, filter) = (self.embedder.clone(), request.question.clone(), request.filter.as_ref());
        let ways = self.stages.wait(Stage::Embed, blocking(move || Question::ways(&text, embedder.as_ref()))).await?;
        let search = async {
            let question = retrieve::nearest_way(retrieve::nearness(opened, ways, filter).await?)?;
            let method = retrieve::method(&self.config, &question, filter, self.reranker.as_ref());
            let search = retrieve::retrieve(opened, &question, &method, self.reranker.as_ref()).await?;
            Ok(Searched { question, method, search })
        };
        self.stages.wait(Stage::Retrieve, search).await
    }

    async fn quote(&self, question: Question, found: Found, held: Held) -> Result<Arc<AnswerRecord>> {
        let (embedder, config, ledger) = (self.embedder.clone(), self.config.clone(), self.ledger.clone());
        let stages = self.stages.clone();
        blocking(move || {
            // a caller that goes away does not stop this: a retry waits for it, and finds its receipt
            let _held = held;
            let select = || quote::select(&question, &found.opened, &found.positions(), embedder.as_ref(), &config.quote);
            let quotes = stages.run(Stage::Read, select)?;
            let draft = stages.run(Stage::Attribute, || found.quoted(quotes, embedder.info(), &config))?;
            stages.run(Stage::Receipt, || ledger.issue(draft))
        })
        .await
    }

    /// Until the model is done, a caller that goes away ends this and nothing is kept; from then on the answer is issued
    /// whoever waits for it.
    async fn generate(
        &self,
        generator: &Arc<dyn Generator>,
        found: Found,
        turn: Turn,
        listener: Listener<'_>,
    ) -> Result<Arc<AnswerRecord>> {
        let generating = self.generating()?;
        let chosen = Chosen::new(&found.request.generation, &self.config.generation, generator.adapters())?;
        let mut running = Running::start(&self.counters);
        let (texts, found) = blocking(move || Ok((found.texts()?, found))).await?;
        let question = &found.request.question;
        let write = generate::write(generator, found.id, question, &texts, &chosen, &mut running, listener);
        let written = self.stages.wait(Stage::Generate, write).await;
        let (mut written, asked) = match written {
            Ok(written) => written,
            Err(error) => {
                running.failed();
                return Err(error);
            }
        };
        running.answered(written.declined, written.generation.prompt_tokens, written.generation.answer_tokens);
        let (embedder, config, ledger) = (self.embedder.clone(), self.config.clone(), self.ledger.clone());
        let (generator, stages, computing) = (generator.clone(), self.stages.clone(), self.computing.clone());
        blocking(move || {
            // whoever went away holds their place until the model is done
            let _generating = generating;
            if config.attribution.method == AttributionMethod::Likelihood {
                let timeout = config.attribution.timeout;
                let score = || likelihood::of_written(&generator, &found, texts, &written, asked, timeout);
                written.likelihood = stages.run(Stage::Score, score);
            }
            let place = stages.run(Stage::Queue, || Handle::current().block_on(computing.acquire_owned()));
            let computing = place.map_err(|error| RagError::Worker(error.to_string()))?;
            let _held = Held { _turn: turn, _computing: computing };
            let name = &generator.info().name;
            let draft = stages.run(Stage::Attribute, || found.generated(written, name, embedder.info(), &config))?;
            stages.run(Stage::Receipt, || ledger.issue(draft))
        })
        .await
    }

    /// A place at the model.
    pub(super) fn generating(&self) -> Result<OwnedSemaphorePermit> {
        let limit = self.config.generation.concurrent_answers;
        let place = self.generating.clone().try_acquire_owned();
        place.map_err(|_| RagError::Busy { what: "the queue of answers that a model writes", limit })
    }

    pub(super) async fn computing(&self) -> Result<OwnedSemaphorePermit> {
        self.computing.clone().acquire_owned().await.map_err(|error| RagError::Worker(error.to_string()))
    }

    /// Names of the files that documents were read from.
    pub(super) async fn file_names(&self, documents: &[DocumentId]) -> Result<HashMap<DocumentId, String>> {
        let known = |document: &DocumentId| self.file_names.find(&(), document).map(|name| (*document, name));
        let mut names: HashMap<DocumentId, String> = documents.iter().filter_map(known).collect();
        let missing = documents.iter().filter(|document| !names.contains_key(document));
        let missing: Vec<String> = missing.map(|document| format!("'{document}'")).collect();
        if !missing.is_empty() {
            for row in self.store.scan::<DocumentRow>(Some(&format!("document_id IN ({})", missing.join(", ")))).await? {
                self.file_names.keep((), row.document_id, row.file_name.clone());
                names.insert(row.document_id, row.file_name);
            }
        }
        Ok(names)
    }
}
