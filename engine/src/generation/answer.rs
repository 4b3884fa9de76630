//! One answer while it is generated: what is done with the model's numbers for its next token.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::constraint::Grammar;
use super::sampling::{Sampler, log_sum, most_likely_tokens};
use super::text::{AnswerText, CertainText, TokenTable};
use crate::{ChosenToken, EngineError, Finish, GenerationEnd, GenerationEvent, TokenProbability};

pub(crate) struct Answering {
    pub(crate) events: mpsc::Sender<GenerationEvent>,
    pub(crate) table: Arc<TokenTable>,
    pub(crate) sampler: Sampler,
    pub(crate) grammar: Option<Grammar>,
    pub(crate) text: AnswerText<ChosenToken>,
    /// Every chosen token but an ending one.
    pub(crate) tokens: Vec<u32>,
    pub(crate) tokens_max: usize,
    pub(crate) log_probabilities: Option<usize>,
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_tokens: usize,
}

/// What comes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Compute(u32),
    Ended,
}

impl Answering {
    /// Whether nobody listens any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.events.is_closed()
    }

    /// Chooses the next token and tells what is certain.
    pub(crate) fn take(&mut self, logits: &mut [f32]) -> Next {
        self.choose(logits).unwrap_or_else(|error| {
            self.fail(error);
            Next::Ended
        })
    }

    pub(crate) fn fail(&mut self, error: EngineError) {
        self.tell(GenerationEvent::Failed(error));
    }

    fn choose(&mut self, logits: &mut [f32]) -> Result<Next, EngineError> {
        let model = self.log_probabilities.map(|alternatives| Distribution::new(logits, alternatives));
        for logit in logits.iter_mut().skip(self.table.tokens()) {
            *logit = f32::NEG_INFINITY;
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.restrict(logits)?;
        }
        let token = self.sampler.choose(logits)?;
        if self.table.is_ending(token) {
            return Ok(self.end(Finish::Stop));
        }
        self.tokens.push(token);
        let chosen = model.map(|model| model.tell(token, &self.table));
        let certain = self.text.push(self.table.bytes(token), chosen);
        self.piece(certain);
        let complete = self.grammar.as_mut().map(|grammar| grammar.accept(token)).transpose()?.unwrap_or_default();
        Ok(if self.text.is_stopped() || complete {
            self.end(Finish::Stop)
        } else if self.tokens.len() >= self.tokens_max {
            self.end(Finish::Length)
        } else {
            Next::Compute(token)
        })
    }

    fn end(&mut self, finish: Finish) -> Next {
        if !self.text.is_stopped() {
            let rest = self.text.finish();
            self.piece(rest);
        }
        self.tokens.truncate(self.text.kept_tokens());
        let end = GenerationEnd {
            finish,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            answer_tokens: self.tokens.len(),
            tokens: std::mem::take(&mut self.tokens),
        };
        self.tell(GenerationEvent::End(end));
        Next::Ended
    }

    fn piece(&self, CertainText { text, tokens }: CertainText<ChosenToken>) {
        if !text.is_empty() || !tokens.is_empty() {
            self.tell(GenerationEvent::Piece { text, tokens });
        }
    }

    /// There is room for every event: where one cannot be sent, nobody listens.
    fn tell(&self, event: GenerationEvent) {
        let _ = self.events.try_send(event);
    }
}

/// The model's own distribution, before anything is taken away.
struct Distribution {
    log_sum: f64,
    logits: Vec<f32>,
    alternatives: Vec<u32>,
}

impl Distribution {
    fn new(logits: &[f32], alternatives: usize) -> Self {
        Self { log_sum: log_sum(logits), logits: logits.to_vec(), alternatives: most_likely_tokens(logits, alternatives) }
    }

    fn tell(&self, chosen: u32, table: &TokenTable) -> ChosenToken {
        let probability = |token: u32| TokenProbability {
            token,
            text: String::from_utf8_lossy(table.bytes(token)).into_owned(),
            log_probability: self.logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| (f64::from(*logit) - self.log_sum) as f32),
        };
        ChosenToken { chosen: probability(chosen), alternatives: self.alternatives.iter().copied().map(probability).collect() }
    }
}
