//! What a client asks for. Each field is read by itself, so that an error names it as OpenAI's errors do. Fields that would
//! change the answer and are not understood are refused; others are passed over.

use axum::http::{HeaderMap, HeaderValue};
use engine::Constraint;
use rag::{Answerer, GenerationSettings};
use schemas::receipt::Filter;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::http::{ApiError, Reply};

/// The model name for answers in the words of the sources.
pub(in crate::http) const QUOTE: &str = "quote";
/// What a Datanet's name follows in a model's name.
pub(in crate::http) const DATANET: &str = "datanet:";
/// What stands between a model's name and an adapter's.
pub(in crate::http) const ADAPTER: &str = "::";

/// Fields that ask for something that no answer here has, unless they are empty.
const UNSUPPORTED: &[&str] =
    &["tools", "tool_choice", "functions", "function_call", "logit_bias", "audio", "prediction", "web_search_options"];

/// What tells a request from others of its key, by which it can be asked again; one of ours without `Idempotency-Key`.
pub(super) fn id(headers: &HeaderMap) -> Reply<String> {
    match headers.get("idempotency-key").map(HeaderValue::as_bytes) {
        Some(id) if (1..=255).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic) => Ok(String::from_utf8_lossy(id).into_owned()),
        Some(_) => Err(ApiError::bad_request("Idempotency-Key: use 1 to 255 visible ASCII characters, and no blanks")),
        None => Ok(format!("{:032x}", rand::random::<u128>())),
    }
}

/// A request that can be answered.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) datanet: String,
    pub(super) version: Option<u64>,
    /// What the user said before the question, oldest first.
    pub(super) earlier: Vec<String>,
    pub(super) question: String,
    pub(super) filter: Option<Filter>,
    pub(super) answerer: Answerer,
    pub(super) settings: GenerationSettings,
    /// None for a reply in one piece.
    pub(super) stream: Option<StreamOptions>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
}

/// OpenAI's.
const ROLES: &[&str] = &["developer", "system", "user", "assistant", "tool", "function"];

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
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
struct Attribution {
    datanets: Vec<DatanetChoice>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatanetChoice {
    name: String,
    version: Option<u64>,
    filter: Option<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<JsonSchema>,
}

#[derive(Debug, Deserialize)]
struct JsonSchema {
    schema: Option<Value>,
}

/// The models that answer here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered<'a> {
    /// None where answers are quoted.
    pub(super) generator: Option<&'a str>,
    pub(super) adapters: &'a [String],
}

/// Reads a request for a service that offers so much.
pub(super) fn read(mut body: Map<String, Value>, offered: Offered<'_>) -> Reply<Chat> {
    let fields = &mut body;
    refuse_unsupported(fields)?;
    let Who { datanet, version, filter, answerer, adapter } = who(fields, offered)?;
    let messages: Vec<Message> = take(fields, "messages")?.ok_or_else(|| ApiError::parameter("messages", "it is missing"))?;
    check_roles(&messages)?;
    let (earlier, question) = conversation(&messages)?;
    let streams = take::<bool>(fields, "stream")?.unwrap_or(false);
    let options: Option<StreamOptions> = take(fields, "stream_options")?;
    if options.is_some() && !streams {
        return Err(ApiError::parameter("stream_options", "it needs \"stream\": true"));
    }
    let settings = GenerationSettings { adapter, ..settings(fields)? };
    if offered.generator.is_none() || answerer == Answerer::Quote {
        let problem = "answers here are quoted, word for word: leave it out";
        if settings.constraint.is_some() {
            return Err(ApiError::parameter("response_format", problem));
        }
        if settings.log_probabilities.is_some() {
            return Err(ApiError::parameter("logprobs", problem));
        }
    }
    Ok(Chat { datanet, version, earlier, question, filter, answerer, settings, stream: streams.then(|| options.unwrap_or_default()) })
}

/// A field as what it must be; null is as good as nothing.
fn take<T: DeserializeOwned>(fields: &mut Map<String, Value>, name: &'static str) -> Reply<Option<T>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| ApiError::parameter(name, error)),
    }
}

fn refuse_unsupported(fields: &mut Map<String, Value>) -> Reply<()> {
    for name in UNSUPPORTED {
        let empty = match fields.get(*name) {
            None | Some(Value::Null) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(members)) => members.is_empty(),
            Some(Value::String(choice)) => choice == "none",
            Some(_) => false,
        };
        if !empty {
            return Err(ApiError::parameter(*name, "it is not supported: leave it out"));
        }
    }
    if take::<u64>(fields, "n")?.is_some_and(|n| n != 1) {
        return Err(ApiError::parameter("n", "only one choice is given: leave it out"));
    }
    Ok(())
}

/// Who is asked.
struct Who {
    datanet: String,
    version: Option<u64>,
    filter: Option<Filter>,
    answerer: Answerer,
    adapter: Option<String>,
}

/// The Datanet, from `attribution.datanets` or a model called `datanet:NAME`; and who answers: `quote`, or whoever the service
/// has, with the adapter that follows the name of either after `::`.
fn who(fields: &mut Map<String, Value>, offered: Offered<'_>) -> Reply<Who> {
    let model: Option<String> = take(fields, "model")?;
    let model = model.as_deref().unwrap_or_default();
    let (model, adapter) = model.split_once(ADAPTER).map_or((model, None), |(model, adapter)| (model, Some(adapter)));
    if let Some(name) = adapter.filter(|name| model == QUOTE || !offered.adapters.iter().any(|known| known == name)) {
        return Err(unknown_model(format!("there is no adapter {name:?} of {model:?}; GET /v1/models lists what there is")));
    }
    let adapter = adapter.map(str::to_owned);
    let by_model = model.strip_prefix(DATANET);
    if fields.get("filter").is_some_and(|filter| !filter.is_null()) {
        let problem = "a filter is one of a Datanet: \"attribution\": {\"datanets\": [{\"name\": NAME, \"filter\": …}]}";
        return Err(ApiError::parameter("filter", problem));
    }
    let attribution: Option<Attribution> = take(fields, "attribution")?;
    let answerer = if model == QUOTE { Answerer::Quote } else { Answerer::Configured };
    match attribution.map(|attribution| attribution.datanets) {
        Some(datanets) => {
            if by_model.is_none() {
                offered.check(model)?;
            }
            let mut datanets = datanets.into_iter();
            match (datanets.next(), datanets.next()) {
                (Some(one), None) if by_model.is_some_and(|name| name != one.name) => {
                    Err(ApiError::parameter("model", format!("it names another Datanet than attribution, which asks {:?}", one.name)))
                }
                (Some(one), None) => {
                    let filter = one.filter.map(Filter::ordered);
                    if let Some(problem) = filter.as_ref().and_then(Filter::problem) {
                        return Err(ApiError::parameter("attribution", problem));
                    }
                    let licences = filter.iter().flat_map(|filter| &filter.licences);
                    if let Some(none) = licences.into_iter().find(|licence| !ingest::is_licence_expression(&licence.to_ascii_uppercase())) {
                        let problem = format!("{none:?} among the filter's licences is no SPDX licence expression, like CC-BY-4.0");
                        return Err(ApiError::parameter("attribution", problem));
                    }
                    Ok(Who { datanet: one.name, version: one.version, filter, answerer, adapter })
                }
                _ => Err(ApiError::parameter("attribution", "datanets must name exactly one Datanet")),
            }
        }
        None => match by_model {
            Some(name) => Ok(Who { datanet: name.to_owned(), version: None, filter: None, answerer, adapter }),
            None => {
                offered.check(model)?;
                let problem = "which Datanet? Use \"model\": \"datanet:NAME\" or \"attribution\": {\"datanets\": [{\"name\": NAME}]}";
                Err(ApiError::parameter("model", problem))
            }
        },
    }
}

impl Offered<'_> {
    /// # Errors
    /// 404 for a model that is not here; none named is the one that is.
    fn check(&self, model: &str) -> Reply<()> {
        if model.is_empty() || model == QUOTE || Some(model) == self.generator {
            return Ok(());
        }
        let known = self.generator.map_or(String::new(), |name| format!(", {name:?}"));
        Err(unknown_model(format!("there is no model {model:?}; use \"datanet:NAME\", \"quote\"{known}, or leave it out")))
    }
}

pub(super) fn unknown_model(problem: String) -> ApiError {
    ApiError::not_there("model", "model_not_found", problem)
}

/// A role that is not known may be a user's, misspelt: what it says would be passed over.
fn check_roles(messages: &[Message]) -> Reply<()> {
    match messages.iter().enumerate().find(|(_, message)| !ROLES.contains(&message.role.as_str())) {
        None => Ok(()),
        Some((index, Message { role, .. })) => {
            let shown: String = role.chars().take(80).collect();
            let problem = format!("there is no role {shown:?}; use one of {}", ROLES.join(", "));
            Err(ApiError::parameter(format!("messages[{index}].role"), problem))
        }
    }
}

/// The messages of the user: the last one is the question. What was answered is not read: an answer rests on sources, and on no
/// earlier answer.
fn conversation(messages: &[Message]) -> Reply<(Vec<String>, String)> {
    let mut said: Vec<&Message> = messages.iter().filter(|message| message.role == "user").collect();
    let last = said.pop().ok_or_else(|| ApiError::parameter("messages", "there is none with role \"user\""))?;
    let question = text(last)?;
    // an earlier picture, say, is none of this question
    Ok((said.into_iter().filter_map(|message| text(message).ok()).collect(), question))
}

fn text(message: &Message) -> Reply<String> {
    match &message.content {
        None => Err(ApiError::parameter("messages", "the last one with role \"user\" has no content")),
        Some(Content::Text(text)) => Ok(text.clone()),
        Some(Content::Parts(parts)) => {
            if let Some(other) = parts.iter().find(|part| part.kind != "text") {
                return Err(ApiError::parameter("messages", format!("content of type {:?} is not supported", other.kind)));
            }
            Ok(parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn settings(fields: &mut Map<String, Value>) -> Reply<GenerationSettings> {
    let (tokens, completion_tokens) = (take(fields, "max_tokens")?, take(fields, "max_completion_tokens")?);
    if tokens.is_some() && completion_tokens.is_some() && tokens != completion_tokens {
        return Err(ApiError::parameter("max_tokens", "it contradicts max_completion_tokens: leave one out"));
    }
    let logprobs = take::<bool>(fields, "logprobs")?.unwrap_or(false);
    let alternatives: Option<usize> = take(fields, "top_logprobs")?;
    if alternatives.is_some() && !logprobs {
        return Err(ApiError::parameter("top_logprobs", "it needs \"logprobs\": true"));
    }
    let stop = match take(fields, "stop")? {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Several(texts)) => texts,
    };
    Ok(GenerationSettings {
        temperature_ppm: fraction(fields, "temperature")?,
        top_p_ppm: fraction(fields, "top_p")?,
        presence_penalty_ppm: ppm(fields, "presence_penalty")?,
        frequency_penalty_ppm: ppm(fields, "frequency_penalty")?,
        seed: seed(take(fields, "seed")?)?,
        tokens_max: completion_tokens.or(tokens),
        stop,
        log_probabilities: logprobs.then(|| alternatives.unwrap_or(0)),
        constraint: constraint(take(fields, "response_format")?)?,
        adapter: None,
    })
}

/// OpenAI takes any integer of 64 bits with a sign. Programs that draw theirs without one are not refused either.
fn seed(number: Option<Number>) -> Reply<Option<u64>> {
    let Some(number) = number else { return Ok(None) };
    let bits = number.as_u64().or_else(|| number.as_i64().map(i64::cast_unsigned));
    let bits = bits.ok_or_else(|| ApiError::parameter("seed", "it must be an integer of 64 bits, from -2^63 to 2^64 - 1"))?;
    Ok(Some(GenerationSettings::seed_of(bits)))
}

/// A small number in parts per million.
fn ppm(fields: &mut Map<String, Value>, name: &'static str) -> Reply<Option<i64>> {
    let Some(number) = take::<f64>(fields, name)? else { return Ok(None) };
    if number.abs() > 1000.0 {
        return Err(ApiError::parameter(name, "it is out of range"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 1000 million")]
    let ppm = (number * 1e6).round() as i64;
    Ok(Some(ppm))
}

fn fraction(fields: &mut Map<String, Value>, name: &'static str) -> Reply<Option<u64>> {
    let Some(ppm) = ppm(fields, name)? else { return Ok(None) };
    u64::try_from(ppm).map(Some).map_err(|_| ApiError::parameter(name, "it must not be negative"))
}

fn constraint(format: Option<ResponseFormat>) -> Reply<Option<Constraint>> {
    let Some(format) = format else { return Ok(None) };
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Constraint::JsonObject)),
        "json_schema" => {
            let schema = format.json_schema.and_then(|named| named.schema).filter(|schema| schema.is_object() || schema.is_boolean());
            let schema = schema.ok_or_else(|| ApiError::parameter("response_format", "json_schema.schema must be a JSON Schema"))?;
            Ok(Some(Constraint::JsonSchema(schema)))
        }
        other => {
            let problem = format!("type {other:?} is not known; use \"text\", \"json_object\" or \"json_schema\"");
            Err(ApiError::parameter("response_format", problem))
        }
    }
}

#[cfg(test)]
mod tests;
