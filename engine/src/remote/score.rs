//! How likely an answer is, from the probabilities of a prompt that `/completions` echoes.
//!
//! The chat template is not known here, so the conversation is written out plainly: "role: text" and empty lines between. Scores
//! of one request compare with each other; they are not those of the chat route.

use serde::Deserialize;
use serde_json::json;

use super::{Remote, body};
use crate::EngineError;
use crate::files::{Message, Part};
use crate::generation::{Answer, Score, ScoreRequest};

#[derive(Debug, Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    logprobs: Option<LogProbabilities>,
}

#[derive(Debug, Deserialize)]
struct LogProbabilities {
    /// None for the first, which nothing stands before.
    token_logprobs: Vec<Option<f32>>,
    /// In characters of the prompt.
    text_offset: Vec<usize>,
}

impl Remote {
    pub(super) async fn score(&self, request: &ScoreRequest) -> Result<Vec<Score>, EngineError> {
        let Answer::Text(answer) = &request.answer else {
            return Err(self.unscored("it is told texts, not tokens"));
        };
        let sources = request.messages.iter().flat_map(|message| &message.parts).filter(|part| matches!(part, Part::Source(_))).count();
        let mut scores = Vec::with_capacity(request.subsets.len());
        for subset in &request.subsets {
            if subset.len() != sources {
                let reason = format!("a subset of {} for {sources} sources", subset.len());
                return Err(EngineError::Prompt { reason });
            }
            scores.push(self.score_one(&transcript(&request.messages, subset), answer).await?);
        }
        Ok(scores)
    }

    async fn score_one(&self, prompt: &str, answer: &str) -> Result<Score, EngineError> {
        let whole = format!("{prompt}{answer}");
        let body = json!({
            "model": self.options.model, "prompt": whole, "max_tokens": 0, "echo": true, "logprobs": 0, "temperature": 0,
        });
        let response = self.post("completions", &body).await.map_err(|stopped| stopped.error)?;
        let bytes = self.read(response, self.options.reply_max_bytes).await.map_err(|stopped| stopped.error)?;
        let completion: Completion = serde_json::from_slice(&bytes).map_err(|_| self.unscored("its reply is no completion"))?;
        let found = completion.choices.into_iter().next().and_then(|choice| choice.logprobs);
        let found = found.ok_or_else(|| self.unscored("it gives no probabilities of a prompt"))?;
        self.of_answer(&found, prompt.chars().count(), answer)
    }

    /// The tokens that reach beyond the prompt.
    fn of_answer(&self, found: &LogProbabilities, prompt_chars: usize, answer: &str) -> Result<Score, EngineError> {
        let whole_chars = prompt_chars + answer.chars().count();
        let offsets = &found.text_offset;
        if offsets.len() != found.token_logprobs.len() || offsets.first() != Some(&0) || !offsets.is_sorted() {
            return Err(self.unscored("it does not repeat the prompt that it scores"));
        }
        let ends = offsets.iter().skip(1).copied().chain([whole_chars]);
        let of_answer = found.token_logprobs.iter().zip(offsets.iter().zip(ends)).filter(|(_, (start, end))| {
            // tokens that were generated begin where the prompt ends
            *end > prompt_chars && **start < whole_chars
        });
        let byte = |char: usize| answer.char_indices().nth(char.saturating_sub(prompt_chars)).map_or(answer.len(), |(byte, _)| byte);
        let (log_probabilities, ends): (Vec<Option<f32>>, Vec<usize>) =
            of_answer.map(|(log_probability, (_, end))| (*log_probability, byte(end))).unzip();
        let log_probabilities = log_probabilities.into_iter().collect::<Option<Vec<f32>>>();
        match log_probabilities {
            Some(log_probabilities) if log_probabilities.iter().all(|value| value.is_finite() && *value <= 0.0) => {
                Ok(Score { log_probabilities, ends })
            }
            _ => Err(self.unscored("a token of the answer has no probability")),
        }
    }

    fn unscored(&self, reason: &str) -> EngineError {
        EngineError::Unscored { name: self.options.model.clone(), reason: reason.to_owned() }
    }
}

fn transcript(messages: &[Message], subset: &[bool]) -> String {
    let mut before = 0;
    let mut text = String::new();
    for message in messages {
        let content = body::content(message, |index| subset.get(before + index).copied().unwrap_or(false));
        before += message.parts.iter().filter(|part| matches!(part, Part::Source(_))).count();
        text.push_str(&format!("{}: {content}\n\n", message.role));
    }
    text.push_str("assistant: ");
    text
}
