//! One file over HTTP: resumed where it broke off, verified, and only then given its name.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::parts::{hash, part_path, publish, remove, size_of};
use super::pull::PullOptions;
use crate::EngineError;

/// What to fetch. `what` names it in errors: URLs stay out of them, for an index may put credentials there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) url: &'a str,
    pub(super) what: &'a str,
    pub(super) destination: &'a Path,
    pub(super) bytes: u64,
    /// None where only the size is known: then nothing is resumed.
    pub(super) sha256: Option<&'a str>,
}

/// How often to try again when nothing more arrives, and how long to wait before that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) tries: u32,
    pub(super) delay: Duration,
}

/// Why an attempt ended without the whole file.
enum Stopped {
    /// Trying again may help.
    Again(String),
    /// It will not.
    Final(EngineError),
}

/// `headers` go with every request, but for secret ones after a redirect to another host.
pub(super) fn client(options: &PullOptions, headers: HeaderMap) -> Result<Client, EngineError> {
    // reqwest is built without a TLS provider of its own. Failure means that someone installed one before: fine.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    // Roots are the system's, or those of SSL_CERT_FILE and SSL_CERT_DIR (rustls-platform-verifier).
    Client::builder()
        .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        .build()
        .map_err(|error| EngineError::Library { operation: "starting the HTTP client", reason: reason(error) })
}

/// Fetches into `<destination>.part`, verifies, renames. Returns the bytes that came over the network.
///
/// `on_bytes` is told how much of the file is there, bytes of earlier attempts included.
pub(super) async fn fetch(
    client: &Client,
    wanted: Wanted<'_>,
    retry: Retry,
    on_bytes: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, EngineError> {
    let part = part_path(wanted.destination);
    let Some(sha256) = wanted.sha256 else {
        remove(&part).await?;
        let received = fill(client, wanted, &part, retry, on_bytes).await?;
        publish(&part, wanted.destination).await?;
        return Ok(received);
    };
    let from_before = size_of(&part).await? > 0;
    let mut received = fill(client, wanted, &part, retry, on_bytes).await?;
    let mut found = hash(&part).await?;
    if found != sha256 && from_before {
        tracing::warn!(file = %part.display(), "the part left by an earlier pull was bad; starting over");
        remove(&part).await?;
        received += fill(client, wanted, &part, retry, on_bytes).await?;
        found = hash(&part).await?;
    }
    if found != sha256 {
        remove(&part).await?;
        let file = wanted.destination.to_owned();
        return Err(EngineError::CorruptModel { file, expected: sha256.to_owned(), found });
    }
    publish(&part, wanted.destination).await?;
    Ok(received)
}

/// Attempts until the part has the wanted size. An attempt that brought bytes resets the count of tries.
async fn fill(
    client: &Client,
    wanted: Wanted<'_>,
    part: &Path,
    retry: Retry,
    on_bytes: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, EngineError> {
    let (mut received, mut failures) = (0, 0);
    loop {
        let have = size_of(part).await?;
        if have == wanted.bytes {
            return Ok(received);
        }
        let reason = match attempt(client, wanted, part, have, on_bytes, &mut received).await {
            Ok(()) => "the server sent less than it should".to_owned(),
            Err(Stopped::Again(reason)) => reason,
            Err(Stopped::Final(error)) => return Err(error),
        };
        failures = if size_of(part).await? > have { 1 } else { failures + 1 };
        if size_of(part).await? == wanted.bytes {
            return Ok(received);
        }
        if failures >= retry.tries {
            return Err(failed(wanted, reason));
        }
        tracing::info!(file = wanted.what, reason, failures, "download broke off; resuming");
        tokio::time::sleep(retry.delay * failures).await;
    }
}

async fn attempt(
    client: &Client,
    wanted: Wanted<'_>,
    part: &Path,
    have: u64,
    on_bytes: &(dyn Fn(u64) + Send + Sync),
    received: &mut u64,
) -> Result<(), Stopped> {
    if have > wanted.bytes {
        remove(part).await.map_err(Stopped::Final)?;
        return Err(Stopped::Again("the part of an earlier pull was too long".to_owned()));
    }
    let mut request = client.get(wanted.url).header(ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let mut response = request.send().await.map_err(|error| classify(wanted, error))?;
    let (mut file, mut done) = open_part(&response, wanted, part, have).await?;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) => {
                file.flush().await.map_err(|error| io(part, error))?;
                return Err(Stopped::Again(reason(error)));
            }
        };
        done += chunk.len() as u64;
        *received += chunk.len() as u64;
        if done > wanted.bytes {
            drop(file);
            remove(part).await.map_err(Stopped::Final)?;
            let reason = format!("the server sent more than the pinned {} bytes", wanted.bytes);
            return Err(Stopped::Final(failed(wanted, reason)));
        }
        file.write_all(&chunk).await.map_err(|error| io(part, error))?;
        on_bytes(done);
    }
    file.flush().await.map_err(|error| io(part, error))
}

/// Decides from the answer's head whether to append to the part or to begin it anew.
async fn open_part(response: &Response, wanted: Wanted<'_>, part: &Path, have: u64) -> Result<(File, u64), Stopped> {
    let status = response.status();
    let begins_at_have = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok())
        .is_some_and(|range| range.trim().starts_with(&format!("bytes {have}-")));
    if status == StatusCode::PARTIAL_CONTENT && begins_at_have {
        let file = OpenOptions::new().append(true).create(true).open(part).await.map_err(|error| io(part, error))?;
        return Ok((file, have));
    }
    if status == StatusCode::OK {
        let file = File::create(part).await.map_err(|error| io(part, error))?;
        return Ok((file, 0));
    }
    if matches!(status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
        remove(part).await.map_err(Stopped::Final)?;
        return Err(Stopped::Again("the server would not resume".to_owned()));
    }
    let reason = format!("the server answered {status}");
    if status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
        return Err(Stopped::Again(reason));
    }
    Err(Stopped::Final(failed(wanted, reason)))
}

/// A host that cannot be connected to is not tried again: the caller has another source.
fn classify(wanted: Wanted<'_>, error: reqwest::Error) -> Stopped {
    if error.is_connect() || error.is_builder() { Stopped::Final(failed(wanted, reason(error))) } else { Stopped::Again(reason(error)) }
}

fn failed(wanted: Wanted<'_>, reason: String) -> EngineError {
    EngineError::Download { what: wanted.what.to_owned(), reason }
}

fn io(path: &Path, error: std::io::Error) -> Stopped {
    Stopped::Final(EngineError::io("write", path)(error))
}

/// The whole chain of causes; reqwest's own message is only its outermost. Without the URL.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
