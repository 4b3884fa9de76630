//! [`RemoteGenerator`]: a model behind an OpenAI-compatible address, streamed.
//!
//! What runs there is nobody's to prove, so it has no sha256, and answers of it are attributed by their words. A request is
//! tried again only while nothing of an answer has come. Every reply is bounded in size and in time; what cannot be read is a
//! typed error. The key is sent to the configured address alone, and is in no message and no log.

mod body;
mod estimate;
mod events;
mod exchange;
mod score;
mod sse;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::files::Message;
use crate::generation::{GenerationEvent, GenerationRequest, GenerationStream, Generator, GeneratorInfo, Score, ScoreRequest};
use crate::{ContextMode, EngineError};

/// Events that may wait for a reader before nothing more is taken from the network.
const EVENTS_WAITING: usize = 256;

/// Where a remote model is, and how long and how often it is asked.
#[derive(Clone)]
pub struct RemoteOptions {
    /// Up to `/v1`: `https://host/v1`.
    pub base_url: String,
    /// The model to ask for there.
    pub model: String,
    /// Sent as a bearer token. Over plain HTTP only to this machine.
    pub key: Option<String>,
    /// Most tokens of prompt and answer together; the protocol has no way to ask.
    pub context_tokens: usize,
    /// Whether `/completions` gives probabilities of a prompt that it echoes, as vLLM does.
    pub scores: bool,
    /// Requests under way at most; more are refused.
    pub concurrent_requests: usize,
    pub connect_timeout: Duration,
    /// From a request to the first words of the answer.
    pub first_token_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Attempts at most; only the first words end them.
    pub tries: u32,
    /// Before the second attempt; doubles with each. What the service asks for counts instead, up to ten times this.
    pub retry_delay: Duration,
    /// Of a whole reply.
    pub reply_max_bytes: usize,
}

impl RemoteOptions {
    /// Defaults for everything but where and what.
    #[must_use]
    pub fn new(base_url: String, model: String) -> Self {
        Self {
            base_url,
            model,
            key: None,
            context_tokens: 8192,
            scores: false,
            concurrent_requests: 64,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            tries: 3,
            retry_delay: Duration::from_millis(500),
            reply_max_bytes: 16 << 20,
        }
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RemoteOptions");
        shown.field("base_url", &self.base_url).field("model", &self.model).field("has_key", &self.key.is_some());
        shown.field("context_tokens", &self.context_tokens).field("scores", &self.scores).finish_non_exhaustive()
    }
}

/// What every request of a generator shares.
#[derive(Debug)]
struct Remote {
    client: Client,
    base: Url,
    options: RemoteOptions,
}

/// Asks a model elsewhere.
#[derive(Debug)]
pub struct RemoteGenerator {
    info: GeneratorInfo,
    remote: Arc<Remote>,
    under_way: Arc<Semaphore>,
    /// Ended with the generator; each also ends when nobody reads its events.
    readers: Mutex<JoinSet<()>>,
}

impl RemoteGenerator {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`EngineError::UnsupportedModel`] for an address that is none, has a key in it, or would get the key in the clear;
    /// [`EngineError::Library`] when the HTTP client cannot start.
    pub fn new(options: RemoteOptions) -> Result<Self, EngineError> {
        let base = address(&options)?;
        // reqwest is built without a TLS provider of its own. Failure means that someone installed one before: fine.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            // a redirect could take the key elsewhere
            .redirect(Policy::none())
            .build()
            .map_err(|error| EngineError::Library { operation: "starting the HTTP client", reason: error.without_url().to_string() })?;
        let info = GeneratorInfo {
            name: options.model.clone(),
            family: "remote".to_owned(),
            sha256: None,
            precision: None,
            isa: None,
            context_tokens: options.context_tokens,
            scores: options.scores,
        };
        let under_way = Arc::new(Semaphore::new(options.concurrent_requests));
        Ok(Self { info, remote: Arc::new(Remote { client, base, options }), under_way, readers: Mutex::default() })
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        let waiting = self.remote.options.concurrent_requests;
        self.under_way.clone().try_acquire_owned().map_err(|_| EngineError::Overloaded { waiting })
    }

    /// Whether this kind of model can do what is asked for, before anything is sent.
    fn check(&self, mode: ContextMode, adapter: Option<&str>) -> Result<(), EngineError> {
        if mode == ContextMode::Blocks {
            let reason = "a remote model reads its prompt as a whole; use the context mode \"full\"".to_owned();
            return Err(EngineError::Prompt { reason });
        }
        if let Some(name) = adapter {
            let reason = "a remote model is asked for by its name alone".to_owned();
            return Err(EngineError::Adapter { name: name.to_owned(), reason });
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Generator for RemoteGenerator {
    fn info(&self) -> &GeneratorInfo {
        &self.info
    }

    async fn generate(&self, request: GenerationRequest) -> Result<GenerationStream, EngineError> {
        self.check(request.mode, request.adapter.as_deref())?;
        check_sampling(&request)?;
        let prompt_tokens = self.count_tokens(&request.messages)?;
        if request.tokens_max == 0 || prompt_tokens >= self.info.context_tokens {
            let reason = format!("a prompt of about {prompt_tokens} tokens leaves no room in {}", self.info.context_tokens);
            return Err(EngineError::Prompt { reason });
        }
        let body = body::chat(&self.remote.options.model, &request)?;
        let permit = self.admit()?;
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
        let remote = self.remote.clone();
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        while readers.try_join_next().is_some() {}
        readers.spawn(async move {
            let _under_way = permit;
            tokio::select! {
                () = remote.answer(&body, prompt_tokens, &sender) => {}
                () = sender.closed() => {}
            }
        });
        Ok(GenerationStream::new(receiver))
    }

    async fn score(&self, request: ScoreRequest) -> Result<Vec<Score>, EngineError> {
        self.check(request.mode, request.adapter.as_deref())?;
        if !self.info.scores {
            let reason = "its address is not said to give probabilities of prompts".to_owned();
            return Err(EngineError::Unscored { name: self.info.name.clone(), reason });
        }
        let _under_way = self.admit()?;
        self.remote.score(&request).await
    }

    /// An estimate that is meant to be too high: the model's tokenizer is not here.
    fn count_tokens(&self, messages: &[Message]) -> Result<usize, EngineError> {
        Ok(estimate::tokens(messages))
    }
}

impl Remote {
    /// Asks until an answer begins, and passes its events on.
    async fn answer(&self, body: &impl Serialize, prompt_tokens: usize, events: &mpsc::Sender<GenerationEvent>) {
        let mut said = false;
        let mut attempt = 1;
        loop {
            let stopped = match self.attempt(body, prompt_tokens, events, &mut said).await {
                Ok(()) => return,
                Err(stopped) => stopped,
            };
            if said || attempt >= self.options.tries || !stopped.may_help {
                // nobody may be listening any more
                let _unheard = events.send(GenerationEvent::Failed(stopped.error)).await;
                return;
            }
            tracing::info!(model = self.options.model, error = %stopped.error, attempt, "the remote model is asked again");
            tokio::time::sleep(self.pause(attempt, stopped.asked_pause)).await;
            attempt += 1;
        }
    }

    fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let own = self.options.retry_delay * 2u32.saturating_pow(attempt - 1).min(10);
        asked.unwrap_or(own).min(self.options.retry_delay * 10)
    }
}

fn check_sampling(request: &GenerationRequest) -> Result<(), EngineError> {
    let sampling = &request.sampling;
    let bad = |reason: &str| Err(EngineError::Prompt { reason: reason.to_owned() });
    if request.messages.is_empty() {
        return bad("there is no message");
    }
    if !sampling.temperature.is_finite() || sampling.temperature < 0.0 {
        return bad("the temperature must be 0 or more");
    }
    if !(sampling.top_p > 0.0 && sampling.top_p <= 1.0) {
        return bad("top_p must be above 0 and at most 1");
    }
    Ok(())
}

fn address(options: &RemoteOptions) -> Result<Url, EngineError> {
    let bad = |reason: &str| EngineError::UnsupportedModel { name: options.model.clone(), reason: reason.to_owned() };
    if options.model.is_empty() {
        return Err(bad("a remote model needs a name to be asked for by"));
    }
    let mut url = Url::parse(&options.base_url).map_err(|_| bad("its address is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("its address must be scheme, host and path alone; a key belongs into the environment"));
    }
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => {}
        "http" if here || options.key.is_none() => {}
        "http" => return Err(bad("its address must be https, or the key would travel in the clear")),
        _ => return Err(bad("its address must be http or https")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
