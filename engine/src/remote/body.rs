//! What is sent: OpenAI's chat completion. Parameters beyond OpenAI's are sent only where they are used.

use serde_json::{Map, Value, json};

use crate::EngineError;
use crate::files::{Message, Part};
use crate::generation::{Constraint, GenerationRequest};

pub(super) fn chat(model: &str, request: &GenerationRequest) -> Result<Value, EngineError> {
    let sampling = &request.sampling;
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    set("model", json!(model));
    set("messages", request.messages.iter().map(message).collect());
    set("stream", json!(true));
    set("stream_options", json!({ "include_usage": true }));
    set("max_tokens", json!(request.tokens_max));
    set("temperature", json!(sampling.temperature));
    set("seed", json!(sampling.seed));
    for (name, value, unset) in [
        ("top_p", sampling.top_p, 1.0),
        ("min_p", sampling.min_p, 0.0),
        ("repetition_penalty", sampling.repetition_penalty, 1.0),
        ("presence_penalty", sampling.presence_penalty, 0.0),
        ("frequency_penalty", sampling.frequency_penalty, 0.0),
    ] {
        if value.to_bits() != f32::to_bits(unset) {
            set(name, json!(value));
        }
    }
    if sampling.top_k > 0 {
        set("top_k", json!(sampling.top_k));
    }
    if !request.stop.is_empty() {
        set("stop", json!(request.stop));
    }
    if let Some(count) = request.log_probabilities {
        set("logprobs", json!(true));
        set("top_logprobs", json!(count));
    }
    match &request.constraint {
        None => {}
        Some(Constraint::JsonObject) => set("response_format", json!({ "type": "json_object" })),
        Some(Constraint::JsonSchema(schema)) => {
            let schema = json!({ "name": "answer", "strict": true, "schema": schema });
            set("response_format", json!({ "type": "json_schema", "json_schema": schema }));
        }
        Some(Constraint::Regex(_)) => {
            return Err(EngineError::Prompt { reason: "a remote model takes no regular expression for its answer".to_owned() });
        }
    }
    Ok(Value::Object(body))
}

fn message(message: &Message) -> Value {
    json!({ "role": message.role.to_string(), "content": content(message, |_| true) })
}

/// A message's text with the sources that `keep` keeps, by their number within the message.
pub(super) fn content(message: &Message, mut keep: impl FnMut(usize) -> bool) -> String {
    let mut sources = 0;
    let mut text = String::new();
    for part in &message.parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Source(part) => {
                if keep(sources) {
                    text.push_str(part);
                }
                sources += 1;
            }
        }
    }
    text
}
