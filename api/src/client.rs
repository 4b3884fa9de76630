//! The HTTP client that the commands use.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::MAX_ITEMS;

/// A connection is made at once, or there is nobody.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A reply may take as long as it takes; every so often the service is asked whether it is still there.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// So many times in a row it may be too busy to say so.
const SILENCES: u64 = 40;

/// An error that the service answered with.
#[derive(Debug)]
pub struct ServiceError {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
}

impl std::fmt::Display for ServiceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for ServiceError {}

/// One HTTP client for the process: making one reads every root certificate of the system.
fn http() -> anyhow::Result<reqwest::Client> {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(http) = HTTP.get() {
        return Ok(http.clone());
    }
    // The only rustls provider that is compiled in; a second installation changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).build().context("preparing HTTP")?;
    Ok(HTTP.get_or_init(|| http).clone())
}

/// A service at an address, and the key to it.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// `base` is `http://host:port`.
    pub fn new(base: &str, key: Option<String>) -> anyhow::Result<Self> {
        Ok(Self { base: base.trim_end_matches('/').to_owned(), key, http: http()? })
    }

    /// Where the service of this data folder says it is.
    pub fn discover(data_dir: &Path) -> anyhow::Result<String> {
        let path = data_dir.join("service.json");
        let text = std::fs::read_to_string(&path).map_err(|_| {
            anyhow::anyhow!(
                "no service runs with the data folder {}; start one with `headwater up`, or name one with --url",
                data_dir.display()
            )
        })?;
        let file: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        file["url"].as_str().map(str::to_owned).with_context(|| format!("{} names no url", path.display()))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    /// What only curators and operators see: with [`crate::http::CURATOR_HEADER`] where somebody signed.
    pub async fn get_as_curator<T: DeserializeOwned>(&self, path: &str, signed: Option<&str>) -> anyhow::Result<T> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(match signed {
            Some(signed) => request.header(crate::http::CURATOR_HEADER, signed),
            None => request,
        })
        .await
    }

    /// A list with all its pages.
    pub async fn get_all<T: DeserializeOwned>(&self, path: &str, key: impl Fn(&T) -> String) -> anyhow::Result<Vec<T>> {
        self.get_all_as_curator(path, None, key).await
    }

    /// The same of one that only curators and operators see.
    pub async fn get_all_as_curator<T: DeserializeOwned>(
        &self,
        path: &str,
        signed: Option<&str>,
        key: impl Fn(&T) -> String,
    ) -> anyhow::Result<Vec<T>> {
        let mut items: Vec<T> = Vec::new();
        loop {
            let after = items.last().map_or(String::new(), |last| format!("&after={}", key(last)));
            let page: Vec<T> = self.get_as_curator(&format!("{path}?limit={MAX_ITEMS}{after}"), signed).await?;
            let is_last = page.len() < MAX_ITEMS;
            items.extend(page);
            if is_last {
                return Ok(items);
            }
        }
    }

    /// What a contributor sees of what they sent in, with [`crate::http::CONTRIBUTOR_HEADER`].
    pub async fn get_as_contributor<T: DeserializeOwned>(&self, path: &str, signed: &str) -> anyhow::Result<T> {
        self.send(self.http.get(format!("{}{path}", self.base)).header(crate::http::CONTRIBUTOR_HEADER, signed)).await
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.send(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(self.http.delete(format!("{}{path}", self.base))).await
    }

    /// A POST that the service does once per `request_id`, however often it is sent.
    pub async fn post_once<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, request_id: Option<&str>) -> anyhow::Result<T> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(id) = request_id {
            request = request.header("Idempotency-Key", id);
        }
        self.send(request).await
    }

    pub async fn upload<T: DeserializeOwned>(&self, path: &str, form: reqwest::multipart::Form) -> anyhow::Result<T> {
        self.send(self.http.post(format!("{}{path}", self.base)).multipart(form)).await
    }

    /// A POST that is answered by server-sent events: `on_event` is told the data of each, but for the `[DONE]` at the end. An
    /// event that is an error ends it as one.
    pub async fn post_events(
        &self,
        path: &str,
        body: &impl Serialize,
        request_id: Option<&str>,
        on_event: &mut (dyn FnMut(Value) + Send),
    ) -> anyhow::Result<()> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(id) = request_id {
            request = request.header("Idempotency-Key", id);
        }
        let mut reply = self.exchange(request).await?;
        let mut received = Vec::new();
        while let Some(bytes) = reply.chunk().await.with_context(|| format!("the reply of the service at {}", self.base))? {
            received.extend_from_slice(&bytes);
            while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = received.drain(..=end).collect();
                // the service writes each event's data in one line
                let Some(data) = line.strip_prefix(b"data: ").map(<[u8]>::trim_ascii) else { continue };
                if data == b"[DONE]" {
                    return Ok(());
                }
                let event: Value = serde_json::from_slice(data).with_context(|| format!("an event of the service at {}", self.base))?;
                if event.get("error").is_some() {
                    return Err(service_error(StatusCode::OK, &event).into());
                }
                on_event(event);
            }
        }
        bail!("the service at {} broke the answer off", self.base)
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let reply = self.exchange(request).await?;
        let text = reply.text().await.with_context(|| format!("the reply of the service at {}", self.base))?;
        serde_json::from_str(&text).with_context(|| format!("the service at {} answered something else than expected", self.base))
    }

    /// A reply that is no error.
    async fn exchange(&self, mut request: RequestBuilder) -> anyhow::Result<reqwest::Response> {
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let reply = tokio::select! {
            reply = request.send() => reply,
            error = self.gone() => return Err(error),
        };
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) if error.is_connect() => bail!("nothing answers at {}; is the service running (`headwater up`)?", self.base),
            Err(error) => return Err(error).context(format!("the service at {}", self.base)),
        };
        let status = reply.status();
        if status.is_success() {
            return Ok(reply);
        }
        let text = reply.text().await.with_context(|| format!("the reply of the service at {}", self.base))?;
        let error = service_error(status, &serde_json::from_str(&text).unwrap_or_default());
        Err(if self.key.is_none() { without_key(error) } else { error }.into())
    }
}

impl Client {
    /// Waits until nobody listens at the service's address, or it has said nothing for long.
    async fn gone(&self) -> anyhow::Error {
        let mut silent = 0;
        while silent < SILENCES {
            tokio::time::sleep(ALIVE_EVERY).await;
            match self.http.get(format!("{}/livez", self.base)).timeout(ALIVE_EVERY).send().await {
                Ok(_) => silent = 0,
                Err(error) if error.is_connect() && !error.is_timeout() => {
                    return anyhow::anyhow!("the service at {} has stopped", self.base);
                }
                Err(_) => silent += 1,
            }
        }
        anyhow::anyhow!("the service at {} has not answered for {} s", self.base, 2 * SILENCES * ALIVE_EVERY.as_secs())
    }
}

/// What the service says to HTTP clients, in the command line's words.
fn without_key(error: ServiceError) -> ServiceError {
    if error.status != StatusCode::UNAUTHORIZED || error.code != "unauthorised" {
        return error;
    }
    let message = "this needs an API key: --api-key KEY or $HEADWATER_API_KEY, the operator's in a data folder (--data-dir), for `ask` an \
                   app's (--app-key FILE); curators sign instead (--as NAME)";
    ServiceError { message: message.into(), ..error }
}

fn service_error(status: StatusCode, envelope: &Value) -> ServiceError {
    let message = envelope["error"]["message"].as_str().map_or_else(|| format!("the service answered {status}"), str::to_owned);
    let code = envelope["error"]["code"].as_str().unwrap_or("http_error").to_owned();
    ServiceError { status, code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_asked_for_in_the_command_lines_words() {
        let refused = |code: &str| ServiceError { status: StatusCode::UNAUTHORIZED, code: code.into(), message: "Bearer".into() };
        let message = without_key(refused("unauthorised")).message;
        assert!(["--api-key", "--app-key", "--as"].iter().all(|flag| message.contains(flag)) && !message.contains("Bearer"), "{message}");
        assert_eq!(without_key(refused("bad_signature")).message, "Bearer");
    }
}
