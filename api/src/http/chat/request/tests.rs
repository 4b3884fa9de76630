use serde_json::json;

use super::*;

const MODEL: Option<&str> = Some("tiny");
const ADAPTERS: [&str; 1] = ["legal"];

/// A request with `fields` beside what every request has.
fn with(fields: Value, generator: Option<&str>) -> Reply<Chat> {
    let mut body = json!({ "model": "datanet:cold", "messages": [{ "role": "user", "content": "Why?" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    read(body.as_object().unwrap().clone(), Offered { generator, adapters: &ADAPTERS.map(str::to_owned) })
}

#[test]
fn a_request_is_read_whole() {
    let chat = with(
        json!({
            "messages": [{ "role": "system", "content": "x" }, { "role": "user", "content": [{ "type": "text", "text": "Why" }, { "type": "text", "text": "so?" }] },
                { "role": "assistant", "content": null }],
            "stream": true, "stream_options": { "include_usage": true }, "temperature": 0.7, "top_p": 1, "max_completion_tokens": 9, "stop": "\n",
            "seed": 5, "n": 1, "presence_penalty": -1.5, "frequency_penalty": 0, "logprobs": true, "top_logprobs": 3, "user": "me", "tools": [],
            "tool_choice": "none", "response_format": { "type": "json_object" },
        }),
        MODEL,
    );
    let chat = chat.unwrap();
    assert_eq!((chat.datanet.as_str(), chat.question.as_str(), chat.answerer), ("cold", "Why\nso?", Answerer::Configured));
    assert!(chat.stream.unwrap().include_usage);
    let expected = GenerationSettings {
        temperature_ppm: Some(700_000),
        top_p_ppm: Some(1_000_000),
        presence_penalty_ppm: Some(-1_500_000),
        frequency_penalty_ppm: Some(0),
        seed: Some(5),
        tokens_max: Some(9),
        stop: vec!["\n".into()],
        log_probabilities: Some(3),
        constraint: Some(Constraint::JsonObject),
        adapter: None,
    };
    assert_eq!(chat.settings, expected);
    assert_eq!(with(json!({ "temperature": null, "stop": null }), MODEL).unwrap().settings, GenerationSettings::default());
}

#[test]
fn a_wrong_field_is_named() {
    for (fields, parameter, words) in [
        (json!({ "messages": null }), "messages", "missing"),
        (json!({ "messages": "Why?" }), "messages", "invalid type"),
        (json!({ "messages": [] }), "messages", "none with role"),
        (json!({ "messages": [{ "role": "user" }] }), "messages", "no content"),
        (json!({ "messages": [{ "content": "Why?" }] }), "messages", "role"),
        (json!({ "messages": [{ "role": "robot", "content": "Why?" }] }), "messages[0].role", "no role \"robot\""),
        (json!({ "messages": [{ "role": "user", "content": "Why?" }, { "role": "User" }] }), "messages[1].role", "user, assistant"),
        (json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] }), "messages", "image_url"),
        (json!({ "model": "gpt-4o" }), "model", "no model \"gpt-4o\""),
        (json!({ "model": "quote" }), "model", "which Datanet"),
        (json!({ "model": "" }), "model", "which Datanet"),
        (json!({ "model": 7 }), "model", "invalid type"),
        (json!({ "model": "gpt-4o", "attribution": { "datanets": [{ "name": "cold" }] } }), "model", "\"quote\", \"tiny\""),
        (json!({ "model": "datanet:cold::medical" }), "model", "no adapter \"medical\""),
        (json!({ "model": "quote::legal", "attribution": { "datanets": [{ "name": "cold" }] } }), "model", "no adapter"),
        (json!({ "attribution": { "datanets": [] } }), "attribution", "exactly one"),
        (json!({ "attribution": { "datanet": [] } }), "attribution", "unknown field"),
        (json!({ "attribution": { "datanets": [{ "name": "cold", "filter": { "licence": "MIT" } }] } }), "attribution", "unknown field"),
        (json!({ "attribution": { "datanets": [{ "name": "cold", "filter": {} }] } }), "attribution", "states something"),
        (
            json!({ "attribution": { "datanets": [{ "name": "cold", "filter": { "contributors": ["me"] } }] } }),
            "attribution",
            "\"me\" among the contributors",
        ),
        (json!({ "attribution": { "datanets": [{ "name": "cold", "filter": { "licences": ["no licence"] } }] } }), "attribution", "SPDX"),
        (json!({ "stream": "yes" }), "stream", "invalid type"),
        (json!({ "stream_options": {} }), "stream_options", "stream"),
        (json!({ "n": 2 }), "n", "one choice"),
        (json!({ "temperature": "hot" }), "temperature", "invalid type"),
        (json!({ "temperature": -0.1 }), "temperature", "negative"),
        (json!({ "temperature": 1e300 }), "temperature", "range"),
        (json!({ "top_p": -1 }), "top_p", "negative"),
        (json!({ "seed": 1.5 }), "seed", "integer of 64 bits"),
        (json!({ "seed": 1e20 }), "seed", "integer of 64 bits"),
        (json!({ "seed": "7" }), "seed", "invalid type"),
        (json!({ "max_tokens": -1 }), "max_tokens", "invalid value"),
        (json!({ "max_tokens": 1, "max_completion_tokens": 2 }), "max_tokens", "contradicts"),
        (json!({ "stop": 1 }), "stop", "match"),
        (json!({ "top_logprobs": 1 }), "top_logprobs", "logprobs"),
        (json!({ "response_format": { "type": "xml" } }), "response_format", "xml"),
        (json!({ "response_format": { "type": "json_schema" } }), "response_format", "schema"),
        (json!({ "tools": [{}] }), "tools", "not supported"),
        (json!({ "logit_bias": { "1": 2 } }), "logit_bias", "not supported"),
        (json!({ "function_call": "auto" }), "function_call", "not supported"),
    ] {
        let error = with(fields.clone(), MODEL).unwrap_err().body();
        let error = &error["error"];
        assert_eq!(error["param"], parameter, "{fields}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{fields}: {error}");
    }
}

#[test]
fn what_the_user_said_before_comes_before_the_question() {
    let user = |content: Value| json!({ "role": "user", "content": content });
    let picture = user(json!([{ "type": "image_url" }]));
    let answer = json!({ "role": "assistant", "content": "-78.5 °C" });
    let messages = json!([{ "role": "system", "content": "Be brief." }, user(json!("How cold is dry ice?")), answer, picture, user(json!("And wet ice?"))]);
    let chat = with(json!({ "messages": messages }), MODEL).unwrap();
    assert_eq!((chat.earlier, chat.question.as_str()), (vec!["How cold is dry ice?".to_owned()], "And wet ice?"));
}

#[test]
fn messages_of_every_role_of_openais_are_taken() {
    let (user, call) = (json!({ "role": "user", "content": "Why?", "name": "ada" }), json!({ "id": "1", "type": "function" }));
    let assistant = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let told = |role: &str| json!({ "role": role, "content": "Be brief.", "tool_call_id": "1", "name": "f" });
    let messages = json!([told("system"), told("developer"), user, assistant, told("tool"), told("function")]);
    let chat = with(json!({ "messages": messages }), MODEL).unwrap();
    assert_eq!((chat.earlier, chat.question.as_str()), (Vec::new(), "Why?"));
}

/// Also where answers are quoted, and no seed is used.
#[test]
fn any_integer_of_64_bits_is_a_seed() {
    let last = (1_u64 << 53) - 1;
    for (sent, seed) in [
        (json!(0), 0),
        (json!(last), last),
        (json!(-1), last),
        (json!(last + 1), 0),
        (json!(i64::MIN), 0),
        (json!(i64::MAX), last),
        (json!(-7), last - 6),
        (json!(u64::MAX), last),
    ] {
        for model in [MODEL, None] {
            assert_eq!(with(json!({ "seed": sent }), model).unwrap().settings.seed, Some(seed), "{sent}");
        }
    }
}

#[test]
fn a_filter_is_taken_in_its_one_form() {
    let filter = json!({ "licences": ["MIT", "CC0-1.0", "MIT"], "received_from_ms": 5 });
    let chat = with(json!({ "attribution": { "datanets": [{ "name": "cold", "filter": filter }] } }), MODEL).unwrap();
    let filter = chat.filter.unwrap();
    assert_eq!((filter.licences, filter.received_from_ms), (vec!["CC0-1.0".to_owned(), "MIT".to_owned()], Some(5)));
    assert!(with(json!({ "filter": { "licences": ["MIT"] } }), MODEL).is_err(), "it would be ignored");
}

#[test]
fn an_unknown_model_is_a_404() {
    use axum::response::IntoResponse as _;
    let beside = json!({ "datanets": [{ "name": "cold" }] });
    for (model, attribution, status) in [
        ("gpt-4o", Value::Null, 404),
        ("gpt-4o", beside.clone(), 404),
        ("tiny::medical", beside.clone(), 404),
        ("datanet:dry", beside.clone(), 400),
        ("quote", Value::Null, 400),
        ("", Value::Null, 400),
    ] {
        let error = with(json!({ "model": model, "attribution": attribution }), MODEL).unwrap_err();
        assert_eq!(error.into_response().status().as_u16(), status, "{model:?}");
    }
}

#[test]
fn an_adapter_follows_the_name_of_a_model() {
    let adapter = |model: &str| {
        let chat = with(json!({ "model": model, "attribution": { "datanets": [{ "name": "cold" }] } }), MODEL).unwrap();
        (chat.datanet, chat.settings.adapter)
    };
    assert_eq!(adapter("tiny::legal"), ("cold".to_owned(), Some("legal".to_owned())));
    assert_eq!(adapter("::legal"), adapter("tiny::legal"));
    assert_eq!(adapter("tiny").1, None);
    let chat = with(json!({ "model": "datanet:cold::legal" }), MODEL).unwrap();
    assert_eq!((chat.datanet.as_str(), chat.settings.adapter.as_deref()), ("cold", Some("legal")));
}

#[test]
fn quoted_answers_take_no_form_and_have_no_probabilities() {
    for (fields, parameter) in
        [(json!({ "response_format": { "type": "json_object" } }), "response_format"), (json!({ "logprobs": true }), "logprobs")]
    {
        assert!(with(fields.clone(), MODEL).is_ok());
        assert_eq!(with(fields.clone(), None).unwrap_err().body()["error"]["param"], parameter);
        let mut quoted = fields;
        quoted["model"] = json!("quote");
        quoted["attribution"] = json!({ "datanets": [{ "name": "cold", "version": 2 }] });
        assert_eq!(with(quoted.clone(), MODEL).unwrap_err().body()["error"]["param"], parameter);
        quoted.as_object_mut().unwrap().remove(parameter);
        let chat = with(quoted, MODEL).unwrap();
        assert_eq!((chat.answerer, chat.version), (Answerer::Quote, Some(2)));
    }
    assert!(with(json!({ "response_format": { "type": "text" }, "temperature": 1 }), None).is_ok());
}

#[test]
fn an_id_is_of_visible_characters() {
    let id = |text: &[u8]| id(&HeaderMap::from_iter([("idempotency-key".parse().unwrap(), HeaderValue::from_bytes(text).unwrap())]));
    assert_eq!(id(b"order-7/a:b").unwrap(), "order-7/a:b");
    let long = [b'x'; 256];
    for wrong in [&b""[..], b"a\tb", b"a b", "\u{e9}".as_bytes(), &long] {
        assert!(id(wrong).is_err(), "{wrong:?}");
    }
    assert_ne!(super::id(&HeaderMap::new()).unwrap(), super::id(&HeaderMap::new()).unwrap());
}
