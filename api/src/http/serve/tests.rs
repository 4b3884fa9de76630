//! Real sockets: time-outs and limits as clients meet them. Waiting is for what must come, never for a time.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;
use crate::config::{Config, Sources};

struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

async fn served(settings: &[&str]) -> Served {
    let router = Router::new().route("/", get(|| async { "seen" })).route("/body", post(|body: String| async move { body }));
    served_by(router, settings).await
}

async fn served_by(router: Router, settings: &[&str]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let set = settings.iter().map(|text| (*text).to_owned()).collect();
    let http = Config::load(&Sources { data_dir: folder.path().into(), file: None, set, defaults: &[] }).unwrap().http;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, router, http, stop.clone()));
    Served { address, stop, task }
}

impl Served {
    async fn connect(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self) -> String {
        self.connect("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.rest().await
    }
}

trait Rest {
    async fn rest(&mut self) -> String;
}

impl Rest for TcpStream {
    /// What comes until the connection is closed.
    async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        // A reset closes it too.
        drop(self.read_to_end(&mut text).await);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[tokio::test]
async fn a_half_open_request_is_closed() {
    let served = served(&["http.header_timeout_seconds=1"]).await;
    for begun in ["", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: "] {
        let mut stream = served.connect(begun).await;
        // Ends by itself, or this test hangs.
        assert!(!stream.rest().await.contains("seen"), "{begun:?}");
    }
    assert!(served.get().await.contains("seen"));
}

#[tokio::test]
async fn those_who_say_nothing_take_nobodys_place() {
    let served = served(&["http.header_timeout_seconds=600", "http.max_connections=8", "http.max_connections_per_address=8"]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(served.connect("GET / HTTP/1.1\r\nhost:").await);
        if silent.len() % 10 == 0 {
            assert!(served.get().await.contains("seen"), "{} are silent", silent.len());
        }
    }
    // The first were closed to make place.
    assert_eq!(silent[0].rest().await, "");
}

#[tokio::test]
async fn bodies_that_trickle_take_nobodys_place() {
    let served = served(&["http.max_connections=8", "http.max_connections_per_address=8"]).await;
    let mut trickling = Vec::new();
    for _ in 0..8 {
        let head = "POST /body HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n";
        let mut stream = served.connect(head).await;
        // Its body is waited for.
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(b"{").await.unwrap();
        trickling.push(stream);
    }
    assert!(served.get().await.contains("seen"));
    // The first was closed to make place, with what else there was of its 100.
    assert!(!trickling[0].rest().await.contains("HTTP"));
}

/// Says what becomes of it.
struct Told(UnboundedSender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send("ended");
    }
}

#[tokio::test]
async fn who_hangs_up_is_not_worked_for_whatever_was_sent_before() {
    let (teller, mut told) = unbounded_channel();
    let endless = |teller: UnboundedSender<&'static str>| async move {
        let told = Told(teller);
        let _ = told.0.send("begun");
        std::future::pending::<()>().await;
    };
    let (unread, read) = (teller.clone(), teller);
    let router =
        Router::new().route("/unread", post(move || endless(unread.clone()))).route("/", post(move |_: String| endless(read.clone())));
    let served = served_by(router, &[]).await;
    let post = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx";
    let unread = format!("POST /unread HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(20_000));
    let next = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for sent in [post.to_owned(), format!("{post}{next}"), format!("{post}G"), unread, format!("{post}{}", next.repeat(50_000))] {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // Not all of it is taken, and then the connection is closed.
        let sending = tokio::spawn(async move {
            drop(stream.write_all(sent.as_bytes()).await);
            stream
        });
        assert_eq!(told.recv().await, Some("begun"));
        drop(sending.await.unwrap());
        // Or this test hangs.
        assert_eq!(told.recv().await, Some("ended"));
    }
}

#[tokio::test]
async fn requests_that_were_sent_together_are_all_answered() {
    let slow = get(|| async {
        // Long enough for what was sent beside it to be read.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        "seen"
    });
    let served = served_by(Router::new().route("/", slow), &["http.header_timeout_seconds=600"]).await;
    let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut stream = served.connect(request).await;
    for more in [request, "GET / HT", &request[8..], last] {
        stream.write_all(more.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(stream.rest().await.matches("seen").count(), 4);
}

#[tokio::test]
async fn a_head_that_is_far_too_large_is_cut_off() {
    let served = served(&[]).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "x".repeat(400_000));
    let mut said = [0; 12];
    let (_, read) = tokio::join!(writing.write_all(head.as_bytes()), reading.read_exact(&mut said));
    read.unwrap();
    assert_eq!(&said, b"HTTP/1.1 431");
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_ends_what_waits() {
    let served = served(&["http.header_timeout_seconds=600"]).await;
    let mut idle = served.connect("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut begun = served.connect("POST /body HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\nabc").await;
    // Both are being answered before the end comes.
    let mut said = [0; 12];
    idle.read_exact(&mut said).await.unwrap();
    begun.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100");
    served.stop.cancel();
    assert!(idle.rest().await.contains("seen"));
    begun.write_all(b"def").await.unwrap();
    assert!(begun.rest().await.contains("abcdef"));
    served.task.await.unwrap().unwrap();
}
