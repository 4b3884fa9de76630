//! A web server that follows a script: one reply per connection, in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: String,
    kind: &'static str,
    body: String,
    /// Says nothing more, and waits until the client hangs up.
    hangs: bool,
}

impl Reply {
    pub(super) fn stream(body: &str) -> Self {
        Self { status: "200 OK".into(), kind: "text/event-stream", body: body.into(), hangs: false }
    }

    pub(super) fn hang(body: &str) -> Self {
        Self { hangs: true, ..Self::stream(body) }
    }

    pub(super) fn json(body: &str) -> Self {
        Self { kind: "application/json", ..Self::stream(body) }
    }

    pub(super) fn status(status: &str, body: &str) -> Self {
        Self { status: status.into(), ..Self::json(body) }
    }
}

/// What the client sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) body: Value,
}

#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    hung_up: Arc<tokio::sync::Notify>,
}

impl Server {
    pub(super) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Self { address, asked: Arc::default(), hung_up: Arc::default() };
        let (asked, hung_up) = (server.asked.clone(), server.hung_up.clone());
        std::thread::spawn(move || {
            for reply in replies {
                let Ok((stream, _)) = listener.accept() else { return };
                if answer(stream, &reply, &asked).is_ok() && reply.hangs {
                    hung_up.notify_one();
                }
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panics").clone()
    }

    /// Until the client of a reply that hangs is gone.
    pub(super) async fn wait_until_hung_up(&self) {
        self.hung_up.notified().await;
    }
}

fn answer(mut stream: TcpStream, reply: &Reply, asked: &Mutex<Vec<Asked>>) -> std::io::Result<()> {
    let request = read_request(&mut stream)?;
    asked.lock().expect("no panics").push(request);
    write!(
        stream,
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
        reply.status, reply.kind
    )?;
    stream.write_all(reply.body.as_bytes())?;
    stream.flush()?;
    if reply.hangs {
        // ends with the client's side of the connection
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

/// One request; nothing of what follows it is read.
pub(super) fn read_request(stream: &mut TcpStream) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { path, authorization, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// A chunk of a chat completion.
pub(super) fn chunk(delta: Value, finish: Option<&str>) -> Value {
    json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }], "usage": null })
}

/// Chunks as an event stream.
pub(super) fn events(chunks: &[Value]) -> String {
    let events: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    format!("{events}data: [DONE]\n\n")
}
