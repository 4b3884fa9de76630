//! `/v1/chat/completions`: OpenAI's shape, streamed or whole, with one `attribution` object.
//!
//! The receipt is durable before the end of a stream is sent. A client that hangs up ends the generation, and pays nothing,
//! unless somebody pays for it and the first words are out: then the answer is finished, charged, and there for a retry.

mod reply;
mod request;
mod stream;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::ChosenToken;
use ingest::IngestError;
use rag::{Answer, AskRequest, Progress, RagError};
use schemas::B256;
use schemas::U256;
use schemas::ids::AnswerId;
use schemas::tables::Wei;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::Caller;
use crate::credit::{self, Refusal, Reservation};
use crate::service::Service;
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
    let datanet = service.ingest.datanet(&chat.datanet).await.map_err(|error| match error {
        IngestError::NotFound(problem) => request::unknown_model(problem),
        error => error.into(),
    })?;
    let request_id = request::id(&headers)?;
    let (fee, held) = price(&service, &caller, schemas::hashing::answer_id(&caller.key_id, &request_id)).await?;
    let request = AskRequest {
        datanet,
        version: chat.version,
        question: chat.question.clone(),
        salt: B256::from(rand::random::<[u8; 32]>()),
        request_id,
        key_id: caller.key_id.clone(),
        payer: caller.payer,
        fee_wei: Wei(fee),
        answerer: chat.answerer,
        generation: chat.settings.clone(),
    };
    let asking = Asking::start(service, request, held);
    if chat.stream.is_some() { stream::respond(asking, chat).await } else { whole(asking, chat).await }
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

/// An answer under way. Dropping it ends what nobody owes anything for.
struct Asking {
    id: AnswerId,
    /// Who answers, unless the answer is a stored one.
    generator: String,
    pieces: mpsc::UnboundedReceiver<Progress>,
    answer: JoinHandle<Result<Answer, RagError>>,
    ended: Option<Box<Result<Answer, RagError>>>,
    is_paid: bool,
    /// Words of it went to the client.
    is_told: bool,
}

enum Heard {
    Progress(Progress),
    /// The last.
    Ended(Box<Result<Answer, RagError>>),
}

impl Asking {
    /// What is told meanwhile waits here: at most the tokens of one answer.
    fn start(service: Arc<Service>, request: AskRequest, held: Option<Reservation>) -> Self {
        let id = schemas::hashing::answer_id(&request.key_id, &request.request_id);
        let configured = service.rag.generator().filter(|_| request.answerer == rag::Answerer::Configured);
        let adapter = request.generation.adapter.as_deref();
        let generator = configured.map_or_else(|| rag::QUOTE_GENERATOR.to_owned(), |info| reply::model(&info.name, adapter));
        let (teller, pieces) = mpsc::unbounded_channel();
        let is_paid = held.is_some();
        let answer = tokio::spawn(async move {
            let _held = held;
            service.rag.ask_aloud(request, &mut |progress| drop(teller.send(progress))).await
        });
        Self { id, generator, pieces, answer, ended: None, is_paid, is_told: false }
    }

    async fn next(&mut self) -> Heard {
        loop {
            if let Some(answer) = self.ended.take() {
                // words told before the end come before it
                return match self.pieces.try_recv() {
                    Ok(progress) => {
                        self.ended = Some(answer);
                        Heard::Progress(progress)
                    }
                    Err(_) => Heard::Ended(answer),
                };
            }
            tokio::select! {
                biased;
                Some(progress) = self.pieces.recv() => return Heard::Progress(progress),
                answer = &mut self.answer => {
                    self.ended = Some(Box::new(answer.unwrap_or_else(|error| Err(RagError::Worker(error.to_string())))));
                }
            }
        }
    }
}

impl Drop for Asking {
    /// Who could read an answer and hang up before its end would read for nothing.
    fn drop(&mut self) {
        if !(self.is_paid && self.is_told) {
            self.answer.abort();
        }
    }
}

/// The fee, held while the answer is made. Keys without a payer ask for free, and so does who asks for an answer again that
/// there is already.
async fn price(service: &App, caller: &Caller, answer: AnswerId) -> Reply<(u128, Option<Reservation>)> {
    let Some(payer) = caller.payer else { return Ok((0, None)) };
    match credit::reserve(service, payer, answer, U256::from(service.price_wei)).await? {
        Ok(held) => Ok((service.price_wei, Some(held))),
        Err(_) if service.rag.receipt(answer).await.is_ok() => Ok((service.price_wei, None)),
        Err(refusal @ Refusal::Busy { .. }) => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, refusal.code(), refusal.to_string())),
        Err(refusal) => Err(ApiError::new(StatusCode::PAYMENT_REQUIRED, refusal.code(), refusal.to_string())),
    }
}
