//! A loaded model as requests see it: what is done with a request before it waits for the decoder.
//!
//! All of it is CPU work that looks at one request alone: checking, rendering, tokenizing, compiling constraints, planning.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::answer::Answering;
use super::constraint::Constraints;
use super::core::Request;
use super::forward::Forward;
use super::prompt::{PLAIN_STOP, Piece, PieceKind, Prompt, plain};
use super::request::{check_generation, check_score, ensure};
use super::sampling::Sampler;
use super::schedule::PageCopy;
use super::score::ScorePlan;
use super::scoring::Scoring;
use super::span::Plan;
use super::text::{AnswerText, TokenTable};
use crate::decoder::{Batch, Decoder, Pages};
use crate::files::{ChatTemplate, GenerationDefaults, Specials, Vocabulary};
use crate::{Answer, EngineError, GenerationEvent, GenerationRequest, Message, Sampling, Score, ScoreRequest};

pub(crate) struct Model {
    vocabulary: Vocabulary,
    template: Option<ChatTemplate>,
    table: Arc<TokenTable>,
    constraints: Constraints,
    /// Ids that the decoder knows.
    tokens: usize,
    limits: ModelLimits,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ModelLimits {
    pub(crate) window_tokens: usize,
    /// Of the cache.
    pub(crate) pages: usize,
    pub(crate) subsets_max: usize,
    /// Positions after which a sequence is rotated otherwise, where there are such.
    pub(crate) stretches_after: Option<usize>,
}

type Events = mpsc::Receiver<GenerationEvent>;
type Scores = oneshot::Receiver<Result<Vec<Score>, EngineError>>;

/// A decoder and its pages.
pub(crate) struct Machine {
    pub(crate) decoder: Decoder,
    pub(crate) pages: Pages,
}

impl Forward for Machine {
    fn copy(&mut self, copy: PageCopy) {
        self.pages.copy(copy.from, copy.to, copy.tokens);
    }

    fn forward(&mut self, batch: &Batch<'_>) -> Vec<f32> {
        self.decoder.forward(&mut self.pages, batch).numbers
    }

    fn logits(&self, hidden: &[f32], rows: usize) -> Vec<f32> {
        self.decoder.logits(hidden, rows)
    }

    fn log_probabilities(&self, hidden: &[f32], targets: &[u32]) -> Vec<f32> {
        self.decoder.log_probabilities(hidden, targets)
    }
}

impl Model {
    pub(crate) fn new(vocabulary: Vocabulary, template: Option<ChatTemplate>, tokens: usize, limits: ModelLimits) -> Self {
        let mut table = TokenTable::new(vocabulary.eos().iter().copied().collect());
        for token in (0..u32::MAX).take(vocabulary.size()) {
            table.push(vocabulary.token_bytes(token), vocabulary.is_control(token));
        }
        let table = Arc::new(table);
        Self { vocabulary, template, constraints: Constraints::new(table.clone()), table, tokens, limits }
    }

    /// The conversation's tokens, up to where the answer begins.
    pub(crate) fn prompt(&self, messages: &[Message]) -> Result<Prompt, EngineError> {
        if let Some(template) = &self.template {
            return Prompt::new(&self.vocabulary, &template.render(messages, true)?);
        }
        let mut prompt = Prompt::new(&self.vocabulary, &plain(messages))?;
        if let Some(beginning) = self.vocabulary.beginning() {
            prompt.pieces.insert(0, Piece { kind: PieceKind::Template, tokens: vec![beginning] });
        }
        Ok(prompt)
    }

    pub(crate) fn generation(&self, request: GenerationRequest) -> Result<(Plan, Request, Events), EngineError> {
        check_generation(&request)?;
        self.answer_to(self.prompt(&request.messages)?, request)
    }

    /// To a prompt instead of the request's messages.
    pub(super) fn answer_to(&self, prompt: Prompt, request: GenerationRequest) -> Result<(Plan, Request, Events), EngineError> {
        ensure(prompt.has_end(request.mode), || "the prompt has no token for the answer to follow".to_owned())?;
        let (position, window) = (prompt.answer_position(request.mode), self.limits.window_tokens);
        let left = window.checked_sub(position).filter(|left| *left > 0);
        let left = left.ok_or_else(|| EngineError::Prompt {
            reason: format!("the prompt reaches to token {position} of the window's {window}, and the answer needs one more"),
        })?;
        let mut plan = Plan { stretches_after: self.limits.stretches_after, ..prompt.plan(request.mode) };
        plan.stretch();
        let room = plan.room(self.limits.pages).filter(|room| *room > 0);
        let room = room.ok_or_else(|| self.too_large(&plan))?;
        let tokens_max = request.tokens_max.min(left).min(room);
        let mut stops = request.stop;
        stops.extend(self.template.is_none().then(|| PLAIN_STOP.to_owned()));
        let grammar = request.constraint.map(|constraint| self.constraints.compile(&constraint)).transpose()?;
        // What a constraint demands is kept to the byte.
        let drops_space = grammar.is_none() && self.vocabulary.drops_first_space();
        // A piece with each token, one for the rest, the end.
        let (events, heard) = mpsc::channel(tokens_max + 2);
        let answering = Answering {
            events,
            table: self.table.clone(),
            sampler: Sampler::new(request.sampling, prompt.pieces.iter().flat_map(|piece| piece.tokens.iter().copied())),
            grammar,
            text: AnswerText::new(stops, drops_space),
            tokens: Vec::new(),
            tokens_max,
            log_probabilities: request.log_probabilities,
            prompt_tokens: prompt.tokens(),
            cached_tokens: 0,
        };
        Ok((plan, Request::Answer(Box::new(answering)), heard))
    }

    pub(crate) fn score(&self, request: &ScoreRequest) -> Result<(Plan, Request, Scores), EngineError> {
        ensure(!request.messages.is_empty(), || "there are no messages".to_owned())?;
        let prompt = self.prompt(&request.messages)?;
        check_score(request, prompt.sources, prompt.tokens(), self.limits.subsets_max)?;
        ensure(prompt.has_end(request.mode), || "nothing follows the sources for the answer to follow".to_owned())?;
        let answer = self.answer(&request.answer)?;
        let ends = match &request.answer {
            Answer::Text(text) => self.vocabulary.ends(&answer, text),
            Answer::Tokens(_) => Vec::new(),
        };
        let ScorePlan { plan, leaves } = ScorePlan::new(&prompt, request.mode, &request.subsets, &answer, self.limits.stretches_after);
        // The answer's last token is asked about only.
        let (end, window) = (plan.end() + 1, self.limits.window_tokens);
        ensure(end <= window, || format!("prompt and answer reach to token {end}, the window has {window}"))?;
        if plan.pages_needed() > self.limits.pages {
            return Err(self.too_large(&plan));
        }
        let (reply, scores) = oneshot::channel();
        Ok((plan, Request::Score(Scoring::new(answer.into(), ends, leaves, reply)), scores))
    }

    fn answer(&self, answer: &Answer) -> Result<Vec<u32>, EngineError> {
        let tokens = match answer {
            Answer::Tokens(tokens) => tokens.clone(),
            Answer::Text(text) => self.vocabulary.encode(text, Specials::AsText)?,
        };
        ensure(!tokens.is_empty(), || "the answer has no tokens to score".to_owned())?;
        let unknown = tokens.iter().find(|token| **token as usize >= self.tokens);
        ensure(unknown.is_none(), || format!("token {} of the answer is none of the model's {}", unknown.unwrap_or(&0), self.tokens))?;
        Ok(tokens)
    }

    fn too_large(&self, plan: &Plan) -> EngineError {
        let (needed, pages) = (plan.pages_needed(), self.limits.pages);
        EngineError::Prompt { reason: format!("it takes {needed} pages of the cache, which has {pages}: shorten it, or raise cache_bytes") }
    }
}

/// What the model's makers propose. They may give a temperature without saying that they sample.
pub(crate) fn default_sampling(defaults: &GenerationDefaults) -> Sampling {
    let temperature = match defaults.samples {
        Some(false) => 0.0,
        Some(true) => defaults.temperature.unwrap_or(1.0),
        None => defaults.temperature.unwrap_or(0.0),
    };
    Sampling {
        temperature,
        top_k: defaults.top_k.unwrap_or(0),
        top_p: defaults.top_p.unwrap_or(1.0),
        min_p: defaults.min_p.unwrap_or(0.0),
        repetition_penalty: defaults.repetition_penalty.unwrap_or(1.0),
        ..Sampling::default()
    }
}
