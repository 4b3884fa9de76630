//! One request and its reply: classes of failure, bounds, time-outs.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Remote;
use super::events::Reading;
use super::sse::Events;
use crate::EngineError;
use crate::generation::GenerationEvent;

/// Of a reply that refuses, only so much is read.
const ERROR_MAX_BYTES: usize = 16 << 10;
const CODE_MAX_BYTES: usize = 64;
const EVENT_MAX_BYTES: usize = 1 << 20;

/// Why an attempt ended without an answer.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) error: EngineError,
    /// Whether another attempt may help.
    pub(super) may_help: bool,
    /// How long the service asks to be left alone.
    pub(super) asked_pause: Option<Duration>,
}

impl Stopped {
    pub(super) fn again(reason: impl Into<String>) -> Self {
        Self { error: failed(reason), may_help: true, asked_pause: None }
    }

    fn finally(reason: impl Into<String>) -> Self {
        Self { error: failed(reason), may_help: false, asked_pause: None }
    }
}

fn failed(reason: impl Into<String>) -> EngineError {
    EngineError::Remote { status: None, reason: reason.into() }
}

impl Remote {
    /// Sends `body` to `path` and waits for a reply that is none of refusal.
    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, Stopped> {
        let url = self.base.join(path).map_err(|_| Stopped::finally("its address takes no path"))?;
        let mut request = self.client.post(url).json(body);
        if let Some(key) = &self.options.key {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| Stopped::finally("the key is not visible ASCII"))?;
            value.set_sensitive(true);
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        let sent = timeout(self.options.first_token_timeout, request.send()).await;
        let response = match sent {
            Err(_) => return Err(Stopped::again("it did not answer in time")),
            Ok(Err(error)) if error.is_connect() => return Err(Stopped::again("nothing answers at its address")),
            Ok(Err(_)) => return Err(Stopped::again("the connection broke off")),
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) }
    }

    async fn refused(&self, response: Response) -> Stopped {
        let status = response.status();
        let asked_pause = asked_pause(response.headers());
        let code = match self.read(response, ERROR_MAX_BYTES).await {
            Ok(bytes) => error_code(&bytes).map_or(String::new(), |code| format!(" ({code})")),
            Err(_) => String::new(),
        };
        let may_help = status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let reason = format!("it answered {status}{code}");
        let of_request = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::UNPROCESSABLE_ENTITY];
        let error = if of_request.contains(&status) {
            EngineError::Prompt { reason: format!("the remote model refused it: {reason}") }
        } else {
            EngineError::Remote { status: Some(status.as_u16()), reason }
        };
        Stopped { error, may_help, asked_pause }
    }

    /// A whole body of at most `max` bytes.
    pub(super) async fn read(&self, mut response: Response, max: usize) -> Result<Vec<u8>, Stopped> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next_bytes(&mut response, self.options.idle_timeout).await? {
            if bytes.len() + chunk.as_ref().len() > max {
                return Err(Stopped::finally(format!("its reply has more than {max} bytes")));
            }
            bytes.extend_from_slice(chunk.as_ref());
        }
        Ok(bytes)
    }

    async fn next_bytes(&self, response: &mut Response, patience: Duration) -> Result<Option<impl AsRef<[u8]> + use<>>, Stopped> {
        match timeout(patience, response.chunk()).await {
            Err(_) => Err(Stopped::again(format!("nothing came for {} s", patience.as_secs()))),
            Ok(Err(_)) => Err(Stopped::again("the connection broke off within the reply")),
            Ok(Ok(chunk)) => Ok(chunk),
        }
    }

    /// One attempt at an answer. `said` is set with its first event.
    pub(super) async fn attempt(
        &self,
        body: &impl Serialize,
        prompt_tokens: usize,
        events: &mpsc::Sender<GenerationEvent>,
        said: &mut bool,
    ) -> Result<(), Stopped> {
        let mut response = self.post("chat/completions", body).await?;
        if !is_event_stream(response.headers()) {
            return Err(Stopped::finally("its reply is no event stream"));
        }
        let (mut stream, mut reading, mut received) = (Events::default(), Reading::default(), 0);
        let mut done = false;
        while !done {
            let patience = if *said { self.options.idle_timeout } else { self.options.first_token_timeout };
            let Some(bytes) = self.next_bytes(&mut response, patience).await? else { break };
            received += bytes.as_ref().len();
            if received > self.options.reply_max_bytes {
                return Err(Stopped::finally(format!("its reply has more than {} bytes", self.options.reply_max_bytes)));
            }
            for data in stream.push(bytes.as_ref()) {
                done = done || pass_on(&mut reading, &data, events, said).await?;
            }
            if stream.pending() > EVENT_MAX_BYTES {
                return Err(Stopped::finally(format!("an event of its reply has more than {EVENT_MAX_BYTES} bytes")));
            }
        }
        if let Some(data) = stream.finish().filter(|_| !done) {
            pass_on(&mut reading, &data, events, said).await?;
        }
        let end = reading.end(prompt_tokens).ok_or_else(|| Stopped::again("it broke off before the end of the answer"))?;
        let _unheard = events.send(GenerationEvent::End(end)).await;
        Ok(())
    }
}

/// Whether that was the last event.
async fn pass_on(reading: &mut Reading, data: &[u8], events: &mpsc::Sender<GenerationEvent>, said: &mut bool) -> Result<bool, Stopped> {
    if data.trim_ascii() == b"[DONE]" {
        return Ok(true);
    }
    if let Some(event) = reading.chunk(data).map_err(Stopped::again)? {
        *said = true;
        // a reader that is gone ends all of this from outside
        let _unheard = events.send(event).await;
    }
    Ok(false)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}

fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[derive(Debug, Deserialize)]
struct Envelope {
    error: ErrorBody,
}

#[derive(Debug, Deserialize)]
struct ErrorBody {
    code: Option<serde_json::Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// The error's code, where it is a word: messages may repeat what was sent, or a part of the key.
fn error_code(bytes: &[u8]) -> Option<String> {
    let ErrorBody { code, kind } = serde_json::from_slice::<Envelope>(bytes).ok()?.error;
    let code = code.and_then(|code| code.as_str().map(str::to_owned)).or(kind)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!code.is_empty() && code.len() <= CODE_MAX_BYTES && code.chars().all(is_word)).then_some(code)
}
