//! A model that runs in this process, on one thread of its own and its team's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::core::Submission;
use super::counters::{Counters, GeneratorCounters, QueuePlace};
use super::model::{Machine, Model, ModelLimits, default_sampling};
use super::schedule::{Limits, LoadedAdapter, Schedule};
use super::service::Service;
use crate::architecture::Architecture;
use crate::decoder::{Decoder, DecoderOptions, PAGE_TOKENS};
use crate::files::{AdapterFiles, ModelFiles};
use crate::{
    AdapterInfo, EngineError, GenerationRequest, GenerationStream, Generator, GeneratorInfo, Isa, Message, Precision, Sampling, Score,
    ScoreRequest,
};

#[cfg(test)]
mod tests;

/// How a model is run.
#[derive(Debug, Clone)]
pub struct GeneratorOptions {
    /// Of weights that are not quantised, and of the cache.
    pub precision: Precision,
    /// Forces an instruction set, to measure or test it.
    pub isa: Option<Isa>,
    /// One for each processor where it is not said.
    pub threads: Option<usize>,
    /// Of keys and values: what runs, and what is kept for requests that begin alike.
    pub cache_bytes: usize,
    /// Rows of one forward pass, and so how long an answer's next token may have to wait for the prompts of others.
    pub batch_tokens_max: usize,
    /// Requests that run at a time.
    pub sequences_max: usize,
    /// Requests that may wait to run.
    pub queue_max: usize,
    /// Subsets of one request to score.
    pub subsets_max: usize,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self {
            precision: Precision::F32,
            isa: None,
            threads: None,
            cache_bytes: 1 << 30,
            batch_tokens_max: 128,
            sequences_max: 32,
            queue_max: 256,
            subsets_max: 4096,
        }
    }
}

/// A loaded model. Dropping it fails what is still running and waits for the pass in progress.
pub struct LocalGenerator {
    info: GeneratorInfo,
    sampling: Sampling,
    model: Arc<Model>,
    architecture: Architecture,
    adapters: RwLock<BTreeMap<String, LoadedAdapter>>,
    /// Held while an adapter is loaded: one at a time.
    loading: Mutex<()>,
    queue_max: usize,
    counters: Arc<Counters>,
    service: Service<Machine>,
}

impl LocalGenerator {
    /// Opens a directory as transformers saves it, or a `.gguf` file. Blocks: minutes for a large model.
    ///
    /// # Errors
    /// [`EngineError::MissingModel`] and others for the files; [`EngineError::UnsupportedModel`] for what is in them, or where
    /// `cache_bytes` holds too little to run it; [`EngineError::UnsupportedCpu`] for a forced instruction set.
    pub fn open(path: &Path, options: &GeneratorOptions) -> Result<Self, EngineError> {
        let files = ModelFiles::open(path)?;
        let decoder_options = DecoderOptions { precision: options.precision, isa: options.isa, threads: options.threads };
        // Hashing takes one processor as long as reading the files does; loading waits for more than that.
        let (sha256, decoder) = std::thread::scope(|scope| {
            let sha256 = scope.spawn(|| files.sha256());
            let decoder = Decoder::load(&files, &decoder_options);
            (sha256.join(), decoder)
        });
        let sha256 = sha256.map_err(|_| EngineError::library("hashing the model")("its thread has ended"))??;
        let decoder = decoder?;
        let pages = pages(&files, decoder.page_bytes(), options.cache_bytes)?;
        let window_tokens = files.architecture.window;
        let info = GeneratorInfo {
            name: files.name.clone(),
            family: files.architecture.family.clone(),
            sha256: Some(sha256.clone()),
            precision: Some(options.precision),
            isa: Some(options.isa.unwrap_or_else(Isa::detect)),
            context_tokens: window_tokens.min(pages * PAGE_TOKENS),
            scores: true,
        };
        let stretches_after = files.architecture.stretches_after();
        let limits = ModelLimits { window_tokens, pages, subsets_max: options.subsets_max, stretches_after };
        let machine = Machine { pages: decoder.pages(pages), decoder };
        let counters = Arc::<Counters>::default();
        let limits_of_steps = Limits { batch_tokens_max: options.batch_tokens_max, sequences_max: options.sequences_max };
        let schedule = Schedule::new(sha256, pages, limits_of_steps);
        tracing::info!(model = info.name, info.family, info.sha256, pages, precision = ?options.precision, "model loaded");
        Ok(Self {
            info,
            sampling: default_sampling(&files.defaults),
            model: Arc::new(Model::new(files.tokenizer, files.template, files.architecture.vocabulary, limits)),
            architecture: files.architecture,
            adapters: RwLock::default(),
            loading: Mutex::default(),
            queue_max: options.queue_max.max(1),
            service: Service::start(machine, schedule, counters.clone())?,
            counters,
        })
    }

    /// Loads a LoRA adapter as PEFT saves it, for requests that name it. Answers go on while its files are read; it is taken
    /// in between two passes. Blocks.
    ///
    /// A name stays with its adapter: the same one again changes nothing, another one is refused, so that no two requests can
    /// mean different adapters by one name. An adapter that is loaded under two names is in memory once.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] where the name is taken, or the adapter is for another model or more than plain LoRA;
    /// [`EngineError::MissingModel`] and others for its files.
    pub fn load_adapter(&self, name: &str, path: &Path) -> Result<(), EngineError> {
        let _one_at_a_time = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let files = AdapterFiles::open(path, &self.architecture)?;
        let (sha256, base) = (files.sha256.clone(), files.base.clone());
        let known = {
            let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(loaded) = adapters.get(name) {
                let taken = || EngineError::Adapter { name: name.to_owned(), reason: "another adapter has this name".to_owned() };
                return if loaded.sha256 == sha256 { Ok(()) } else { Err(taken()) };
            }
            adapters.values().find(|loaded| loaded.sha256 == sha256).cloned()
        };
        let loaded = match known {
            Some(loaded) => loaded,
            None => LoadedAdapter { index: self.service.with(move |machine| machine.decoder.load_adapter(&files))??, sha256 },
        };
        tracing::info!(adapter = name, loaded.sha256, base, "adapter loaded");
        self.adapters.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), loaded);
        Ok(())
    }

    /// What it is doing, and has done since it was opened.
    #[must_use]
    pub fn counters(&self) -> GeneratorCounters {
        self.counters.read()
    }

    fn queue(&self) -> Result<QueuePlace, EngineError> {
        self.counters.queue(self.queue_max).map_err(|waiting| EngineError::Overloaded { waiting })
    }

    fn adapter(&self, name: Option<&str>) -> Result<Option<LoadedAdapter>, EngineError> {
        let Some(name) = name else { return Ok(None) };
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        let unknown = || EngineError::Adapter { name: name.to_owned(), reason: "it is not loaded".to_owned() };
        adapters.get(name).cloned().map(Some).ok_or_else(unknown)
    }

    /// Runs CPU work on one request off the async threads.
    async fn prepare<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Model) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let model = self.model.clone();
        tokio::task::spawn_blocking(move || work(&model)).await.map_err(EngineError::library("preparing a request"))?
    }
}

/// How many pages the cache has.
fn pages(files: &ModelFiles, page_bytes: usize, cache_bytes: usize) -> Result<usize, EngineError> {
    let pages = (cache_bytes / page_bytes.max(1)).min(u32::MAX as usize);
    if pages >= 2 {
        return Ok(pages);
    }
    let reason = format!("a cache of {cache_bytes} bytes has no room for two pages of {page_bytes}: raise cache_bytes");
    Err(EngineError::UnsupportedModel { name: files.name.clone(), reason })
}

#[async_trait::async_trait]
impl Generator for LocalGenerator {
    fn info(&self) -> &GeneratorInfo {
        &self.info
    }

    fn adapters(&self) -> Vec<AdapterInfo> {
        let adapters = self.adapters.read().unwrap_or_else(PoisonError::into_inner);
        adapters.iter().map(|(name, loaded)| AdapterInfo { name: name.clone(), sha256: loaded.sha256.clone() }).collect()
    }

    fn default_sampling(&self) -> Sampling {
        self.sampling.clone()
    }

    async fn generate(&self, request: GenerationRequest) -> Result<GenerationStream, EngineError> {
        let place = self.queue()?;
        let adapter = self.adapter(request.adapter.as_deref())?;
        let (plan, request, events) = self.prepare(move |model| model.generation(request)).await?;
        self.service.submit(Submission { plan, adapter, request, place })?;
        Ok(GenerationStream::new(events))
    }

    async fn score(&self, request: ScoreRequest) -> Result<Vec<Score>, EngineError> {
        if request.subsets.is_empty() {
            return Ok(Vec::new());
        }
        let place = self.queue()?;
        let adapter = self.adapter(request.adapter.as_deref())?;
        let (plan, request, scores) = self.prepare(move |model| model.score(&request)).await?;
        self.service.submit(Submission { plan, adapter, request, place })?;
        scores.await.map_err(|_| EngineError::Library { operation: "scoring", reason: "the model's thread has ended".to_owned() })?
    }

    fn count_tokens(&self, messages: &[Message]) -> Result<usize, EngineError> {
        Ok(self.model.prompt(messages)?.tokens())
    }
}

impl fmt::Debug for LocalGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalGenerator").field("info", &self.info).field("counters", &self.counters()).finish_non_exhaustive()
    }
}
