//! An answer in OpenAI's shape.

use engine::{ChosenToken, TokenProbability};
use rag::{Answer, Citation, ShareLine};
use schemas::ids::AnswerId;
use schemas::receipt::{AnswerStatus, Generation, Likelihood, Receipt};
use schemas::tables::{Millis, Wei};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

use super::ADAPTER;

/// The answer in OpenAI's shape.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskReply {
    pub id: String,
    pub object: String,
    pub created: u64,
    pub model: String,
    pub choices: Vec<Choice>,
    pub usage: Usage,
    pub attribution: AttributionObject,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Choice {
    pub index: u64,
    pub message: AnswerMessage,
    pub logprobs: Option<LogProbabilities>,
    pub finish_reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerMessage {
    pub role: String,
    pub content: String,
    /// None: who declines says so in `content`.
    pub refusal: Option<String>,
}

/// Tokens as the model chose them, also where a citation was taken out of the text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogProbabilities {
    pub content: Vec<Token>,
    /// None, as [`AnswerMessage::refusal`].
    pub refusal: Option<Vec<Token>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    pub token: String,
    pub logprob: f32,
    /// None for a part of a character.
    pub bytes: Option<Vec<u8>>,
    pub top_logprobs: Vec<Alternative>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alternative {
    pub token: String,
    pub logprob: f32,
    pub bytes: Option<Vec<u8>>,
}

/// The quoting answerer runs no model, so no tokens are counted.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
}

/// Who the answer rests on, and the proof of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttributionObject {
    pub schema: String,
    pub receipt_id: AnswerId,
    pub status: AnswerStatus,
    pub datanet: String,
    pub version: u64,
    pub version_root: B256,
    /// Citations count bytes of UTF-8.
    pub offset_unit: String,
    pub citations: Vec<Citation>,
    pub contributors: Vec<ShareLine>,
    pub unattributed_ppm: u64,
    /// What each contributor's sources added to the answer's log-likelihood, where that divided it; below zero what made it less likely.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ContributorValue>,
    /// Sources that the model's window had no room for.
    pub dropped_sources: u64,
    /// Citations of what was not in the prompt, taken out of the text.
    pub invalid_citations: u64,
    pub fee_wei: Wei,
    pub payer: Option<Address>,
    pub receipt: Receipt,
}

/// What a contributor's sources are worth in µnat: exact, and unlike a share with a sign. Several contributors where there are more than
/// ten: the last ones together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContributorValue {
    pub contributors: Vec<Address>,
    pub micronats: i64,
}

pub(super) fn whole(answer: Answer, datanet: String, tokens: Option<Vec<ChosenToken>>) -> AskReply {
    let body = &answer.receipt.body;
    let generation = body.generation.as_ref();
    AskReply {
        id: completion_id(body.answer_id),
        object: "chat.completion".into(),
        created: Millis(body.issued_at_ms).unix_seconds(),
        model: model(&body.models.generator, generation.and_then(|made| made.adapter.as_ref()).map(|adapter| adapter.name.as_str())),
        usage: usage(generation),
        choices: vec![Choice {
            index: 0,
            logprobs: tokens.map(|tokens| log_probabilities(&tokens)),
            finish_reason: finish_reason(generation).into(),
            message: AnswerMessage { role: "assistant".into(), content: answer.text.clone(), refusal: None },
        }],
        attribution: attribution(answer, datanet),
    }
}

/// As a request may name it.
pub(in crate::http) fn model(generator: &str, adapter: Option<&str>) -> String {
    adapter.map_or_else(|| generator.to_owned(), |adapter| format!("{generator}{ADAPTER}{adapter}"))
}

pub(super) fn completion_id(id: AnswerId) -> String {
    format!("chatcmpl-{id}")
}

pub(super) fn finish_reason(generation: Option<&Generation>) -> &'static str {
    generation.map_or("stop", |generation| generation.finish.as_str())
}

pub(super) fn usage(generation: Option<&Generation>) -> Usage {
    let (prompt_tokens, completion_tokens) = generation.map_or((0, 0), |made| (made.prompt_tokens, made.answer_tokens));
    Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

pub(super) fn attribution(answer: Answer, datanet: String) -> AttributionObject {
    let body = &answer.receipt.body;
    let generation = body.generation.as_ref();
    AttributionObject {
        schema: "headwater.attribution/1".into(),
        receipt_id: body.answer_id,
        status: body.status,
        datanet,
        version: body.version,
        version_root: body.version_root,
        offset_unit: "utf8_byte".into(),
        citations: answer.citations,
        contributors: answer.shares,
        unattributed_ppm: body.unattributed_ppm,
        values: body.likelihood.as_ref().map(values).unwrap_or_default(),
        dropped_sources: generation.map_or(0, |generation| generation.dropped_sources),
        invalid_citations: generation.map_or(0, |generation| generation.invalid_citations),
        fee_wei: body.fee_wei,
        payer: body.payer,
        receipt: answer.receipt,
    }
}

fn values(likelihood: &Likelihood) -> Vec<ContributorValue> {
    let values = rag::attribution::player_values(likelihood).into_iter();
    values.map(|(contributors, micronats)| ContributorValue { contributors, micronats }).collect()
}

pub(super) fn log_probabilities(tokens: &[ChosenToken]) -> LogProbabilities {
    let content = tokens.iter().map(|token| {
        let TokenProbability { text, log_probability, .. } = &token.chosen;
        let top_logprobs = token.alternatives.iter().map(|other| Alternative {
            token: other.text.clone(),
            logprob: other.log_probability,
            bytes: bytes(&other.text),
        });
        Token { token: text.clone(), logprob: *log_probability, bytes: bytes(text), top_logprobs: top_logprobs.collect() }
    });
    LogProbabilities { content: content.collect(), refusal: None }
}

/// A token that is no whole characters has a text that stands for its bytes, and is not them.
fn bytes(text: &str) -> Option<Vec<u8>> {
    (!text.contains('\u{fffd}')).then(|| text.as_bytes().to_vec())
}
