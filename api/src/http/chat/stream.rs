//! An answer as server-sent events: `chat.completion.chunk`s, the last of them with the attribution, and `[DONE]`.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use engine::ChosenToken;
use futures::stream;
use rag::{Answer, Progress, RagError};
use schemas::tables::Millis;
use serde_json::{Value, json};

use super::reply;
use super::request::Chat;
use crate::asking::{Asking, Heard};
use crate::http::{ApiError, Reply};

/// A failure within this time is a status; a slower one an event of the stream, whose headers a client then has already.
const STATUS_GRACE: Duration = Duration::from_secs(5);

pub(super) async fn respond(mut asking: Asking, chat: Chat, generator: String) -> Reply<Response> {
    let begun = begin(&mut asking).await?;
    let chunks = Chunks {
        id: reply::completion_id(asking.id),
        model: generator,
        created: Millis::now().unix_seconds(),
        include_usage: chat.stream.is_some_and(|options| options.include_usage),
        datanet: chat.datanet,
    };
    let opening = vec![chunks.words("", &[], Some("assistant"))];
    let state = State { chunks, asking, waiting: opening, begun, over: false };
    let events = stream::unfold(state, |mut state| async move { Some((Ok::<_, Infallible>(state.next().await?), state)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

/// Waits until there are words or a result. A generator that has taken the request may be slow: it is waited for a little.
async fn begin(asking: &mut Asking) -> Reply<Option<Heard>> {
    let mut accepted = false;
    loop {
        let heard = if accepted {
            match tokio::time::timeout(STATUS_GRACE, asking.next()).await {
                Ok(heard) => heard,
                Err(_) => return Ok(None),
            }
        } else {
            asking.next().await
        };
        match heard {
            Heard::Progress(Progress::Accepted) => accepted = true,
            heard @ Heard::Progress(_) => return Ok(Some(heard)),
            Heard::Ended(answer) => return Ok(Some(Heard::Ended(Box::new(Ok((*answer)?))))),
        }
    }
}

struct State {
    chunks: Chunks,
    asking: Asking,
    /// To be sent, the last first.
    waiting: Vec<Event>,
    /// Heard before the stream was begun.
    begun: Option<Heard>,
    over: bool,
}

impl State {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let heard = match self.begun.take() {
                Some(heard) => heard,
                None => self.asking.next().await,
            };
            match heard {
                Heard::Progress(Progress::Accepted) => {}
                Heard::Progress(Progress::Piece { text, tokens }) => {
                    self.asking.told();
                    return Some(self.chunks.words(&text, &tokens, None));
                }
                Heard::Ended(answer) => {
                    self.over = true;
                    self.waiting = self.chunks.last(*answer);
                    self.waiting.reverse();
                }
            }
        }
    }
}

/// What all chunks of a stream share.
struct Chunks {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    datanet: String,
}

impl Chunks {
    fn chunk(&self, choices: Value, more: &[(&str, Value)]) -> Event {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model, "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        for (name, value) in more {
            chunk[*name] = value.clone();
        }
        Event::default().data(chunk.to_string())
    }

    fn words(&self, text: &str, tokens: &[ChosenToken], role: Option<&str>) -> Event {
        let mut delta = json!({ "content": text });
        if let Some(role) = role {
            delta["role"] = json!(role);
        }
        let logprobs = if tokens.is_empty() { Value::Null } else { json!(reply::log_probabilities(tokens)) };
        self.chunk(json!([{ "index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null }]), &[])
    }

    /// The receipt is durable by now; or there is none, and the stream ends without `[DONE]`.
    fn last(&self, answer: Result<Answer, RagError>) -> Vec<Event> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return vec![Event::default().data(ApiError::from(error).body().to_string())],
        };
        let generation = answer.receipt.body.generation.clone();
        let finish = reply::finish_reason(generation.as_ref());
        let attribution = json!(reply::attribution(answer, self.datanet.clone()));
        let choices = json!([{ "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish }]);
        let mut events = vec![self.chunk(choices, &[("attribution", attribution)])];
        if self.include_usage {
            events.push(self.chunk(json!([]), &[("usage", json!(reply::usage(generation.as_ref())))]));
        }
        events.push(Event::default().data("[DONE]"));
        events
    }
}
