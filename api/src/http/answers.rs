//! Questions and receipts. `/v1/chat/completions` has OpenAI's shape, and one `attribution` object.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use rag::{Answer, AskRequest, Citation, Evidence, ShareLine};
use schemas::ids::AnswerId;
use schemas::receipt::{AnswerStatus, Receipt};
use schemas::tables::{Millis, Wei};
use schemas::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{ApiError, App, Authenticated, Reply};
use crate::auth::{Caller, Role};
use crate::service::Reservation;
use crate::settlement;

#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    n: Option<u64>,
    attribution: Option<AttributionRequest>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Content,
}

/// Text, or OpenAI's list of parts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributionRequest {
    datanets: Vec<DatanetChoice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatanetChoice {
    name: String,
    version: Option<u64>,
}

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
    pub finish_reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerMessage {
    pub role: String,
    pub content: String,
}

/// The quoting answerer runs no model, so no tokens are counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    pub fee_wei: Wei,
    pub payer: Option<Address>,
    pub receipt: Receipt,
}

pub(super) async fn chat(
    State(service): State<App>,
    key: Authenticated,
    headers: HeaderMap,
    body: Result<Json<ChatRequest>, JsonRejection>,
) -> Reply<Json<AskReply>> {
    let caller = key.require(&[Role::App])?;
    let request = body?.0;
    if request.stream {
        return Err(ApiError::bad_request("streaming is not supported yet: send \"stream\": false"));
    }
    if request.n.is_some_and(|n| n != 1) {
        return Err(ApiError::bad_request("only one choice is given: leave out \"n\""));
    }
    let question = question(&request.messages)?;
    let choice = choice(&request)?;
    let datanet = service.ingest.datanet(&choice.name).await?;
    let request_id = match headers.get("idempotency-key").map(|value| value.to_str()) {
        Some(Ok(id)) if !id.is_empty() && id.len() <= 255 => id.to_owned(),
        Some(_) => return Err(ApiError::bad_request("Idempotency-Key: use 1 to 255 visible ASCII characters")),
        None => format!("{:032x}", rand::random::<u128>()),
    };
    let (fee, _held) = price(&service, &caller).await?;
    let name = datanet.name.clone();
    let asked = AskRequest {
        datanet,
        version: choice.version,
        question,
        request_id,
        key_id: caller.key_id.clone(),
        payer: caller.payer,
        fee_wei: Wei(fee),
    };
    Ok(Json(reply(service.rag.ask(asked).await?, name)))
}

/// The last user message; what came before is not used by an extractive answer.
fn question(messages: &[Message]) -> Reply<String> {
    let last = messages.iter().rev().find(|message| message.role == "user");
    let last = last.ok_or_else(|| ApiError::bad_request("messages: there is none with role \"user\""))?;
    match &last.content {
        Content::Text(text) => Ok(text.clone()),
        Content::Parts(parts) => {
            if let Some(other) = parts.iter().find(|part| part.kind != "text") {
                return Err(ApiError::bad_request(format!("messages: content of type {:?} is not supported", other.kind)));
            }
            Ok(parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// `attribution.datanets`, or a model called `datanet:NAME`.
fn choice(request: &ChatRequest) -> Reply<DatanetChoice> {
    if let Some(attribution) = &request.attribution {
        return match attribution.datanets.as_slice() {
            [one] => Ok(DatanetChoice { name: one.name.clone(), version: one.version }),
            _ => Err(ApiError::bad_request("attribution.datanets: name exactly one Datanet")),
        };
    }
    let name = request.model.as_deref().and_then(|model| model.strip_prefix("datanet:"));
    let name = name.ok_or_else(|| {
        ApiError::bad_request("which Datanet? Use \"model\": \"datanet:NAME\" or \"attribution\": {\"datanets\": [{\"name\": NAME}]}")
    })?;
    Ok(DatanetChoice { name: name.to_owned(), version: None })
}

/// The fee, held while the answer is made. What a payer owes, this fee included, must be covered by
/// its deposit and by its limits, or its debit would come short. Keys without a payer ask for free.
async fn price(service: &App, caller: &Caller) -> Reply<(u128, Option<Reservation>)> {
    let Some(payer) = caller.payer else { return Ok((0, None)) };
    let held = service.reserve(payer, service.price_wei);
    let owed = service.owed_wei(payer).await?;
    let problem = if owed > service.deposit_wei(payer).await? {
        format!("the deposit of {payer} does not cover the {owed} wei that it owes with this answer: deposit more into the vault")
    } else if owed > settlement::limit_room(service, payer).await? {
        format!(
            "no spending limit of {payer} has room for the {owed} wei that it owes with this answer: register the app again with a new one (a limit that is cancelled, or ends within the hour, counts for nothing)"
        )
    } else {
        return Ok((service.price_wei, Some(held)));
    };
    Err(ApiError::new(StatusCode::PAYMENT_REQUIRED, "payment_required", problem))
}

fn reply(answer: Answer, datanet: String) -> AskReply {
    let body = &answer.receipt.body;
    AskReply {
        id: format!("chatcmpl-{}", body.answer_id),
        object: "chat.completion".into(),
        created: Millis(body.issued_at_ms).unix_seconds(),
        model: body.models.generator.clone(),
        usage: Usage::default(),
        attribution: AttributionObject {
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
            fee_wei: body.fee_wei,
            payer: body.payer,
            receipt: answer.receipt.clone(),
        },
        choices: vec![Choice {
            index: 0,
            message: AnswerMessage { role: "assistant".into(), content: answer.text },
            finish_reason: "stop".into(),
        }],
    }
}

/// Public: a receipt names no question and no text, and is for everybody to check.
pub(super) async fn receipt(State(service): State<App>, Path(id): Path<String>) -> Reply<Json<Receipt>> {
    Ok(Json(service.rag.receipt(id.parse::<AnswerId>()?).await?))
}

/// With the question, the answer and the source texts: for those who may see them.
pub(super) async fn evidence(State(service): State<App>, key: Authenticated, Path(id): Path<String>) -> Reply<Json<Evidence>> {
    key.require(&[Role::Analyst])?;
    Ok(Json(service.rag.evidence(id.parse::<AnswerId>()?).await?))
}
