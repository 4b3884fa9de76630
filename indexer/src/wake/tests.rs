//! A WebSocket server on loopback that notifies, falls silent, refuses and goes away.

use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::accept_async;

use super::*;

const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":{"number":"nonsense"}}}"#;
const SUBSCRIBED: &str = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;

struct Server {
    url: String,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type ServerSocket = WebSocketStream<TcpStream>;

/// Serves connection `n` with `serve(n, socket)`, after its subscription.
async fn start<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(usize, ServerSocket) -> F + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/secret", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(stream).await.unwrap();
            let request = socket.next().await.unwrap().unwrap();
            assert!(request.to_text().unwrap().contains("eth_subscribe"), "{request:?}");
            connections.spawn(serve(number, socket));
        }
    });
    Server { url, task: task.abort_handle() }
}

fn quick() -> WakeConfig {
    WakeConfig { backoff_ms: 1, max_backoff_ms: 10, ..WakeConfig::default() }
}

async fn send(socket: &mut ServerSocket, text: &str) {
    // The other side may be gone.
    let _ = socket.send(Message::text(text)).await;
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("woken")
}

#[tokio::test]
async fn it_wakes_for_each_notice_and_after_each_new_connection() {
    let (notify, notified) = tokio::sync::mpsc::channel::<()>(8);
    let notified = std::sync::Arc::new(tokio::sync::Mutex::new(notified));
    let server = start(move |_, mut socket| {
        let notified = notified.clone();
        async move {
            send(&mut socket, SUBSCRIBED).await;
            if notified.lock().await.recv().await.is_some() {
                send(&mut socket, NOTICE).await;
                let _ = socket.close(None).await;
            }
        }
    })
    .await;
    let mut waker = HeadWaker::connect(&server.url, quick()).unwrap();
    in_time(waker.wait()).await;
    notify.send(()).await.unwrap();
    // The notice, and the connection that follows the one that ended, however they fall together.
    in_time(waker.wait()).await;
    notify.send(()).await.unwrap();
    in_time(waker.wait()).await;
}

#[tokio::test]
async fn who_waits_in_short_steps_is_woken_too() {
    let server = start(|number, mut socket| async move {
        assert_eq!(number, 0, "one connection serves all the steps");
        send(&mut socket, SUBSCRIBED).await;
        for _ in 0..1_000_000 {
            send(&mut socket, NOTICE).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut waker = HeadWaker::connect(&server.url, quick()).unwrap();
    let woken = async {
        let mut woken = 0;
        while woken < 10 {
            if tokio::time::timeout(Duration::from_micros(200), waker.wait()).await.is_ok() {
                woken += 1;
            }
        }
    };
    in_time(woken).await;
}

#[tokio::test]
async fn silence_and_noise_lead_to_a_new_connection() {
    let server = start(|number, mut socket| async move {
        match number {
            0 => std::future::pending().await,
            1 => send(&mut socket, &"x".repeat(2 * MAX_MESSAGE_BYTES)).await,
            2 => send(&mut socket, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no subscriptions"}}"#).await,
            _ => send(&mut socket, NOTICE).await,
        }
        std::future::pending().await
    })
    .await;
    let mut waker = HeadWaker::connect(&server.url, WakeConfig { max_silence_ms: 100, ..quick() }).unwrap();
    in_time(waker.wait()).await;
}

#[tokio::test]
async fn a_node_that_is_not_there_wakes_nobody() {
    let mut waker = HeadWaker::connect("ws://user:password@127.0.0.1:9/secret", quick()).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), waker.wait()).await.is_err());
    assert!(waker.failures_in_a_row > 0);
    assert_eq!((waker.shown_url(), format!("{waker:?}").as_str()), ("ws://127.0.0.1:9", "HeadWaker(ws://127.0.0.1:9)"));
    for bad in ["http://127.0.0.1:1", "127.0.0.1", ""] {
        assert!(HeadWaker::connect(bad, quick()).is_err(), "{bad}");
    }
}

#[test]
fn what_messages_mean() {
    for (text, expected) in [
        (NOTICE, Meaning::NewHead),
        (SUBSCRIBED, Meaning::Subscribed),
        (r#"{"id":1,"error":{"code":1}}"#, Meaning::Refused),
        (r#"{"id":1,"result":null,"error":null}"#, Meaning::Nothing),
        ("", Meaning::Nothing),
        ("[]", Meaning::Nothing),
        (r#"{"method":7}"#, Meaning::Nothing),
    ] {
        assert_eq!(meaning(&Message::text(text)), expected, "{text}");
    }
    assert_eq!(meaning(&Message::Ping(Vec::new().into())), Meaning::Nothing);
}
