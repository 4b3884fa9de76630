//! The generation seam: what continues a conversation and says how likely an answer was, whatever model is behind it.

use std::fmt;

use tokio::sync::mpsc;

use crate::files::Message;
use crate::{EngineError, Isa, Precision};

/// What identifies a generator. Two with the same `sha256` and settings give the same answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratorInfo {
    /// As the configuration names it: a directory's or file's name, a hub id, a remote model.
    pub name: String,
    /// Family of the architecture, such as `llama`; `remote` where it runs elsewhere.
    pub family: String,
    /// Lower-case hex sha256 over the weights, tokenizer and configuration; none for a remote model.
    pub sha256: Option<String>,
    /// What the weights are computed in; none for a remote model.
    pub precision: Option<Precision>,
    /// What computes: by the same one, and in the same precision, results are the same to the last bit. None for a remote model.
    pub isa: Option<Isa>,
    /// Most tokens of prompt and answer together.
    pub context_tokens: usize,
    /// Whether [`Generator::score`] works.
    pub scores: bool,
}

/// An adapter that a generator has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    /// What requests call it by.
    pub name: String,
    /// Lower-case hex sha256 over its weights and configuration.
    pub sha256: String,
}

/// What a source may see of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ContextMode {
    /// Ordinary causal attention over the whole prompt; a source that is taken out is deleted and what follows moves up.
    #[default]
    Full,
    /// Sources do not see each other and all start at the same position; what follows them stays where it is when one is taken
    /// out. Text between two sources of one message goes with the latter; between messages it belongs to what follows.
    Blocks,
}

/// How the next token is chosen. The default is the most likely one.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens; 0 for all.
    pub top_k: usize,
    /// Only the most likely tokens that together have this probability.
    pub top_p: f32,
    /// Only tokens at least this likely, relative to the most likely one.
    pub min_p: f32,
    /// Logits of seen tokens are divided by it where positive, multiplied where negative (CTRL, arXiv 1909.05858).
    pub repetition_penalty: f32,
    /// Taken once from the logit of every token of the answer so far.
    pub presence_penalty: f32,
    /// Taken for each time the token is in the answer so far.
    pub frequency_penalty: f32,
    /// The same seed and request give the same answer.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
        }
    }
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {
    /// A JSON text that the schema (JSON Schema 2020-12) accepts.
    JsonSchema(serde_json::Value),
    /// A JSON object.
    JsonObject,
    /// A text that the regular expression matches whole.
    Regex(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct GenerationRequest {
    pub messages: Vec<Message>,
    pub mode: ContextMode,
    pub sampling: Sampling,
    /// Most tokens of the answer.
    pub tokens_max: usize,
    /// The answer ends before the first of these.
    pub stop: Vec<String>,
    /// With every token, so many of the likeliest alternatives.
    pub log_probabilities: Option<usize>,
    pub constraint: Option<Constraint>,
    /// An adapter that the generator has loaded.
    pub adapter: Option<String>,
}

/// A token that was, or might have been, chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenProbability {
    pub token: u32,
    pub text: String,
    /// Natural logarithm, of the model's own distribution before sampling parameters.
    pub log_probability: f32,
}

/// A chosen token with its alternatives, most likely first.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenToken {
    pub chosen: TokenProbability,
    pub alternatives: Vec<TokenProbability>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, a stop text came, or the constraint is complete.
    Stop,
    /// `tokens_max`, or the model's window, is reached.
    Length,
}

/// The whole of what was generated.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationEnd {
    pub finish: Finish,
    pub prompt_tokens: usize,
    /// Of these, how many were computed for an earlier request.
    pub cached_tokens: usize,
    /// Tokens of the answer; a remote model says how many also where it does not say which.
    pub answer_tokens: usize,
    /// Ids of the answer's tokens, the ending token and what only a stop text is made of not included; empty where a remote
    /// model does not tell.
    pub tokens: Vec<u32>,
}

/// In order: any number of `Piece`s, then one `End` or one `Failed`.
#[derive(Debug)]
pub enum GenerationEvent {
    /// Text that is certain: whole characters, not the beginning of a stop text. `tokens`: those whose text ends in it, where
    /// [`GenerationRequest::log_probabilities`] asks for them; empty otherwise.
    Piece {
        text: String,
        tokens: Vec<ChosenToken>,
    },
    End(GenerationEnd),
    Failed(EngineError),
}

/// An answer as it comes. Dropping it cancels the request.
#[derive(Debug)]
pub struct GenerationStream {
    events: mpsc::Receiver<GenerationEvent>,
}

impl GenerationStream {
    /// The other end is a sender with room for every event, so that a slow reader holds nobody up.
    #[must_use]
    pub fn new(events: mpsc::Receiver<GenerationEvent>) -> Self {
        Self { events }
    }

    /// None after the last event.
    pub async fn next(&mut self) -> Option<GenerationEvent> {
        self.events.recv().await
    }

    /// The whole answer's text.
    ///
    /// # Errors
    /// What the generator failed with; [`EngineError::Library`] when it ended without saying so.
    pub async fn collect(mut self) -> Result<(String, GenerationEnd), EngineError> {
        let mut whole = String::new();
        while let Some(event) = self.next().await {
            match event {
                GenerationEvent::Piece { text, .. } => whole.push_str(&text),
                GenerationEvent::End(end) => return Ok((whole, end)),
                GenerationEvent::Failed(error) => return Err(error),
            }
        }
        Err(EngineError::Library { operation: "generating", reason: "the answer ended without its end".to_owned() })
    }
}

/// How likely an answer is under subsets of a prompt's sources.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRequest {
    pub messages: Vec<Message>,
    pub mode: ContextMode,
    pub answer: Answer,
    /// Each `[sources]`: whether source *i* is in the prompt.
    pub subsets: Vec<Vec<bool>>,
    pub adapter: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// As [`GenerationEnd::tokens`] gave it: exact.
    Tokens(Vec<u32>),
    Text(String),
}

/// The answer's likelihood under one subset.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Natural logarithm of each answer token's probability, given those before it.
    pub log_probabilities: Vec<f32>,
    /// The byte of the answer's text before which each token ends; empty where the answer was given as tokens.
    pub ends: Vec<usize>,
}

impl Score {
    /// Natural logarithm of the whole answer's probability.
    #[must_use]
    pub fn log_likelihood(&self) -> f64 {
        self.log_probabilities.iter().copied().map(f64::from).sum()
    }
}

/// Conversations to answers. Every implementation passes [`crate::conformance::check_generator`].
#[async_trait::async_trait]
pub trait Generator: Send + Sync + fmt::Debug {
    fn info(&self) -> &GeneratorInfo;

    /// The adapters that a request may name, by name; some generators have none.
    fn adapters(&self) -> Vec<AdapterInfo> {
        Vec::new()
    }

    /// How the model's makers sample from it: what a caller takes who has no wishes.
    fn default_sampling(&self) -> Sampling {
        Sampling::default()
    }

    /// Queues a request and returns at once; what comes of it arrives in the stream.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when the queue is full; [`EngineError::Prompt`] when the request cannot be run by this model.
    async fn generate(&self, request: GenerationRequest) -> Result<GenerationStream, EngineError>;

    /// One score for each subset, in their order.
    ///
    /// # Errors
    /// As [`Generator::generate`]; [`EngineError::Unscored`] where the model cannot score.
    async fn score(&self, request: ScoreRequest) -> Result<Vec<Score>, EngineError>;

    /// Tokens that the messages take up in the window, template included.
    ///
    /// # Errors
    /// [`EngineError::Prompt`] when the template refuses them.
    fn count_tokens(&self, messages: &[Message]) -> Result<usize, EngineError>;
}
