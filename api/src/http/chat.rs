//! `/v1/chat/completions`: OpenAI's shape, streamed or whole, with one `attribution` object.
//!
//! The receipt is durable before the end of a stream is sent. What hanging up does, [`crate::asking`] says.

mod reply;
mod request;
mod stream;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::ChosenToken;
use ingest::IngestError;
use rag::{Answerer, Progress};
use serde_json::{Map, Value};

use super::{ApiError, App, Authenticated, Reply};
use crate::asking::{AskError, Asking, Heard, Question};
use crate::credit::Refusal;
pub(super) use reply::model;
pub use reply::{AskReply, AttributionObject};
pub(super) use request::{ADAPTER, DATANET, QUOTE};
use request::{Chat, Offered};

pub(super) async fn chat(
    State(service): State<App>,
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Reply<Response> {
    let offered = Offered { generator: service.rag.generator().map(|info| info.name.as_str()), adapters: &service.rag.adapters() };
    let chat = request::read(body?.0, offered)?;
    let datanet = service.datanet(&chat.datanet).await.map_err(|error| match error {
        IngestError::NotFound(problem) => request::unknown_model(problem),
        error => error.into(),
    })?;
    let question = Question {
        datanet,
        version: chat.version,
        earlier: chat.earlier.clone(),
        text: chat.question.clone(),
        filter: chat.filter.clone(),
        request_id: request::id(&headers)?,
        answerer: chat.answerer,
        generation: chat.settings.clone(),
    };
    let asking = service.ask(&caller, question).await?;
    if chat.stream.is_none() {
        return whole(asking, chat).await;
    }
    // Who answers, unless the answer is a stored one.
    let configured = service.rag.generator().filter(|_| chat.answerer == Answerer::Configured);
    let adapter = chat.settings.adapter.as_deref();
    let generator = configured.map_or_else(|| rag::QUOTE_GENERATOR.to_owned(), |info| reply::model(&info.name, adapter));
    stream::respond(asking, chat, generator).await
}

async fn whole(mut asking: Asking, chat: Chat) -> Reply<Response> {
    let mut tokens = Vec::new();
    loop {
        match asking.next().await {
            Heard::Progress(Progress::Accepted) => {}
            Heard::Progress(Progress::Piece { tokens: more, .. }) => tokens.extend(more),
            Heard::Ended(answer) => {
                let tokens = Some(tokens).filter(|tokens: &Vec<ChosenToken>| !tokens.is_empty());
                return Ok(Json(reply::whole((*answer)?, chat.datanet, tokens)).into_response());
            }
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(refusal) => {
                let busy = matches!(refusal, Refusal::Busy { .. } | Refusal::Starting { .. });
                let status = if busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::PAYMENT_REQUIRED };
                Self::new(status, refusal.code(), refusal.to_string())
            }
            AskError::Failed(error) => error.into(),
        }
    }
}
