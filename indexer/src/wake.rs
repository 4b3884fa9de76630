//! Being woken when a node has a new block, over WebSocket.
//!
//! A notification is a reason to look, never a fact: what it says is not read, because nodes drop
//! and repeat them, and mark reorganisations unreliably. Whoever waits here polls as well.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, Stream};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::Result;
use crate::rpc::address::{parse, safe_text, shown, with_causes};

const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
/// A header is two kilobytes.
const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// Limits of a [`HeadWaker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeConfig {
    /// For connecting and subscribing.
    pub connect_timeout_ms: u64,
    /// The pause before connecting again; it doubles with each failure in a row.
    pub backoff_ms: u64,
    pub max_backoff_ms: u64,
    /// A connection over which nothing comes for so long is made anew.
    pub max_silence_ms: u64,
}

impl Default for WakeConfig {
    fn default() -> Self {
        Self { connect_timeout_ms: 10_000, backoff_ms: 500, max_backoff_ms: 60_000, max_silence_ms: 60_000 }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A subscription to new heads that renews itself. Works only while somebody waits; what came
/// meanwhile is one wake-up.
pub struct HeadWaker {
    url: String,
    /// Scheme, host and port.
    shown_url: String,
    config: WakeConfig,
    state: State,
    failures_in_a_row: u32,
}

enum State {
    Resting(Pin<Box<Sleep>>),
    Connecting(BoxFuture<'static, std::result::Result<Socket, String>>),
    Open { socket: Box<Socket>, silence: Pin<Box<Sleep>> },
}

/// What one message means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    NewHead,
    Subscribed,
    Refused,
    Nothing,
}

impl std::fmt::Debug for HeadWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeadWaker({})", self.shown_url)
    }
}

impl HeadWaker {
    /// Prepares a subscription over ws:// or wss://; nothing is sent before the first wait.
    ///
    /// # Errors
    /// [`crate::IndexerError::BadUrl`].
    pub fn connect(url: &str, config: WakeConfig) -> Result<Self> {
        let parsed = parse(url, ["ws", "wss"])?;
        // Installing a second time is refused, which is fine: one is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = State::Resting(Box::pin(sleep_until(Instant::now())));
        Ok(Self { url: parsed.to_string(), shown_url: shown(&parsed), config, state, failures_in_a_row: 0 })
    }

    /// The node's address without path, query and credentials.
    pub fn shown_url(&self) -> &str {
        &self.shown_url
    }

    /// Returns when there is a reason to look for a new block: a notification, or that the subscription
    /// was made and an earlier block may have been missed. Never returns while the node cannot be
    /// reached. Dropping the future loses nothing; the next call goes on.
    pub async fn wait(&mut self) {
        futures::future::poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Resting(until) => {
                    ready!(until.as_mut().poll(context));
                    self.state = State::Connecting(subscribe(self.url.clone(), from_now(self.config.connect_timeout_ms)).boxed());
                }
                State::Connecting(socket) => match ready!(socket.as_mut().poll(context)) {
                    Ok(socket) => {
                        let silence = Box::pin(sleep_until(from_now(self.config.max_silence_ms)));
                        self.state = State::Open { socket: Box::new(socket), silence };
                    }
                    Err(problem) => self.rest(&problem),
                },
                State::Open { socket, silence } => match read(socket, silence, context) {
                    Ok(wakes) => {
                        if wakes.heard {
                            silence.as_mut().reset(from_now(self.config.max_silence_ms));
                            // Polled once more, so that the new time wakes us.
                            let _ = silence.as_mut().poll(context);
                        }
                        if !wakes.is_due {
                            return Poll::Pending;
                        }
                        self.failures_in_a_row = 0;
                        return Poll::Ready(());
                    }
                    Err(problem) => self.rest(&problem),
                },
            }
        }
    }

    fn rest(&mut self, problem: &str) {
        let doubled = self.config.backoff_ms.saturating_mul(1 << self.failures_in_a_row.min(16));
        let pause_ms = doubled.min(self.config.max_backoff_ms);
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        tracing::debug!(url = self.shown_url, problem = safe_text(problem), pause_ms, "no notifications of new blocks; polling goes on");
        self.state = State::Resting(Box::pin(sleep_until(from_now(pause_ms))));
    }
}

/// At most a day, so that no configuration is beyond what a clock can tell.
fn from_now(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms.min(24 * 3_600_000))
}

async fn subscribe(url: String, deadline: Instant) -> std::result::Result<Socket, String> {
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connected = async {
        let (mut socket, _) = connect_async_with_config(url, Some(limits), true).await?;
        socket.send(Message::text(SUBSCRIBE)).await?;
        Ok::<_, Error>(socket)
    };
    match tokio::time::timeout_at(deadline, connected).await {
        Ok(result) => result.map_err(|error| with_causes(&error)),
        Err(_) => Err("no connection in time".into()),
    }
}

/// What all the messages that are here already amount to.
#[derive(Debug, Default)]
struct Wakes {
    heard: bool,
    is_due: bool,
}

fn read(socket: &mut Socket, silence: &mut Pin<Box<Sleep>>, context: &mut Context<'_>) -> std::result::Result<Wakes, String> {
    let mut wakes = Wakes::default();
    loop {
        match Pin::new(&mut *socket).poll_next(context) {
            Poll::Ready(Some(Ok(message))) => {
                wakes.heard = true;
                match meaning(&message) {
                    Meaning::NewHead | Meaning::Subscribed => wakes.is_due = true,
                    Meaning::Refused => return Err("the node refuses subscriptions".into()),
                    Meaning::Nothing => {}
                }
            }
            Poll::Ready(Some(Err(error))) => return Err(with_causes(&error)),
            Poll::Ready(None) => return Err("the connection was closed".into()),
            Poll::Pending if !wakes.heard && silence.as_mut().poll(context).is_ready() => return Err("nothing came for too long".into()),
            Poll::Pending => return Ok(wakes),
        }
    }
}

fn meaning(message: &Message) -> Meaning {
    #[derive(Deserialize)]
    struct Notice<'a> {
        #[serde(borrow, default)]
        method: Option<std::borrow::Cow<'a, str>>,
        #[serde(default)]
        result: Option<IgnoredAny>,
        #[serde(default)]
        error: Option<IgnoredAny>,
    }
    let Message::Text(text) = message else { return Meaning::Nothing };
    match serde_json::from_str::<Notice<'_>>(text.as_str()) {
        Ok(notice) if notice.method.as_deref() == Some("eth_subscription") => Meaning::NewHead,
        Ok(Notice { error: Some(_), .. }) => Meaning::Refused,
        Ok(Notice { result: Some(_), .. }) => Meaning::Subscribed,
        _ => Meaning::Nothing,
    }
}

#[cfg(test)]
mod tests;
