//! Connections: accepted within limits, given a time for everything they must do, closed in order at shutdown.
//!
//! Nobody is let wait behind those who say nothing, or little: when all places are taken, the connection that has
//! waited longest for its request gives way, or else the one that has been sending its body longest. Nobody is worked
//! for who has hung up.

mod bodies;
mod connections;
mod hearing;
mod patient;

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::front::{LocalAddress, PeerAddress};
use crate::config::Http;
use bodies::{UntilRead, UntilSent};
use connections::{Connections, Place};
use hearing::Hearing;
use patient::Patient;

/// Heads up to this many times `http.max_header_bytes` are read, to be refused in words; larger ones are cut off.
const HEAD_FACTOR: usize = 4;
/// What hyper needs at least.
const HEAD_BYTES_MIN: usize = 8192;
/// After an error of accepting (no file descriptor is left), so that it is not tried again at once.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until stopped; then what is under way is finished.
///
/// # Errors
/// None today: a failed connection ends alone.
pub async fn serve(listener: TcpListener, router: Router, limits: Http, stop: CancellationToken) -> anyhow::Result<()> {
    let connections = Arc::new(Connections::new(limits.max_connections, limits.max_connections_per_address));
    let limits = Arc::new(limits);
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = PeerAddress(peer.ip().to_canonical());
                match connections.enter(peer.0) {
                    Some(place) => drop(tasks.spawn(converse(stream, peer, router.clone(), limits.clone(), place, stop.clone()))),
                    None => turn_away(&stream),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Says that there is no place, as far as that can be said without waiting.
fn turn_away(stream: &TcpStream) {
    let error = super::ApiError::busy("too many connections are open: try again shortly").body().to_string();
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close";
    drop(stream.try_write(format!("{head}\r\ncontent-length: {}\r\n\r\n{error}", error.len()).as_bytes()));
}

/// One connection, to its end.
async fn converse(stream: TcpStream, peer: PeerAddress, router: Router, limits: Arc<Http>, place: Place, stop: CancellationToken) {
    let Ok(local) = stream.local_addr() else { return };
    drop(stream.set_nodelay(true));
    let handle = place.handle();
    let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
        let begun = handle.begin();
        let mut request = request.map(|body| Body::new(UntilRead::new(body, handle.clone())));
        request.extensions_mut().insert(LocalAddress(local));
        request.extensions_mut().insert(peer);
        let mut router = router.clone();
        async move {
            let response = router.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| UntilSent::new(body, begun)))
        }
    });
    let (reading, writing) = stream.into_split();
    let hearing = Hearing::new(reading);
    let both = tokio::io::join(hearing.clone(), writing);
    let io = TokioIo::new(Patient::new(both, Duration::from_secs(limits.write_timeout_seconds)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_timeout_seconds))
        .max_buf_size(limits.max_header_bytes.saturating_mul(HEAD_FACTOR).max(HEAD_BYTES_MIN));
    let connection = builder.serve_connection(io, answer);
    tokio::pin!(connection);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // What can be answered at once is answered before the peer's end is looked for.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            // Whether it is at work changes in the branch before alone, so that no other waking is needed.
            () = poll_fn(|context| if place.is_working() { hearing.poll_gone(context) } else { Poll::Pending }) => {
                tracing::debug!("a peer hung up before its answer");
                return;
            }
            () = place.evicted() => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests;
