//! A service of somebody else's: an OpenAI-compatible model that says what the test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

/// What the next requests meet.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// These pieces, and the end.
    Says(Vec<&'static str>),
    /// These pieces, and then nothing until the client hangs up.
    Hesitates(Vec<&'static str>),
    /// These pieces, and the end once it feels otherwise.
    Ponders(Vec<&'static str>),
    /// This status line.
    Refuses(&'static str),
}

#[derive(Debug)]
struct Shared {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<Value>>,
    hung_up: Mutex<u32>,
}

#[derive(Debug)]
pub(crate) struct OpenAi {
    /// Up to `/v1`.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenAi {
    pub(crate) fn start(mood: Mood) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let shared = Arc::new(Shared { mood: Mutex::new(mood), asked: Mutex::default(), hung_up: Mutex::default() });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), serving) = (stream, serving.clone()) else { return };
                // a client that is gone is what some tests are about
                std::thread::spawn(move || drop(serving.answer(stream)));
            }
        });
        Ok(Self { url, shared })
    }

    pub(crate) fn feels(&self, mood: Mood) {
        *locked(&self.shared.mood) = mood;
    }

    pub(crate) fn last_asked(&self) -> anyhow::Result<Value> {
        locked(&self.shared.asked).last().cloned().context("it was not asked")
    }

    /// Clients that went away from a service that hesitated.
    pub(crate) fn hung_up(&self) -> u32 {
        *locked(&self.shared.hung_up)
    }
}

impl Shared {
    fn answer(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        locked(&self.asked).push(serde_json::from_slice(&body)?);
        let mood = locked(&self.mood).clone();
        let (pieces, ends) = match mood.clone() {
            Mood::Refuses(status) => {
                let text = json!({ "error": { "message": "no", "code": "scripted" } }).to_string();
                write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}", text.len())?;
                return Ok(());
            }
            Mood::Says(pieces) | Mood::Ponders(pieces) => (pieces, true),
            Mood::Hesitates(pieces) => (pieces, false),
        };
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")?;
        let mut say = |chunk: Value| write!(stream, "data: {chunk}\n\n").and_then(|()| stream.flush());
        for piece in &pieces {
            say(json!({ "choices": [{ "index": 0, "delta": { "content": piece }, "finish_reason": null }] }))?;
        }
        while matches!(mood, Mood::Ponders(_)) && matches!(*locked(&self.mood), Mood::Ponders(_)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if ends {
            say(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }))?;
            say(json!({ "choices": [], "usage": { "prompt_tokens": 200, "completion_tokens": pieces.len() } }))?;
            stream.write_all(b"data: [DONE]\n\n")?;
        } else {
            reader.read_to_end(&mut Vec::new())?;
            *locked(&self.hung_up) += 1;
        }
        Ok(())
    }
}
