//! One scoring request while its subsets are computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::{EngineError, Score};

pub(crate) struct Scoring {
    pub(crate) answer: Arc<[u32]>,
    ends: Vec<usize>,
    /// The span that scores each subset.
    leaves: Vec<usize>,
    /// By span, log-probabilities so far.
    scores: BTreeMap<usize, Vec<f32>>,
    reply: Option<oneshot::Sender<Result<Vec<Score>, EngineError>>>,
}

impl Scoring {
    /// `ends` are those of the tokens in the answer's text, where there is one.
    pub(crate) fn new(
        answer: Arc<[u32]>,
        ends: Vec<usize>,
        leaves: Vec<usize>,
        reply: oneshot::Sender<Result<Vec<Score>, EngineError>>,
    ) -> Self {
        let scores = leaves.iter().map(|leaf| (*leaf, Vec::with_capacity(answer.len()))).collect();
        Self { answer, ends, leaves, scores, reply: Some(reply) }
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Keeps the scores of a leaf's tokens from `first` on; those of a leaf that is computed again replace the earlier,
    /// which they equal. Whether all are there, and have been sent.
    pub(crate) fn take(&mut self, leaf: usize, first: usize, numbers: &[f32]) -> bool {
        if let Some(scores) = self.scores.get_mut(&leaf) {
            scores.truncate(first);
            scores.extend_from_slice(numbers);
        }
        if self.scores.values().any(|scores| scores.len() < self.answer.len()) {
            return false;
        }
        let of_leaf = |leaf: &usize| self.scores.get(leaf).cloned().unwrap_or_default();
        let score = |leaf: &usize| Score { log_probabilities: of_leaf(leaf), ends: self.ends.clone() };
        let scores = self.leaves.iter().map(score).collect::<Vec<_>>();
        let sound = scores.iter().flat_map(|score| &score.log_probabilities).all(|number| number.is_finite());
        let broken = || EngineError::Library { operation: "scoring", reason: "the model gave something that is not a number".to_owned() };
        self.reply(if sound { Ok(scores) } else { Err(broken()) });
        true
    }

    pub(crate) fn fail(mut self, error: EngineError) {
        self.reply(Err(error));
    }

    fn reply(&mut self, result: Result<Vec<Score>, EngineError>) {
        if let Some(reply) = self.reply.take() {
            // Nobody listens: the request is removed before the next step.
            let _ = reply.send(result);
        }
    }
}
