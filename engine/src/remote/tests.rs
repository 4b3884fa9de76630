//! Against a server that speaks the protocol, and one that speaks it badly.

mod model;
mod server;

use std::time::Duration;

use serde_json::json;

use super::sse::Events;
use super::{RemoteGenerator, RemoteOptions};
use crate::{Answer, ContextMode, EngineError, Generator};
use crate::{Constraint, Finish, GenerationEnd, GenerationEvent, GenerationRequest, Message, Part, Role, Sampling, ScoreRequest};
use server::{Reply, Server, chunk, events};

const KEY: &str = "sk-very-secret";

fn options(server: &Server) -> RemoteOptions {
    RemoteOptions {
        key: Some(KEY.to_owned()),
        retry_delay: Duration::from_millis(1),
        first_token_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(20),
        ..RemoteOptions::new(format!("{}/v1", server.url()), "big-model".to_owned())
    }
}

fn generator(server: &Server) -> RemoteGenerator {
    RemoteGenerator::new(options(server)).unwrap()
}

fn request() -> GenerationRequest {
    let system = Message { role: Role::System, parts: vec![Part::Text("Be brief.".into())] };
    let parts = vec![Part::Source("[1] Ice is cold. ".into()), Part::Source("[2] Fire is hot. ".into()), Part::Text("What is ice?".into())];
    GenerationRequest {
        messages: vec![system, Message { role: Role::User, parts }],
        mode: ContextMode::Full,
        sampling: Sampling::default(),
        tokens_max: 20,
        stop: vec![],
        log_probabilities: None,
        constraint: None,
        adapter: None,
    }
}

fn said() -> String {
    events(&[
        chunk(json!({ "role": "assistant", "content": "" }), None),
        chunk(json!({ "content": "Ice is" }), None),
        chunk(json!({ "content": " cöld." }), None),
        chunk(json!({}), Some("stop")),
        json!({ "choices": [], "usage": { "prompt_tokens": 31, "completion_tokens": 4, "prompt_tokens_details": { "cached_tokens": 16 } } }),
    ])
}

async fn answer(server: &Server) -> Result<(String, GenerationEnd), EngineError> {
    generator(server).generate(request()).await?.collect().await
}

#[tokio::test]
async fn an_answer_is_streamed() {
    let server = Server::start(vec![Reply::stream(&said())]);
    let (text, end) = answer(&server).await.unwrap();
    assert_eq!(text, "Ice is cöld.");
    let expected = GenerationEnd { finish: Finish::Stop, prompt_tokens: 31, cached_tokens: 16, answer_tokens: 4, tokens: vec![] };
    assert_eq!(end, expected);
    let asked = server.asked();
    assert_eq!(asked[0].path, "/v1/chat/completions");
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert_eq!(
        asked[0].body,
        json!({
            "model": "big-model", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 20, "temperature": 0.0, "seed": 0,
            "messages": [
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "[1] Ice is cold. [2] Fire is hot. What is ice?" },
            ],
        })
    );
}

#[tokio::test]
async fn parameters_are_sent_where_they_are_used() {
    let server = Server::start(vec![Reply::stream(&said())]);
    let sampling = Sampling { temperature: 0.5, top_k: 7, top_p: 0.25, presence_penalty: -0.5, seed: 9, ..Sampling::default() };
    let schema = json!({ "type": "object" });
    let request = GenerationRequest {
        sampling,
        stop: vec!["\n".into()],
        log_probabilities: Some(2),
        constraint: Some(Constraint::JsonSchema(schema.clone())),
        ..request()
    };
    generator(&server).generate(request).await.unwrap().collect().await.unwrap();
    let body = &server.asked()[0].body;
    for (name, value) in [
        ("temperature", json!(0.5)),
        ("top_k", json!(7)),
        ("top_p", json!(0.25)),
        ("presence_penalty", json!(-0.5)),
        ("seed", json!(9)),
        ("stop", json!(["\n"])),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(2)),
        ("response_format", json!({ "type": "json_schema", "json_schema": { "name": "answer", "strict": true, "schema": schema } })),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    assert!(body.get("frequency_penalty").is_none() && body.get("min_p").is_none());
}

#[tokio::test]
async fn probabilities_come_with_their_piece() {
    let token = json!({ "token": "Ice", "logprob": -0.25, "top_logprobs": [{ "token": "Ice", "logprob": -0.25 }, { "token": "It", "logprob": -2.5 }] });
    let piece = json!({ "choices": [{ "index": 0, "delta": { "content": "Ice" }, "logprobs": { "content": [token] } }] });
    let server = Server::start(vec![Reply::stream(&events(&[piece, chunk(json!({}), Some("length"))]))]);
    let generator = generator(&server);
    let mut stream = generator.generate(request()).await.unwrap();
    let Some(GenerationEvent::Piece { text, tokens }) = stream.next().await else { panic!("a piece") };
    assert_eq!((text.as_str(), tokens[0].chosen.log_probability, tokens[0].alternatives.len()), ("Ice", -0.25, 2));
    let Some(GenerationEvent::End(end)) = stream.next().await else { panic!("an end") };
    assert_eq!((end.finish, end.answer_tokens), (Finish::Length, 1));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn only_an_answer_that_has_not_begun_is_asked_for_again() {
    // refused, cut off before a word, broken within an error: then it works
    let server = Server::start(vec![Reply::status("429 Too Many Requests", "{}"), Reply::stream(""), Reply::stream(&said())]);
    assert_eq!(answer(&server).await.unwrap().0, "Ice is cöld.");
    // what has begun is not begun again
    let begun = events(&[chunk(json!({ "content": "Ice" }), None)]);
    let begun = begun.strip_suffix("data: [DONE]\n\n").unwrap();
    let server = Server::start(vec![Reply::stream(begun), Reply::stream(&said())]);
    assert!(matches!(answer(&server).await, Err(EngineError::Remote { .. })));
    assert_eq!(server.asked().len(), 1);
    // attempts have an end
    let server = Server::start(vec![Reply::status("503 Service Unavailable", "{}"); 5]);
    assert!(matches!(answer(&server).await, Err(EngineError::Remote { status: Some(503), .. })));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn refusals_are_told_apart_and_not_repeated() {
    let key_error = format!("{{\"error\": {{\"message\": \"Incorrect API key {KEY}\", \"code\": \"invalid_api_key\"}}}}");
    let too_long = r#"{"error": {"message": "What is ice?", "type": "invalid_request_error", "code": "context_length_exceeded"}}"#;
    for (reply, expected) in [
        (Reply::status("401 Unauthorized", &key_error), "the remote model failed: it answered 401 Unauthorized (invalid_api_key)"),
        (Reply::status("404 Not Found", "no JSON"), "the remote model failed: it answered 404 Not Found"),
        (
            Reply::status("400 Bad Request", too_long),
            "the request does not fit the model: the remote model refused it: it answered 400 Bad Request (context_length_exceeded)",
        ),
        (Reply::status("302 Found", ""), "the remote model failed: it answered 302 Found"),
        (Reply::json("{}"), "the remote model failed: its reply is no event stream"),
        (
            Reply::stream(&events(&[chunk(json!({}), Some("content_filter"))])),
            "the remote model failed: its content filter ended the answer",
        ),
    ] {
        let server = Server::start(vec![reply; 4]);
        let error = answer(&server).await.unwrap_err().to_string();
        assert_eq!(error, expected);
        let once = !expected.contains("content filter");
        assert!(!once || server.asked().len() == 1, "{expected}");
    }
}

#[tokio::test]
async fn broken_streams_are_typed_errors() {
    let huge = format!("data: {}\n\n", "x".repeat(70_000));
    for (stream, words) in [
        ("data: {]\n\n", "malformed"),
        ("data: {\"choices\": 7}\n\n", "malformed"),
        ("data: {\"error\": {\"message\": \"What is ice?\"}}\n\n", "with an error"),
        ("data: [DONE]\n\n", "before the end"),
        (": ping\n\nevent: x\n\n", "before the end"),
        ("\u{0}\u{1}\n\n", "before the end"),
        (huge.as_str(), "more than 65536 bytes"),
    ] {
        let server = Server::start(vec![Reply::stream(stream); 3]);
        let generator = RemoteGenerator::new(RemoteOptions { reply_max_bytes: 65_536, ..options(&server) }).unwrap();
        let error = generator.generate(request()).await.unwrap().collect().await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, EngineError::Remote { .. }) && text.contains(words) && !text.contains("What is ice"),
            "{stream:.40}: {text}"
        );
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let server = Server::start(vec![Reply::hang(""), Reply::hang(&events(&[chunk(json!({ "content": "Ice" }), None)])[..60])]);
    for _ in 0..2 {
        let patience = Duration::from_millis(30);
        let options = RemoteOptions { first_token_timeout: patience, idle_timeout: patience, tries: 1, ..options(&server) };
        let error = RemoteGenerator::new(options).unwrap().generate(request()).await.unwrap().collect().await.unwrap_err();
        assert!(matches!(error, EngineError::Remote { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_stream_ends_the_request() {
    let begun = events(&[chunk(json!({ "content": "Ice" }), None)]);
    let server = Server::start(vec![Reply::hang(begun.strip_suffix("data: [DONE]\n\n").unwrap())]);
    let generator = RemoteGenerator::new(RemoteOptions { concurrent_requests: 1, ..options(&server) }).unwrap();
    let mut stream = generator.generate(request()).await.unwrap();
    assert!(matches!(stream.next().await, Some(GenerationEvent::Piece { .. })));
    assert!(matches!(generator.generate(request()).await, Err(EngineError::Overloaded { waiting: 1 })));
    drop(stream);
    server.wait_until_hung_up().await;
    while generator.under_way.available_permits() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_remote_model_cannot_do_is_refused_at_once() {
    let server = Server::start(vec![]);
    let generator = generator(&server);
    let refused = [
        GenerationRequest { mode: ContextMode::Blocks, ..request() },
        GenerationRequest { constraint: Some(Constraint::Regex("a+".into())), ..request() },
        GenerationRequest { tokens_max: 0, ..request() },
        GenerationRequest { messages: vec![Message { role: Role::User, parts: vec![Part::Text("x".repeat(100_000))] }], ..request() },
    ];
    for request in refused {
        assert!(matches!(generator.generate(request).await, Err(EngineError::Prompt { .. })));
    }
    let adapted = GenerationRequest { adapter: Some("a".into()), ..request() };
    assert!(matches!(generator.generate(adapted).await, Err(EngineError::Adapter { .. })));
    assert!(matches!(generator.score(score(vec![])).await, Err(EngineError::Unscored { .. })));
}

fn score(subsets: Vec<Vec<bool>>) -> ScoreRequest {
    ScoreRequest {
        messages: request().messages,
        mode: ContextMode::Full,
        answer: Answer::Text("Ice is cold.".into()),
        subsets,
        adapter: None,
    }
}

/// What vLLM answers: a token per character here, each less likely than the one before.
fn echoed(prompt: &str) -> String {
    let count = prompt.chars().count();
    let logprobs: Vec<Option<f32>> = (0..count).map(|at| (at > 0).then_some(-(at as f32))).collect();
    json!({ "choices": [{ "logprobs": { "token_logprobs": logprobs, "text_offset": (0..count).collect::<Vec<_>>() } }] }).to_string()
}

#[tokio::test]
async fn an_answer_is_scored_under_subsets() {
    let prompts = [
        "system: Be brief.\n\nuser: [1] Ice is cold. [2] Fire is hot. What is ice?\n\nassistant: Ice is cold.",
        "system: Be brief.\n\nuser: [2] Fire is hot. What is ice?\n\nassistant: Ice is cold.",
    ];
    let server = Server::start(prompts.iter().map(|prompt| Reply::json(&echoed(prompt))).collect());
    let generator = RemoteGenerator::new(RemoteOptions { scores: true, ..options(&server) }).unwrap();
    let scores = generator.score(score(vec![vec![true, true], vec![false, true]])).await.unwrap();
    for ((asked, prompt), score) in server.asked().iter().zip(prompts).zip(&scores) {
        assert_eq!((asked.path.as_str(), asked.body["prompt"].as_str().unwrap()), ("/v1/completions", prompt));
        assert_eq!((&asked.body["echo"], &asked.body["max_tokens"]), (&json!(true), &json!(0)));
        let first = prompt.chars().count() - "Ice is cold.".len();
        assert_eq!(score.log_probabilities, (first..first + 12).map(|at| -(at as f32)).collect::<Vec<_>>());
    }
    let short = score(vec![vec![true]]);
    assert!(matches!(generator.score(short).await, Err(EngineError::Prompt { .. })));
}

#[tokio::test]
async fn a_service_that_does_not_echo_does_not_score() {
    for reply in [
        r#"{"choices": [{"text": "x"}]}"#,
        r#"{"choices": []}"#,
        "[]",
        r#"{"choices": [{"logprobs": {"token_logprobs": [-1.0], "text_offset": [400]}}]}"#,
        r#"{"choices": [{"logprobs": {"token_logprobs": [null], "text_offset": [0]}}]}"#,
        r#"{"choices": [{"logprobs": {"token_logprobs": [0.5], "text_offset": [0]}}]}"#,
    ] {
        let server = Server::start(vec![Reply::json(reply)]);
        let generator = RemoteGenerator::new(RemoteOptions { scores: true, ..options(&server) }).unwrap();
        let error = generator.score(score(vec![vec![true, true]])).await.unwrap_err();
        assert!(matches!(error, EngineError::Unscored { .. }), "{reply}: {error}");
    }
}

#[tokio::test]
async fn every_promise_of_the_trait_is_kept() {
    for scores in [false, true] {
        let options = RemoteOptions { scores, ..RemoteOptions::new(model::serve(), "words".to_owned()) };
        crate::conformance::check_generator(&RemoteGenerator::new(options).unwrap()).await.unwrap();
    }
}

#[test]
fn the_key_is_in_no_debug_output_and_goes_nowhere_in_the_clear() {
    let with = |url: &str| RemoteOptions { key: Some(KEY.to_owned()), ..RemoteOptions::new(url.to_owned(), "m".to_owned()) };
    let generator = RemoteGenerator::new(with("https://models.example/v1/")).unwrap();
    assert!(!format!("{generator:?}").contains(KEY));
    for url in
        ["http://models.example/v1", "ftp://localhost/v1", "models.example", "https://u:p@models.example/v1", "https://m.example/?key=1"]
    {
        assert!(matches!(RemoteGenerator::new(with(url)), Err(EngineError::UnsupportedModel { .. })), "{url}");
    }
    RemoteGenerator::new(with("http://127.0.0.1:1/v1")).unwrap();
    RemoteGenerator::new(RemoteOptions { key: None, ..with("http://models.example/v1") }).unwrap();
}

/// Wherever the network cuts it.
#[test]
fn events_do_not_depend_on_packets() {
    let text = ": hello\r\n\r\ndata: one\r\ndata: more\r\n\r\nevent: x\ndata:two\n\nid: 7\n\ndata\n\ndata: last";
    for length in 1..text.len() {
        let mut events = Events::default();
        let mut found: Vec<Vec<u8>> = text.as_bytes().chunks(length).flat_map(|bytes| events.push(bytes)).collect();
        found.extend(events.finish());
        assert_eq!(found, [&b"one\nmore"[..], b"two", b"last"], "{length}");
    }
}
