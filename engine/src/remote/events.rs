//! From the chunks of a chat completion to the events of a generation.

use serde::Deserialize;

use crate::generation::{ChosenToken, Finish, GenerationEnd, GenerationEvent, TokenProbability};

/// A remote model does not tell its tokens' ids.
const UNKNOWN_TOKEN: u32 = u32::MAX;

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
    logprobs: Option<LogProbabilities>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct LogProbabilities {
    content: Option<Vec<Token>>,
}

#[derive(Debug, Deserialize)]
struct Token {
    token: String,
    logprob: f32,
    #[serde(default)]
    top_logprobs: Vec<Alternative>,
}

#[derive(Debug, Deserialize)]
struct Alternative {
    token: String,
    logprob: f32,
}

#[derive(Debug, Deserialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<usize>,
}

/// What has come of an answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    finish: Option<Finish>,
    usage: Option<Usage>,
    pieces: usize,
    tokens: usize,
}

impl Reading {
    /// The event that a chunk is, if it says something; or what is wrong with it. The reason holds none of its text.
    pub(super) fn chunk(&mut self, data: &[u8]) -> Result<Option<GenerationEvent>, String> {
        let chunk: Chunk =
            serde_json::from_slice(data).map_err(|error| format!("a chunk of the answer is malformed: {}", place(&error)))?;
        if chunk.error.is_some() {
            return Err("it broke the answer off with an error".to_owned());
        }
        self.usage = chunk.usage.or(self.usage.take());
        let Some(choice) = chunk.choices.into_iter().find(|choice| choice.index == 0) else { return Ok(None) };
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("stop") => self.finish = Some(Finish::Stop),
            Some("length") => self.finish = Some(Finish::Length),
            Some("content_filter") => return Err("its content filter ended the answer".to_owned()),
            Some(_) => return Err("it ended the answer for a reason that is not known here".to_owned()),
        }
        let tokens: Vec<ChosenToken> = choice.logprobs.and_then(|all| all.content).unwrap_or_default().into_iter().map(chosen).collect();
        let text = choice.delta.content.unwrap_or_default();
        if text.is_empty() && tokens.is_empty() {
            return Ok(None);
        }
        self.pieces += 1;
        self.tokens += tokens.len();
        Ok(Some(GenerationEvent::Piece { text, tokens }))
    }

    /// How it ended; none where it broke off. Without a count of tokens, those that came are counted, or the pieces.
    pub(super) fn end(self, prompt_tokens: usize) -> Option<GenerationEnd> {
        let usage = self.usage.as_ref();
        let cached = usage.and_then(|usage| usage.prompt_tokens_details.as_ref()).and_then(|details| details.cached_tokens);
        Some(GenerationEnd {
            finish: self.finish?,
            prompt_tokens: usage.map_or(prompt_tokens, |usage| usage.prompt_tokens),
            cached_tokens: cached.unwrap_or(0),
            answer_tokens: usage.map_or(self.tokens.max(self.pieces), |usage| usage.completion_tokens),
            tokens: Vec::new(),
        })
    }
}

fn chosen(token: Token) -> ChosenToken {
    let probability = |text: String, log_probability: f32| TokenProbability { token: UNKNOWN_TOKEN, text, log_probability };
    ChosenToken {
        chosen: probability(token.token, token.logprob),
        alternatives: token.top_logprobs.into_iter().map(|other| probability(other.token, other.logprob)).collect(),
    }
}

/// Where JSON is wrong, without what stands there.
fn place(error: &serde_json::Error) -> String {
    let problem = match error.classify() {
        serde_json::error::Category::Data => "other fields than expected",
        serde_json::error::Category::Eof => "it is cut short",
        _ => "it is not JSON",
    };
    format!("{problem} (column {})", error.column())
}
