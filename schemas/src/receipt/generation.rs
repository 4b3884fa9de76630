//! What a receipt states of an answer that a model wrote.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

/// How a model wrote the answer. Shares by what sources said first do not depend on it: they follow from texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// sha256 over the model's weights, tokenizer and configuration; absent for a remote model, of which nobody can tell.
    pub generator_sha256: Option<String>,
    /// What the model's weights were computed in, `bf16` or `f32`; absent for a remote model, and in old receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// Most tokens that prompt and answer might have together; absent in old receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// The adapter that the model answered with; absent for the model as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<UsedAdapter>,
    /// How the prompt is put together, for instance `headwater.prompt/1`.
    pub prompt: String,
    /// keccak256 of that version's fixed texts.
    pub prompt_hash: B256,
    /// Retrieved chunks that the model's window had no room for: those of the lowest rank, left out whole.
    pub dropped_sources: u64,
    /// What the sources saw of each other: `full` or `blocks`.
    pub mode: String,
    pub sampling: SamplingParameters,
    /// Most tokens that the answer might have.
    pub tokens_max: u64,
    /// keccak256 of the canonical JSON list of the texts that would have ended the answer; absent without any.
    pub stop_hash: Option<B256>,
    /// keccak256 of the JSON text of what the answer had to match; absent without any. Such an answer cites nothing.
    pub constraint_hash: Option<B256>,
    pub finish: FinishReason,
    pub prompt_tokens: u64,
    pub answer_tokens: u64,
    /// keccak256 of the ids of the tokens that the model chose, four bytes each, little-endian; absent where it does not tell.
    pub tokens_hash: Option<B256>,
    /// Citations of what was not in the prompt; they were taken out of the answer.
    pub invalid_citations: u64,
    /// The answer's sentences, one per row of the value table; none where the model declined.
    pub sentences: Vec<AnswerSentence>,
}

/// A LoRA adapter, applied to the model whose hash stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedAdapter {
    /// As the operator named it.
    pub name: String,
    /// Lower-case hex sha256 over its weights and configuration.
    pub sha256: String,
}

/// How tokens were chosen; parts per million where a model takes a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingParameters {
    /// 0: always the most likely token.
    pub temperature_ppm: u64,
    pub top_k: u64,
    pub top_p_ppm: u64,
    pub min_p_ppm: u64,
    pub repetition_penalty_ppm: u64,
    pub presence_penalty_ppm: i64,
    pub frequency_penalty_ppm: i64,
    /// Below 2^53.
    pub seed: u64,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    Stop,
    Length,
}

impl FinishReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A sentence that a model wrote. Offsets are bytes of the answer's UTF-8 text, its citations included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerSentence {
    pub start: u64,
    pub end: u64,
    /// Indices into the receipt's sources of what the sentence cites, ascending. Nobody is paid by them.
    pub cited: Vec<u64>,
}

impl Generation {
    /// What contradicts itself: order and range of the sentences, or citations of what was not there.
    pub(super) fn problem(&self, sources: usize) -> Option<String> {
        let mut end = 0;
        for (index, sentence) in self.sentences.iter().enumerate() {
            if sentence.start < end || sentence.start >= sentence.end {
                return Some(format!("sentence {index} is empty or overlaps the one before it"));
            }
            end = sentence.end;
            let ascending = sentence.cited.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
            if !ascending || sentence.cited.iter().any(|cited| usize::try_from(*cited).map_or(true, |cited| cited >= sources)) {
                return Some(format!("sentence {index} cites what is no source"));
            }
        }
        None
    }
}
