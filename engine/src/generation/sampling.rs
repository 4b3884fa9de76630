//! From logits to the next token.
//!
//! The order is that of transformers: penalties, temperature, top-k, top-p, min-p. (llama.cpp applies the temperature
//! last; with a temperature of 1 the two agree.) What the tokenizer has no text for and what a constraint forbids is out
//! before all of these. Chance depends on the request's seed and the token's place in the answer only, never on what
//! else is running.

use std::collections::{HashMap, HashSet};

use crate::{EngineError, Sampling};
use candidates::Candidates;
use chance::uniform;

mod candidates;
mod chance;
#[cfg(test)]
mod tests;

/// Chooses one answer's tokens.
pub(crate) struct Sampler {
    sampling: Sampling,
    /// Tokens of the prompt and the answer; kept only where the repetition penalty asks for them.
    seen: HashSet<u32>,
    /// How often each token is in the answer; kept only where a penalty asks for it.
    counts: HashMap<u32, u32>,
    /// Tokens of the answer so far.
    position: u64,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling, prompt: impl Iterator<Item = u32>) -> Self {
        let seen = if penalises_repetition(&sampling) { prompt.collect() } else { HashSet::new() };
        Self { sampling, seen, counts: HashMap::new(), position: 0 }
    }

    /// The next token. Logits become what the choice was made from; those of forbidden tokens are -∞ before and after.
    ///
    /// # Errors
    /// [`EngineError::Library`] where no token is left, or the model gave something that is not a number.
    pub(crate) fn choose(&mut self, logits: &mut [f32]) -> Result<u32, EngineError> {
        if logits.iter().any(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(broken("the model gave something that is not a number"));
        }
        self.penalise(logits);
        let best = most_likely(logits).ok_or_else(|| broken("no token may follow"))?;
        let token = if self.sampling.temperature == 0.0 { best } else { self.draw(logits).unwrap_or(best) };
        self.accept(token);
        Ok(token)
    }

    fn draw(&self, logits: &[f32]) -> Option<u32> {
        let Sampling { temperature, top_k, top_p, min_p, seed, .. } = self.sampling;
        let mut candidates = Candidates::new(logits, temperature);
        candidates.keep_most_likely(top_k);
        candidates.keep_share(top_p);
        candidates.keep_relative(min_p);
        candidates.pick(uniform(seed, self.position))
    }

    fn penalise(&self, logits: &mut [f32]) {
        for token in &self.seen {
            if let Some(logit) = logits.get_mut(*token as usize) {
                let penalty = self.sampling.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        for (token, count) in &self.counts {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= self.sampling.presence_penalty + self.sampling.frequency_penalty * *count as f32;
            }
        }
    }

    fn accept(&mut self, token: u32) {
        self.position += 1;
        if penalises_repetition(&self.sampling) {
            self.seen.insert(token);
        }
        if self.sampling.presence_penalty != 0.0 || self.sampling.frequency_penalty != 0.0 {
            *self.counts.entry(token).or_default() += 1;
        }
    }
}

/// The token with the highest logit; of equal ones the lowest id.
pub(crate) fn most_likely(logits: &[f32]) -> Option<u32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let first = logits.iter().position(|logit| *logit == highest && highest > f32::NEG_INFINITY)?;
    u32::try_from(first).ok()
}

/// Natural logarithm of the sum of the exponentials, in f64: subtract it from a logit for its log-probability.
pub(crate) fn log_sum(logits: &[f32]) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - highest).exp())).sum();
    f64::from(highest) + sum.ln()
}

/// The `count` tokens with the highest logits, highest first, of equal ones the lowest id first.
pub(crate) fn most_likely_tokens(logits: &[f32], count: usize) -> Vec<u32> {
    let mut candidates = Candidates::new(logits, 1.0);
    candidates.keep_most_likely(count.max(1));
    candidates.tokens().take(count).collect()
}

fn penalises_repetition(sampling: &Sampling) -> bool {
    sampling.repetition_penalty != 1.0
}

fn broken(reason: &str) -> EngineError {
    EngineError::Library { operation: "choosing a token", reason: reason.to_owned() }
}
