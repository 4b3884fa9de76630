//! A service with a model in it: of words, and as predictable as they come. For the promises of the trait.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use super::server::{chunk, events, read_request};

const WORDS: [&str; 8] = ["the ", "cold ", "chain ", "é ", "keeps ", "vaccines ", "2°C. ", "always "];
const WORDS_MAX: usize = 40;

/// Serves until the process ends; the base address, up to `/v1`.
pub(super) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // a client that is gone is not this service's concern
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    url
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let asked = read_request(&mut stream)?;
    let (kind, body) = if asked.path.ends_with("chat/completions") {
        ("text/event-stream", complete(&asked.body))
    } else {
        ("application/json", echo(&asked.body).to_string())
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n{body}")?;
    stream.flush()
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Words that follow from the conversation, up to a stop text or the limit.
fn complete(body: &Value) -> String {
    let conversation = body["messages"].to_string();
    let limit = body["max_tokens"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(WORDS_MAX);
    let stops: Vec<&str> = body["stop"].as_array().map(|stops| stops.iter().filter_map(Value::as_str).collect()).unwrap_or_default();
    let word = |at: usize| WORDS[(hash(&format!("{conversation}{at}")) % WORDS.len() as u64) as usize];
    let whole: String = (0..limit.min(WORDS_MAX)).map(word).collect();
    let stopped = stops.iter().filter_map(|stop| whole.find(stop)).min();
    let said = whole.get(..stopped.unwrap_or(whole.len())).unwrap_or_default();
    let finish = if stopped.is_none() && limit <= WORDS_MAX { "length" } else { "stop" };
    let mut chunks: Vec<Value> = said.split_inclusive(' ').map(|word| chunk(json!({ "content": word }), None)).collect();
    let count = chunks.len();
    chunks.push(chunk(json!({}), Some(finish)));
    chunks.push(json!({ "choices": [], "usage": { "prompt_tokens": conversation.len(), "completion_tokens": count } }));
    events(&chunks)
}

/// Every character is a token whose probability follows from what stands before it.
fn echo(body: &Value) -> Value {
    let prompt = body["prompt"].as_str().unwrap_or_default();
    let ends: Vec<usize> = prompt.char_indices().map(|(at, _)| at).collect();
    let logprobs: Vec<Option<f64>> = ends.iter().map(|at| (*at > 0).then(|| -((hash(&prompt[..*at]) % 1000) as f64) / 100.0)).collect();
    json!({ "choices": [{ "logprobs": { "token_logprobs": logprobs, "text_offset": (0..ends.len()).collect::<Vec<_>>() } }] })
}
