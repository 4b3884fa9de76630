//! An HTTP server of a few lines that does what a test says, so that it can also do what no proper
//! server does.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What to do with a request.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// The request's ids, and this as every result.
    Answer(Value),
    /// A status with header lines and a body.
    Status(u16, &'static str, String),
    /// Exactly these bytes; the connection stays open and nothing follows.
    Bytes(Vec<u8>),
    /// Exactly these bytes, and the connection is closed.
    Cut(&'static str),
    /// This head, and then chunks without end.
    Endless,
    Close,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) requests: Vec<(Value, Instant)>,
    /// Body bytes that an endless reply got rid of.
    pub(super) endless_bytes: usize,
}

pub(super) struct Stub {
    pub(super) url: String,
    seen: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stub {
    /// A server that answers request `n`, counted from 0, with `script(n)`.
    pub(super) async fn start(script: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/key", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (shared, script) = (Arc::clone(&seen), Arc::new(script));
        let server = tokio::spawn(async move {
            // Dropping the set ends the connections with the server.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
                connections.spawn(async move {
                    // The client goes away in the midst of replies; that is what some tests are about.
                    let _ = serve(stream, &shared, script.as_ref()).await;
                });
            }
        });
        Self { url, seen, server }
    }

    pub(super) fn seen<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.lock().unwrap())
    }

    pub(super) fn requests(&self) -> usize {
        self.seen(|seen| seen.requests.len())
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Seen>, script: &(dyn Fn(usize) -> Reply + Send + Sync)) -> std::io::Result<()> {
    while let Some(request) = read_request(&mut stream).await? {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.requests.push((request.clone(), Instant::now()));
            seen.requests.len() - 1
        };
        match script(number) {
            Reply::Answer(result) => {
                let reply = |call: &Value| json!({ "jsonrpc": "2.0", "id": call["id"], "result": result });
                let body = request.as_array().map_or_else(|| reply(&request), |calls| calls.iter().map(reply).collect());
                stream.write_all(&full(200, "", &body.to_string())).await?;
            }
            Reply::Status(status, headers, body) => stream.write_all(&full(status, headers, &body)).await?,
            Reply::Bytes(bytes) => {
                stream.write_all(&bytes).await?;
                std::future::pending::<()>().await;
            }
            Reply::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                loop {
                    stream.write_all(b"1000\r\n").await?;
                    stream.write_all(&[b' '; 0x1000]).await?;
                    stream.write_all(b"\r\n").await?;
                    seen.lock().unwrap().endless_bytes += 0x1000;
                }
            }
            Reply::Cut(bytes) => return stream.write_all(bytes.as_bytes()).await,
            Reply::Close => return Ok(()),
        }
    }
    Ok(())
}

fn full(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<Value>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(serde_json::from_slice(&body).unwrap()))
}
